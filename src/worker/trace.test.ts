/** A trace beside the data path: over any state and any frame it says what then happens, and leaves no mark. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Encap } from '../encap/encapsulation.ts';
import { type EntryView, LEARNED, UNKNOWN } from '../fdb/fdb.ts';
import { NeighbourTable } from '../forward/answers/neighbours.ts';
import { FORWARDED, RX_DROP, RX_REASONS, TX_DROP, TX_REASONS } from '../forward/drop-reason.ts';
import { type Trace, traceDatagram, traceFrame } from '../forward/trace.ts';
import { parseWrittenPrefix } from '../lib/ip-prefix.ts';
import { MAX_FDB_ENTRIES } from '../lib/limits.ts';
import { naiveFrame, scrambled, UDP } from '../offload/naive-frames.ts';
import { FLOOD, INNER_VLAN, NO_GROUP, type Segment } from '../segment/segment.ts';
import { HERE_IP, naiveArp, THERE_IP } from '../wire/answers/naive-neighbours.ts';
import { ECN } from '../wire/ecn.ts';
import {
  BROADCAST,
  DESTINATION,
  datagram,
  frame,
  GROUP_SOCKET,
  NOW,
  newFloodingRig,
  newRig,
  OTHER_GROUP_SOCKET,
  OTHER_PEER,
  OWN,
  PEER,
  type Rig,
  type RigOptions,
  SEGMENT,
  STATION,
  TAP_MAC,
  THIRD_PEER,
  UNICAST_SOCKET,
} from './ladder-rig.ts';

const spaced = (mac: string) => (mac.match(/../g) as string[]).join(' ');

function groundOf({ ports, fdb, neighboursMemory, storm }: Rig) {
  const { tos, inheritsDf, pathLimits: limits } = ports.sendPath;
  const { sources, dropReservedBits } = ports.receivePath;
  const neighbours = new NeighbourTable(neighboursMemory);
  const pathLimits = {
    frameBytes: (encap: Encap, remote: number, mayFragment: boolean) =>
      limits.frameBytes(encap, remote, mayFragment, NOW),
  };
  const settings = { tos, inheritsDf, pathLimits, sources, dropReservedBits };
  return { fdb, storm, neighbours, segments: ports.segments, ...settings };
}

type Step =
  | { readonly kind: 'place'; readonly mac: string; readonly at: number; readonly isSticky: boolean }
  | { readonly kind: 'static'; readonly mac: string; readonly at: number | 'local' }
  | { readonly kind: 'send'; readonly octets: Uint8Array }
  | {
      readonly kind: 'receive';
      readonly octets: Uint8Array;
      readonly source: number;
      readonly socket: number;
      readonly tos: number;
    };

function traceOf(rig: Rig, step: Extract<Step, { octets: Uint8Array }>, now: number): Trace {
  const segment = rig.ports.segments.byVni(SEGMENT.encap, SEGMENT.vni) as Segment;
  if (step.kind === 'send') return traceFrame(groundOf(rig), segment, step.octets, now);
  const source = { a: 0, b: 0, c: 0xffff, d: step.source };
  const group = step.socket === UNICAST_SOCKET ? NO_GROUP : step.socket;
  return traceDatagram(
    groundOf(rig),
    { encap: SEGMENT.encap, payload: step.octets, source, tos: step.tos, group },
    now,
  );
}

function act(rig: Rig, step: Step, now: number): void {
  if (step.kind === 'static') rig.addStatic(step.mac, step.at);
  if (step.kind === 'place') rig.place(step.mac, step.at, step.isSticky);
  if (step.kind === 'send') rig.send(step.octets, { now });
  if (step.kind === 'receive') rig.receive(step.octets, { ...step, now });
}

/** What the data path made of the last thing that it was given: a drop reason, or where it went. */
function outcomeOf(rig: Rig, before: Record<string, number>, sent: number) {
  const after = rig.drops();
  const dropped = Object.keys(after).filter((key) => after[key] !== before[key]);
  return {
    reason: dropped[0]?.split(' ').at(-1),
    destinations: rig.underlay.sent.slice(sent).map(({ destination, tos }) => ({ destination, tos })),
  };
}

