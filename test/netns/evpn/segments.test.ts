/**
 * Segments that EVPN serves, on two vtepd whose gobgpd have a gobgpd as reflector. All are of Debian 13: 3.10 confuses equal MACs of two VNIs.
 *
 *     vxlan100, vxlan200, vxlan300 ── host 1  198.18.0.1  fd00:18::1 ───┐ vtepd, gobgpd
 *     vxlan100, vxlan200, vxlan300 ── host 2  198.18.0.2  fd00:18::2 ───┤ vtepd, gobgpd
 *                                     host 3  198.18.0.3  ──────────────┘ gobgpd, the reflector
 */
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { GOBGPD_API_PORT, Gobgpd } from '../../support/lab/gobgpd.ts';
import { describeSystem, type Host, useLab, useScope } from '../../support/lab/lab.ts';
import { transfer } from '../../support/lab/transfer.ts';
import { BROADCAST, probe, readArp, readProbe, readVxlanPacket } from '../../support/traffic/frames.ts';
import { readVxlanPacket6 } from '../../support/traffic/ipv6.ts';
import { settle } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const ASN = 65_000;
const STATION = '02:00:00:00:01:01';

interface Vni {
  readonly vni: number;
  readonly vteps: number;
  readonly announced: boolean;
}
interface Route {
  readonly type: number;
  readonly vni: number | null;
  readonly mac: string | null;
  readonly ip: string | null;
  readonly vtep: string | null;
  readonly sequence: number | null;
  readonly unused: string | null;
}

