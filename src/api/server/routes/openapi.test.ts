import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Compile } from 'typebox/compile';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryDaemon, sampleState } from '../../memory-daemon.ts';
import type { OpenApi } from '../../schemas.ts';
import { type ControlServer, openControlSocket } from '../server.ts';

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
}

interface Operation {
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> };
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: object }> }>;
}

let directory: string;
let path: string;
let server: ControlServer;
let page: OpenApi;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vtepd-openapi-'));
  path = join(directory, 'v.sock');
  server = await openControlSocket(path, new MemoryDaemon(sampleState()));
  page = (await ask('GET', '/openapi.json')).body as OpenApi;
});

afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

/** The answer, or of one that has no end its beginning. */
function ask(method: string, url: string): Promise<{ status: string; type: string | undefined; body: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: path, method, path: url, agent: false }, (response) => {
      const status = `${response.statusCode}`;
      const type = response.headers['content-type']?.split(';')[0];
      if (type !== 'application/json') {
        response.destroy();
        resolve({ status, type, body: undefined });
        return;
      }
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status, type, body: JSON.parse(text) }));
    });
    sent.once('error', reject);
    sent.end();
  });
}

function operations(): { method: string; url: string; operation: Operation }[] {
  return Object.entries(page.paths).flatMap(([url, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, url, operation: operation as Operation })),
  );
}

/** Everything that says `$ref`, wherever it stands. */
function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === '$ref' ? [String(inner)] : references(inner)));
}

/** Of reads that answer nothing without one. */
const NEEDED_QUERIES: Readonly<Record<string, string>> = {
  '/v1/trace': '?vni=100&src=02:00:00:00:00:01&dst=02:00:00:00:00:02',
};

describe('/openapi.json', () => {
  it('has every route, and of each what it does and what it answers', () => {
    expect(page.openapi).toMatch(/^3\.1\./);
    expect(page.info).toEqual({ title: 'vtepd', version: '0.1.0' });
    expect(operations().map(({ method, url }) => `${method} ${url}`)).toEqual(
      expect.arrayContaining(['get /openapi.json', 'get /v1/events', 'post /v1/reload', 'delete /v1/fdb/{vni}/{mac}']),
    );
    for (const { method, url, operation } of operations()) {
      const what = `${method} ${url}`;
      expect(['get', 'post', 'put', 'delete', 'patch'], what).toContain(method);
      expect(operation.summary, what).toMatch(/\.$/);
      expect(Object.keys(operation.responses), what).toEqual([expect.stringMatching(/^20[014]$/), 'default']);
      for (const response of Object.values(operation.responses)) {
        if (!('$ref' in response)) expect(response, what).toMatchObject({ description: expect.stringMatching(/./) });
      }
    }
  });

  it('declares the parameters of each path, and each once', () => {
    for (const { method, url, operation } of operations()) {
      const inPath = [...url.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = operation.parameters.filter((parameter) => parameter.in === 'path');
      expect(
        declared.map(({ name, required }) => required && name),
        `${method} ${url}`,
      ).toEqual(inPath);
      const keys = operation.parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
      expect(new Set(keys).size).toBe(keys.length);
    }
  });

  it('refers to nothing that it does not have', () => {
    const found = references(page);
    expect(found.length).toBeGreaterThan(0);
    for (const reference of found) {
      const names = reference.replace('#/', '').split('/');
      const target = names.reduce<unknown>((value, name) => (value as Record<string, unknown>)?.[name], page);
      expect(target, reference).toBeTypeOf('object');
    }
  });

  it('describes the answers of reads as they are', async () => {
    for (const { url, operation } of operations().filter(({ method }) => method === 'get')) {
      const { status, type, body } = await ask('GET', `${url}${NEEDED_QUERIES[url] ?? ''}`);
      const documented = operation.responses[status]?.content?.[type ?? ''];
      expect(documented, `GET ${url}: ${status} ${type}`).toBeDefined();
      if (body !== undefined) expect(Compile(documented?.schema as never).Check(body), url).toBe(true);
    }
  });

  it('describes refusals as they are', async () => {
    const { schemas } = page.components as { schemas: { Error: object } };
    for (const { method, url, operation } of operations()) {
      expect(operation.responses.default).toEqual({ $ref: '#/components/responses/Error' });
      const { status, body } = await ask(method.toUpperCase(), `${url.replace(/[{}]/g, '')}?unknown=1`);
      // Not 404: the route is there, and does not like the query.
      expect([method, url, status]).toEqual([method, url, '400']);
      expect(Compile(schemas.Error as never).Check(body), url).toBe(true);
    }
  });
});
