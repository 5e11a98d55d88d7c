/**
 * Checks the parts of a request against their schemas and words the refusal as every other one of vtepd:
 * `query vni="16777216": not a VNI, 0 to 16777215`. Ajv, fastify's default, would answer `must be <= 16777215`,
 * drop unknown filters silently and read `"vni": "100"` in a body as a number.
 */

import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { VtepError } from '../../../lib/errors.ts';

/** Characters of a wrong value that its error repeats. */
const MAX_QUOTED_CHARS = 60;

/** What the schema of a property may say. */
type PropertySchema = TSchema & {
  readonly type?: string;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly const?: unknown;
  readonly anyOf?: readonly PropertySchema[];
};

interface Property {
  readonly name: string;
  readonly schema: PropertySchema;
  readonly required: boolean;
  readonly fits: (value: unknown) => boolean;
}

/** Fastify's validator compiler for schemas made by `Type.Object` whose properties have a `description`. */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const part = httpPart === 'querystring' ? 'query' : (httpPart ?? 'request');
  const properties = propertiesOf(schema);
  // The text of a URL has no types. Those of JSON are used as they are.
  const read = part === 'query' || part === 'params' ? fromText : (_: Property, value: unknown) => value;
  return (data: unknown) => {
    if (typeof data !== 'object' || data === null || Array.isArray(data)) {
      return refuse(part, 'not a JSON object', `send one with ${listOf(properties)}`);
    }
    for (const name of Object.keys(data)) {
      if (!properties.some((property) => property.name === name)) {
        return refuse(`${part} ${quote(name)}`, 'unknown', `known are ${listOf(properties)}`);
      }
    }
    const values: Record<string, unknown> = {};
    for (const property of properties) {
      const given: unknown = (data as Record<string, unknown>)[property.name];
      if (given === undefined) {
        if (property.required) return refuse(`${part} ${property.name}`, 'missing', meaning(property));
        continue;
      }
      const value = read(property, given);
      if (!property.fits(value)) {
        const cause = Array.isArray(given) && part === 'query' ? 'given more than once' : `not ${meaning(property)}`;
        return refuse(`${part} ${property.name}=${quote(given)}`, cause);
      }
      values[property.name] = value;
    }
    return { value: values };
  };
};

function propertiesOf(schema: TSchema): Property[] {
  const { properties, required = [] } = schema as { properties: Record<string, TSchema>; required?: string[] };
  return Object.entries(properties).map(([name, property]) => {
    return { name, schema: property, required: required.includes(name), fits: checkOf(property) };
  });
}

const KNOWN_WORDS = ['type', 'description', 'minimum', 'maximum', 'const', 'anyOf'];

/**
 * The check of a property. Written by hand, because the compiler of TypeBox takes longer to load than the rest of the API, and requests have few
 * kinds of values.
 * @throws Error for a schema with more than is checked here, when the API is set up
 */
function checkOf(schema: PropertySchema): (value: unknown) => boolean {
  const unknown = Object.keys(schema).find((word) => !KNOWN_WORDS.includes(word));
  if (unknown !== undefined) throw new Error(`the schema of a request says ${unknown}, which nothing checks`);
  const { type, minimum = -Infinity, maximum = Infinity, anyOf } = schema;
  if (anyOf) {
    const checks = anyOf.map(checkOf);
    return (value) => checks.some((fits) => fits(value));
  }
  if ('const' in schema) return (value) => value === schema.const;
  if (type === 'string' || type === 'boolean') return (value) => typeof value === type;
  if (type === 'integer') {
    return (value) => Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum;
  }
  throw new Error(`the schema of a request has type ${type}, which nothing checks`);
}

/** Only plain decimal digits are a number: `0x10`, `1e3` and the empty text stay text, and so are refused. */
function fromText({ schema }: Property, value: unknown): unknown {
  if (schema.type === 'integer' && typeof value === 'string' && /^\d{1,15}$/.test(value)) return Number(value);
  if (schema.type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}

function meaning({ name, schema }: Property): string {
  return schema.description ?? `a ${schema.type ?? name}`;
}

function listOf(properties: readonly Property[]): string {
  return properties.length === 0 ? 'none' : properties.map(({ name }) => name).join(', ');
}

function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS)}…` : text;
}

function refuse(object: string, cause: string, remedy?: string) {
  return { error: new VtepError('ERR_VTEP_USAGE', { object, cause, remedy }) };
}
