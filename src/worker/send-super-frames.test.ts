/** Overlay to underlay: super-frames of the TAP (TSO, USO), cut into the datagrams of their segments. */
import { describe, expect, it } from 'vitest';
import { LOCAL } from '../fdb/remotes.ts';
import { naiveFrame, naiveSegments, type Packet, scrambled, TCP, UDP, vnetHeader } from '../offload/naive-frames.ts';
import { INNER_VLAN, NO_GROUP, type Segment } from '../segment/segment.ts';
import {
  datagram,
  destinationsOf,
  GROUP,
  NOW,
  newFloodingRig,
  newRig,
  OTHER_PEER,
  PEER,
  type Rig,
  SEGMENT,
  THIRD_PEER,
} from './ladder-rig.ts';
import { forwardFrames } from './loop.ts';

const MSS = 1_300;
const SOURCE = '020000000001';
const DESTINATION = '020000000099';
const TAGS = [0x81, 0, 0, 5];

/** A super-frame with its vnet header, and the datagrams it is to become. */
function superFrame(packet: Partial<Packet>, { segmentBytes = MSS, type = 0, inner = {} as Partial<Packet> } = {}) {
  const whole: Packet = { version: 4, protocol: TCP, payload: scrambled(5_000), ...packet, checksum: 'partial' };
  const { octets, transportAt } = naiveFrame(whole);
  const { version, protocol } = whole;
  const header = { start: transportAt, protocol, segmentBytes };
  const gsoType = type || (protocol === UDP ? 5 : version === 4 ? 1 : 4);
  const sent = naiveFrame({ ...whole, ...inner });
  const segments = naiveSegments(sent.octets, { ...header, start: sent.transportAt });
  return {
    octets: Uint8Array.from(octets),
    vnetHeader: Uint8Array.from(vnetHeader(gsoType, header)),
    datagrams: segments.map((segment) => new Uint8Array(datagram(Uint8Array.from(segment)))),
  };
}

const payloadsOf = ({ underlay }: Rig) => underlay.sent.map(({ payload }) => payload);

describe('a super-frame', () => {
  it.each<[string, Partial<Packet>]>([
    ['TCP over IPv4', {}],
    ['TCP over IPv6', { version: 6 }],
    ['UDP over IPv4', { protocol: UDP }],
    ['UDP over IPv6', { version: 6, protocol: UDP }],
    ['IPv6 with extension headers', { version: 6, extensionUnits: 2 }],
    ['IPv4 and TCP options', { ipOptions: [1, 1, 1, 0], tcpOptions: [1, 1, 1, 0] }],
  ])('goes segment by segment to the VTEP that is known: %s', (_what, packet) => {
    const rig = newRig();
    rig.hear(DESTINATION, PEER);
    const { octets, vnetHeader: header, datagrams } = superFrame(packet);
    rig.send(octets, { vnetHeader: header });
    expect(payloadsOf(rig)).toEqual(datagrams);
    expect(new Set(destinationsOf(rig))).toEqual(new Set([PEER]));
    // All segments of a flow leave by one source port.
    expect(new Set(rig.underlay.sent.map(({ flow }) => flow)).size).toBe(1);
    expect([rig.drops(), rig.whereIs(SOURCE)]).toEqual([{}, LOCAL]);
  });

  it('is flooded to the group and each remote, to each whole and in order', () => {
    const rig = newFloodingRig([PEER, OTHER_PEER, THIRD_PEER]);
    const { octets, vnetHeader: header, datagrams } = superFrame({ protocol: UDP });
    rig.send(octets, { vnetHeader: header });
    for (const address of [GROUP, PEER, OTHER_PEER, THIRD_PEER]) {
      const sent = rig.underlay.sent.filter(({ destination }) => destination === address);
      expect(sent.map(({ payload }) => payload)).toEqual(datagrams);
    }
    expect(rig.underlay.sent).toHaveLength(4 * datagrams.length);
  });

  it.each([
    ['more than 64 segments', 100, 10_000],
    ['more octets than one message has', 1_390, 65_000],
    ['as few octets a segment as TCP sends', 48, 6_000],
    ['64 KB of them', 48, 65_000],
  ])('is cut in slices where it is %s', (_what, segmentBytes, length) => {
    const rig = newFloodingRig([PEER, OTHER_PEER], { ...SEGMENT, group: NO_GROUP });
    const { octets, vnetHeader: header, datagrams } = superFrame({ payload: scrambled(length) }, { segmentBytes });
    rig.send(octets, { vnetHeader: header });
    for (const address of [PEER, OTHER_PEER]) {
      const sent = rig.underlay.sent.filter(({ destination }) => destination === address);
      expect(sent.map(({ payload }) => payload)).toEqual(datagrams);
    }
  });

  it('is one of a batch that is larger than the room for datagrams: all go out, in order', () => {
    const rig = newRig();
    rig.hear(DESTINATION, PEER);
    const frames = Array.from({ length: 12 }, (_, i) =>
      i % 3 === 2
        ? superFrame({ payload: scrambled(200, i), sequence: i }, { segmentBytes: MSS })
        : superFrame({ payload: scrambled(60_000, i), id: i * 50 }),
    );
    for (const { octets, vnetHeader: header } of frames) rig.taps.inject(SEGMENT.tap, octets, header);
    forwardFrames(rig.ports, SEGMENT.tap, NOW);
    expect(payloadsOf(rig)).toEqual(frames.flatMap(({ datagrams }) => datagrams));
  });

  it.each([
    ['has its tags taken off', INNER_VLAN.strip, {}],
    ['keeps its tags', INNER_VLAN.pass, { tags: [...TAGS, ...TAGS] }],
  ])('%s as the segment says', (_what, innerVlan, inner) => {
    const rig = newRig([{ ...SEGMENT, innerVlan }]);
    const {
      octets,
      vnetHeader: header,
      datagrams,
    } = superFrame({ tags: [...TAGS, ...TAGS] }, { inner: { tags: [], ...inner } });
    rig.send(octets, { vnetHeader: header });
    expect(payloadsOf(rig)).toEqual(datagrams);
  });
});

