/**
 * Frames of one flow leave the TAP in the order in which they came from the underlay, whatever is merged; those that
 * cannot be merged pass as they are, and in their place.
 *
 *     vxlan100 (pass) ── host 1  198.18.0.1 ───┐
 *                        vtepd                 │
 *                        host 2  198.18.0.2 ───┘   crafted datagrams, in trains
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { arp, BROADCAST, ETHERTYPE, ethernet } from '../../support/traffic/frames.ts';
import {
  frame,
  IPV4,
  IPV6,
  type Link,
  MACS,
  type Packet,
  PORTS,
  padded,
  type TcpSegment,
  tcpBytes,
  tcpFrame,
  type UdpDatagram,
  udpBytes,
  udpFrame,
} from '../../support/traffic/inner-frames.ts';
import { mergesFrames, OFFLOAD_LABS, offloadFlags } from '../../support/traffic/offload-modes.ts';
import type { CapturedFrame } from '../../support/traffic/packet-socket.ts';
import { inVni, noise, passTrains, placesOf, range, type sendTrains, type Way } from '../../support/traffic/trains.ts';

/** Every frame of a train has this length. */
const FRAME_BYTES = 300;

/** A payload that fills the frame to FRAME_BYTES, told from others by its number. */
function sized(build: (payload: Buffer) => Buffer, number: number): Buffer {
  const payload = Buffer.alloc(FRAME_BYTES - build(Buffer.alloc(0)).length, `${number} `);
  return build(payload);
}

function udp(link: Link, number: number, ports = PORTS, packet: Partial<Packet> = {}): Buffer {
  const all = { identification: number, ...packet };
  return sized((payload) => udpFrame(link, { ...ports, payload }, all), number);
}

/** `position` counts segments of the flow. */
function tcp(link: Link, position: number, ports = PORTS): Buffer {
  const bytes = FRAME_BYTES - tcpFrame(link, { ...ports, sequence: 0, payload: Buffer.alloc(0) }).length;
  const segment = { ...ports, sequence: 0xffff_f000 + position * bytes, payload: Buffer.alloc(bytes, `${position} `) };
  return tcpFrame(link, segment, { identification: position });
}

type Special = (number: number) => Buffer;

const udpSpecial = (link: Link, datagram: Partial<UdpDatagram>, packet: Partial<Packet> = {}): Special => {
  return (number) => sized((payload) => udpFrame(link, { ...PORTS, payload, ...datagram }, packet), number);
};

const tcpSpecial = (link: Link, segment: Partial<TcpSegment>, packet: Partial<Packet> = {}): Special => {
  return (number) => sized((payload) => tcpFrame(link, { ...PORTS, sequence: 1, payload, ...segment }, packet), number);
};

/** An extension header of 8 octets in front of UDP. */
const extension = (number: number, content: string): Special =>
  udpSpecial(IPV6, {}, { protocol: number, extensions: Buffer.from(content, 'hex') });

const short = (build: (payload: Buffer) => Buffer): Special => {
  return (number) => padded(build(Buffer.alloc(1, number)), FRAME_BYTES);
};

function acknowledgement(number: number): Buffer {
  const segment = { ...PORTS, sequence: 1, acknowledgement: number, payload: Buffer.alloc(0) };
  return padded(tcpFrame(IPV4, segment), FRAME_BYTES);
}

function question(number: number): Buffer {
  const [senderMac, senderIp, targetMac] = [MACS.srcMac, IPV4.src, '00:00:00:00:00:00'];
  const payload = arp({ operation: 1, senderMac, senderIp, targetMac, targetIp: `192.0.2.${number}` });
  return padded(ethernet({ dst: BROADCAST, src: senderMac, type: ETHERTYPE.arp, payload }), FRAME_BYTES);
}

const NOPS = Buffer.from('01010100', 'hex');
const tagged = (...tags: [number, number][]): Link => ({ ...IPV4, tags });

