/**
 * TOS and ECN across the tunnel (RFC 6040): what host 1 sends is read on its cable, what it receives is crafted at host 2.
 *
 *     TAPs of VNI 100 (IPv4), 200 (IPv6) ── host 1: vtepd ───┐
 *                                           host 2: sockets ─┘
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { arp, BROADCAST, ETHERTYPE, ethernet, readVxlanPacket, vxlan } from '../../support/traffic/frames.ts';
import { frame, type Link, tcpFrame, udpFrame } from '../../support/traffic/inner-frames.ts';
import { readVxlanPacket6 } from '../../support/traffic/ipv6.ts';
import type { CapturedFrame, PacketSocket } from '../../support/traffic/packet-socket.ts';
import { placesOf, range, sendTrains } from '../../support/traffic/trains.ts';
import { waitFor } from '../../support/wait.ts';

const [NOT_ECT, ECT1, ECT0, CE] = [0, 1, 2, 3];
const FIELDS = [NOT_ECT, ECT1, ECT0, CE];

/** RFC 6040 §4.2, figure 4: inner, then by outer Not-ECT, ECT(1), ECT(0), CE; undefined: dropped. */
const DECAPSULATED = [
  [NOT_ECT, NOT_ECT, NOT_ECT, undefined],
  [ECT1, ECT1, ECT1, CE],
  [ECT0, ECT1, ECT0, CE],
  [CE, CE, CE, CE],
];

const MACS = { dstMac: BROADCAST, srcMac: '02:00:00:00:01:01' };
const INNER: readonly Link[] = [
  { ...MACS, src: '192.0.2.1', dst: '192.0.2.2' },
  { ...MACS, src: 'fd00:2::1', dst: 'fd00:2::2' },
];

const PORTS = { sourcePort: 5000, destinationPort: 6000 };

/** An inner datagram told from others by its text. */
const datagram = (link: Link, tos: number, text: string) =>
  udpFrame(link, { ...PORTS, payload: Buffer.from(text.padEnd(40, '.')) }, { tos });

