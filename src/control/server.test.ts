import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  MAX_API_BODY_BYTES,
  MAX_API_CONNECTIONS,
  MAX_API_HEADER_BYTES,
  MAX_API_REQUESTS_AT_ONCE,
} from '../lib/limits.ts';
import { MemoryDaemon, type MemoryDaemonState, sampleState } from './memory-daemon.ts';
import {
  ConfigSchema,
  DropsSchema,
  ErrorBodySchema,
  FdbEntriesSchema,
  FlushedSchema,
  StatsSchema,
  StatusSchema,
  TraceSchema,
  VniStatusesSchema,
  VniStatusSchema,
  VtepsSchema,
} from './schemas.ts';
import { type ControlServer, openControlSocket } from './server.ts';

let directory: string;
let path: string;
let state: MemoryDaemonState;
let daemon: MemoryDaemon;
let server: ControlServer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vtepd-api-'));
  path = join(directory, 'v.sock');
  state = sampleState();
  daemon = new MemoryDaemon(state);
  server = await openControlSocket(path, daemon);
});

afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly text: string;
  readonly body: unknown;
}

/** @param body an object is sent as JSON, a string as it is */
function ask(method: string, url: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const options = { socketPath: path, method, path: url, headers: { ...type, ...headers }, agent: false as const };
    const sent = request(options, async (response: IncomingMessage) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      const { statusCode: status = 0, headers } = response;
      resolve({ status, type: headers['content-type'], text, body: text === '' ? undefined : JSON.parse(text) });
    });
    sent.once('error', reject);
    sent.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
  });
}

function raw(text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path, () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', () => {});
  });
}

const fits = (schema: TSchema, value: unknown) => Compile(schema).Check(value);
const MAC1 = '02:00:00:00:00:01';

describe('reads', () => {
  it.each([
    ['/v1/fdb', FdbEntriesSchema],
    ['/v1/vnis', VniStatusesSchema],
    ['/v1/vteps', VtepsSchema],
    ['/v1/vteps?vtep=198.18.0.2', VtepsSchema],
    ['/v1/stats', StatsSchema],
    ['/v1/stats?vni=100', StatsSchema],
    ['/v1/drops', DropsSchema],
    ['/v1/drops?vni=100', DropsSchema],
    ['/v1/status', StatusSchema],
    ['/v1/config', ConfigSchema],
    [`/v1/trace?vni=100&src=${MAC1}&dst=02:00:00:00:00:02`, TraceSchema],
    [`/v1/trace?vni=100&src=${MAC1}&dst=02:00:00:00:00:02&vtep=fd00::1&vlan=4094&size=14`, TraceSchema],
  ])('GET %s answers what its schema says', async (url, schema) => {
    const { status, type, body } = await ask('GET', url);
    expect(status).toBe(200);
    expect(type).toBe('application/json; charset=utf-8');
    expect(fits(schema, body)).toBe(true);
  });

  it('shows the entries sorted by VNI, then MAC', async () => {
    const { body } = await ask('GET', '/v1/fdb');
    expect(body).toEqual([state.entries[2], state.entries[1], state.entries[0]]);
  });

  it.each([
    ['vni=100', 2],
    ['vni=100&mac=02:00:00:00:00:02', 1],
    ['mac=02:00:00:00:00:0A', 0],
    ['mac=02:00:00:00:00:01', 2],
    ['vtep=local', 1],
    ['vtep=fd00:0018:0::3', 1],
    ['type=static', 1],
    ['type=dynamic&vni=200', 0],
    ['vni=16777215', 0],
  ])('GET /v1/fdb?%s finds %i', async (query, count) => {
    const { status, body } = await ask('GET', `/v1/fdb?${query}`);
    expect(status).toBe(200);
    expect(body).toHaveLength(count);
  });

  it('shows one VNI', async () => {
    expect((await ask('GET', '/v1/vnis?vni=200')).body).toEqual([state.vnis[1]]);
  });
});

