/** Overlay to underlay: what becomes of a frame that does not fit, and what its sender is told. */
import { describe, expect, it } from 'vitest';
import { TOO_BIG_ANSWERS_BURST } from '../lib/limits.ts';
import { naiveFrame, type Packet, scrambled, TCP, UDP, vnetHeader } from '../offload/naive-frames.ts';
import { INNER_VLAN, NO_GROUP, type Segment } from '../segment/segment.ts';
import {
  BROADCAST,
  destinationsOf,
  NOW,
  newFloodingRig,
  newRig,
  OTHER_PEER,
  PEER,
  type Rig,
  SEGMENT,
} from './ladder-rig.ts';

const DESTINATION = '020000000099';
const LIMIT = SEGMENT.maxFrameBytes;

/** A frame with so many octets of payload behind Ethernet, IP and TCP. */
const packet = (bytes: number, parts: Partial<Packet> = {}) =>
  Uint8Array.from(naiveFrame({ version: 4, protocol: TCP, payload: scrambled(bytes), ...parts }).octets);

/** As many super-frame octets, with the vnet header that says how it is to be cut. */
function superFrame(segmentBytes: number, parts: Partial<Packet> = {}) {
  const whole: Packet = { version: 4, protocol: TCP, payload: scrambled(5_000), ...parts, checksum: 'partial' };
  const { octets, transportAt } = naiveFrame(whole);
  const { version, protocol } = whole;
  const header = { start: transportAt, protocol, segmentBytes };
  const gsoType = protocol === UDP ? 5 : version === 4 ? 1 : 4;
  return { octets: Uint8Array.from(octets), vnetHeader: Uint8Array.from(vnetHeader(gsoType, header)) };
}

/** The MTUs that came back into the TAP. */
function mtusTold({ taps }: Rig): number[] {
  return taps.delivered.map(({ frame }) => {
    const view = Buffer.from(frame);
    return view.readUInt16BE(12) === 0x0800 ? view.readUInt16BE(14 + 20 + 6) : view.readUInt32BE(14 + 40 + 4);
  });
}

function learnPath({ pathLimits }: Rig, address: number, mtuBytes: number): void {
  pathLimits.learn(0, 0, 0xffff, address, mtuBytes);
}

const oversize = (count: number) => ({ [`${SEGMENT.index} tx oversize`]: count });

