import type { Encap } from '../encap/encapsulation.ts';
import { type Fdb, LEARNED, type SourceAddress } from '../fdb/fdb.ts';
import { MAX_SEGMENTS } from '../lib/limits.ts';
import { newSuperFrame } from '../offload/split.ts';
import type { Segment } from '../segment/segment.ts';
import type { SegmentMap } from '../segment/segment-map.ts';
import { type FrameHeaders, newFrameHeaders } from '../wire/ip.ts';
import { portableSums } from '../wire/octet-sums.ts';
import { MAX_VLAN_TAGS, StrippedTags, VLAN_TAG_BYTES } from '../wire/vlan.ts';
import type { NeighbourTable } from './answers/neighbours.ts';
import type { PathLimits } from './answers/path-limits.ts';
import { ANSWER_BYTES, Suppression } from './answers/suppression.ts';
import { receive } from './receive.ts';
import { send } from './send.ts';
import type { SourceCheck } from './source-check.ts';
import type { StormControl } from './storm-control.ts';

/**
 * Shows what would happen to a frame. The ladders `send` and `receive` run on a copy of the frame. Their parts answer as the parts of a worker do,
 * record each call, and change nothing. So a trace cannot differ from the data path.
 *
 * The answer of the kernel to a datagram or frame is not part of the trace, except for the known path MTU.
 */

/** The calls of the ladder, in order. Remotes are ids of the FDB. */
export type TraceStep =
  /** @see LEARNED */
  | { readonly kind: 'source'; readonly outcome: number }
  | { readonly kind: 'destination'; readonly remote: number }
  | { readonly kind: 'storm'; readonly passes: boolean }
  | { readonly kind: 'too-big'; readonly maxFrameBytes: number; readonly headerBytes: number }
  | {
      readonly kind: 'send';
      readonly remote: number;
      readonly tos: number;
      readonly encap: Encap;
      /** Length of the datagram, header included. */
      readonly bytes: number;
      readonly mayFragment: boolean;
    }
  | { readonly kind: 'deliver' };

export interface Trace {
  /** FORWARDED, or a TX_DROP or RX_DROP reason. */
  readonly verdict: number;
  readonly steps: readonly TraceStep[];
}

/** The state of the data path, which all threads share, and its settings. */
export interface TraceGround {
  readonly fdb: Fdb;
  readonly storm: StormControl;
  readonly neighbours: NeighbourTable;
  /** Outer TOS octet, or INHERIT_TOS. */
  readonly tos: number;
  /** Whether the outer DF bit is copied from the inner packet. */
  readonly inheritsDf: boolean;
  /** The path MTU, as far as the kernel knows it. */
  readonly pathLimits: Pick<PathLimits, 'frameBytes'>;
  readonly segments: Pick<SegmentMap, 'byVni'>;
  readonly sources: Pick<SourceCheck, 'verdict'>;
  readonly dropReservedBits: boolean;
}

/** A datagram that arrives: its outer source and TOS octet, and the number of the group whose socket receives it, or NO_GROUP. */
export interface TracedDatagram {
  readonly encap: Encap;
  readonly payload: Uint8Array;
  readonly source: SourceAddress;
  readonly tos: number;
  readonly group: number;
}

/** Room in front of a frame for its vnet header. The header of the encapsulation is written over it. */
const HEADROOM_BYTES = 16;

