/** Overlay to underlay: what is dropped, for which reason, and which comes first. */
import { describe, expect, it } from 'vitest';
import { LOCAL } from '../fdb/remotes.ts';
import { ToldNeighbours } from '../forward/answers/told-neighbours.ts';
import type { TX_REASONS } from '../forward/drop-reason.ts';
import { STORM_TX } from '../forward/storm-control.ts';
import { FLOOD, NO_GROUP, type Segment } from '../segment/segment.ts';
import {
  BROADCAST,
  DESTINATION,
  destinationsOf,
  type FrameParts,
  frame,
  GROUP,
  SEGMENT as LONG_SEGMENT,
  NOW,
  newRig as newAnyRig,
  PEER,
  STATION,
} from './ladder-rig.ts';

const SEGMENT: Segment = { ...LONG_SEGMENT, maxFrameBytes: 100 };

const newRig = (segments: readonly Segment[] = [SEGMENT]) => newAnyRig(segments);

/** What is wrong with a frame or with the segment; all but `reason` add to one another. */
interface Fault {
  readonly reason: (typeof TX_REASONS)[number];
  readonly inner?: FrameParts;
  readonly segment?: Partial<Segment>;
  readonly isSourcePinnedElsewhere?: boolean;
  readonly isDestinationLocal?: boolean;
  /** Storm control has nothing left to give. */
  readonly isStorm?: boolean;
  /** Octets that the frame has. */
  readonly cutTo?: number;
}

/** In the order of the contract. */
const FAULTS: readonly Fault[] = [
  { reason: 'short', cutTo: 13 },
  { reason: 'bad-source-mac', inner: { src: '030000000001' } },
  { reason: 'static-conflict', isSourcePinnedElsewhere: true },
  { reason: 'inner-vlan', inner: { tags: '81000005' } },
  { reason: 'link-local', inner: { dst: '0180c200000e' } },
  { reason: 'local', isDestinationLocal: true },
  { reason: 'flood-off', segment: { flood: FLOOD.none } },
  { reason: 'storm', segment: { stormPps: 1 }, isStorm: true },
  { reason: 'no-remote', segment: { group: NO_GROUP } },
  { reason: 'oversize', inner: { rest: Buffer.alloc(89, 0x88) } },
];

function sendWith(faults: readonly Fault[]) {
  const segment = Object.assign({}, ...faults.map((fault) => fault.segment));
  const inner: FrameParts = Object.assign({}, ...faults.map((fault) => fault.inner));
  const worker = newRig([{ ...SEGMENT, ...segment }]);
  if (faults.some(({ isSourcePinnedElsewhere }) => isSourcePinnedElsewhere)) {
    worker.addStatic(inner?.src ?? STATION, PEER);
  }
  if (faults.some(({ isDestinationLocal }) => isDestinationLocal)) worker.addStatic(inner?.dst ?? DESTINATION, 'local');
  if (faults.some(({ isStorm }) => isStorm)) {
    worker.ports.sendPath.storm.take(SEGMENT.index, STORM_TX, 1, 1, NOW);
  }
  const before = worker.fdb.count;
  const whole = frame(inner);
  worker.send(whole.subarray(0, Math.min(whole.length, ...faults.flatMap((fault) => fault.cutTo ?? []))));
  return { ...worker, learned: worker.fdb.count - before };
}

const PAIRS = FAULTS.flatMap((first, i) => FAULTS.slice(i + 1).map((second) => [first, second] as const));

