/**
 * Super-frames as a machine may hand them to the TAP, crafted with flags and fields that sockets seldom show. What leaves
 * is what the kernel's own segmentation would have made of them.
 *
 *     vxlan100 (pass) ── host 1  198.18.0.1 ───┐
 *     super-frames       vtepd                 │
 *                        host 2  198.18.0.2 ───┘   a plain UDP socket on 4789
 */
import { beforeAll, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, readProbe, readVxlan, VXLAN_PORT } from '../../support/traffic/frames.ts';
import {
  cut,
  IPV4,
  IPV6,
  type Link,
  MACS,
  type Packet,
  PORTS,
  type TcpSegment,
  tcpFrame,
  udpFrame,
} from '../../support/traffic/inner-frames.ts';
import { OFFLOAD_LABS, offloadFlags } from '../../support/traffic/offload-modes.ts';
import type { CapturedFrame } from '../../support/traffic/packet-socket.ts';
import { GSO, withVnetHeader } from '../../support/traffic/super-frames.ts';
import { waitFor } from '../../support/wait.ts';

const [ACK, PSH, FIN, ECE, CWR] = [0x10, 0x08, 0x01, 0x40, 0x80];

/** A payload in which no place looks like another. */
function counted(bytes: number): Buffer {
  const payload = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) payload.writeUInt32BE((at * 2654435761) >>> 0, at);
  return payload;
}

interface Super {
  readonly bytes: Buffer;
  readonly type: number;
  readonly segmentBytes: number;
}

interface Size {
  readonly payload: number;
  readonly segmentBytes: number;
}

function tcp(
  link: Link,
  { payload, segmentBytes }: Size,
  segment: Partial<TcpSegment> = {},
  packet: Partial<Packet> = {},
): Super {
  const bytes = tcpFrame(link, { ...PORTS, sequence: 1, payload: counted(payload), ...segment }, packet);
  const ecn = ((segment.flags ?? 0) & CWR) === 0 ? 0 : GSO.ecn;
  return { bytes, type: (link.src.includes(':') ? GSO.tcp6 : GSO.tcp4) | ecn, segmentBytes };
}

function udp(link: Link, { payload, segmentBytes }: Size, packet: Partial<Packet> = {}): Super {
  return { bytes: udpFrame(link, { ...PORTS, payload: counted(payload) }, packet), type: GSO.udp, segmentBytes };
}

const few = { payload: 5000, segmentBytes: 1000 };
const tags = (...each: [number, number][]): Link => ({ ...IPV4, tags: each });

const SUPERS: readonly [string, Super][] = [
  ['TCP', tcp(IPV4, few)],
  ['TCP in IPv6', tcp(IPV6, few)],
  ['PSH on the last alone', tcp(IPV4, few, { flags: ACK | PSH })],
  ['FIN on the last alone', tcp(IPV6, few, { flags: ACK | PSH | FIN })],
  ['CWR on the first alone', tcp(IPV4, few, { flags: ACK | CWR })],
  ['CWR on the first alone, in IPv6', tcp(IPV6, few, { flags: ACK | CWR | PSH })],
  ['ECE on all', tcp(IPV4, few, { flags: ACK | ECE })],
  ['a sequence number that wraps', tcp(IPV4, few, { sequence: 0xffff_f800 })],
  ['an IPv4 id that wraps', tcp(IPV4, few, {}, { identification: 0xfffd })],
  ['an IPv4 id without DF', udp(IPV4, few, { identification: 0x1234, fragment: 0 })],
  ['TCP without options', tcp(IPV4, few, { options: Buffer.alloc(0) })],
  ['TCP with 40 octets of options', tcp(IPV6, few, { options: Buffer.alloc(40, 1) })],
  ['TCP in IPv4 with options', tcp(IPV4, few, {}, { options: Buffer.from('01010100', 'hex') })],
  ['UDP in IPv4 with options', udp(IPV4, few, { options: Buffer.from('9404000001010100', 'hex') })],
  ['UDP', udp(IPV4, few)],
  ['UDP in IPv6', udp(IPV6, few)],
  ['TOS and TTL', udp(IPV4, few, { tos: 0xb8, ttl: 3 })],
  ['a last segment of one octet', tcp(IPV4, { payload: 4001, segmentBytes: 1000 })],
  ['a last datagram of one octet', udp(IPV6, { payload: 4001, segmentBytes: 1000 })],
  ['segments of odd length', tcp(IPV4, { payload: 9999, segmentBytes: 333 })],
  ['segments of full length', tcp(IPV4, { payload: 60_000, segmentBytes: 1394 })],
  ['hundreds of segments', tcp(IPV4, { payload: 60_000, segmentBytes: 88 })],
  ['hundreds of segments in IPv6', tcp(IPV6, { payload: 30_001, segmentBytes: 76 })],
  ['datagrams of one octet', udp(IPV4, { payload: 64, segmentBytes: 1 })],
  ['the longest IPv4 packet', tcp(IPV4, { payload: 65_535 - 52, segmentBytes: 1394 })],
  ['a VLAN tag', tcp(tags([0x8100, 7]), few)],
  ['a VLAN tag on UDP', udp(tags([0x8100, 7]), few)],
  ['two VLAN tags', tcp(tags([0x88a8, 5], [0x8100, 7]), few)],
];

describeSystem.each(OFFLOAD_LABS)('cutting: offload $offload, $wire wire', ({ offload, wire }) => {
  const lab = useLab({ hosts: 2, wire });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep | undefined;

  beforeAll(async () => {
    const segments = [{ vni: 100, remotes: [two.address], keys: ['inner-vlan=pass'] }];
    vtep = await startVtepdVtep(one, { segments, flags: offloadFlags(offload) });
  }, 60_000);

  test.each(SUPERS)('%s', async (_, { bytes, type, segmentBytes }) => {
    const peer = two.udpSocket({ address: two.address, port: VXLAN_PORT });
    const tap = one.packetSocket('vxlan100', { vnetHeader: true });
    const before = await vtep?.daemon.get('/v1/drops');
    tap.send(withVnetHeader(bytes, type, segmentBytes));
    tap.send(Buffer.concat([Buffer.alloc(10), probe({ dst: BROADCAST, src: MACS.srcMac, text: 'the end' })]));

    const whole = { bytes, segmentBytes, unfinished: true, outgoing: true } satisfies CapturedFrame;
    const expected = cut(whole).map((frame) => frame.toString('hex'));
    const inner = () => peer.drain().flatMap((datagram) => readVxlan(datagram.bytes)?.inner ?? []);
    // By another source port than the segments, so that it may come before them.
    await waitFor(
      `${expected.length} segments`,
      () => inner().length,
      (count) => count > expected.length,
    );

    const frames = inner().filter((frame) => readProbe(frame) === undefined);
    expect(frames.map(({ length }) => length)).toEqual(expected.map((text) => text.length / 2));
    expect(frames.map((frame) => frame.toString('hex'))).toEqual(expected);
    expect(await vtep?.daemon.get('/v1/drops')).toEqual(before);
  });
});
