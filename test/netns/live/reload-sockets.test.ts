/**
 * What a reload opens anew beside what serves: send sockets and the address of the HTTP API. Frames flow meanwhile.
 *
 *     vxlan100 ── host 1  198.18.0.1 ───┐ vtepd with --config
 *     vxlan100 ── host 2  198.18.0.2 ───┘ the kernel's device
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { startKernelVtep } from '../../support/daemon/vtep-host.ts';
import { startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { ipJson } from '../../support/host/namespaces.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { ETHERTYPE, ethernet, readVxlanPacket, udpInIpv4 } from '../../support/traffic/frames.ts';
import { all, floodAt, floodSteadily, numbersAt } from '../../support/traffic/steady-flood.ts';
import { waitFor, waitUntil } from '../../support/wait.ts';

const FLOWS = 200;
const VNIS = 'vnis:\n  - {vni: 100, remote: [198.18.0.2], static: ["02:00:00:00:02:01@198.18.0.2"]}\n';

describeSystem.each([1, 2])('what a reload opens anew, with %i workers', (workers) => {
  const lab = useLab({ hosts: 2, wire: 'mtu-true' });
  const [one, two] = [lab.host(1), lab.host(2)];
  let daemon: VtepdProcess;
  let path: string;

  beforeEach(async () => {
    path = join(lab.folder, 'sockets.yaml');
    writeFileSync(path, `dev: eth0\n${VNIS}`);
    await startKernelVtep(two, { segments: [{ vni: 100, remotes: ['198.18.0.1'] }] });
    daemon = await startVtepd(one, ['--config', path, '--workers', `${workers}`]);
  });

  async function reload(written: string, ...how: string[]) {
    writeFileSync(path, `dev: eth0\n${written}\n${VNIS}`);
    const { code, stdout, stderr } = await daemon.runCtl('reload', ...how);
    return { code, text: stdout + stderr };
  }

  const DONE = { code: 0, text: '' };

  /** Source ports and DF of what leaves for many flows, half of which have DF inside. */
  async function outer() {
    const cable = one.cable();
    const frames = Array.from({ length: FLOWS }, (_, i) => {
      const payload = udpInIpv4({
        ...{ src: '192.0.2.1', dst: '192.0.2.2', sourcePort: 1_000 + i, destinationPort: 7, payload: Buffer.alloc(64) },
        dontFragment: i % 2 === 0,
      });
      return ethernet({ dst: '02:00:00:00:02:01', src: '02:00:00:00:01:09', type: ETHERTYPE.ipv4, payload });
    });
    one.packetSocket('vxlan100').send(...frames);
    const packets = () =>
      cable
        .select(({ outgoing }) => !outgoing)
        .flatMap(({ bytes }) => readVxlanPacket(bytes) ?? [])
        .filter(({ vxlan }) => vxlan.inner.subarray(6, 12).toString('hex') === '020000000109');
    const found = await waitFor('all leave', packets, ({ length }) => length >= FLOWS);
    const ports = (isSet: boolean) =>
      [...new Set(found.filter(({ ip }) => ip.dontFragment === isSet).map(({ udp }) => udp.sourcePort))].toSorted();
    return { set: ports(true), clear: ports(false) };
  }

  /** Both ways at once: whether all arrive, once each, is known when they have ended. */
  async function flow() {
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const floods = (['out', 'in'] as const).map((way) => {
      const [from, to, src] = way === 'out' ? [a, b, '02:00:00:00:01:01'] : [b, a, '02:00:00:00:02:01'];
      return { way, to, flood: floodSteadily(from, way, src) };
    });
    await waitUntil('they run', () => floods.every(({ way, to }) => numbersAt(to, way).length > 10));
    return async () => {
      for (const { way, to, flood } of floods) {
        const sent = await flood.stop();
        expect((await floodAt(to, way, sent)).toSorted((x, y) => x - y)).toEqual(all(sent));
      }
    };
  }

  const shown = async () => {
    const {
      df,
      'source-ports': ports,
      'source-port-range': range,
    } = await daemon.ctl<Record<string, unknown>>('config', 'show');
    return [df, ports, range];
  };
  const openSockets = () => one.udpSockets().length;
  const tapOf = () => ipJson<object[]>('-n', one.namespace, 'link', 'show', 'vxlan100')[0];

  test('source ports, their range and df=inherit, back and forth; no frame is lost, and the TAP stays', async () => {
    const tap = tapOf();
    expect((await outer()).clear).toEqual([]);
    const sockets = openSockets();
    const end = await flow();
    expect(await reload('source-ports: 4\nsource-port-range: 50000-50007\ndf: inherit')).toEqual(DONE);
    const both = await outer();
    expect([both.set.length, both.clear.length, [...both.set, ...both.clear].toSorted()]).toEqual([
      4,
      4,
      [0, 1, 2, 3, 4, 5, 6, 7].map((i) => 50_000 + i),
    ]);
    expect(await shown()).toEqual(['inherit', 4, '50000-50007']);
    expect(await reload('source-ports: 2\nsource-port-range: 50000-50003\ndf: unset')).toEqual(DONE);
    const clear = await outer();
    expect([clear.set, clear.clear.length, clear.clear.every((port) => port >= 50_000 && port <= 50_003)]).toEqual([
      [],
      2,
      true,
    ]);
    expect(await reload('source-ports: 4\nsource-port-range: 50000-50003')).toEqual(DONE);
    expect(await outer()).toEqual({ set: [50_000, 50_001, 50_002, 50_003], clear: [] });
    for (let i = 0; i < 5; i++) {
      expect(await reload('df: inherit')).toEqual(DONE);
      expect(await reload('')).toEqual(DONE);
    }
    await end();
    expect([openSockets(), tapOf()]).toEqual([sockets, tap]);
  });

  test('what the host does not have is refused, and what was in force serves on', async () => {
    expect(await reload('source-ports: 2\nsource-port-range: 50000-50001')).toEqual(DONE);
    const sockets = openSockets();
    const end = await flow();
    const file = 'df: inherit\nsource-ports: 2\nttl: 9\nsource-port-range: 50000-50001';
    const refused = await reload(file);
    expect([refused.code, refused.text]).toEqual([
      1,
      expect.stringMatching(/50000-50001: it holds 2 ports, and --df inherit needs 4/),
    ]);
    expect(await shown()).toEqual([undefined, 2, '50000-50001']);
    expect(await reload(file, '--partial')).toMatchObject({ code: 1 });
    expect(await daemon.ctl('config', 'show')).toMatchObject({ ttl: 9, 'source-ports': 2 });
    expect(await outer()).toEqual({ set: [50_000, 50_001], clear: [] });
    await end();
    expect(openSockets()).toBe(sockets);
  });

  test('from the listening socket to a pool of its own and back; no frame is lost', async () => {
    const sockets = openSockets();
    const end = await flow();
    for (let i = 0; i < 3; i++) {
      expect(await reload('source-port-range: 4789-4789')).toEqual(DONE);
      expect(await outer()).toEqual({ set: [4_789], clear: [] });
      expect(await reload('source-port-range: 4780-4795\nsource-ports: 3\ndf: inherit')).toEqual(DONE);
      expect((await outer()).set).toContain(4_789);
      expect(await reload('')).toEqual(DONE);
      expect((await outer()).set).not.toContain(4_789);
    }
    await end();
    expect(openSockets()).toBe(sockets);
  });

  test('the address of the HTTP API; one that cannot be served at is refused, and the old one serves on', async () => {
    const status = async (at: string) =>
      one.run('sh', '-c', `curl -sf -m 2 http://${at}/v1/status >/dev/null && echo yes || echo no`) === 'yes\n';
    expect(await reload("http: '127.0.0.1:9477'")).toEqual(DONE);
    expect([await status('127.0.0.1:9477'), await daemon.ctl('config', 'show')]).toMatchObject([
      true,
      { http: '127.0.0.1:9477' },
    ]);
    const gone = await reload("http: '198.18.0.99:9477'");
    expect([gone.code, gone.text]).toEqual([1, expect.stringContaining('198.18.0.99:9477: no interface of this host')]);
    expect(await status('127.0.0.1:9477')).toBe(true);
    // The one that serves holds the port.
    expect(await reload("http: '0.0.0.0:9477'")).toEqual(DONE);
    expect(await status('198.18.0.1:9477')).toBe(true);
    expect(await reload("http: '198.18.0.99:9477'")).toMatchObject({ code: 1 });
    expect([await status('198.18.0.1:9477'), await daemon.ctl('config', 'show')]).toMatchObject([
      true,
      { http: '0.0.0.0:9477' },
    ]);
    // A later fault takes it back.
    expect(
      await reload("http: '127.0.0.1:9478'\nsource-ports: 2\nsource-port-range: 4788-4789\ndf: inherit"),
    ).toMatchObject({ code: 1 });
    expect([await status('198.18.0.1:9477'), await status('127.0.0.1:9478')]).toEqual([true, false]);
    expect(await reload('')).toEqual(DONE);
    expect(await status('127.0.0.1:9477')).toBe(false);
  });
});
