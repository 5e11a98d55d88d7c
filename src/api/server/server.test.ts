import { connect } from 'node:net';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_API_CONNECTIONS, MAX_API_REQUESTS_AT_ONCE } from '../../lib/limits.ts';
import { EvpnRoutesSchema, EvpnSchema } from '../evpn-schemas.ts';
import type { MemoryDaemon, MemoryDaemonState } from '../memory-daemon.ts';
import {
  ConfigSchema,
  DropsSchema,
  FdbEntriesSchema,
  FlushedSchema,
  StatsSchema,
  StatusSchema,
  TraceSchema,
  VniStatusesSchema,
  VniStatusSchema,
  VtepsSchema,
} from '../schemas.ts';
import type { ControlServer } from './server.ts';
import { askServer, openServer, rawExchange } from './server-rig.ts';

let path: string;
let state: MemoryDaemonState;
let daemon: MemoryDaemon;
let server: ControlServer;
let close: () => Promise<void>;

beforeEach(async () => {
  ({ path, state, daemon, server, close } = await openServer());
});

afterEach(() => close());

const ask = (method: string, url: string, body?: unknown, headers?: Record<string, string>) =>
  askServer(path, method, url, body, headers);
const raw = (text: string) => rawExchange(path, text);
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
    ['/v1/evpn', EvpnSchema],
    ['/v1/evpn/routes', EvpnRoutesSchema],
    ['/v1/evpn/routes?vni=100&type=2&unused=true', EvpnRoutesSchema],
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