describe('writes', () => {
  it('adds a static entry, and again without complaint', async () => {
    const entry = { vni: 100, mac: '02:00:00:00:00:AA', vtep: '198.18.0.9' };
    expect(await ask('POST', '/v1/fdb', entry)).toMatchObject({ status: 204, text: '' });
    expect(await ask('POST', '/v1/fdb', entry)).toMatchObject({ status: 204 });
    expect(state.entries.filter(({ mac }) => mac === '02:00:00:00:00:aa')).toEqual([
      { vni: 100, mac: '02:00:00:00:00:aa', vtep: '198.18.0.9', type: 'static', age: null, moves: 0 },
    ]);
  });

  it('deletes one entry, then does not find it', async () => {
    expect(await ask('DELETE', `/v1/fdb/100/${MAC1}`)).toMatchObject({ status: 204, text: '' });
    expect(await ask('DELETE', `/v1/fdb/100/${MAC1}`)).toMatchObject({
      status: 404,
      body: { error: { code: 'ERR_VTEP_NOT_FOUND', message: `${MAC1} in VNI 100: no such entry` } },
    });
  });

  it.each([
    ['', 2, 1],
    ['?all=false', 2, 1],
    ['?all=true', 3, 0],
    ['?vni=200', 0, 3],
    ['?vni=200&all=true', 1, 2],
    ['?vtep=198.18.0.2', 1, 2],
    [`?mac=${MAC1}&vtep=local`, 1, 2],
  ])('DELETE /v1/fdb%s removes %i and leaves %i', async (query, removed, left) => {
    const { status, body } = await ask('DELETE', `/v1/fdb${query}`);
    expect(status).toBe(200);
    expect(body).toEqual({ removed });
    expect(fits(FlushedSchema, body)).toBe(true);
    expect(state.entries).toHaveLength(left);
  });
});

describe('writes of VNIs and flood lists', () => {
  it('adds a VNI, written as for --vni, and shows it', async () => {
    const answer = await ask('POST', '/v1/vnis', { entry: '300=239.1.1.3,name=green,remote=198.18.0.2,learning=off' });
    expect(answer.status).toBe(201);
    expect(fits(VniStatusSchema, answer.body)).toBe(true);
    expect(answer.body).toMatchObject({ vni: 300, group: '239.1.1.3', name: 'green', remotes: ['198.18.0.2'] });
    expect((await ask('GET', '/v1/vnis?vni=300')).body).toEqual([answer.body]);
  });

  it('deletes a VNI, then does not find it', async () => {
    expect(await ask('DELETE', '/v1/vnis/200')).toMatchObject({ status: 204, text: '' });
    expect((await ask('DELETE', '/v1/vnis/200')).status).toBe(404);
    expect(state.vnis.map(({ vni }) => vni)).toEqual([100]);
  });

  it('adds a remote, and again without complaint; deletes it, then does not find it', async () => {
    const [url, remote] = ['/v1/vnis/100/remotes', '198.18.0.9'];
    for (let time = 0; time < 2; time++) {
      expect(await ask('POST', url, { remote })).toMatchObject({ status: 204, text: '' });
      expect(state.vnis[0]?.remotes).toEqual([remote]);
    }
    expect(await ask('DELETE', `${url}/${remote}`)).toMatchObject({ status: 204, text: '' });
    expect(state.vnis[0]?.remotes).toEqual([]);
    expect(await ask('DELETE', `${url}/${remote}`)).toMatchObject({
      status: 404,
      body: { error: { message: 'remote 198.18.0.9 of VNI 100: it is not in the flood list' } },
    });
  });

  it('reads addresses however they are written', async () => {
    await ask('POST', '/v1/vnis/100/remotes', { remote: 'FD00:18:0::0009' });
    expect(state.vnis[0]?.remotes).toEqual(['fd00:18::9']);
    expect((await ask('DELETE', '/v1/vnis/100/remotes/fd00:18:0:0:0:0:0:9')).status).toBe(204);
  });
});

