/** Underlay to overlay: what UDP_GRO put together, and flows that are put together for the TAP. */
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

  it.each<[string, HeaderParts, string]>([
    ['of an unknown VNI', { vni: 9 }, `${NO_SEGMENT} rx unknown-vni`],
    ['without the I flag', { flags: 0 }, `${NO_SEGMENT} rx no-i-flag`],
    ['with reserved bits', { reserved8: 1 }, `${NO_SEGMENT} rx reserved-bits`],
  ])('loses the one datagram %s, wherever it is', (_what, header, reason) => {
    for (const place of [0, 2, 4]) {
      const rig = newRig([SEGMENT], { dropReservedBits: true });
      const { payload, segmentBytes } = train(
        frames,
        frames.map((_, i) => (i === place ? header : {})),
      );
      rig.receive(payload, { segmentBytes });
      expect(framesOf(rig)).toEqual(frames.filter((_, i) => i !== place));
      expect(rig.drops()).toEqual({ [reason]: 1 });
    }
  });

  it('of several VNIs goes to several TAPs', () => {
    const other = { ...SEGMENT, index: 4, vni: 77, tap: 8 };
    const rig = newRig([SEGMENT, other], { merging: merging() });
    const { payload, segmentBytes } = train(frames, [{}, { vni: 77 }, {}, { vni: 77 }, {}]);
    rig.receive(payload, { segmentBytes });
    expect(rig.taps.delivered.map(({ tap, frame: { length } }) => [tap, length]).sort()).toEqual([
      [SEGMENT.tap, 154],
      [SEGMENT.tap, 154],
      [SEGMENT.tap, 154],
      [other.tap, 154],
      [other.tap, 154],
    ]);
    expect([rig.counters.packets(SEGMENT.index), rig.counters.packets(other.index)]).toEqual([3, 2]);
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

  it('whose first packet claims more than its datagram is counted once, and nothing of it is delivered', () => {
    const rig = newRig();
    const first = [...nth(0)];
    put16(first, 16, 400);
    const { payload, segmentBytes } = train([Uint8Array.from(first), ...frames.slice(1)]);
    rig.receive(payload, { segmentBytes });
    expect([framesOf(rig), rig.drops()]).toEqual([[], { [`${NO_SEGMENT} rx short-inner`]: 1 }]);
  });
});

describe('a kernel peer’s super-datagram', () => {
  it.each<[string, Partial<Packet>, number[]]>([
    ['UDP', { protocol: UDP }, [1, 5, 42, 0, 232, 3, 34, 0, 6, 0]],
    ['TCP', {}, [1, 1, 54, 0, 232, 3, 34, 0, 16, 0]],
  ])('is one frame for the TAP, its segments as the kernel told: %s', (_what, packet, vnetHeader) => {
    const rig = newRig([SEGMENT], { merging: merging() });
    const inner = nth(0, { ...packet, payload: scrambled(4_500), checksum: 'partial' });
    rig.receive(datagram(inner), { segmentBytes: 1_000 });
    expect(rig.taps.delivered).toEqual([{ tap: SEGMENT.tap, vnetHeader: Uint8Array.from(vnetHeader), frame: inner }]);
    expect(rig.counters.passed).toEqual([{ segment: SEGMENT.index, bytes: inner.length, packets: 1 }]);
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
