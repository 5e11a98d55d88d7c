import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_API_BODY_BYTES, MAX_API_HEADER_BYTES } from '../../lib/limits.ts';
import type { MemoryDaemon } from '../memory-daemon.ts';
import { ErrorBodySchema } from '../schemas.ts';
import { askServer, openServer, rawExchange } from './server-rig.ts';

let path: string;
let daemon: MemoryDaemon;
let close: () => Promise<void>;

beforeEach(async () => {
  ({ path, daemon, close } = await openServer());
});

afterEach(() => close());

const ask = (method: string, url: string, body?: unknown, headers?: Record<string, string>) =>
  askServer(path, method, url, body, headers);
const raw = (text: string) => rawExchange(path, text);
const fits = (schema: TSchema, value: unknown) => Compile(schema).Check(value);
const MAC1 = '02:00:00:00:00:01';

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
    ['GET', '/v1/fdb?type=control', undefined, 400, usage, `query type="control": not 'static', 'dynamic' or 'evpn'`],
    ['GET', '/v1/status?x=1', undefined, 400, usage, 'query "x": unknown: known are none'],
    [
      ...(['GET', '/v1/vnis?vni=999', undefined, 404, 'ERR_VTEP_NOT_FOUND'] as const),
      'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs',
    ],
    [
      ...(['GET', '/v1/vteps?vtep=x', undefined, 400, 'ERR_VTEP_USAGE'] as const),
      'remote x: not an IP address without zone: give the unicast address of a VTEP',
    ],
    [
      ...(['GET', '/v1/drops?vni=999', undefined, 404, 'ERR_VTEP_NOT_FOUND'] as const),
      'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs',
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
      'GET /v1/reload: no such resource here: GET /openapi.json lists all resources',
    ],
    [
      'GET',
      '/v2?secret=1',
      undefined,
      404,
      'ERR_VTEP_NOT_FOUND',
      'GET /v2: no such resource here: GET /openapi.json lists all resources',
    ],
    [
      'PATCH',
      '/v1/fdb',
      undefined,
      404,
      'ERR_VTEP_NOT_FOUND',
      'PATCH /v1/fdb: no such resource here: GET /openapi.json lists all resources',
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
      'DELETE /v1/vnis: no such resource here: GET /openapi.json lists all resources',
    ],
    [
      ...(['DELETE', '/v1/vnis/999', undefined, 404, 'ERR_VTEP_NOT_FOUND'] as const),
      'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs',
    ],
    [
      ...(['POST', '/v1/vnis/999/remotes', { remote: '198.18.0.9' }, 404, 'ERR_VTEP_NOT_FOUND'] as const),
      'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs',
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
        ['fe80::1', 'link-local, which is ambiguous without a zone'],
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