describeSystem('TOS and ECN', () => {
  const lab = useLab({ hosts: 2, ipv6: true });
  const [one, two] = [lab.host(1), lab.host(2)];
  const WAYS = [
    { underlay: 'IPv4', vni: 100, to: one.address, from: two.address },
    { underlay: 'IPv6', vni: 200, to: one.address6, from: two.address6 },
  ] as const;
  const segments = [
    { vni: 100, group: '239.1.1.1' },
    { vni: 200, group: 'ff05::1:200' },
  ];

  /** Outer TOS of what crossed the cable with a text inside. */
  function outerTos(cable: PacketSocket, text: string): number[] {
    return cable.drain().flatMap(({ bytes }) => {
      if (!bytes.includes(text)) return [];
      return readVxlanPacket(bytes)?.ip.tos ?? readVxlanPacket6(bytes)?.trafficClass ?? [];
    });
  }

  async function sentWith(cable: PacketSocket, text: string): Promise<number> {
    const [tos] = await waitFor(
      text,
      () => outerTos(cable, text),
      (all) => all.length > 0,
    );
    return tos as number;
  }

  describe.each([
    { flag: '0', dscp: 0x00 },
    { flag: '0xbb', dscp: 0xb8 },
    { flag: 'inherit', dscp: 0x28 },
  ])('T22, T23: --tos $flag', ({ flag, dscp }) => {
    useScope(lab);
    beforeAll(() => startVtepdVtep(one, { segments, flags: ['--tos', flag] }), 30_000);

    test.each(WAYS)('copies the inner ECN field outside over $underlay, and the DSCP is as asked', async ({ vni }) => {
      const [tap, cable] = [one.packetSocket(`vxlan${vni}`), one.cable()];
      for (const [i, link] of INNER.entries()) {
        for (const ecn of FIELDS) {
          const text = `inner ${i} with ${ecn}`;
          tap.send(datagram(link, 0x28 | ecn, text));
          expect(await sentWith(cable, text), text).toBe(dscp | ecn);
        }
      }
    });

    test.each(WAYS)('what is not IP is sent as Not-ECT over $underlay', async ({ vni }) => {
      const [tap, cable] = [one.packetSocket(`vxlan${vni}`), one.cable()];
      const payload = Buffer.concat([
        arp({
          operation: 1,
          senderMac: MACS.srcMac,
          senderIp: '192.0.2.1',
          targetMac: '00:00:00:00:00:00',
          targetIp: '192.0.2.2',
        }),
        Buffer.from('who has it'),
      ]);
      tap.send(ethernet({ dst: BROADCAST, src: MACS.srcMac, type: ETHERTYPE.arp, payload }));
      expect(await sentWith(cable, 'who has it')).toBe(flag === 'inherit' ? 0 : dscp);
    });
  });

  describe('T22: received', () => {
    useScope(lab);
    let vtep: VtepdVtep;
    beforeAll(async () => {
      vtep = await startVtepdVtep(one, { segments });
    }, 30_000);
    afterAll(() => vtep.stop());

    test.each(WAYS)('all 16 combinations over $underlay, IPv4 and IPv6 inside', async ({ vni, to, from }) => {
      const tap = one.packetSocket(`vxlan${vni}`, { vnetHeader: true });
      const before = (await vtep.drops()).rx.ecn as number;
      const expected: Buffer[] = [];
      for (const outer of FIELDS) {
        const sender = two.udpSocket({ address: from, tos: 0x48 | outer });
        for (const [i, link] of INNER.entries()) {
          for (const inner of FIELDS) {
            const text = `${i}, ${inner} in ${outer}`;
            sender.send(vxlan({ vni, inner: datagram(link, 0x28 | inner, text) }), { to });
            const tos = DECAPSULATED[inner]?.[outer];
            if (tos !== undefined) expected.push(datagram(link, 0x28 | tos, text));
          }
        }
        // What is not IP passes whatever is outside.
        const other = frame({ ...INNER[0], ...MACS } as Link, { protocol: 17, payload: Buffer.alloc(40) });
        other.writeUInt16BE(0x88b5, 12);
        other.writeUInt8(outer, 20);
        sender.send(vxlan({ vni, inner: other }), { to });
        expected.push(other);
      }
      // Those of one flow may leave as one super-frame.
      const isOurs = ({ bytes }: CapturedFrame) => bytes.subarray(6, 12).equals(macOctets(MACS.srcMac));
      const places = await waitFor(
        'all frames',
        () => placesOf(tap.select(isOurs), expected),
        (all) => all.length >= expected.length,
      );
      expect(places.toSorted()).toEqual(range(expected.length).toSorted());
      expect((await vtep.drops()).rx.ecn).toBe(before + INNER.length);
    });

    test.each(WAYS)('in a train over $underlay each datagram for itself, merged or not', async ({ vni, to, from }) => {
      const tap = one.packetSocket(`vxlan${vni}`, { vnetHeader: true });
      for (const outer of FIELDS) {
        const sender = two.udpSocket({ address: from, tos: outer });
        const expected: Buffer[] = [];
        const datagrams: Buffer[] = [];
        for (let i = 0; i < 48; i++) {
          const inner = FIELDS[(i >> 2) % 4] as number;
          const segment = { ...PORTS, sequence: 1 + (i >> 1) * 200, payload: Buffer.alloc(200, `${i % 10}`) };
          const flow = (tos: number) => tcpFrame(INNER[i % 2] as Link, segment, { tos });
          datagrams.push(vxlan({ vni, inner: flow(inner) }));
          const tos = DECAPSULATED[inner]?.[outer];
          if (tos !== undefined) expected.push(flow(tos));
        }
        tap.clear();
        sendTrains(
          { sender, to },
          datagrams.filter((_, i) => i % 2 === 0),
        );
        sendTrains(
          { sender, to },
          datagrams.filter((_, i) => i % 2 === 1),
        );
        const places = await waitFor(
          'all frames',
          () => placesOf(tap.drain(), expected),
          (all) => all.length >= expected.length,
        );
        expect(places.toSorted()).toEqual(range(expected.length).toSorted());
      }
    });
  });
});

function macOctets(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}