const SPECIALS: readonly [string, Special][] = [
  ['UDP without a checksum', udpSpecial(IPV4, { zeroChecksum: true })],
  ['UDP without a checksum in IPv6', udpSpecial(IPV6, { zeroChecksum: true })],
  ['UDP in IPv4 with options', udpSpecial(IPV4, {}, { options: Buffer.from('94040000', 'hex') })],
  ['TCP in IPv4 with options', tcpSpecial(IPV4, {}, { options: NOPS })],
  ['a first fragment of UDP', udpSpecial(IPV4, {}, { fragment: 0x2000 })],
  ['a middle fragment of UDP', udpSpecial(IPV4, {}, { fragment: 0x2000 | 185 })],
  ['a last fragment of UDP', udpSpecial(IPV4, {}, { fragment: 370 })],
  ['a first fragment of TCP', tcpSpecial(IPV4, {}, { fragment: 0x2000 })],
  ['a last fragment of TCP', tcpSpecial(IPV4, {}, { fragment: 185 })],
  ['IPv6 hop-by-hop options', extension(0, '1100010400000000')],
  ['IPv6 destination options', extension(60, '1100010400000000')],
  ['an IPv6 fragment', extension(44, '1100000112345678')],
  ['an IPv6 routing header', extension(43, '1100040000000000')],
  ['a short UDP frame, padded', short((payload) => udpFrame(IPV4, { ...PORTS, payload }))],
  ['a short UDP frame in IPv6, padded', short((payload) => udpFrame(IPV6, { ...PORTS, payload }))],
  ['a short TCP segment, padded', short((payload) => tcpFrame(IPV4, { ...PORTS, sequence: 1, payload }))],
  ['a TCP acknowledgement, padded', acknowledgement],
  ['ARP', question],
  ['SYN', tcpSpecial(IPV4, { flags: 0x02 })],
  ['FIN', tcpSpecial(IPV4, { flags: 0x11 })],
  ['RST', tcpSpecial(IPV4, { flags: 0x14 })],
  ['URG', tcpSpecial(IPV4, { flags: 0x30 })],
  ['ECE', tcpSpecial(IPV4, { flags: 0x50 })],
  ['CWR', tcpSpecial(IPV4, { flags: 0x90 })],
  ['TCP with a data offset beyond its end', (number) => brokenTcp(number, 0xf0)],
  ['TCP with a data offset of 4', (number) => brokenTcp(number, 0x10)],
  ['a UDP length that is less than its packet', (number) => brokenUdp(number, 20)],
  ['a UDP length that is more than its packet', (number) => brokenUdp(number, 2000)],
  ['ICMP', (number) => sized((payload) => frame(IPV4, { protocol: 1, payload }), number)],
  ['an unknown protocol', (number) => sized((payload) => frame(IPV4, { protocol: 253, payload }), number)],
  ['another TTL', udpSpecial(IPV4, {}, { ttl: 3 })],
  ['another TOS', tcpSpecial(IPV4, {}, { tos: 0x03 })],
  ['DF not set', udpSpecial(IPV4, {}, { fragment: 0, identification: 9 })],
  ['a VLAN tag', udpSpecial(tagged([0x8100, 7]), {})],
  ['a VLAN tag on TCP', tcpSpecial(tagged([0x8100, 0xe007]), {})],
  ['two VLAN tags', udpSpecial(tagged([0x88a8, 5], [0x8100, 7]), {})],
  ['three VLAN tags', udpSpecial(tagged([0x88a8, 5], [0x8100, 7], [0x8100, 8]), {})],
];

function brokenTcp(number: number, offset: number): Buffer {
  const build = (payload: Buffer) => {
    const bytes = tcpBytes(IPV4, { ...PORTS, sequence: 1, payload, options: Buffer.alloc(0) });
    bytes.writeUInt8(offset, 12);
    return frame(IPV4, { protocol: 6, payload: bytes.subarray(0, 40) });
  };
  return padded(build(Buffer.alloc(20, number)), FRAME_BYTES);
}

function brokenUdp(number: number, length: number): Buffer {
  const build = (payload: Buffer) => {
    const bytes = udpBytes(IPV4, { ...PORTS, payload });
    bytes.writeUInt16BE(length, 4);
    return frame(IPV4, { protocol: 17, payload: bytes });
  };
  return sized(build, number);
}