describe('a drop', () => {
  it('is none without a fault: what the rows below have in common is sent', () => {
    const { underlay, drops, learned } = sendWith([]);
    expect([underlay.sent.length, drops(), learned]).toEqual([1, {}, 1]);
  });

  it.each(FAULTS.map((fault) => [fault.reason, fault] as const))(
    'is counted once as %s, sends nothing and teaches nothing',
    (reason, fault) => {
      const { underlay, drops, learned } = sendWith([fault]);
      expect(drops()).toEqual({ [`${SEGMENT.index} tx ${reason}`]: 1 });
      expect([underlay.sent, learned]).toEqual([[], 0]);
    },
  );

  it.each(PAIRS.map((faults) => [faults[0].reason, faults[1].reason, faults] as const))(
    'for %s comes before one for %s',
    (reason, _, faults) => {
      const { underlay, drops, learned } = sendWith(faults);
      expect(drops()).toEqual({ [`${SEGMENT.index} tx ${reason}`]: 1 });
      expect([underlay.sent, learned]).toEqual([[], 0]);
    },
  );

  it.each(Array.from({ length: 14 }, (_, length) => length))('is for short with %i octets', (length) => {
    const { send, drops } = newRig();
    send(frame().subarray(0, length));
    expect(drops()).toEqual({ [`${SEGMENT.index} tx short`]: 1 });
  });

  it.each(['010000000001', '000000000000', BROADCAST])('is for bad-source-mac from %s (T13)', (src) => {
    const worker = newRig();
    worker.send(frame({ src }));
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} tx bad-source-mac`]: 1 });
    worker.send(frame({ dst: BROADCAST }));
    expect(destinationsOf(worker)).toEqual([GROUP]);
  });

  it('is for link-local to 01:80:c2:00:00:00 to :0f, not to :10', () => {
    const worker = newRig();
    for (let last = 0; last <= 0x10; last++) {
      worker.send(frame({ dst: `0180c20000${last.toString(16).padStart(2, '0')}` }));
    }
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} tx link-local`]: 16 });
    expect(destinationsOf(worker)).toEqual([GROUP]);
  });

  it('is for no-remote only of what must be flooded: a known destination needs no flood list', () => {
    const worker = newRig([{ ...SEGMENT, group: NO_GROUP }]);
    worker.hear(DESTINATION, PEER);
    worker.send(frame());
    worker.send(frame({ dst: BROADCAST }));
    expect(destinationsOf(worker)).toEqual([PEER]);
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} tx no-remote`]: 1 });
  });

  it('for no-remote teaches where its station is if a control plane announces it, to whomever the frame was', () => {
    const worker = newRig([{ ...SEGMENT, group: NO_GROUP }]);
    new ToldNeighbours(worker.neighboursMemory, 1).listenTo(SEGMENT.index);
    worker.hear(DESTINATION, PEER);
    worker.hear(STATION, PEER);
    worker.fdb.remotes.bar(worker.fdb.lookup(SEGMENT.index, 0x0200_0000, 2, NOW), true);
    worker.send(frame());
    expect(worker.whereIs(STATION)).toBe(LOCAL);
    worker.send(frame({ src: '020000000003', dst: BROADCAST }));
    expect(worker.whereIs('020000000003')).toBe(LOCAL);
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} tx no-remote`]: 2 });
  });

  it('for local does not move the source: a bridge may reflect a frame from another VTEP', () => {
    const worker = newRig();
    worker.addStatic(STATION, 'local');
    worker.hear(DESTINATION, PEER);
    worker.send(frame({ src: DESTINATION, dst: STATION }));
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} tx local`]: 1 });
    expect(worker.whereIs(DESTINATION)).toBe(PEER);
  });

  it('is for oversize from the first octet that does not fit, flooded or not', () => {
    const worker = newRig();
    const fits = frame({ rest: Buffer.alloc(88, 0x88) });
    const oversize = frame({ rest: Buffer.alloc(89, 0x88) });
    worker.hear(DESTINATION, PEER);
    for (const inner of [fits, oversize, frame({ dst: BROADCAST, rest: Buffer.alloc(89, 0x88) })]) worker.send(inner);
    expect(worker.underlay.sent.map(({ payload }) => payload.length)).toEqual([108]);
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} tx oversize`]: 2 });
  });

  it('of a static conflict is none from where the entry says', () => {
    const worker = newRig();
    worker.addStatic(STATION, 'local');
    worker.send(frame());
    expect([destinationsOf(worker), worker.drops()]).toEqual([[GROUP], {}]);
  });

  it('of one segment is not another’s', () => {
    const other = { ...SEGMENT, index: 4, vni: SEGMENT.vni + 1, tap: 8 };
    const { send, drops } = newRig([SEGMENT, other]);
    send(frame({ src: BROADCAST }), { tap: other.tap });
    expect(drops()).toEqual({ '4 tx bad-source-mac': 1 });
  });
});
