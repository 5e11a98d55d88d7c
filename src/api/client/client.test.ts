import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseIp, parseMac } from '../../lib/addresses.ts';
import { MemoryDaemon, sampleState } from '../memory-daemon.ts';
import { openControlSocket } from '../server/server.ts';
import { ControlClient } from './client.ts';

let directory: string;
let path: string;
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vtepd-client-'));
  path = join(directory, 'v.sock');
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  rmSync(directory, { recursive: true });
});

async function serve(state = sampleState()) {
  const server = await openControlSocket(path, new MemoryDaemon(state));
  cleanups.push(() => server.close());
  return { state, client: new ControlClient(path) };
}

/** Something that is not vtepd: `reply` is sent as soon as a request arrives, undefined sends nothing. */
async function impostor(reply: string | undefined, end = true): Promise<ControlClient> {
  const sockets = new Set<{ destroy(): void }>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => {
      if (reply !== undefined) socket.write(reply);
      if (end) socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return new ControlClient(path, { timeoutMs: end ? 10_000 : 100 });
}

const mac = (text: string) => parseMac(text) ?? expect.fail(text);
const ip = (text: string) => parseIp(text) ?? expect.fail(text);

describe('against a daemon', () => {
  it('reads what the daemon has', async () => {
    const { client, state } = await serve();
    expect(await client.status()).toEqual(state.status);
    expect(await client.drops()).toEqual(state.drops);
    expect(await client.drops(100)).toEqual(state.drops);
    expect(await client.vnis()).toEqual(state.vnis);
    expect(await client.vnis(200)).toEqual([state.vnis[1]]);
    expect(await client.fdbEntries({})).toHaveLength(3);
    expect(await client.fdbEntries({ vni: 200, vtep: ip('fd00:18::3'), type: 'static' })).toHaveLength(1);
  });

  it('adds, deletes and flushes', async () => {
    const { client, state } = await serve();
    const key = { vni: 100, mac: mac('02:00:00:00:00:aa') };
    await client.addStatic({ ...key, vtep: 'local' });
    expect(state.entries).toHaveLength(4);
    await client.deleteEntry(key);
    expect(state.entries).toHaveLength(3);
    expect(await client.flush({ all: false, vtep: 'local' })).toEqual({ removed: 1 });
    expect(await client.flush({ all: true })).toEqual({ removed: 2 });
  });

  it('rethrows the refusal with its code and its words', async () => {
    const { client } = await serve();
    await expect(client.deleteEntry({ vni: 1, mac: mac('02:00:00:00:00:01') })).rejects.toMatchObject({
      name: 'VtepError',
      code: 'ERR_VTEP_NOT_FOUND',
      message: '02:00:00:00:00:01 in VNI 1: no such entry',
    });
  });

  it('reads an answer of many entries', async () => {
    const state = sampleState();
    for (let n = 0; n < 50_000; n++) {
      const last = n.toString(16).padStart(4, '0');
      const address = mac(`02:00:00:01:${last.slice(0, 2)}:${last.slice(2)}`);
      state.entries.push({ vni: 100, mac: address, vtep: 'local', type: 'dynamic', age: 0, moves: 0 });
    }
    const { client } = await serve(state);
    expect(await client.fdbEntries({})).toHaveLength(50_003);
  });
});

describe('without a daemon', () => {
  const code = 'ERR_VTEP_UNREACHABLE';

  it('says so where nothing is', async () => {
    const message = `control socket ${path}: no vtepd listens there (ENOENT): start vtepd or name its socket with --socket`;
    await expect(new ControlClient(path).status()).rejects.toMatchObject({ code, message, exitCode: 2 });
  });

  it.runIf(process.getuid?.() === 0)('says so where permission lacks', async () => {
    const { client } = await serve();
    process.seteuid?.(65534);
    try {
      const message = `control socket ${path}: no permission (EACCES): run as root or join group vtepd`;
      await expect(client.status()).rejects.toMatchObject({ code, message });
    } finally {
      process.seteuid?.(0);
    }
  });

  it('gives up on a daemon that hangs', async () => {
    const message = `control socket ${path}: no answer within 0.1 s: look at the log of vtepd, or restart it`;
    const client = await impostor(undefined, false);
    await expect(client.status()).rejects.toMatchObject({ code, message });
  });

  it('gives up on one that hangs when it is told to, and never asks again', async () => {
    await impostor(undefined, false);
    const left = new AbortController();
    const client = new ControlClient(path).until(left.signal);
    const asked = client.status();
    left.abort();
    await expect(asked).rejects.toMatchObject({ code: 'ERR_VTEP_UNREACHABLE' });
    await expect(client.status()).rejects.toMatchObject({ code: 'ERR_VTEP_UNREACHABLE' });
  });

  it('gives up on a daemon that hangs in the middle of its answer', async () => {
    const client = await impostor('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{', false);
    await expect(client.status()).rejects.toMatchObject({ code, message: expect.stringContaining('no answer within') });
  });

  it.each([
    ['closed without an answer (ECONNRESET)', undefined],
    ['closed without an answer (ECONNRESET)', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{'],
    ['the program that answers there is not vtepd (HPE_INVALID_CONSTANT)', 'SSH-2.0-OpenSSH_9.9\r\n'],
    [
      'the program that answers there is not vtepd (GET /v1/status: HTTP 200)',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html',
    ],
    [
      'the program that answers there is not vtepd (GET /v1/status: HTTP 502)',
      'HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n{}',
    ],
  ])('tells %s from an answer', async (cause, reply) => {
    const client = await impostor(reply);
    await expect(client.status()).rejects.toMatchObject({ code, message: expect.stringContaining(cause) });
  });

  it('takes a code it does not know for internal and keeps the words', async () => {
    const body = JSON.stringify({ error: { code: 'ERR_VTEP_FUTURE', message: 'no separator here' } });
    const client = await impostor(`HTTP/1.1 400 Bad\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await expect(client.status()).rejects.toMatchObject({
      code: 'ERR_VTEP_INTERNAL',
      message: 'vtepd: no separator here',
    });
  });
});
