import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MAX_API_CONNECTIONS } from '../lib/limits.ts';
import { MemoryDaemon, sampleState } from './memory-daemon.ts';
import { closeApi, connectionsOf, createApi, type TypedApi } from './server/requests/api.ts';
import { addReadRoutes } from './server/routes/routes.ts';

/** In place of API_STALL_MS. */
const STALL_MS = 300;
let directory: string;
let path: string;
let api: TypedApi;
let daemon: MemoryDaemon;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vtepd-connections-'));
  path = join(directory, 'v.sock');
  daemon = new MemoryDaemon(sampleState());
  api = createApi('test');
  addReadRoutes(api, daemon);
  await api.ready();
  api.server.setTimeout(STALL_MS);
  await new Promise<void>((resolve) => api.server.listen(path, resolve));
});

afterEach(async () => {
  await closeApi(api);
  rmSync(directory, { recursive: true });
});

function listen(): Socket {
  const client = connect(path);
  client.on('error', () => {});
  client.write('GET /v1/events HTTP/1.1\r\nHost: v\r\n\r\n');
  return client;
}

it('cuts a listener that takes nothing of what waits for it, and none that has nothing to take', async () => {
  const [deaf, quiet] = [listen(), listen()];
  let heard = '';
  quiet.on('data', (part) => {
    heard += part;
  });
  const open = () =>
    new Promise<number>((resolve, reject) => api.server.getConnections((e, n) => (e ? reject(e) : resolve(n))));
  await expect.poll(() => heard).toContain('200 OK');
  await expect.poll(open).toBe(2);
  expect(connectionsOf(api)).toEqual({ used: 2, max: MAX_API_CONNECTIONS, cut: 0 });
  const event = { time: '2026-01-02T03:04:05.6Z', event: 'lost', vni: null, mac: null, vtep: null } as const;
  // Half a megabyte: more than the kernel keeps for one that does not read, less than vtepd does.
  daemon.tell(...Array.from({ length: 5_000 }, (_, count) => ({ ...event, from: null, type: null, count: count + 1 })));
  await expect.poll(open, { timeout: 20 * STALL_MS, interval: 50 }).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 2 * STALL_MS));
  daemon.tell({ ...event, from: null, type: null, count: 7_777 });
  await expect.poll(() => heard).toContain('"count":7777');
  expect(await open()).toBe(1);
  expect(connectionsOf(api)).toEqual({ used: 1, max: MAX_API_CONNECTIONS, cut: 1 });
  quiet.destroy();
  deaf.destroy();
});

it('waits for a handler that takes longer', async () => {
  daemon.status = () =>
    new Promise((resolve) => setTimeout(() => resolve(sampleState().status), 3 * STALL_MS)) as never;
  const client = connect(path);
  client.write('GET /v1/status HTTP/1.1\r\nHost: v\r\n\r\n');
  let answer = '';
  client.on('data', (part) => {
    answer += part;
  });
  await expect.poll(() => answer, { timeout: 20 * STALL_MS }).toContain('"pid":4711');
  client.destroy();
});