describe('refusals', () => {
  const good = { vni: 100, mac: '02:00:00:00:00:aa', vtep: '198.18.0.9' };
  const usage = 'ERR_VTEP_USAGE';
  it.each([
    ['GET', '/v1/fdb?vni=16777216', undefined, 400, usage, 'query vni="16777216": not a VNI, 0 to 16777215'],
    ['GET', '/v1/fdb?vni=', undefined, 400, usage, 'query vni="": not a VNI, 0 to 16777215'],
    ['GET', '/v1/fdb?vni=1e2', undefined, 400, usage, 'query vni="1e2": not a VNI, 0 to 16777215'],
    ['GET', '/v1/fdb?vni=1&vni=2', undefined, 400, usage, 'query vni=["1","2"]: given more than once'],
    ['GET', '/v1/fdb?vin=1', undefined, 400, usage, 'query "vin": unknown: known are vni, mac, vtep, type'],
    ['GET', '/v1/fdb?mac=zz', undefined, 400, usage, 'mac zz: not a MAC address: write it as 02:00:00:00:00:01'],
    [
      ...(['GET', '/v1/fdb?vtep=fe80::1%25eth0', undefined, 400, usage] as const),
      "vtep fe80::1%eth0: not an IP address without zone: give one, or 'local'",
    ],
    ['GET', '/v1/fdb?type=evpn', undefined, 400, usage, `query type="evpn": not 'static' or 'dynamic'`],
    ['GET', '/v1/status?x=1', undefined, 400, usage, 'query "x": unknown: known are none'],
    [
      ...(['GET', '/v1/vnis?vni=999', undefined, 404, 'ERR_VTEP_NOT_FOUND'] as const),
      'VNI 999: this vtepd does not have it: `vtepctl vni show` lists those it has',
    ],
    [
      ...(['GET', '/v1/vteps?vtep=x', undefined, 400, 'ERR_VTEP_USAGE'] as const),
      'remote x: not an IP address without zone: give the unicast address of a VTEP',
    ],
    [
      ...(['GET', '/v1/drops?vni=999', undefined, 404, 'ERR_VTEP_NOT_FOUND'] as const),
      'VNI 999: this vtepd does not have it: `vtepctl vni show` lists those it has',
    ],
    [
      'GET',
      `/v1/trace?vni=100&src=${MAC1}`,
      undefined,
      400,
      usage,
      'query dst: missing: a MAC address such as 02:00:00:00:00:01',
    ],
    [
      'GET',
      `/v1/trace?vni=100&src=${MAC1}&dst=02:00:00:00:00:02&vtep=local`,
      undefined,
      400,
      usage,
      'vtep local: not an IP address without zone: give the unicast address of a VTEP',
    ],
    [
      'GET',
      `/v1/trace?vni=100&src=${MAC1}&dst=02:00:00:00:00:02&vtep=224.0.0.1`,
      undefined,
      400,
      usage,
      'vtep 224.0.0.1: a multicast address: give the unicast address of a VTEP',
    ],
    [
      'GET',
      `/v1/trace?vni=100&src=${MAC1}&dst=02:00:00:00:00:02&size=13`,
      undefined,
      400,
      usage,
      'query size="13": not the octets of a frame, 14 to 65535',
    ],
    [
      'GET',
      '/v1/reload',
      undefined,
      404,
      'ERR_VTEP_NOT_FOUND',
      'GET /v1/reload: no such resource here: GET /openapi.json lists those there are',
    ],
    [
      'GET',
      '/v2?secret=1',
      undefined,
      404,
      'ERR_VTEP_NOT_FOUND',
      'GET /v2: no such resource here: GET /openapi.json lists those there are',
    ],
    [
      'PATCH',
      '/v1/fdb',
      undefined,
      404,
      'ERR_VTEP_NOT_FOUND',
      'PATCH /v1/fdb: no such resource here: GET /openapi.json lists those there are',
    ],
    ['GET', '/v1/%zz', undefined, 400, usage, 'GET /v1/%zz: the URL is malformed'],
    ['DELETE', '/v1/fdb?al=true', undefined, 400, usage, 'query "al": unknown: known are vni, mac, vtep, all'],
    ['DELETE', '/v1/fdb?all=1', undefined, 400, usage, `query all="1": not 'true' or 'false'`],
    ['DELETE', `/v1/fdb/x/${MAC1}`, undefined, 400, usage, 'params vni="x": not a VNI, 0 to 16777215'],
    ['DELETE', '/v1/fdb/100/x', undefined, 400, usage, 'mac x: not a MAC address: write it as 02:00:00:00:00:01'],
    ['POST', '/v1/fdb', { ...good, vni: '100' }, 400, usage, 'body vni="100": not a VNI, 0 to 16777215'],
    ['POST', '/v1/fdb', { ...good, vni: 1.5 }, 400, usage, 'body vni=1.5: not a VNI, 0 to 16777215'],
    ['POST', '/v1/fdb', { ...good, age: 1 }, 400, usage, 'body "age": unknown: known are vni, mac, vtep'],
    ['POST', '/v1/fdb', [good], 400, usage, 'body: not a JSON object: send one with vni, mac, vtep'],
    ['POST', '/v1/fdb', undefined, 400, usage, 'body: not a JSON object: send one with vni, mac, vtep'],
    [
      ...(['POST', '/v1/fdb', { vni: 1, mac: MAC1 }, 400, usage] as const),
      "body vtep: missing: an IP address without zone, or 'local'",
    ],
    [
      'POST',
      '/v1/vnis',
      {},
      400,
      usage,
      'body entry: missing: a VNI as written for --vni, e.g. 100=239.1.1.1,bridge=br0',
    ],
    [
      'POST',
      '/v1/vnis',
      { entry: '' },
      400,
      usage,
      'vni add : the VNI is missing: begin with a number from 0 to 16777215',
    ],
    [
      ...(['POST', '/v1/vnis', { entry: '300=10.1.1.1' }, 400, usage] as const),
      'vni add 300=10.1.1.1: 10.1.1.1 is not a multicast address (224.0.0.0/4 or ff00::/8)',
    ],
    ['POST', '/v1/vnis', { vni: 300 }, 400, usage, 'body "vni": unknown: known are entry'],
    ['DELETE', '/v1/vnis/x', undefined, 400, usage, 'params vni="x": not a VNI, 0 to 16777215'],
    [
      'DELETE',
      '/v1/vnis',
      undefined,
      404,
      'ERR_VTEP_NOT_FOUND',
      'DELETE /v1/vnis: no such resource here: GET /openapi.json lists those there are',
    ],
    [
      ...(['DELETE', '/v1/vnis/999', undefined, 404, 'ERR_VTEP_NOT_FOUND'] as const),
      'VNI 999: this vtepd does not have it: `vtepctl vni show` lists those it has',
    ],
    [
      ...(['POST', '/v1/vnis/999/remotes', { remote: '198.18.0.9' }, 404, 'ERR_VTEP_NOT_FOUND'] as const),
      'VNI 999: this vtepd does not have it: `vtepctl vni show` lists those it has',
    ],
    [
      ...(['POST', '/v1/vnis/100/remotes', { remote: 'x' }, 400, usage] as const),
      'remote x: not an IP address without zone: give the unicast address of a VTEP',
    ],
    ...(
      [
        ['239.1.1.1', 'a multicast address'],
        ['0.0.0.0', 'the unspecified address'],
        ['255.255.255.255', 'the broadcast address'],
        ['fe80::1', 'link-local, which says nothing without a zone'],
      ] as const
    ).map(
      ([remote, cause]) =>
        [
          ...(['POST', '/v1/vnis/100/remotes', { remote }, 400, usage] as const),
          `remote ${remote}: ${cause}: give the unicast address of a VTEP`,
        ] as const,
    ),
    ['POST', '/v1/fdb', '{', 400, usage, 'POST /v1/fdb: the body is not JSON'],
    [
      ...(['POST', '/v1/fdb', { ...good, mac: '01:00:5e:00:00:01' }, 400, usage] as const),
      'mac 01:00:5e:00:00:01: a group address: give the MAC address of one station',
    ],
    [
      ...(['POST', '/v1/fdb', { ...good, mac: '00:00:00:00:00:00' }, 400, usage] as const),
      'mac 00:00:00:00:00:00: the zero address: give the MAC address of one station',
    ],
    [
      ...(['POST', '/v1/fdb', { ...good, vtep: '239.1.1.1' }, 400, usage] as const),
      'vtep 239.1.1.1: a multicast address: give the unicast address of a VTEP',
    ],
    [
      ...(['POST', '/v1/fdb', { ...good, vtep: '::' }, 400, usage] as const),
      'vtep ::: the unspecified address: give the unicast address of a VTEP',
    ],
    [
      ...(['POST', '/v1/fdb', { ...good, vni: 200, mac: MAC1 }, 409, 'ERR_VTEP_CONFLICT'] as const),
      '02:00:00:00:00:01 in VNI 200: static for fd00:18::3: delete that entry first',
    ],
  ] as const)('%s %s %j is %i %s', async (method, url, body, status, code, message) => {
    const answer = await ask(method, url, body);
    expect(answer).toMatchObject({ status, body: { error: { code, message } } });
    expect(answer.type).toBe('application/json; charset=utf-8');
    expect(fits(ErrorBodySchema, answer.body)).toBe(true);
  });

  it('refuses a body above the bound with 413', async () => {
    const { status, body } = await ask('POST', '/v1/fdb', `"${'x'.repeat(MAX_API_BODY_BYTES)}"`);
    expect(status).toBe(413);
    expect(body).toEqual({
      error: { code: 'ERR_VTEP_LIMIT', message: 'POST /v1/fdb: the body has more than 1048576 bytes' },
    });
  });

  it('refuses a body that is not JSON by its type with 415', async () => {
    const { status, body } = await ask('POST', '/v1/fdb', 'vni=1', { 'content-type': 'text/html' });
    expect(status).toBe(415);
    expect(fits(ErrorBodySchema, body)).toBe(true);
  });

  it('shows nothing of an unforeseen error', async () => {
    daemon.status = () => {
      throw new TypeError('cannot read /etc/secret');
    };
    const { status, body } = await ask('GET', '/v1/status');
    expect(status).toBe(500);
    expect(body).toEqual({
      error: { code: 'ERR_VTEP_INTERNAL', message: 'GET /v1/status: internal error: see the log of vtepd' },
    });
  });

  it.each([
    ['not HTTP', 'hello\r\n\r\n', 'HTTP/1.1 400 Bad Request'],
    ['a head that is too large', `GET / HTTP/1.1\r\nx: ${'x'.repeat(MAX_API_HEADER_BYTES)}\r\n\r\n`, 'HTTP/1.1 431 '],
  ])('answers %s in the same form', async (_, text, start) => {
    const answer = await raw(text);
    expect(answer.startsWith(start)).toBe(true);
    expect(fits(ErrorBodySchema, JSON.parse(answer.split('\r\n\r\n')[1] ?? ''))).toBe(true);
  });
});

