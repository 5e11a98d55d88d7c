import { ENCAP } from '../encap/encapsulation.ts';
import type { Fdb } from '../fdb/fdb.ts';
import type { PathLimits } from '../forward/answers/path-limits.ts';
import type { SourceCheck } from '../forward/source-check.ts';
import type { StormControl } from '../forward/storm-control.ts';
import { newSuperFrame } from '../offload/split.ts';
import type { Slab } from '../sys/slab.ts';
import { newFrameHeaders } from '../wire/ip.ts';
import type { OctetSums } from '../wire/octet-sums.ts';
import { StrippedTags } from '../wire/vlan.ts';
import { newAnswers } from './answers.ts';
import type { Ports } from './loop.ts';

/** The parts that the paths of one worker use. */
export interface PortParts
  extends Pick<Ports, 'taps' | 'underlay' | 'segments' | 'counters' | 'remoteCounters' | 'groupWatch'> {
  readonly slab: Slab;
  readonly sums: OctetSums;
  readonly fdb: Fdb;
  readonly pathLimits: PathLimits;
  readonly sources: SourceCheck;
  readonly storm: StormControl;
  /** Shared by all workers. */
  readonly neighboursMemory: SharedArrayBuffer;
  /** Its number among the workers, from 0 on. */
  readonly worker: number;
}

/** Both paths of a worker between its ports, with the default settings. */
export function newPorts(parts: PortParts): Ports {
  const { slab, sums, fdb, pathLimits, sources, storm, neighboursMemory, worker } = parts;
  const { taps, underlay, segments, counters, remoteCounters, groupWatch } = parts;
  const headers = newFrameHeaders();
  const tags = new StrippedTags();
  const { suppression, tooBig } = newAnswers(slab, fdb, { neighboursMemory, worker, taps, tags });
  const receivePath = {
    view: slab.view,
    segments,
    fdb,
    taps,
    suppression,
    headers,
    source: { a: 0, b: 0, c: 0, d: 0 },
    tos: 0,
    encap: ENCAP.vxlan,
    sources,
    dropReservedBits: false,
    storm,
    segment: undefined,
    headerBytes: 0,
    isStormControlled: false,
  };
  const sendPath = {
    view: slab.view,
    fdb,
    underlay,
    sums,
    suppression,
    pathLimits,
    tooBig,
    headers,
    tags,
    superFrame: newSuperFrame(),
    storm,
    counters,
    tos: 0,
    inheritsDf: false,
    droppedFrames: 1,
  };
  return {
    taps,
    underlay,
    segments,
    counters,
    remoteCounters,
    groupWatch,
    receivePath,
    sendPath,
    capture: undefined,
  };
}
