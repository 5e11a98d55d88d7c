/** `GET /openapi.json`: the routes of this very API as OpenAPI 3.1, which takes JSON Schema as the routes have it. */

import { STATUS_CODES } from 'node:http';
import type { FastifySchema } from 'fastify';
import type { TSchema } from 'typebox';
import type { DaemonView } from '../../daemon-view.ts';
import { ErrorBodySchema, NoQuerySchema, OpenApiSchema } from '../../schemas.ts';
import type { TypedApi } from '../requests/api.ts';

declare module 'fastify' {
  interface FastifySchema {
    /** What the route shows or does, in `/openapi.json`. */
    summary?: string;
  }
}

type ObjectSchema = TSchema & { readonly properties: Record<string, TSchema>; readonly required?: readonly string[] };

const COMPONENTS = {
  schemas: { Error: ErrorBodySchema },
  responses: {
    Error: {
      description: 'Refused. `message` is one line with the object, the cause and the remedy.',
      content: jsonOf({ $ref: '#/components/schemas/Error' }),
    },
  },
};

/** Describes itself and every route that is added after it. */
export function addOpenApiRoute(api: TypedApi, view: DaemonView): void {
  const paths: Record<string, Record<string, object>> = {};
  api.addHook('onRoute', ({ method, url, schema = {} }) => {
    const path = url.replace(/:(\w+)/g, '{$1}');
    for (const name of [method].flat()) {
      // Fastify adds a HEAD to each GET.
      if (name !== 'HEAD') paths[path] = { ...paths[path], [name.toLowerCase()]: operationOf(schema) };
    }
  });
  api.get(
    '/openapi.json',
    { schema: { summary: 'This description.', querystring: NoQuerySchema, response: { 200: OpenApiSchema } } },
    async () => {
      const { version } = await view.status();
      return { openapi: '3.1.1', info: { title: 'vtepd', version }, paths, components: COMPONENTS };
    },
  );
}

/** A route without a `response` schema answers 204. */
function operationOf({ summary, querystring, params, body, response }: FastifySchema): object {
  const answers = (response ?? { 204: undefined }) as Record<string, AnswerSchema>;
  return {
    summary,
    parameters: [...parametersOf(params, 'path'), ...parametersOf(querystring, 'query')],
    ...(body !== undefined && { requestBody: { required: true, content: jsonOf(body) } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, schema]) => [status, answerOf(status, schema)])),
      default: { $ref: '#/components/responses/Error' },
    },
  };
}

/** JSON, unless media types are named as in `{ content: { 'text/event-stream': { schema } } }`. */
type AnswerSchema = TSchema | { readonly content: object } | undefined;

function answerOf(status: string, schema: AnswerSchema): object {
  const description = STATUS_CODES[status] ?? '';
  if (schema === undefined) return { description };
  return { description, content: 'content' in schema ? schema.content : jsonOf(schema) };
}

function parametersOf(schema: unknown, place: 'path' | 'query'): object[] {
  const { properties = {}, required = [] } = (schema ?? {}) as Partial<ObjectSchema>;
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: property,
  }));
}

function jsonOf(schema: unknown): object {
  return { 'application/json': { schema } };
}
