/** Frames of VLANs on their way to a trunk: what is put in front of them, and what stays of that whatever the TAP takes. */
import { describe, expect, it } from 'vitest';
import { FORWARDED } from '../forward/drop-reason.ts';
import { naiveFrame, type Packet, scrambled, TCP, UDP } from '../offload/naive-frames.ts';
import { type Segment, UNTAGGED } from '../segment/segment.ts';
import { framesOf, isSuper, newQueueRig, SEGMENT } from './frame-queue-rig.ts';

const EINVAL = 22;
const BYTES = 100;
const VLANS = [10, 4_094, UNTAGGED].map((vlan, i): Segment => ({ ...SEGMENT, index: i, vlan }));
const TEN = VLANS[0] as Segment;

/** Frame `i` of a flow as it comes, and as it is on the trunk. */
const nth = (i: number, { vlan }: Segment, protocol: Packet['protocol'] = TCP) => {
  const packet = { version: 4, protocol, payload: scrambled(BYTES, i), sequence: i * BYTES, id: i } as const;
  const tags = vlan === UNTAGGED ? [] : [0x81, 0, vlan >> 8, vlan & 255];
  return { plain: naiveFrame(packet), tagged: naiveFrame({ ...packet, tags }).octets };
};

const runOf = (segment: Segment, protocol?: Packet['protocol']) =>
  [0, 1, 2, 3, 4].map((i) => nth(i, segment, protocol));
const PLAIN_BYTES = nth(0, TEN).plain.octets.length;

describe.each(VLANS)('a flow of VLAN $vlan', (segment) => {
  it.each([TCP, UDP] as const)(
    'is merged behind its tag, which is not counted, and spares what is around: protocol %i',
    (protocol) => {
      const { deliver, queue, written, counters, isUntouched } = newQueueRig();
      const run = runOf(segment, protocol);
      const bytes = run.reduce((sum, { plain }) => sum + plain.octets.length, 0);
      deliver(
        run.map(({ plain }) => plain),
        { of: segment },
      );
      queue.flush();
      expect(written.map(isSuper)).toEqual([true]);
      expect(written.flatMap(framesOf)).toEqual(run.map(({ tagged }) => tagged));
      expect(counters.passed).toEqual([{ segment: segment.index, bytes, packets: 5 }]);
      expect(isUntouched()).toBe(true);
    },
  );

  it('keeps its tag where the TAP takes no super-frames', () => {
    const { deliver, queue, written, counters, merging } = newQueueRig({
      verdict: (frame) => (isSuper(frame) ? EINVAL : FORWARDED),
    });
    const run = runOf(segment);
    for (let round = 0; round < 2; round++) {
      deliver(
        run.map(({ plain }) => plain),
        { of: segment },
      );
      queue.flush();
    }
    const tagged = run.map((frame) => frame.tagged);
    expect([merging.isOn, written.map(({ octets }) => octets)]).toEqual([false, [...tagged, ...tagged]]);
    expect([counters.packets(), counters.bytes()]).toEqual([10, 10 * PLAIN_BYTES]);
  });
});

it('merges no flow of one VLAN with the same flow of another', () => {
  const { deliver, queue, written, counters } = newQueueRig();
  const runs = VLANS.map((segment) => runOf(segment));
  for (let i = 0; i < 5; i++) {
    for (const [j, segment] of VLANS.entries()) {
      const frame = runs[j]?.[i];
      if (frame) deliver([frame.plain], { of: segment });
    }
  }
  queue.flush();
  expect(written.map(isSuper)).toEqual([true, true, true]);
  expect(written.flatMap(framesOf)).toEqual(runs.flat().map(({ tagged }) => tagged));
  expect(VLANS.map(({ index }) => [counters.packets(index), counters.bytes(index)])).toEqual(
    VLANS.map(() => [5, 5 * PLAIN_BYTES]),
  );
});