function foretold({ fdb }: Rig, { verdict, steps }: Trace, kind: 'send' | 'receive') {
  const reasons: readonly string[] = kind === 'send' ? TX_REASONS : RX_REASONS;
  return {
    reason: verdict === FORWARDED ? undefined : reasons[verdict],
    destinations: steps.flatMap((step) =>
      step.kind === 'send' ? [{ destination: fdb.remotes.word(step.remote, 3), tos: step.tos }] : [],
    ),
  };
}

function marks(rig: Rig, now: number) {
  const entries: EntryView[] = [];
  rig.fdb.forEachSlice(0, MAX_FDB_ENTRIES, (entry) => entries.push(entry), now);
  const { underlay, taps, counters, fdb } = rig;
  return {
    entries,
    drops: rig.drops(),
    passed: counters.passed,
    events: fdb.nextEvent,
    underlay: underlay.sent,
    taps: taps.delivered,
  };
}

/** A packet that cannot carry congestion marks. */
const NOT_ECT = naiveFrame({ version: 4, protocol: UDP, payload: scrambled(20, 1), tos: ECN.notEct });

const macs = fc.constantFrom(STATION, DESTINATION, '020000000003');
const oddMacs = fc.constantFrom(TAP_MAC, '000000000000', '010000000005', '0180c200000e', BROADCAST);
const frames = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        src: fc.oneof({ weight: 6, arbitrary: macs }, oddMacs),
        dst: fc.oneof({ weight: 3, arbitrary: macs }, oddMacs),
        tags: fc.constantFrom('', '', '', '81000007', '81000000', '88a8000781000009'),
        rest: fc.constantFrom(Buffer.from('88b50000', 'hex'), Buffer.alloc(1_452, 1), Buffer.alloc(1_500, 1)),
      })
      .map(frame),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(macs, fc.constantFrom(HERE_IP, THERE_IP), fc.constantFrom(HERE_IP, THERE_IP))
      .map(([src, senderIp, targetIp]) => Buffer.from(naiveArp({ src: spaced(src), senderIp, targetIp }))),
  },
  { weight: 2, arbitrary: macs.map((src) => Buffer.from(NOT_ECT.octets).fill(src, 6, 12, 'hex')) },
  fc.nat({ max: 13 }).map((length) => Buffer.alloc(length, 2)),
);
const peers = fc.constantFrom(PEER, OTHER_PEER);
const onceIn = <T>(weight: number, usual: T, ...others: T[]) =>
  fc.oneof({ weight, arbitrary: fc.constant(usual) }, fc.constantFrom(...others));

const happenings: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: frames.map((octets) => ({ kind: 'send' as const, octets })) },
  {
    weight: 8,
    arbitrary: fc
      .record({
        inner: frames,
        header: fc.record({ vni: onceIn(9, SEGMENT.vni, 5), flags: onceIn(9, 8, 0, 9), reserved8: onceIn(9, 0, 1) }),
        source: fc.oneof({ weight: 8, arbitrary: peers }, fc.constantFrom(OWN, THIRD_PEER)),
        socket: fc.constantFrom(UNICAST_SOCKET, GROUP_SOCKET, OTHER_GROUP_SOCKET),
        tos: onceIn(2, 0, 3),
        cut: onceIn(9, 65_536, 7),
      })
      .map(({ inner, header, cut, ...rest }) => ({
        kind: 'receive' as const,
        octets: datagram(inner, header).subarray(0, cut),
        ...rest,
      })),
  },
  fc.record({ kind: fc.constant('static' as const), mac: macs, at: fc.constantFrom(PEER, 'local' as const) }),
  fc.record({
    ...{ kind: fc.constant('place' as const), mac: macs },
    ...{ at: fc.constantFrom(PEER, OTHER_PEER), isSticky: fc.boolean() },
  }),
);

const segments = fc.record({
  learning: onceIn(4, true, false),
  suppress: fc.boolean(),
  innerVlan: fc.constantFrom(...Object.values(INNER_VLAN)),
  flood: onceIn(3, FLOOD.all, ...Object.values(FLOOD)) as fc.Arbitrary<number>,
  stormPps: fc.constantFrom(0, 0, 1, 2),
  group: onceIn(3, GROUP_SOCKET, NO_GROUP) as fc.Arbitrary<number>,
  tapUp: onceIn(4, true, false),
});