describeSystem('segments with EVPN', () => {
  const lab = useLab({ hosts: 3, ipv6: true });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  let reflector: Gobgpd;
  let vteps: readonly [VtepdVtep, VtepdVtep];

  const version = '3.36';
  const [reflectorAddress, neighbourOf] = ['198.18.0.3', (address: string) => ({ address, asn: ASN })];

  beforeAll(async () => {
    const clients = [one, two].map(({ address }) => ({ ...neighbourOf(address), isReflectorClient: true }));
    reflector = await Gobgpd.start(three, { asn: ASN, routerId: reflectorAddress, version, neighbours: clients });
    for (const host of [one, two]) {
      const neighbours = [neighbourOf(reflectorAddress)];
      await Gobgpd.start(host, { asn: ASN, routerId: host.address, version, neighbours });
    }
  }, 60_000);
  useScope(lab);

  const start = (
    host: Host,
    segments: Parameters<typeof startVtepdVtep>[1]['segments'],
    flags: readonly string[] = [],
  ) => {
    const evpn = ['--evpn', `127.0.0.1:${GOBGPD_API_PORT}`, '--state-dir', join(lab.folder, `state-${host.number}`)];
    return startVtepdVtep(host, { segments, flags: [...evpn, ...flags] });
  };
  const vnisOf = async ({ daemon }: VtepdVtep) => (await daemon.get<{ vnis: Vni[] }>('/v1/evpn')).vnis;
  const routesOf = ({ daemon }: VtepdVtep, query = '') => daemon.get<Route[]>(`/v1/evpn/routes${query}`);

  async function startBoth(
    segments: Parameters<typeof startVtepdVtep>[1]['segments'],
    flagsOf: (host: Host) => readonly string[] = () => [],
  ): Promise<void> {
    vteps = await Promise.all([start(one, segments, flagsOf(one)), start(two, segments, flagsOf(two))]);
    for (const vtep of vteps) {
      const isComplete = (vnis: readonly Vni[]) =>
        vnis.every(({ vteps: count, announced }) => count === 1 && announced);
      await waitFor('each host floods to the other in each VNI', () => vnisOf(vtep), isComplete);
    }
  }

  test('VTEPs with IPv6 addresses: ping and TCP, and nothing is sent over IPv4', async () => {
    await startBoth([{ vni: 100 }], (host) => ['--local', `fd00:18::${host.number}`]);
    const cable = one.cable();
    for (const host of [one, two]) host.ip('addr', 'add', `192.0.2.${host.number}/24`, 'dev', 'vxlan100');
    expect(one.ping('192.0.2.2')).toBe(3);
    const { sent, received } = await transfer({ from: one, to: two, address: '192.0.2.2', bytes: 4_000_000 });
    expect(received).toMatchObject({ bytes: 4_000_000, sha256: sent.sha256 });
    const frames = cable.drain().map(({ bytes }) => bytes);
    expect(frames.filter((bytes) => readVxlanPacket6(bytes)).length).toBeGreaterThan(10);
    expect(frames.filter((bytes) => readVxlanPacket(bytes))).toEqual([]);
    expect(await routesOf(vteps[0], '?vni=100&type=3')).toContainEqual(
      expect.objectContaining({ vtep: 'fd00:18::2', unused: null }),
    );
  });

  test('equal MACs of two VNIs, on different hosts, do not affect each other', async () => {
    await startBoth([{ vni: 100 }, { vni: 200 }]);
    const speak = (host: Host, vni: number) =>
      host.packetSocket(`vxlan${vni}`).send(probe({ dst: BROADCAST, src: STATION, text: `${host.number} in ${vni}` }));
    for (let round = 0; round < 3; round++) {
      speak(one, 100);
      speak(two, 200);
      await settle();
    }
    const placesOf = async (vtep: VtepdVtep) =>
      (await vtep.fdb()).filter(({ mac }) => mac === STATION).map(({ vni, vtep: place, type }) => [vni, place, type]);
    for (const [vtep, expected] of [
      [
        vteps[0],
        [
          [100, 'local', 'dynamic'],
          [200, two.address, 'evpn'],
        ],
      ],
      [
        vteps[1],
        [
          [100, one.address, 'evpn'],
          [200, 'local', 'dynamic'],
        ],
      ],
    ] as const) {
      const isRight = (places: readonly unknown[]) => JSON.stringify(places) === JSON.stringify(expected);
      await waitFor('each VNI has its own', () => placesOf(vtep), isRight);
      const routes = (await routesOf(vtep, '?type=2')).filter(({ mac, ip }) => mac === STATION && ip === null);
      expect(routes.map(({ sequence }) => sequence)).toEqual([0, 0]);
    }
  });

  test('ARP for a host that EVPN announces is answered here, and nothing is sent', async () => {
    await startBoth([{ vni: 100, keys: ['suppress=on'] }]);
    two.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vxlan100');
    // Announced with its first packet, which goes to nobody that answers.
    two.ping('192.0.2.99', { count: 1 });
    const isPlaced = (routes: readonly Route[]) =>
      routes.some(({ ip, unused }) => ip === '192.0.2.2' && unused === null);
    await waitFor('the route with the address', () => routesOf(vteps[0], '?vni=100&type=2'), isPlaced);
    one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
    const cable = one.cable();
    expect(one.ping('192.0.2.2', { count: 1 })).toBe(1);
    const sent = cable
      .select(({ outgoing }) => !outgoing)
      .flatMap(({ bytes }) => readVxlanPacket(bytes)?.vxlan.inner ?? []);
    expect(sent.length).toBeGreaterThan(0);
    expect(sent.flatMap((inner) => readArp(inner) ?? []).filter(({ operation }) => operation === 1)).toEqual([]);
    expect((await vteps[0].drops()).tx.suppressed).toBe(1);
  });

  test('control=both: a VTEP in the group and in EVPN gets each flood once', async () => {
    await startBoth([{ vni: 100, group: '239.1.1.1' }]);
    const [from, to] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const copies = async (text: string) => {
      to.clear();
      from.send(probe({ dst: BROADCAST, src: STATION, text }));
      await settle();
      return to.select(({ bytes }) => readProbe(bytes)?.text === text).length;
    };
    // Host 1 hears host 2 in the group.
    to.send(probe({ dst: BROADCAST, src: '02:00:00:00:02:02', text: 'here' }));
    await from.waitForFrame('the flood of host 2', ({ bytes }) => readProbe(bytes)?.text === 'here');
    await waitFor(
      'one copy',
      () => copies('a flood'),
      (count) => count === 1,
    );
    expect(await copies('another flood')).toBe(1);
  });

  test('routes that must not be used are shown with the reason', async () => {
    await startBoth([{ vni: 100 }]);
    const add = (...words: string[]) => reflector.cli('global', 'rib', 'add', '-a', 'evpn', ...words);
    const mac = (number: number, label: number, target: string) =>
      add(
        ...['macadv', `02:00:00:00:09:0${number}`, '0.0.0.0', 'esi', 'single-homed', 'etag', '0', 'label', `${label}`],
        ...['rd', `198.18.0.9:${number}`, 'rt', target, 'encap', 'vxlan', 'nexthop', '198.18.0.9'],
      );
    mac(1, 100, '65000:100');
    mac(2, 100, '65000:999');
    mac(3, 101, '65000:100');
    add(
      'multicast',
      '198.18.0.9',
      'etag',
      '0',
      'rd',
      '198.18.0.9:4',
      'rt',
      '65000:100',
      'encap',
      'vxlan',
      'nexthop',
      '198.18.0.9',
    );
    const unused = async () =>
      (await routesOf(vteps[0]))
        .filter(({ vtep, mac: address }) => vtep === '198.18.0.9' || address?.startsWith('02:00:00:00:09'))
        .map(({ type, mac: address, unused: reason }) => `${type} ${address ?? '-'} ${reason ?? 'used'}`)
        .toSorted();
    await waitFor('four routes', unused, (rows) => rows.length === 4);
    expect(await unused()).toEqual([
      '2 02:00:00:00:09:01 used',
      '2 02:00:00:00:09:02 no-target',
      '2 02:00:00:00:09:03 label',
      '3 - no-tunnel',
    ]);
    const placed = (await vteps[0].fdb())
      .filter(({ vtep }) => vtep === '198.18.0.9')
      .map(({ mac: address }) => address);
    expect(placed).toEqual(['02:00:00:00:09:01']);
  });
});
