/** Underlay to overlay: what UDP_GRO put together, and flows that are put together for the TAP. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_SEGMENT } from '../forward/counters.ts';
import { naiveFrame, naiveSegments, type Packet, put16, scrambled, TCP, UDP } from '../offload/naive-frames.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import { INNER_VLAN } from '../segment/segment.ts';
import { datagram, frame, type HeaderParts, NOW, newRig, OWN, PEER, SEGMENT, UNICAST_SOCKET } from './ladder-rig.ts';
import { forwardDatagrams } from './loop.ts';

const PLAIN = new Uint8Array(10);
const merging = () => new OffloadSwitch(true, () => {});

/** Packet `i` of a flow of segments of 100 octets. */
const nth = (i: number, packet: Partial<Packet> = {}) =>
  Uint8Array.from(
    naiveFrame({ version: 4, protocol: TCP, payload: scrambled(100, i), sequence: i * 100, id: i, ...packet }).octets,
  );

/** What UDP_GRO makes of datagrams, and how long it says that each of them is. */
function train(frames: readonly Uint8Array[], headers: readonly HeaderParts[] = []) {
  const datagrams = frames.map((inner, i) => datagram(inner, headers[i]));
  return { payload: Buffer.concat(datagrams), segmentBytes: datagrams[0]?.length ?? 0 };
}

const framesOf = ({ taps }: ReturnType<typeof newRig>) => taps.delivered.map((each) => each.frame);