describe('a frame that does not fit', () => {
  it.each<[string, Partial<Packet>, number]>([
    ['IPv4', {}, 40],
    ['IPv6', { version: 6 }, 60],
  ])('is dropped, and its sender told what fits: %s', (_, parts, headerBytes) => {
    const rig = newRig();
    rig.send(packet(LIMIT - 14 - headerBytes, parts));
    expect([rig.underlay.sent.length, mtusTold(rig)]).toEqual([1, []]);
    rig.send(packet(LIMIT - 14 - headerBytes + 1, parts));
    expect([rig.underlay.sent.length, mtusTold(rig)]).toEqual([1, [LIMIT - 14]]);
    expect(rig.drops()).toEqual(oversize(1));
  });

  it('is answered as if its destination had, into the TAP it came from, and counted nowhere else', () => {
    const rig = newRig();
    const frame = packet(1_600);
    rig.send(frame);
    const [answer] = rig.taps.delivered;
    expect(answer).toMatchObject({ tap: SEGMENT.tap, vnetHeader: new Uint8Array(10) });
    const octets = Buffer.from(answer?.frame ?? []);
    expect(octets.subarray(0, 6)).toEqual(Buffer.from(frame.subarray(6, 12)));
    expect(octets.subarray(6, 12)).toEqual(Buffer.from(frame.subarray(0, 6)));
    expect(octets.subarray(14 + 28)).toEqual(Buffer.from(frame.subarray(14, 14 + 548)));
    expect(rig.counters.passed).toEqual([]);
  });

  it.each<[string, number, Partial<Packet>, number]>([
    ['TSO over IPv4', LIMIT - 54, {}, LIMIT - 14],
    ['TSO over IPv6', LIMIT - 74, { version: 6 }, LIMIT - 14],
    ['USO', LIMIT - 42, { protocol: UDP }, LIMIT - 14],
  ])('is told of a super-frame whose segments do not fit: %s', (_, fitting, parts, mtu) => {
    const rig = newRig();
    const whole = superFrame(fitting, parts);
    rig.send(whole.octets, { vnetHeader: whole.vnetHeader });
    expect([rig.drops(), mtusTold(rig)]).toEqual([{}, []]);
    const longer = superFrame(fitting + 1, parts);
    rig.send(longer.octets, { vnetHeader: longer.vnetHeader });
    expect([rig.drops(), mtusTold(rig)]).toEqual([oversize(1), [mtu]]);
  });

  it('may be less where tags pass', () => {
    const rig = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.pass }]);
    rig.send(packet(1_600, { tags: [0x81, 0, 0, 5] }));
    const [answer] = rig.taps.delivered;
    expect(Buffer.from(answer?.frame ?? []).readUInt32BE(12)).toBe(0x8100_0005);
    expect(Buffer.from(answer?.frame ?? []).readUInt16BE(18 + 26)).toBe(LIMIT - 18);
  });

  it.each<[string, readonly number[]]>([
    ['a tag', [0x81, 0, 0, 5]],
    ['a priority alone', [0x81, 0, 0xe0, 0]],
    ['three tags', [0x88, 0xa8, 0, 7, 0x81, 0, 0, 5, 0x81, 0, 0, 6]],
  ])('is answered with what was stripped off it, or its sender would not see it: %s', (_, tags) => {
    for (const parts of [{}, { version: 6 }] as const) {
      const rig = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.strip }]);
      const frame = packet(1_600, { tags, ...parts });
      rig.send(frame);
      const [answer] = rig.taps.delivered;
      const octets = Buffer.from(answer?.frame ?? []);
      expect(octets.subarray(0, 6)).toEqual(Buffer.from(frame.subarray(6, 12)));
      expect(octets.subarray(6, 12)).toEqual(Buffer.from(frame.subarray(0, 6)));
      expect([...octets.subarray(12, 12 + tags.length)]).toEqual(tags);
      // The tags do not cross the underlay, so that they cost nothing of it.
      const toldAt = 14 + tags.length + ('version' in parts ? 40 + 6 : 20 + 6);
      expect(octets.readUInt16BE(toldAt)).toBe(LIMIT - 14);
    }
  });

  it('has no answer where more was stripped off it than can be put back, and the next one has its own', () => {
    const rig = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.strip }]);
    const tag = [0x81, 0, 0, 5];
    rig.send(packet(1_600, { tags: [...tag, ...tag, ...tag, ...tag] }));
    expect([rig.drops(), rig.taps.delivered]).toEqual([oversize(1), []]);
    rig.send(packet(1_600));
    expect(mtusTold(rig)).toEqual([LIMIT - 14]);
  });

  it('on a trunk is answered with the trunk’s tag and what was stripped behind it', () => {
    const rig = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.strip, vlan: 100 }]);
    const tags = [0x81, 0, 0, 100, 0x81, 0, 0, 5, 0x81, 0, 0, 6];
    rig.send(packet(1_600, { tags }));
    expect([...(rig.taps.delivered[0]?.frame ?? [])].slice(12, 24)).toEqual(tags);
  });

  it.each<[string, Uint8Array]>([
    ['may be fragmented', packet(1_600, { fragment: 0 })],
    ['is a later fragment', packet(1_600, { fragment: 0x4001 })],
    ['goes to all', Uint8Array.from([...Buffer.from(BROADCAST, 'hex'), ...packet(1_600).subarray(6)])],
    ['is not IP', packet(1_600).map((octet, i) => (i === 12 ? 0x88 : octet))],
  ])('has no answer where it %s', (_, frame) => {
    const rig = newRig();
    rig.send(frame);
    expect([rig.drops(), rig.taps.delivered]).toEqual([oversize(1), []]);
  });

  it('is answered at a bounded rate, in each segment by itself', () => {
    const other: Segment = { ...SEGMENT, index: 4, vni: SEGMENT.vni + 1, tap: 8 };
    const rig = newRig([SEGMENT, other]);
    const burst = (now: number, tap = SEGMENT.tap) => {
      rig.taps.delivered.length = 0;
      for (let i = 0; i < 3 * TOO_BIG_ANSWERS_BURST; i++) rig.send(packet(1_600), { now, tap });
      return rig.taps.delivered.length;
    };
    expect(burst(NOW)).toBe(TOO_BIG_ANSWERS_BURST);
    expect(burst(NOW)).toBe(0);
    expect(burst(NOW, other.tap)).toBe(TOO_BIG_ANSWERS_BURST);
    expect(burst(NOW + 3)).toBe(3);
    expect(burst(NOW + 10_000)).toBe(TOO_BIG_ANSWERS_BURST);
    expect(rig.drops()).toEqual({
      ...oversize(12 * TOO_BIG_ANSWERS_BURST),
      '4 tx oversize': 3 * TOO_BIG_ANSWERS_BURST,
    });
  });
});