describe('bounds', () => {
  /** @returns what closes them, and how many of them the server has closed */
  async function connectIdle(count: number): Promise<{ close: () => void; closed: () => number }> {
    let closed = 0;
    const sockets = Array.from({ length: count }, () => {
      const socket = connect(path);
      socket.on('error', () => {});
      socket.once('close', () => closed++);
      return socket;
    });
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    const close = () => {
      for (const socket of sockets) socket.destroy();
    };
    return { close, closed: () => closed };
  }

  it('closes the longest idle beyond the limit, so that who asks is answered', async () => {
    const idle = await connectIdle(3 * MAX_API_CONNECTIONS);
    expect(await ask('GET', '/v1/status')).toMatchObject({ status: 200 });
    await expect.poll(() => idle.closed()).toBe(2 * MAX_API_CONNECTIONS + 1);
    idle.close();
  });

  it('closes none that waits for an answer, but the new one', async () => {
    let answer: () => void = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let waiting = 0;
    daemon.status = () => {
      waiting++;
      return answered.then(() => state.status) as never;
    };
    const held = Array.from({ length: MAX_API_CONNECTIONS }, () => ask('GET', '/v1/status'));
    await expect.poll(() => waiting).toBe(MAX_API_CONNECTIONS);
    await expect(ask('GET', '/v1/config')).rejects.toThrow();
    answer();
    for (const { status } of await Promise.all(held)) expect(status).toBe(200);
    await expect.poll(() => ask('GET', '/v1/config').catch(() => undefined)).toMatchObject({ status: 200 });
  });

  it('refuses requests that are sent without waiting for the answers', async () => {
    const one = 'GET /v1/status HTTP/1.1\r\nHost: v\r\n\r\n';
    const last = one.replace('Host', 'Connection: close\r\nHost');
    daemon.status = () => new Promise((resolve) => setTimeout(() => resolve(state.status), 20)) as never;
    const answer = await raw(one.repeat(MAX_API_REQUESTS_AT_ONCE) + last);
    expect(answer.match(/HTTP\/1.1 200 /g)).toHaveLength(MAX_API_REQUESTS_AT_ONCE);
    expect(answer).toContain('request: 8 of this connection are not answered yet: wait for the answers');
  });

  // Without the grace's end, closing would wait for the request for ever.
  it('closes although a request hangs, and twice without harm', async () => {
    const arrived = new Promise<void>((resolve) => {
      daemon.status = () => {
        resolve();
        return new Promise<never>(() => {}) as never;
      };
    });
    const hanging = ask('GET', '/v1/status').catch((error: unknown) => error);
    await arrived;
    await Promise.all([server.close(), server.close()]);
    expect(await hanging).toBeInstanceOf(Error);
  });
});
