/**
 * The API of a real daemon on its control socket and, for reading, over TCP; with clients that mean no good.
 *
 *     vxlan100 ── host 1: vtepd, --http 198.18.0.1:9477 ──┐  VNI 100: the two are each other's remote
 *     vxlan100 ── host 2: vtepd, clients over TCP ────────┘
 */
import { readdirSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type ApiAnswer,
  askApi,
  type Connect,
  connectIdle,
  overSocket,
  overTcp,
  sayRaw,
} from '../../support/daemon/api-client.ts';
import { type FdbMonitor, startMonitor } from '../../support/daemon/fdb-monitor.ts';
import { startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import { all, floodAt, floodSteadily } from '../../support/traffic/steady-flood.ts';
import { waitUntil } from '../../support/wait.ts';

const PORT = 9477;
/** Of `src/lib/limits.ts`, as users know them. */
const MAX_CONNECTIONS = 64;
const MAX_BODY_BYTES = 1_048_576;

/** What must never be offered over TCP: it changes something, shows tenants' frames, or looks at the host. */
const CONTROL_PATHS = /^\/v1\/(trace|capture|doctor|config|reload|log-level)/;

type Paths = Record<string, Record<string, unknown>>;

describeSystem('the API', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let daemon: VtepdProcess;
  let servers: { name: string; to: Connect }[];
  let tcp: Connect;
  let control: Connect;

  beforeAll(async () => {
    const segments = [{ vni: 100, remotes: [one.address, two.address] }];
    ({ daemon } = await startVtepdVtep(one, { segments, flags: ['--http', `${one.address}:${PORT}`] }));
    await startVtepdVtep(two, { segments });
    control = overSocket(daemon.socket);
    tcp = overTcp(two, one.address, PORT);
    servers = [
      { name: 'control socket', to: control },
      { name: 'TCP', to: tcp },
    ];
  });

  const errorOf = ({ text }: ApiAnswer) => (JSON.parse(text) as { error: { code: string; message: string } }).error;
  const pathsOf = async (to: Connect) =>
    (JSON.parse((await askApi(to, 'GET', '/openapi.json')).text) as { paths: Paths }).paths;
  const routesOf = (paths: Paths) =>
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );

  test('over TCP there are the reads of the control socket and nothing else', async () => {
    const [offered, everything] = [routesOf(await pathsOf(tcp)), routesOf(await pathsOf(control))];
    expect(everything).toEqual(expect.arrayContaining([...offered, 'POST /v1/reload', 'DELETE /v1/fdb']));
    expect(offered).toEqual(
      expect.arrayContaining(['fdb', 'vnis', 'drops', 'status', 'events'].map((name) => `GET /v1/${name}`)),
    );
    for (const route of offered) {
      expect(route).toMatch(/^GET /);
      expect(route.slice('GET '.length)).not.toMatch(CONTROL_PATHS);
    }
    const refused = everything.filter((route) => !offered.includes(route));
    for (const route of [...refused, 'GET /v1/trace', 'GET /v1/capture', 'PUT /v1/config', 'PATCH /v1/fdb']) {
      const [method = '', path = ''] = route.split(' ');
      const url = path.replace('{vni}', '100').replace('{mac}', '02:00:00:00:00:01').replace('{remote}', '198.18.0.9');
      const answer = await askApi(tcp, method, url, method === 'POST' ? '{}' : undefined);
      expect([route, answer.status, errorOf(answer).code]).toEqual([route, 404, 'ERR_VTEP_NOT_FOUND']);
    }
    const shown = await daemon.ctl<{ http: string }>('config', 'show');
    expect(shown.http).toBe(`${one.address}:${PORT}`);
  });

  test('a thousand idle clients of each server cost a bounded number of fds, and keep neither frames nor vtepctl out', async () => {
    const [from, to] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const fds = () => readdirSync(`/proc/${daemon.pid}/fd`).length;
    const before = fds();
    const flood = floodSteadily(from, 'beside idle clients');
    const idle = (await Promise.all(servers.map((server) => connectIdle(server.to, 1000)))).flat();
    expect(await daemon.ctl('vni', 'show')).toHaveLength(1);
    expect(await askApi(tcp, 'GET', '/v1/vnis')).toMatchObject({ status: 200 });
    expect(fds()).toBeLessThanOrEqual(before + servers.length * MAX_CONNECTIONS);
    const sent = await flood.stop();
    expect(await floodAt(to, 'beside idle clients', sent)).toEqual(all(sent));
    expect((daemon.stdout + daemon.stderr).match(/api-full/g)).toHaveLength(servers.length);
    // Those that were left say nothing for some seconds, and go too.
    await waitUntil('all idle clients to be closed', () => idle.every(({ closed }) => closed), { timeoutMs: 30_000 });
    await waitUntil('their fds to be closed', () => fds() <= before);
  });

  test('a client of /v1/events that never reads takes nothing from one that does', async () => {
    const deaf = servers.map(({ to }) => {
      const client = to();
      client.write('GET /v1/events HTTP/1.1\r\nHost: 198.18.0.1\r\n\r\n');
      client.pause();
      return client;
    });
    const monitor: FdbMonitor = await startMonitor(one, daemon);
    const sender = two.udpSocket({ address: two.address });
    const macs = Array.from({ length: 5_000 }, (_, i) => `02:00:00:01:${hex(i >> 8)}:${hex(i)}`);
    for (const [i, src] of macs.entries()) {
      sender.send(vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src, text: 'x' }) }), { to: one.address });
      if (i % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await monitor.waitFor(macs.at(-1) as string, 1);
    const { removed } = JSON.parse((await askApi(control, 'DELETE', '/v1/fdb?vni=100')).text) as { removed: number };
    expect(removed).toBeGreaterThan(1_000);
    const deleted = () => monitor.events.filter(({ event }) => event === 'delete').length;
    await waitUntil('every deletion to be told', () => deleted() >= removed, { timeoutMs: 30_000 });
    expect(monitor.events.filter(({ event }) => event === 'lost')).toEqual([]);
    for (const client of deaf) client.destroy();
  });

  describe.each([0, 1])('server %i', (index) => {
    const to: Connect = () => (servers[index] as { to: Connect }).to();

    test.each([
      ['GET', '/'],
      ['GET', '/v1'],
      ['GET', '/v1/../../etc/passwd'],
      ['GET', '/v1/%2e%2e/%2e%2e/etc/passwd'],
      ['GET', '//etc/passwd'],
      ['PATCH', '/v1/fdb'],
      ['PROPFIND', '/v1/fdb'],
      ['OPTIONS', '/v1/fdb'],
      ['TRACE', '/v1/status'],
    ])('%s %s is not found, in the form of all refusals', async (method, path) => {
      const answer = await askApi(to, method, path);
      expect([answer.status, answer.type]).toEqual([404, 'application/json; charset=utf-8']);
      expect(errorOf(answer)).toMatchObject({ code: 'ERR_VTEP_NOT_FOUND', message: expect.stringContaining(path) });
    });

    test.each([
      ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
      ['\0'.repeat(1000), 400],
      ['GET /v1/status HTTP/9.9\r\n\r\n', 400],
      ['GET /v1/status HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
      [`GET /v1/status HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(10_000)}\r\n\r\n`, 431],
    ] as const)('what is no request is refused (%#)', async (text, status) => {
      const answer = await sayRaw(to, text);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer).toMatch(/\{"error":\{"code":"ERR_VTEP_USAGE","message":"request: [^\n]+"\}\}$/);
    });

    test('a body of more than 1 MB is refused unread', async () => {
      const head = `POST /v1/fdb HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n`;
      const answer = await sayRaw(to, `${head}Content-Length: ${MAX_BODY_BYTES + 1}\r\nConnection: close\r\n\r\n`);
      const [status, message] = index === 0 ? [413, 'the body has more than 1048576 bytes'] : [404, 'no such resource'];
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer).toContain(message);
    });
  });

  test('half a head is answered 408 after some seconds', async () => {
    const half = 'GET /v1/status HTTP/1.1\r\nHost: a\r\nX-Slow: ';
    for (const answer of await Promise.all(servers.map(({ to }) => sayRaw(to, half)))) {
      expect(answer).toMatch(/^HTTP\/1.1 408 /);
    }
  });

  test.each([
    ['198.18.0.1:9477', 'another program already listens there: `ss -ltnp` names it; stop it or choose another port'],
    ['198.18.0.77:9477', 'no interface of this host has the address: choose one that `ip address` lists'],
  ])('--http %s is refused in one line, and nothing of the start stays', async (address, cause) => {
    const args = ['--dev', 'eth0', '--port', '4790', '--vni', '200', '--http', address];
    const { code, stderr } = await runVtepd(one, args);
    expect({ code, stderr }).toEqual({ code: 1, stderr: `vtepd: --http ${address}: ${cause}\n` });
    expect(one.link('vxlan200')).toBeUndefined();
  });

  test('stops at once although clients hang', async () => {
    await connectIdle(tcp, 10);
    for (const { to } of servers) to().write('GET /v1/events HTTP/1.1\r\nHost: 198.18.0.1\r\n\r\n');
    await waitUntil('the streams to be open', async () => (await askApi(tcp, 'GET', '/v1/status')).status === 200);
    const { code, ms } = await daemon.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(10_000);
  });
});

function hex(value: number): string {
  return (value & 0xff).toString(16).padStart(2, '0');
}
