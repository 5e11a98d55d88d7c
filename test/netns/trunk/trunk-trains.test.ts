/**
 * Super-frames and trains of a trunk: what is merged, cut or taken apart keeps its VLAN.
 *
 *     trunk0: VLAN 10, 20 and untagged ─ host 1  198.18.0.1 ───┐
 *                                        vtepd                 │
 *                                        host 2  198.18.0.2 ───┘   crafted trains, and a plain UDP socket on 4789
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, readProbe, readVxlan, VXLAN_PORT, vxlan } from '../../support/traffic/frames.ts';
import { cut, IPV4, IPV6, type Link, MACS, PORTS, tcpFrame, udpFrame } from '../../support/traffic/inner-frames.ts';
import { mergesFrames, offloadFlags } from '../../support/traffic/offload-modes.ts';
import { GSO, withVnetHeader } from '../../support/traffic/super-frames.ts';
import { passTrains, placesOf, range } from '../../support/traffic/trains.ts';
import { waitFor } from '../../support/wait.ts';

const COUNT = 30;
const PAYLOAD_BYTES = 500;

const VLANS = [
  { vni: 1010, vlan: 10 },
  { vni: 1020, vlan: 20 },
  { vni: 1000, vlan: 0 },
];

const tagged = (link: Link, vlan: number): Link => (vlan === 0 ? link : { ...link, tags: [[0x8100, vlan]] });
const payload = (i: number, bytes = PAYLOAD_BYTES) => Buffer.alloc(bytes, `${i} of `);

type Build = (link: Link, i: number) => Buffer;
const KINDS: readonly [string, Link, Build][] = [
  ['TCP', IPV4, (link, i) => tcpFrame(link, { ...PORTS, sequence: 1 + i * PAYLOAD_BYTES, payload: payload(i) })],
  [
    'TCP in IPv6',
    IPV6,
    (link, i) => tcpFrame(link, { ...PORTS, sequence: 1 + i * PAYLOAD_BYTES, payload: payload(i) }),
  ],
  ['UDP', IPV4, (link, i) => udpFrame(link, { ...PORTS, payload: payload(i) })],
];

describeSystem.each(['auto', 'off'] as const)('a trunk’s super-frames: offload %s', (offload) => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep | undefined;

  beforeAll(async () => {
    const segments = VLANS.map(({ vni, vlan }) => ({ vni, remotes: [two.address], keys: [`vlan=${vlan}`] }));
    vtep = await startVtepdVtep(one, { segments, flags: ['--trunk', 'trunk0', ...offloadFlags(offload)] });
  }, 60_000);

  const way = () => ({
    sender: two.udpSocket({ address: two.address }),
    to: one.address,
    tap: one.packetSocket('trunk0', { vnetHeader: true }),
    fenceVni: 1000,
  });

  describe.each(KINDS)('%s', (_kind, link, build) => {
    test.each(VLANS)('a train of VNI $vni: all frames, in order, in VLAN $vlan', async ({ vni, vlan }) => {
      const frames = range(COUNT).map((i) => build(link, i));
      const captured = await passTrains(
        way(),
        frames.map((inner) => vxlan({ vni, inner })),
      );
      const expected = range(COUNT).map((i) => build(tagged(link, vlan), i));
      expect(placesOf(captured, expected)).toEqual(range(COUNT));
      if (mergesFrames(offload)) expect(captured.length).toBeLessThan(COUNT / 2);
    });

    test('a train of VNIs in turns: each frame in its own VLAN', async () => {
      const each = range(COUNT).map((i) => ({ i, ...(VLANS[i % VLANS.length] as (typeof VLANS)[number]) }));
      const datagrams = each.map(({ i, vni }) => vxlan({ vni, inner: build(link, i) }));
      // Of the first such train only one VNI's may be taken; from then on the kernel cuts.
      await passTrains(way(), datagrams);
      const captured = await passTrains(way(), datagrams);
      const expected = each.map(({ i, vlan }) => build(tagged(link, vlan), i));
      const places = placesOf(captured, expected);
      expect(places.toSorted((a, b) => Number(a) - Number(b))).toEqual(range(COUNT));
      for (const turn of range(VLANS.length)) {
        const own = places.filter((place) => Number(place) % VLANS.length === turn);
        expect(own).toEqual(range(COUNT).filter((place) => place % VLANS.length === turn));
      }
    });
  });

  test.each([
    ['TCP', GSO.tcp4, (link: Link, bytes: Buffer) => tcpFrame(link, { ...PORTS, sequence: 1, payload: bytes }), IPV4],
    [
      'TCP in IPv6',
      GSO.tcp6,
      (link: Link, bytes: Buffer) => tcpFrame(link, { ...PORTS, sequence: 1, payload: bytes }),
      IPV6,
    ],
    ['UDP', GSO.udp, (link: Link, bytes: Buffer) => udpFrame(link, { ...PORTS, payload: bytes }), IPV4],
  ] as const)('a super-frame from each VLAN is cut, without its tag: %s', async (_kind, type, build, link) => {
    const trunk = one.packetSocket('trunk0', { vnetHeader: true });
    const before = await vtep?.daemon.get('/v1/drops');
    for (const { vni, vlan } of VLANS) {
      const peer = two.udpSocket({ address: two.address, port: VXLAN_PORT });
      const content = payload(vni, 9_999);
      trunk.send(withVnetHeader(build(tagged(link, vlan), content), type, PAYLOAD_BYTES));
      const end = probe({ dst: BROADCAST, src: MACS.srcMac, text: 'the end', ...(vlan && { vlan }) });
      trunk.send(Buffer.concat([Buffer.alloc(10), end]));
      const expected = cut({
        bytes: build(link, content),
        segmentBytes: PAYLOAD_BYTES,
        unfinished: true,
        outgoing: true,
      });
      const packets = () => peer.drain().flatMap((datagram) => readVxlan(datagram.bytes) ?? []);
      await waitFor('the segments', packets, (all) => all.length > expected.length);
      expect(new Set(packets().map((packet) => packet.vni))).toEqual(new Set([vni]));
      const frames = packets().flatMap(({ inner }) => (readProbe(inner) ? [] : [inner.toString('hex')]));
      expect(frames).toEqual(expected.map((frame) => frame.toString('hex')));
      peer.close();
    }
    expect(await vtep?.daemon.get('/v1/drops')).toEqual(before);
  });
});