const settings: fc.Arbitrary<RigOptions> = fc.record({
  dropReservedBits: fc.boolean(),
  allowedVteps: fc
    .constantFrom([], ['198.18.0.0/30'], ['198.18.0.0/24'])
    .map((prefixes) => prefixes.map((text) => parseWrittenPrefix(text) ?? expect.fail(text))),
  tos: fc.constantFrom(0, 0x48),
});

describe('a trace', () => {
  it('says what then happens to any frame and datagram, and leaves no mark', () => {
    const seen = new Set<string>();
    const history = fc.array(fc.tuple(fc.constantFrom(0, 0, 0, 1, 5, 301), happenings), {
      minLength: 20,
      maxLength: 60,
      size: 'max',
    });
    fc.assert(
      fc.property(segments, settings, fc.subarray([PEER, OTHER_PEER]), history, (differs, options, remotes, steps) => {
        const newOne = () => newFloodingRig(remotes, { ...SEGMENT, ...differs }, options);
        const [watched, alone] = [newOne(), newOne()];
        let now = NOW;
        for (const [wait, step] of steps) {
          now += wait;
          const [before, sent] = [watched.drops(), watched.underlay.sent.length];
          const trace = 'octets' in step ? traceOf(watched, step, now) : undefined;
          for (const rig of [watched, alone]) act(rig, step, now);
          if (trace === undefined || !('octets' in step)) continue;
          const outcome = outcomeOf(watched, before, sent);
          expect(foretold(watched, trace, step.kind)).toEqual(outcome);
          seen.add(`${step.kind} ${outcome.reason}`);
        }
        expect(marks(watched, now)).toEqual(marks(alone, now));
      }),
      // The same histories each time: which reasons they come by must not be luck.
      { numRuns: 60, seed: 7_348 },
    );
    // It would be no proof if the histories did not come by each reason that a ladder gives on ports in memory.
    const beside = ['send unknown-vlan', 'send send-full', 'send send-error', 'receive oversize'];
    const reasons = [...TX_REASONS.map((name) => `send ${name}`), ...RX_REASONS.map((name) => `receive ${name}`)];
    expect([...seen].sort()).toEqual(
      [...reasons.filter((name) => !beside.includes(name)), 'send undefined', 'receive undefined'].sort(),
    );
  });

  it('tells its steps in the order of the ladder', () => {
    const rig = newRig();
    const step = (src: string, dst: string): Step & { kind: 'send' } => ({ kind: 'send', octets: frame({ src, dst }) });
    expect(traceOf(rig, step(STATION, DESTINATION), NOW).steps).toEqual([
      { kind: 'destination', remote: UNKNOWN },
      { kind: 'source', outcome: LEARNED.added },
      { kind: 'send', remote: SEGMENT.groupRemote, tos: 0, encap: SEGMENT.encap, bytes: 33, mayFragment: false },
    ]);
    rig.hear(DESTINATION, PEER);
    rig.send(frame({ src: STATION }));
    const remote = rig.fdb.lookup(SEGMENT.index, 0x0200_0000, 2, NOW);
    expect(traceOf(rig, step(STATION, DESTINATION), NOW)).toEqual({
      verdict: FORWARDED,
      steps: [
        { kind: 'destination', remote },
        { kind: 'source', outcome: LEARNED.refreshed },
        { kind: 'send', remote, tos: 0, encap: SEGMENT.encap, bytes: 33, mayFragment: false },
      ],
    });
    rig.addStatic(STATION, PEER);
    expect(traceOf(rig, step(STATION, DESTINATION), NOW)).toEqual({
      verdict: TX_DROP['static-conflict'],
      steps: [{ kind: 'source', outcome: LEARNED.conflict }],
    });
  });

  it('takes the tag of a trunk off', () => {
    const rig = newRig([{ ...SEGMENT, vlan: 5 }]);
    const octets = frame({ tags: '81000005' });
    expect(traceOf(rig, { kind: 'send', octets }, NOW).verdict).toBe(FORWARDED);
    const twice = frame({ tags: '8100000581000006' });
    expect(traceOf(rig, { kind: 'send', octets: twice }, NOW).verdict).toBe(TX_DROP['inner-vlan']);
    const short = { kind: 'receive' as const, octets: datagram(frame()).subarray(0, 7) };
    expect(traceOf(rig, { ...short, source: PEER, socket: UNICAST_SOCKET, tos: 0 }, NOW).verdict).toBe(RX_DROP.short);
  });
});