describe('the limit of a path', () => {
  it('holds for frames to that VTEP alone', () => {
    const rig = newRig();
    rig.hear(DESTINATION, PEER);
    rig.taps.delivered.length = 0;
    learnPath(rig, PEER, 1_400);
    rig.send(packet(1_400 - 36 - 54));
    expect([destinationsOf(rig), rig.drops()]).toEqual([[PEER], {}]);
    rig.send(packet(1_400 - 36 - 53));
    expect([destinationsOf(rig), rig.drops(), mtusTold(rig)]).toEqual([[PEER], oversize(1), [1_350]]);
    rig.hear(DESTINATION, OTHER_PEER);
    rig.send(packet(1_400 - 36 - 53));
    expect(destinationsOf(rig)).toEqual([PEER, OTHER_PEER]);
  });

  it('holds for the segments of super-frames', () => {
    const rig = newRig();
    rig.hear(DESTINATION, PEER);
    rig.taps.delivered.length = 0;
    learnPath(rig, PEER, 1_400);
    const { octets, vnetHeader: header } = superFrame(1_400 - 36 - 53);
    rig.send(octets, { vnetHeader: header });
    expect([destinationsOf(rig), rig.drops(), mtusTold(rig)]).toEqual([[], oversize(1), [1_350]]);
  });

  it('does not hold for what routers may fragment, where the outer DF bit is that inside', () => {
    const rig = newRig([SEGMENT], { inheritsDf: true });
    rig.hear(DESTINATION, PEER);
    rig.taps.delivered.length = 0;
    learnPath(rig, PEER, 1_400);
    const long = 1_400 - 36 - 53;
    const noIp = packet(long).map((octet, i) => (i === 12 ? 0x88 : octet));
    for (const frame of [packet(long, { fragment: 0 }), noIp]) rig.send(frame);
    expect(rig.underlay.sent.map(({ mayFragment }) => mayFragment)).toEqual([true, true]);
    const passing = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.pass }], { inheritsDf: true });
    for (const frame of [packet(10), packet(10, { version: 6 }), packet(10, { tags: [0x81, 0, 0, 5] })])
      passing.send(frame);
    expect(passing.underlay.sent.map(({ mayFragment }) => mayFragment)).toEqual([false, false, false]);
    for (const frame of [packet(long), packet(long, { version: 6 })]) rig.send(frame);
    expect([rig.drops(), mtusTold(rig)]).toEqual([oversize(2), [1_350, 1_350]]);
  });

  it('holds for the copies of super-frames as their own bit says', () => {
    for (const [fragment, expected] of [
      [0, true],
      [0x4000, false],
    ] as const) {
      const rig = newRig([SEGMENT], { inheritsDf: true });
      const whole = superFrame(1_000, { protocol: UDP, fragment });
      rig.send(whole.octets, { vnetHeader: whole.vnetHeader });
      expect(new Set(rig.underlay.sent.map(({ mayFragment }) => mayFragment))).toEqual(new Set([expected]));
    }
  });

  it('does not raise that of the underlay', () => {
    const rig = newRig();
    rig.hear(DESTINATION, PEER);
    learnPath(rig, PEER, 9_000);
    rig.send(packet(LIMIT - 53));
    expect(rig.drops()).toEqual(oversize(1));
  });

  it.each<[string, readonly number[], Partial<Segment>]>([
    ['to a group', [PEER], {}],
    ['one of which has room', [PEER, OTHER_PEER], { group: NO_GROUP }],
  ])('does not hold for floods %s: the kernel refuses the copies that do not fit', (_, remotes, segment) => {
    const rig = newFloodingRig(remotes, { ...SEGMENT, ...segment });
    learnPath(rig, PEER, 1_400);
    rig.send(packet(LIMIT - 54));
    expect([rig.underlay.sent.length, rig.drops()]).toEqual([2, {}]);
  });

  it('holds for a station that is not known, where no VTEP that it may be behind has room', () => {
    const rig = newFloodingRig([PEER, OTHER_PEER], { ...SEGMENT, group: NO_GROUP, learning: false });
    learnPath(rig, PEER, 1_400);
    learnPath(rig, OTHER_PEER, 1_420);
    rig.send(packet(1_420 - 36 - 54));
    expect([rig.underlay.sent.length, rig.drops()]).toEqual([2, {}]);
    rig.send(packet(1_420 - 36 - 53));
    expect([rig.underlay.sent.length, rig.drops(), mtusTold(rig)]).toEqual([2, oversize(1), [1_370]]);
    rig.send(Uint8Array.from([...Buffer.from(BROADCAST, 'hex'), ...packet(1_400).subarray(6)]));
    expect([rig.underlay.sent.length, rig.taps.delivered.length]).toEqual([4, 1]);
  });
});