describeSystem.each(OFFLOAD_LABS)('order: offload $offload, $wire wire', ({ offload, wire }) => {
  const lab = useLab({ hosts: 2, wire });
  const [host, peer] = [lab.host(1), lab.host(2)];

  beforeAll(async () => {
    const segments = [{ vni: 100, group: '239.1.1.1', keys: ['inner-vlan=pass'] }];
    await startVtepdVtep(host, { segments, flags: offloadFlags(offload) });
  }, 60_000);

  function way(): Way {
    const tap = host.packetSocket('vxlan100', { vnetHeader: true });
    return { sender: peer.udpSocket({ address: peer.address }), to: host.address, tap, fenceVni: 100 };
  }

  /** What came, flow by flow: the order between flows is free. */
  function expectOrderWithin(
    captured: readonly CapturedFrame[],
    frames: readonly Buffer[],
    flowOf: (i: number) => string,
  ) {
    const places = placesOf(captured, frames);
    const lost = frames.length - places.length;
    const foreign = places.filter((place) => typeof place === 'string');
    expect({ lost, foreign: foreign.slice(0, 3) }).toEqual({ lost: 0, foreign: [] });
    for (const flow of new Set(range(frames.length).map(flowOf))) {
      const came = places.filter((place) => typeof place === 'number' && flowOf(place) === flow);
      expect(came, `places of the frames of flow ${flow}`).toEqual(
        range(frames.length).filter((place) => flowOf(place) === flow),
      );
    }
  }

  const PROTOCOLS = [
    { name: 'UDP', version: 4, build: (number: number, ports: typeof PORTS) => udp(IPV4, number, ports) },
    {
      name: 'UDP without DF',
      version: 4,
      build: (number: number, ports: typeof PORTS) => udp(IPV4, number, ports, { fragment: 0 }),
    },
    { name: 'UDP', version: 6, build: (number: number, ports: typeof PORTS) => udp(IPV6, number, ports) },
    { name: 'TCP', version: 4, build: (number: number, ports: typeof PORTS) => tcp(IPV4, number, ports) },
    { name: 'TCP', version: 6, build: (number: number, ports: typeof PORTS) => tcp(IPV6, number, ports) },
  ] as const;

  describe.each(PROTOCOLS)('$name in IPv$version', ({ build }) => {
    /** The frames of several flows, each numbered from 0, in the order that `flows` tells. */
    function framesOf(flows: readonly number[]): Buffer[] {
      const next = new Map<number, number>();
      return flows.map((flow) => {
        const number = next.get(flow) ?? 0;
        next.set(flow, number + 1);
        return build(number, { sourcePort: 40_000 + flow, destinationPort: 7 });
      });
    }

    test.each([1, 2, 8, 16, 17, 40])('%i flows, by turns', async (count) => {
      const flows = range(600).map((i) => i % count);
      const frames = framesOf(flows);
      const captured = await passTrains(way(), inVni(100, frames));
      expectOrderWithin(captured, frames, (i) => `${flows[i]}`);
      if (mergesFrames(offload) && wire === 'offloading' && count <= 16) {
        expect(captured.length, 'frames at the TAP').toBeLessThan(300);
      }
    });

    test('30 flows at random', async () => {
      const random = noise(0x0ff10ad);
      const flows = range(1000).map(() => random() % 30);
      const frames = framesOf(flows);
      expectOrderWithin(await passTrains(way(), inVni(100, frames)), frames, (i) => `${flows[i]}`);
    });

    test.each([
      ['backwards', [...range(60)].reverse()],
      ['neighbours swapped', range(60).map((i) => i ^ 1)],
      ['one late', [...range(30).filter((i) => i !== 10), 10, ...range(60).slice(30)]],
      ['a gap', range(62).filter((i) => i !== 20 && i !== 40)],
    ])('what comes out of order stays so: %s', async (_, order) => {
      const frames = order.map((number) => build(number, PORTS));
      expect(placesOf(await passTrains(way(), inVni(100, frames)), frames)).toEqual(range(frames.length));
    });

    test('what comes twice is delivered twice', async () => {
      const frames = range(20).flatMap((number) => [build(number, PORTS), build(number, PORTS)]);
      const places = placesOf(await passTrains(way(), inVni(100, frames)), frames);
      expect(places).toEqual(range(40).map((i) => i & ~1));
    });
  });

  test('many flows and sizes in one burst of single datagrams', async () => {
    const random = noise(0x5eed);
    const flows = range(800).map(() => random() % 20);
    const frames = flows.map((flow, i) => {
      const payload = Buffer.alloc(random() % 4 === 0 ? random() % 900 : 500);
      payload.fill(`${i} `);
      const link = flow % 2 === 0 ? IPV4 : IPV6;
      return udpFrame(link, { ...PORTS, sourcePort: 40_000 + flow, payload }, { identification: i });
    });
    const burst: typeof sendTrains = ({ sender, to }, datagrams) => {
      for (const datagram of datagrams) sender.send(datagram, { to });
    };
    const captured = await passTrains(way(), inVni(100, frames), burst);
    expectOrderWithin(captured, frames, (i) => `${flows[i]}`);
  });

  describe('what is not merged passes as it is, and in its place', () => {
    test.each(SPECIALS)('%s', async (_, special) => {
      // Around it runs that would be merged, among them one of its own flow.
      const run = (first: number) => range(4).flatMap((i) => [udp(IPV4, first + i), tcp(IPV4, first + i)]);
      const run6 = (first: number) => range(4).flatMap((i) => [udp(IPV6, first + i), tcp(IPV6, first + i)]);
      const [before, after] = [
        [...run(0), ...run6(0)],
        [...run(4), ...run6(4)],
      ];
      const frames = [...before, special(200), ...after, special(201), special(202)];
      const captured = await passTrains(way(), inVni(100, frames));
      expectOrderWithin(captured, frames, (i) => flowName(frames[i]));
    });

    test.each([
      ['tagged UDP', tagged([0x8100, 7])],
      ['UDP with two tags', tagged([0x88a8, 5], [0x8100, 7])],
      ['UDP of another tag each', undefined],
    ] as const)('a run of %s keeps its tags', async (_, link) => {
      const frames = range(60).map((i) => udp(link ?? tagged([0x8100, 1 + (i % 3)]), i));
      const captured = await passTrains(way(), inVni(100, frames));
      expectOrderWithin(captured, frames, (i) => (link ? '' : `VLAN ${1 + (i % 3)}`));
    });
  });
});

/** All frames above have the same ports, and those without ports may belong to any flow of their protocol. */
function flowName(bytes: Buffer | undefined): string {
  const type = bytes?.readUInt16BE(12);
  if (type === 0x0800) return `IPv4 protocol ${bytes?.[23]}`;
  const isExtension = [0, 43, 44, 60].includes(bytes?.[20] ?? 0);
  return type === 0x86dd ? `IPv6 protocol ${isExtension ? 17 : bytes?.[20]}` : `type ${type}`;
}