describe('a train of datagrams', () => {
  const frames = [0, 1, 2, 3, 4].map((i) => nth(i));

  it('is taken apart: each frame is delivered, counted, and teaches', () => {
    const rig = newRig();
    const stations = frames.map((inner, i) => inner.with(11, i));
    const { payload, segmentBytes } = train(stations);
    rig.receive(payload, { segmentBytes });
    expect(framesOf(rig)).toEqual(stations);
    expect([rig.counters.packets(), rig.counters.bytes()]).toEqual([5, 5 * 154]);
    expect([0, 1, 2, 3, 4].map((i) => rig.whereIs(`02000000000${i}`))).toEqual(Array(5).fill(PEER));
    expect(rig.drops()).toEqual({});
  });

  it.each<[string, HeaderParts]>([
    ['another VNI', { vni: 77 }],
    ['a reserved bit', { reserved8: 1 }],
    ['another policy, as VXLAN-GBP has it', { flags: 0x88, reserved24: 7 }],
  ])('loses a datagram with %s, and has the kernel cut what comes from then on', (_what, header) => {
    const other = { ...SEGMENT, index: 4, vni: 77, tap: 8 };
    for (const place of [1, 2, 4]) {
      const rig = newRig([SEGMENT, other]);
      const { payload, segmentBytes } = train(
        frames,
        frames.map((_, i) => (i === place ? header : {})),
      );
      rig.receive(payload, { segmentBytes });
      expect(framesOf(rig)).toEqual(frames.filter((_, i) => i !== place));
      expect(rig.drops()).toEqual({ [`${NO_SEGMENT} rx short-inner`]: 1 });
      expect(rig.underlay.cut).toEqual([UNICAST_SOCKET]);
    }
  });

  it.each<[string, HeaderParts, string]>([
    ['of an unknown VNI', { vni: 9 }, 'unknown-vni'],
    ['without the I flag', { flags: 0 }, 'no-i-flag'],
  ])('loses the one datagram %s for its own reason, behind others', (_what, header, reason) => {
    const rig = newRig();
    const { payload, segmentBytes } = train(
      frames,
      frames.map((_, i) => (i === 2 ? header : {})),
    );
    rig.receive(payload, { segmentBytes });
    expect(framesOf(rig)).toEqual(frames.filter((_, i) => i !== 2));
    expect([rig.drops(), rig.underlay.cut]).toEqual([{ [`${NO_SEGMENT} rx ${reason}`]: 1 }, []]);
  });

  it.each<[string, HeaderParts, string]>([
    ['of an unknown VNI', { vni: 9 }, 'unknown-vni'],
    ['with a reserved bit where those are dropped', { reserved8: 1 }, 'reserved-bits'],
  ])('that begins with a datagram %s has only its like', (_what, header, reason) => {
    const rig = newRig([SEGMENT], { dropReservedBits: true });
    const { payload, segmentBytes } = train(frames.slice(0, 3), [header, header, {}]);
    rig.receive(payload, { segmentBytes });
    expect(framesOf(rig)).toEqual([]);
    expect(rig.drops()).toEqual({ [`${NO_SEGMENT} rx ${reason}`]: 2, [`${NO_SEGMENT} rx short-inner`]: 1 });
  });

  it('that begins with a datagram without the I flag loses that alone: no vxlan device made it', () => {
    const rig = newRig();
    const { payload, segmentBytes } = train(frames, [{ flags: 0 }, {}, { flags: 0 }]);
    rig.receive(payload, { segmentBytes });
    expect(framesOf(rig)).toEqual(frames.filter((_, i) => i !== 0 && i !== 2));
    expect(rig.drops()).toEqual({ [`${NO_SEGMENT} rx no-i-flag`]: 2 });
    expect(rig.underlay.cut).toEqual([]);
  });

  it.each<[string, (inner: Uint8Array) => Uint8Array]>([
    ['claims more than its datagram', (inner) => inner.with(16, 1).with(17, 144)],
    ['claims less than its header', (inner) => inner.with(16, 0).with(17, 19)],
    ['claims nothing', (inner) => inner.with(16, 0).with(17, 0)],
    ['is UDP that claims the whole message', (inner) => inner.with(16, 2).with(17, 212).with(23, UDP)],
    ['is a fragment', (inner) => inner.with(20, 0x20)],
    ['is of no IP version', (inner) => inner.with(14, 0)],
    ['is not IP', (inner) => inner.with(12, 0x88).with(13, 0xb5)],
  ])('costs nobody else anything, wherever one of it %s', (_what, change) => {
    for (const place of [0, 2, 4]) {
      const rig = newRig();
      const changed = frames.map((inner, i) => (i === place ? change(inner) : inner));
      const { payload, segmentBytes } = train(changed);
      rig.receive(payload, { segmentBytes });
      expect([framesOf(rig), rig.drops()]).toEqual([changed, {}]);
    }
  });

  it('of our own, come back, is dropped datagram by datagram', () => {
    const rig = newRig();
    const { payload, segmentBytes } = train(frames);
    rig.receive(payload, { segmentBytes, source: OWN });
    expect(rig.drops()).toEqual({ [`${NO_SEGMENT} rx own-packet`]: 5 });
  });

  it('may end in less than a frame or a header, which alone is dropped', () => {
    const rig = newRig();
    const { payload, segmentBytes } = train(frames);
    rig.receive(payload.subarray(0, 4 * segmentBytes + 21), { segmentBytes });
    rig.receive(payload.subarray(0, 4 * segmentBytes + 7), { segmentBytes });
    expect(framesOf(rig)).toEqual([...frames.slice(0, 4), ...frames.slice(0, 4)]);
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} rx short-inner`]: 1, [`${NO_SEGMENT} rx short`]: 1 });
  });

  it('of datagrams shorter than a VXLAN header is counted short, each', () => {
    const rig = newRig();
    rig.receive(Buffer.alloc(10, 8), { segmentBytes: 3 });
    expect(rig.drops()).toEqual({ [`${NO_SEGMENT} rx short`]: 4 });
  });

  it('is none where the datagram has no octets', () => {
    const rig = newRig();
    rig.receive(Buffer.alloc(0), { segmentBytes: 0 });
    expect(rig.drops()).toEqual({ [`${NO_SEGMENT} rx short`]: 1 });
  });

  it('has tags taken off each of its frames, whose neighbours stay whole', () => {
    const rig = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.strip }]);
    const { payload, segmentBytes } = train([0, 1, 2].map((i) => nth(i, { tags: [0x81, 0, 0, 5] })));
    rig.receive(payload, { segmentBytes });
    expect(framesOf(rig)).toEqual(frames.slice(0, 3));
  });
});

describe('a kernel peer’s super-datagram', () => {
  it.each<[string, Partial<Packet>, number[]]>([['UDP', { protocol: UDP }, [1, 5, 42, 0, 232, 3, 34, 0, 6, 0]]])(
    'is one frame for the TAP, its segments as the kernel told: %s',
    (_what, packet, vnetHeader) => {
      const rig = newRig([SEGMENT], { merging: merging() });
      const inner = nth(0, { ...packet, payload: scrambled(4_500), checksum: 'partial' });
      rig.receive(datagram(inner), { segmentBytes: 1_000 });
      expect(rig.taps.delivered).toEqual([{ tap: SEGMENT.tap, vnetHeader: Uint8Array.from(vnetHeader), frame: inner }]);
      expect(rig.counters.passed).toEqual([{ segment: SEGMENT.index, bytes: inner.length, packets: 1 }]);
    },
  );
});

describe('what a station of one VNI makes a kernel peer send as one message', () => {
  const VICTIM = { ...SEGMENT, index: 4, vni: 77, tap: 8 };
  const octets = fc.uint8Array({ maxLength: 400, size: 'max' });
  /** What a station may claim: any of the headers that the peer or it could have written, and what they hide. */
  const smuggled = fc
    .record({
      vni: fc.constantFrom(SEGMENT.vni, VICTIM.vni),
      flags: fc.constantFrom(0x08, 0x88, 0x0c, 0xff),
      rest: octets,
    })
    .map(({ vni, flags, rest }) => datagram(frame({ rest }), { vni, flags }));
  const inner = fc
    .record({
      version: fc.constantFrom<4 | 6>(4, 6),
      protocol: fc.constantFrom<typeof TCP | typeof UDP>(TCP, UDP),
      tags: fc.nat({ max: 4 }),
      hides: fc.array(fc.oneof(octets, smuggled), { maxLength: 5 }),
      claimed: fc.option(fc.nat({ max: 3_000 })),
    })
    .map(({ version, protocol, tags, hides, claimed }) => {
      const payload = [...Buffer.concat(hides)];
      const whole = naiveFrame({ version, protocol, payload, checksum: 'partial' }).octets;
      if (claimed !== null) put16(whole, version === 4 ? 16 : 18, claimed);
      whole.splice(12, 0, ...Array(tags).fill([0x81, 0, 0, 5]).flat());
      return Uint8Array.from(whole);
    });

  it('is never delivered, counted or learned in another, whatever the message and its segment size', () => {
    const segments = [
      { ...SEGMENT, innerVlan: INNER_VLAN.pass },
      { ...VICTIM, innerVlan: INNER_VLAN.pass },
    ];
    let delivered = 0;
    fc.assert(
      fc.property(fc.oneof(inner, octets), fc.integer({ min: 1, max: 1_500 }), fc.boolean(), (sent, size, merges) => {
        const rig = newRig(segments, merges ? { merging: merging() } : {});
        rig.receive(datagram(sent), { segmentBytes: size });
        delivered += rig.taps.delivered.length;
        expect(rig.taps.delivered.filter(({ tap }) => tap !== SEGMENT.tap)).toEqual([]);
        expect([rig.fdb.counts.totalOf(VICTIM.index), rig.counters.packets(VICTIM.index)]).toEqual([0, 0]);
      }),
      { numRuns: 1_000 },
    );
    expect(delivered).toBeGreaterThan(500);
  });
});

describe('flows', () => {
  it('are put together across the datagrams and trains of a batch, and not across batches', () => {
    const rig = newRig([SEGMENT], { merging: merging() });
    for (const i of [0, 1]) rig.underlay.inject(UNICAST_SOCKET, PEER, datagram(nth(i)));
    const { payload, segmentBytes } = train([2, 3, 4].map((i) => nth(i)));
    rig.underlay.inject(UNICAST_SOCKET, PEER, payload, segmentBytes);
    forwardDatagrams(rig.ports, UNICAST_SOCKET, NOW);
    rig.receive(datagram(nth(5)));
    const [first, second] = rig.taps.delivered;
    const cut = naiveSegments([...(first?.frame ?? [])], { start: 34, protocol: TCP, segmentBytes: 100 });
    expect(cut.map((each) => Uint8Array.from(each))).toEqual([0, 1, 2, 3, 4].map((i) => nth(i)));
    expect([first?.vnetHeader[1], second?.vnetHeader, second?.frame]).toEqual([1, PLAIN, nth(5)]);
    expect([rig.counters.packets(), rig.counters.bytes()]).toEqual([6, 6 * 154]);
  });

  it('are no reason to deliver a frame that is dropped between them', () => {
    const rig = newRig([SEGMENT], { merging: merging() });
    const { payload, segmentBytes } = train([nth(0), nth(1).with(6, 3), nth(2)]);
    rig.receive(payload, { segmentBytes });
    expect(framesOf(rig)).toEqual([nth(0), nth(2)]);
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} rx bad-source-mac`]: 1 });
  });

  it('of what is not IP come as they came', () => {
    const rig = newRig([SEGMENT], { merging: merging() });
    for (let i = 0; i < 3; i++) rig.underlay.inject(UNICAST_SOCKET, PEER, datagram(frame()));
    forwardDatagrams(rig.ports, UNICAST_SOCKET, NOW);
    expect(framesOf(rig)).toEqual(Array(3).fill(new Uint8Array(frame())));
  });
});
