/**
 * Segments over two subnets: floods go by the group through a router that forwards multicast, everything else by unicast. Both wires are
 * switches that snoop, so that a group goes nowhere but to those who joined it.
 *
 *     host 1 vtepd ─── wire ─── router, smcrouted ─── far wire ─┬─ host 2 vtepd
 *     198.18.0.1          near                  far             ├─ host 3 kernel: type vxlan … ttl 4
 *     fd00:18::1                                                └─ host 4, at first without a VTEP
 *                                                                  198.18.1.N, fd00:19::N
 */
import { beforeAll, expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type Vtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { FarSubnet, snoop } from '../../support/lab/far-subnet.ts';
import { describeSystem, type Host, useLab, useScope } from '../../support/lab/lab.ts';
import { MulticastRouting } from '../../support/lab/multicast-routing.ts';
import { BROADCAST, readProbe, readVxlanPacket } from '../../support/traffic/frames.ts';
import { ip6Words, readVxlanPacket6 } from '../../support/traffic/ipv6.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, sendProbe, settle } from '../../support/traffic/probes.ts';
import { waitFor, waitUntil } from '../../support/wait.ts';

const STATION = '02:00:00:00:01:01';
const OTHER = '02:00:00:00:02:02';

const [SEGMENT, SEGMENT6] = [
  { vni: 100, group: '239.1.1.1' },
  { vni: 600, group: 'ff05::1:600' },
];
/** What the router forwards but has not joined. */
const [UNJOINED, UNJOINED6] = [
  { vni: 101, group: '239.1.1.2' },
  { vni: 601, group: 'ff05::1:601' },
];
const SEGMENTS = [SEGMENT, SEGMENT6, UNJOINED, UNJOINED6];

const BY_FAMILY = [
  { family: 'IPv4', ...SEGMENT, overhead: 50, name: (host: Host) => host.address },
  { family: 'IPv6', ...SEGMENT6, overhead: 70, name: (host: Host) => host.address6 },
];

interface Outer {
  readonly src: string;
  readonly dst: string;
  readonly ttl: number;
}

/** The outer headers of the VXLAN packets that carry a probe. */
function carrying(cable: PacketSocket, text: string): Outer[] {
  return cable.drain().flatMap(({ bytes }) => {
    const [four, six] = [readVxlanPacket(bytes), readVxlanPacket6(bytes)];
    const inner = (four ?? six)?.vxlan.inner;
    if (!inner || readProbe(inner)?.text !== text) return [];
    if (four) return { src: four.ip.src, dst: four.ip.dst, ttl: four.ip.ttl };
    return six ? { src: six.src, dst: six.dst, ttl: six.hopLimit } : [];
  });
}

/** As `carrying` has it. */
function written(address: string): string {
  return address.includes(':') ? ip6Words(address) : address;
}

async function place(vtep: Vtep, vni: number, mac: string | undefined): Promise<string | undefined> {
  return (await vtep.fdb()).find((row) => row.vni === vni && row.mac === mac)?.vtep;
}

describeSystem('across a router', () => {
  // Frames sent together are not to be one super-frame at the captures.
  const lab = useLab({ hosts: 1, ipv6: true, wire: 'mtu-true' });
  useScope(lab);
  const far = new FarSubnet(lab, [2, 3, 4]);
  const [one, [two, three, four]] = [lab.host(1), far.hosts as [Host, Host, Host]];
  let routing: MulticastRouting;
  let [here, there]: VtepdVtep[] = [];
  let kernel: Vtep;

  const start = (host: Host, mcastTtl: number) =>
    startVtepdVtep(host, { segments: SEGMENTS, flags: ['--mcast-ttl', `${mcastTtl}`] });

  function vteps(): [VtepdVtep, VtepdVtep] {
    if (!here || !there) throw new Error('not started');
    return [here, there];
  }

  /** Floods until one copy has come, for a switch takes a moment to know who joined. */
  async function reaches(from: PacketSocket, to: PacketSocket, text: string): Promise<void> {
    const look = () => {
      sendProbe(from, { dst: BROADCAST, src: STATION, text });
      return to.select(isProbe(text)).length;
    };
    await waitFor(`a flood "${text}"`, look, (count) => count > 0, { everyMs: 50 });
  }

  beforeAll(async () => {
    far.build();
    for (const wire of [lab.wire, far.wire]) snoop(wire);
    for (const address of far.hosts.flatMap((host) => [host.address, host.address6])) {
      await waitUntil(`${address} is reached`, () => one.ping(address, { count: 1 }) === 1, { timeoutMs: 20_000 });
    }
    const groups = SEGMENTS.map(({ group }) => group);
    routing = await MulticastRouting.start(far.router, { groups, joined: [SEGMENT.group, SEGMENT6.group] });
    [here, there] = await Promise.all([start(one, 4), start(two, 4)]);
    kernel = await startKernelVtep(three, {
      segments: [SEGMENT, SEGMENT6].map((segment) => ({ ...segment, ttl: 4 })),
    });
  }, 60_000);

  test.each(BY_FAMILY)(
    '$family: floods arrive by the group with a TTL one less, answers by unicast, and both sides learn',
    async ({ vni, group, name }) => {
      const [a, b] = [one, two].map((host) => host.packetSocket(`vxlan${vni}`)) as [PacketSocket, PacketSocket];
      await reaches(a, b, 'first');
      const [nearCable, farCable, bystander] = [one.cable(), two.cable(), four.cable()];
      sendProbe(a, { dst: BROADCAST, src: STATION, text: 'to all' });
      await arrivesAt('to all', b);
      sendProbe(b, { dst: STATION, src: OTHER, text: 'answer' });
      await arrivesAt('answer', a);

      const [from, to] = [one, two].map((host) => written(name(host)));
      expect(carrying(nearCable, 'to all')).toEqual([{ src: from, dst: written(group), ttl: 4 }]);
      expect(carrying(farCable, 'to all')).toEqual([{ src: from, dst: written(group), ttl: 3 }]);
      expect(carrying(farCable, 'answer')).toEqual([{ src: to, dst: from, ttl: 64 }]);
      expect(carrying(nearCable, 'answer')).toEqual([{ src: to, dst: from, ttl: 63 }]);
      expect(carrying(bystander, 'to all')).toEqual([]);
      const learned = await Promise.all([place(vteps()[0], vni, OTHER), place(vteps()[1], vni, STATION)]);
      expect(learned).toEqual([name(two), name(one)]);
    },
  );

  test.each(BY_FAMILY)(
    "$family: machines reach each other, at a kernel's device too, with full-sized packets",
    async ({ vni, overhead, name }) => {
      const device = `vxlan${vni}`;
      for (const host of [one, two, three]) {
        host.ip('addr', 'add', `192.0.2.${host.number}/24`, 'dev', device);
        lab.scope.defer(() => {
          host.ip('addr', 'flush', 'dev', device);
        });
      }
      await waitUntil('an answer of the kernel', () => one.ping('192.0.2.3', { count: 1 }) === 1);
      const size = lab.mtu - overhead - 28;
      for (const [from, to] of [
        [one, two],
        [one, three],
        [three, one],
      ] as const) {
        expect(from.ping(`192.0.2.${to.number}`, { size, count: 1 }), `${from.number} to ${to.number}`).toBe(1);
      }
      const mac = (host: Host) => host.link(device)?.address;
      const near = await Promise.all([two, three].map((host) => place(vteps()[0], vni, mac(host))));
      expect([...near, await place(kernel, vni, mac(one))]).toEqual([two, three, one].map(name));
    },
  );

  test.each([
    { family: 'IPv4', ...UNJOINED },
    { family: 'IPv6', ...UNJOINED6 },
  ])(
    '$family: a flood comes to the router that joined, and beyond it to the VTEP that joined',
    async ({ vni, group }) => {
      const device = `vxlan${vni}`;
      const [a, b] = [one.packetSocket(device), two.packetSocket(device)];
      const [router, cable] = [far.router.packetSocket('near'), four.cable()];
      const own = one.cable();
      for (let count = 0; count < 3; count++) sendProbe(a, { dst: BROADCAST, src: STATION, text: 'kept' });
      await waitUntil('all are sent', () => carrying(own, 'kept').length === 3);
      await settle();
      expect([carrying(router, 'kept'), b.select(isProbe('kept'))]).toEqual([[], []]);

      routing.join('near', group);
      await reaches(a, b, 'joined');
      expect(carrying(cable, 'joined')).toEqual([]);

      const more = await startVtepdVtep(four, { segments: [{ vni, group }] });
      await reaches(a, four.packetSocket(device), 'more');
      expect(carrying(cable, 'more')[0]).toMatchObject({ dst: written(group), ttl: 3 });
      await more.stop();
    },
  );

  test('TTL 1 does not leave the subnet, where 4 does', async () => {
    const taps = (host: Host) =>
      BY_FAMILY.map(({ vni }) => host.packetSocket(`vxlan${vni}`)) as [PacketSocket, PacketSocket];
    const [b, b6] = taps(two);
    const [a, a6] = taps(one);
    await Promise.all([reaches(a, b, 'by 4'), reaches(a6, b6, 'by 4')]);
    await vteps()[0].stop();
    await start(one, 1);
    const router = far.router.packetSocket('near');
    for (const tap of taps(one)) sendProbe(tap, { dst: BROADCAST, src: STATION, text: 'by 1' });
    const come = await waitFor(
      'both at the router',
      () => carrying(router, 'by 1'),
      (found) => found.length === 2,
    );
    await settle();
    expect(come.map(({ ttl }) => ttl)).toEqual([1, 1]);
    expect([b, b6].map((tap) => tap.select(isProbe('by 1')))).toEqual([[], []]);
  });
});
