/** What becomes of frames that a TAP does not take, together or at all. */
import { describe, expect, it } from 'vitest';
import { FORWARDED } from '../forward/drop-reason.ts';
import { FLAG, type Frame, naiveFrame, type Packet, scrambled, TCP, UDP } from '../offload/naive-frames.ts';
import { framesOf, isSuper, newQueueRig, SEGMENT, type Verdict, type Written } from './frame-queue-rig.ts';

const [EIO, EINVAL, EBADFD] = [5, 22, 77];
const PLAIN = Array<number>(10).fill(0);

const runOf = (packet: Omit<Packet, 'payload'>, count: number, lastFlags = FLAG.ack as number): Frame[] =>
  Array.from({ length: count }, (_, i) =>
    naiveFrame({
      ...packet,
      payload: scrambled(i === count - 1 ? 33 : 99, i),
      sequence: i * 99,
      id: 7 + i,
      flags: i === count - 1 ? lastFlags : FLAG.ack,
    }),
  );

const octetsOf = (frames: readonly { readonly octets: number[] }[]) => frames.map(({ octets }) => octets);
const bytesOf = (frames: readonly { readonly octets: number[] }[]) =>
  frames.reduce((sum, { octets }) => sum + octets.length, 0);

const refusesSuper =
  (error: number): Verdict =>
  (written) =>
    isSuper(written) ? error : FORWARDED;

/** One of each kind, with what is special about each: options, tags, a push at the end, ids that count. */
const RUNS: [string, Frame[]][] = [
  ['TCP over IPv4', runOf({ version: 4, protocol: TCP }, 5, FLAG.ack | FLAG.psh)],
  ['TCP over IPv6', runOf({ version: 6, protocol: TCP, tcpOptions: [1, 1, 1, 0] }, 5)],
  ['UDP over IPv4', runOf({ version: 4, protocol: UDP, fragment: 0 }, 5)],
  ['UDP over IPv6', runOf({ version: 6, protocol: UDP, tags: [0x81, 0, 0, 5] }, 5)],
];

describe('a TAP that takes no super-frames', () => {
  it.each(RUNS)('gets the frames that came, octet for octet: %s', (_what, frames) => {
    const { deliver, queue, written, counters, drops, isUntouched } = newQueueRig({ verdict: refusesSuper(EINVAL) });
    deliver(frames);
    queue.flush();
    expect(written).toEqual(octetsOf(frames).map((octets) => ({ tap: SEGMENT.tap, vnetHeader: PLAIN, octets })));
    expect([counters.packets(), counters.bytes(), drops()]).toEqual([5, bytesOf(frames), {}]);
    expect(isUntouched()).toBe(true);
  });

  it.each([EINVAL, EIO])('has merging switched off, once, told with errno %i', (error) => {
    const { deliver, queue, written, merging, refusals } = newQueueRig({ verdict: refusesSuper(error) });
    const frames = RUNS.flatMap(([, run]) => run);
    deliver(frames);
    queue.flush();
    expect([merging.isOn, refusals]).toEqual([false, [error]]);
    deliver(frames);
    expect(octetsOf(written)).toEqual([...octetsOf(frames), ...octetsOf(frames)]);
    expect(refusals).toEqual([error]);
  });

  it('leaves what is queued of other flows in order', () => {
    const { deliver, queue, written } = newQueueRig({ verdict: refusesSuper(EINVAL) });
    const [one, other] = [RUNS[0]?.[1] ?? [], RUNS[1]?.[1] ?? []];
    for (let i = 0; i < 5; i++) deliver([one[i] as Frame, other[i] as Frame]);
    queue.flush();
    expect(octetsOf(written)).toEqual(octetsOf([...one, ...other]));
  });
});

describe('a TAP that takes nothing', () => {
  it.each([
    [EINVAL, 'oversize'],
    [EIO, 'tap-down'],
    [EBADFD, 'tap-down'],
  ])('with errno %i costs each frame once, as %s, and merging stays on', (error, reason) => {
    const { deliver, queue, counters, drops, merging, refusals } = newQueueRig({ verdict: () => error });
    for (const [, frames] of RUNS) deliver(frames);
    deliver(runOf({ version: 4, protocol: UDP, checksum: 'none' }, 1));
    queue.flush();
    expect([counters.passed, drops()]).toEqual([[], { [reason]: 21 }]);
    expect([merging.isOn, refusals]).toEqual([true, []]);
  });

  it('takes frames together again once it is back', () => {
    let error = EBADFD;
    const { deliver, queue, written, counters, drops } = newQueueRig({ verdict: () => error });
    const [, frames = []] = RUNS[0] ?? [];
    deliver(frames);
    queue.flush();
    error = FORWARDED;
    deliver(frames);
    queue.flush();
    expect(written.map((each) => framesOf(each).length)).toEqual([5]);
    expect([counters.packets(), drops()]).toEqual([5, { 'tap-down': 5 }]);
  });
});

describe('a TAP that takes some', () => {
  it('has the others counted, and merging stays on: it is not what is wrong', () => {
    const [, frames = []] = RUNS[2] ?? [];
    const isThird = ({ octets }: Written) => octets.length === frames[2]?.octets.length && octets[19] === 9;
    const verdict: Verdict = (written) => (isSuper(written) || isThird(written) ? EINVAL : FORWARDED);
    const { deliver, queue, written, counters, drops, merging } = newQueueRig({ verdict });
    deliver(frames);
    queue.flush();
    expect(octetsOf(written)).toEqual(octetsOf(frames.filter((_, i) => i !== 2)));
    expect([counters.packets(), drops(), merging.isOn]).toEqual([4, { oversize: 1 }, true]);
  });

  it.each([EBADFD, 11])('after errno %i frames singly has no reason to do without merging', (error) => {
    const { deliver, queue, merging, counters } = newQueueRig({ verdict: refusesSuper(error) });
    deliver(RUNS[0]?.[1] ?? []);
    queue.flush();
    expect([merging.isOn, counters.packets()]).toEqual([true, 5]);
  });
});