describe('a super-frame that is dropped', () => {
  const oversize = { [`${SEGMENT.index} tx oversize`]: 1 };

  /** Sends it to where nothing may arrive, and nothing may be learned from it. */
  function expectDropped({ octets, vnetHeader: header }: ReturnType<typeof superFrame>, segment: Segment = SEGMENT) {
    const rig = newRig([segment]);
    rig.send(octets, { vnetHeader: header });
    expect([rig.underlay.sent, rig.drops(), rig.fdb.count]).toEqual([[], oversize, 0]);
  }

  it('has segments that do not fit the underlay; one octet less fits', () => {
    const maxFrameBytes = 54 + MSS;
    expectDropped(superFrame({}), { ...SEGMENT, maxFrameBytes: maxFrameBytes - 1 });
    const rig = newRig([{ ...SEGMENT, maxFrameBytes }]);
    const { octets, vnetHeader: header, datagrams } = superFrame({});
    rig.send(octets, { vnetHeader: header });
    expect(payloadsOf(rig)).toEqual(datagrams);
  });

  it('has segments that no UDP datagram holds, though the underlay’s MTU allows them', () => {
    const segmentBytes = 65_446;
    expectDropped(superFrame({ payload: scrambled(65_490) }, { segmentBytes }), { ...SEGMENT, maxFrameBytes: 65_500 });
  });

  it.each<[string, ReturnType<typeof superFrame>]>([
    ['another IP version than its type', superFrame({}, { type: 4 })],
    ['a type that is not known', superFrame({}, { type: 3 })],
    ['no segment size', superFrame({}, { segmentBytes: 1 })],
    ['no payload', superFrame({ payload: [] })],
  ])('has headers that contradict each other: %s', (what, frame) => {
    if (what === 'no segment size') frame.vnetHeader.set([0, 0], 4);
    expectDropped(frame);
  });

  it.each<[string, Partial<Packet>, number]>([
    ['of one octet', { payload: scrambled(60_000) }, 1],
    ['of fewer octets than TCP sends', { payload: scrambled(95) }, 47],
    ['of fewer octets than TCP sends beside its options', { tcpOptions: [1, 1, 1, 0], payload: scrambled(95) }, 43],
    ['of few octets and many options', { tcpOptions: Array(40).fill(1), payload: scrambled(60_000) }, 8],
    ['of UDP, one octet each', { protocol: UDP, payload: scrambled(60_000) }, 1],
    ['of UDP, more than the kernel cuts', { protocol: UDP, payload: scrambled(12_801) }, 100],
  ])('has more segments than an honest one: %s', (_what, packet, segmentBytes) => {
    expectDropped(superFrame(packet, { segmentBytes }));
  });

  it.each<[string, Partial<Packet>, number]>([
    ['TCP', { tcpOptions: Array(12).fill(1), payload: scrambled(3_000) }, 36],
    ['UDP', { protocol: UDP, payload: scrambled(12_800) }, 100],
    ['one segment', { payload: scrambled(7) }, 47],
  ])('is not one as small as an honest one may be: %s', (_what, packet, segmentBytes) => {
    const rig = newRig();
    rig.hear(DESTINATION, PEER);
    const { octets, vnetHeader: header, datagrams } = superFrame(packet, { segmentBytes });
    rig.send(octets, { vnetHeader: header });
    expect(payloadsOf(rig)).toEqual(datagrams);
  });

  it('is flooded to more than it may become in all; to one that is known it goes', () => {
    const remotes = Array.from({ length: 600 }, (_, i) => PEER + 100 + i);
    const rig = newFloodingRig(remotes);
    const { octets, vnetHeader: header } = superFrame({ payload: scrambled(60_000) }, { segmentBytes: 536 });
    rig.send(octets, { vnetHeader: header });
    expect([rig.underlay.sent, rig.drops()]).toEqual([[], oversize]);
    rig.hear(DESTINATION, PEER);
    rig.send(octets, { vnetHeader: header });
    expect(rig.underlay.sent).toHaveLength(112);
  });

  it('is cut short', () => {
    const { octets, vnetHeader: header, datagrams } = superFrame({});
    for (const length of [34, 53, 54, octets.length - 1]) {
      expectDropped({ octets: octets.subarray(0, length), vnetHeader: header, datagrams });
    }
  });

  it('counts once for any other reason too', () => {
    const rig = newRig([{ ...SEGMENT, group: NO_GROUP }]);
    const { octets, vnetHeader: header } = superFrame({ tags: TAGS });
    rig.send(octets, { vnetHeader: header });
    rig.send(superFrame({}).octets, { vnetHeader: superFrame({}).vnetHeader });
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} tx inner-vlan`]: 1, [`${SEGMENT.index} tx no-remote`]: 1 });
    expect(rig.underlay.sent).toEqual([]);
  });
});
