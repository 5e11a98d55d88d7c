import { request } from 'node:http';
import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HttpAddress } from '../../config/config.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { MemoryDaemon, sampleState } from '../memory-daemon.ts';
import { checkHttpAddress } from './http-listening.ts';
import { openHttp } from './http-server.ts';

const LOOPBACK = '127.0.0.1' as IpAddress;
let http: HttpAddress;
let server: { close(): Promise<void> };

beforeEach(async () => {
  http = { address: LOOPBACK, port: await freePort() };
  server = await openHttp(http, new MemoryDaemon(sampleState()));
});

afterEach(() => server.close());

async function freePort(): Promise<number> {
  const probe: Server = createServer();
  await new Promise<void>((resolve) => probe.listen(0, LOOPBACK, resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

function ask(path: string, { method = 'GET', host = 'localhost' } = {}): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const options = { ...{ host: LOOPBACK, port: http.port, path, method, agent: false }, headers: { host } };
    const sent = request(options, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode ?? 0, text });
    });
    sent.once('error', reject);
    sent.end();
  });
}

describe('a read-only API on a loopback address', () => {
  it('answers reads, GET and HEAD', async () => {
    expect(JSON.parse((await ask('/v1/vnis')).text)).toHaveLength(2);
    expect(await ask('/v1/fdb', { method: 'HEAD' })).toEqual({ status: 200, text: '' });
  });

  it.each([
    ['POST', '/v1/fdb'],
    ['DELETE', '/v1/fdb'],
    ['GET', '/v1/config'],
    ['GET', '/v1/doctor'],
    ['GET', '/v1/capture'],
    ['POST', '/v1/reload'],
    ['HEAD', '/v1/events'],
  ])('has no %s %s', async (method, path) => {
    expect((await ask(path, { method })).status).toBe(404);
  });

  it.each(['localhost', 'LOCALHOST:80', '127.0.0.1:9477', '[::1]:9477', '192.0.2.1'])(
    'answers for Host %s',
    async (host) => {
      expect((await ask('/v1/status', { host })).status).toBe(200);
    },
  );

  it.each(['rebound.example', 'rebound.example:9477', 'localhost.example', '127.0.0.1.example', 'a b'])(
    'refuses Host "%s": a browser that was sent here by a page asks for it',
    async (host) => {
      const { status, text } = await ask('/v1/fdb', { host });
      expect(status).toBe(400);
      const message = `Host: ${host}: not a name of this host: ask for http://127.0.0.1:${http.port}`;
      expect(JSON.parse(text)).toEqual({ error: { code: 'ERR_VTEP_USAGE', message } });
    },
  );
});

describe('an address that cannot be had', () => {
  it('is refused: in use', async () => {
    const object = `--http 127.0.0.1:${http.port}`;
    const message = `${object}: another program already listens there: \`ss -ltnp\` names it; stop it or choose another port`;
    await expect(checkHttpAddress(http)).rejects.toThrow(message);
    await expect(openHttp(http, new MemoryDaemon(sampleState()))).rejects.toThrow(message);
  });

  it("is refused: not this host's", async () => {
    const foreign = { address: '192.0.2.1' as IpAddress, port: http.port };
    await expect(checkHttpAddress(foreign)).rejects.toThrow(
      `--http 192.0.2.1:${http.port}: no interface of this host has the address: choose one that \`ip address\` lists`,
    );
  });

  it('is let go by the check and at the end', async () => {
    await server.close();
    await checkHttpAddress(http);
    await checkHttpAddress(http);
  });
});