/** A frame comes from the TAP of the segment. If the TAP is a trunk, it has the tag of the segment. @param now tenths of a second */
export function traceFrame(ground: TraceGround, segment: Segment, frame: Uint8Array, now: number): Trace {
  const { view, bytes, suppression, tags, fdb, storm, steps } = newRecorder(ground, frame);
  const path = {
    view,
    fdb,
    storm,
    suppression,
    sums: portableSums(bytes),
    headers: newFrameHeaders(),
    tags,
    superFrame: newSuperFrame(),
    tos: ground.tos,
    inheritsDf: ground.inheritsDf,
    droppedFrames: 1,
    counters: { flooded: () => {} },
    pathLimits: { isEmpty: false, frameBytes: ground.pathLimits.frameBytes },
    tooBig: {
      answer: (_segment: Segment, at: number, { networkAt }: FrameHeaders, maxFrameBytes: number) =>
        void steps.push({ kind: 'too-big', maxFrameBytes, headerBytes: networkAt - at }),
    },
    underlay: {
      toRemote: (
        { encap }: Segment,
        remote: number,
        _at: number,
        _length: number,
        bytes: number,
        _flow: number,
        tos: number,
        mayFragment: boolean,
      ) => void steps.push({ kind: 'send', remote, tos, encap, bytes, mayFragment }),
      // Only super-frames need room, and they are not part of a trace.
      reserve: () => HEADROOM_BYTES,
      flush: () => {},
    },
  };
  return { verdict: send(path, segment, HEADROOM_BYTES, frame.length, now), steps };
}

/** A datagram arrives from the underlay. @param now tenths of a second */
export function traceDatagram(ground: TraceGround, datagram: TracedDatagram, now: number): Trace {
  const { encap, payload, source, tos, group } = datagram;
  const { segments, sources, dropReservedBits } = ground;
  const { view, suppression, fdb, storm, steps } = newRecorder(ground, payload);
  const taps = { deliver: () => void steps.push({ kind: 'deliver' }), answer: () => {}, flush: () => {} };
  const settings = { segments, sources, dropReservedBits, source, tos, encap };
  const parts = { view, fdb, storm, suppression, taps, headers: newFrameHeaders() };
  const path = { ...settings, ...parts, segment: undefined, headerBytes: 0, isStormControlled: false };
  return { verdict: receive(path, HEADROOM_BYTES, payload.length, 0, group, now), steps };
}

/** A trace reports no neighbours. */
const NO_TELLER = { listened: new Int32Array(MAX_SEGMENTS), tell: () => {} };

/** The parts that both ladders use, on a copy of the octets. */
function newRecorder({ fdb, storm, neighbours }: TraceGround, octets: Uint8Array) {
  const answerAt = HEADROOM_BYTES + octets.length + MAX_VLAN_TAGS * VLAN_TAG_BYTES;
  const bytes = new Uint8Array(answerAt + ANSWER_BYTES);
  bytes.set(octets, HEADROOM_BYTES);
  const view = new DataView(bytes.buffer);
  const steps: TraceStep[] = [];
  const tags = new StrippedTags();
  const answers = new Suppression(view, fdb, neighbours, NO_TELLER, answerAt, { answer: () => {} }, tags);
  const learned = (outcome: number) => {
    steps.push({ kind: 'source', outcome });
    return outcome;
  };
  return {
    bytes,
    view,
    steps,
    tags,
    suppression: {
      answers: answers.answers.bind(answers),
      hear: () => {},
      hearLocal: () => {},
      listened: NO_TELLER.listened,
      overrules: answers.wouldOverrule.bind(answers),
    },
    fdb: {
      conflicts: (segment: number, high: number, low: number, source: SourceAddress) => {
        const isConflict = fdb.conflicts(segment, high, low, source);
        if (isConflict) learned(LEARNED.conflict);
        return isConflict;
      },
      lookup: (segment: number, high: number, low: number, now: number) => {
        const remote = fdb.lookup(segment, high, low, now);
        steps.push({ kind: 'destination', remote });
        return remote;
      },
      isBarred: (remote: number) => fdb.isBarred(remote),
      learn: (segment: number, high: number, low: number, source: SourceAddress, _maxMacs: number, now: number) =>
        learned(fdb.wouldLearn(segment, high, low, source, now)),
    },
    storm: {
      take: (segment: number, direction: number, framesPerSecond: number, frames: number, now: number) => {
        const passes = storm.has(segment, direction, framesPerSecond, frames, now);
        steps.push({ kind: 'storm', passes });
        return passes;
      },
    },
  };
}
