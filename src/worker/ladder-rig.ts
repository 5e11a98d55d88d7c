/** What the tests of both ladders share: forwardFrames and forwardDatagrams as a whole, between ports in memory. */
import { ENCAP } from '../encap/encapsulation.ts';
import { Fdb, LOCAL_SOURCE, type SourceAddress, UNKNOWN } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { ADDRESS_MARK } from '../forward/address-marks.ts';
import { NeighbourTable } from '../forward/answers/neighbours.ts';
import { PathLimits } from '../forward/answers/path-limits.ts';
import { NO_SEGMENT } from '../forward/counters.ts';
import { ReadableCounters } from '../forward/counters-rig.ts';
import { RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { SourceCheck } from '../forward/source-check.ts';
import { SourceFilter } from '../forward/source-filter.ts';
import { StormControl } from '../forward/storm-control.ts';
import type { IpPrefix } from '../lib/ip-prefix.ts';
import type { OffloadSwitch } from '../offload/offload-switch.ts';
import { MemoryTapPort } from '../overlay/memory-tap-port.ts';
import { TAP_GONE } from '../overlay/tap-port.ts';
import { NO_GROUP, type Segment } from '../segment/segment.ts';
import { SegmentMap } from '../segment/segment-map.ts';
import { plainSegment } from '../segment/segment-rig.ts';
import { octetSums } from '../sys/simd-sums.ts';
import { Slab } from '../sys/slab.ts';
import { MemoryUdpPort } from '../underlay/memory-udp-port.ts';
import { forwardDatagrams, forwardFrames } from './loop.ts';
import { newPorts } from './ports.ts';

/** Room for the batches of both ports. */
const SLAB_BYTES = 8_388_608;

export const NOW = 1_000;
export const AGEING_SECONDS = 30;

export const OWN = ipWord('198.18.0.1');
export const PEER = ipWord('198.18.0.2');
export const OTHER_PEER = ipWord('198.18.0.3');
export const THIRD_PEER = ipWord('198.18.0.4');
export const GROUP = ipWord('239.1.1.1');

/** Id of GROUP, the first remote of a rig. */
const GROUP_REMOTE = 1;

export const UNICAST_SOCKET = 0;
export const GROUP_SOCKET = 5;
export const OTHER_GROUP_SOCKET = 6;

export const STATION = '020000000001';
export const DESTINATION = '020000000002';
export const TAP_MAC = 'fe0000000009';
export const BROADCAST = 'ffffffffffff';
export const PAYLOAD = Buffer.from('88b566726f6d20616661722e2e', 'hex');

export const SEGMENT = plainSegment({
  index: 3,
  encap: ENCAP.vxlan,
  vni: 0x00_1234,
  group: GROUP_SOCKET,
  groupRemote: GROUP_REMOTE,
  tap: 7,
  tapMacHigh: 0xfe00_0000,
  tapMacLow: 9,
  maxMacs: 100,
});

/** A dotted address as a big-endian word, signed. */
export function ipWord(text: string): number {
  return Buffer.from(text.split('.').map(Number)).readInt32BE(0);
}

export interface FrameParts {
  readonly dst?: string;
  readonly src?: string;
  readonly tags?: string;
  readonly rest?: Uint8Array;
}

export function frame({ dst = DESTINATION, src = STATION, tags = '', rest = PAYLOAD }: FrameParts = {}): Buffer {
  return Buffer.concat([Buffer.from(dst + src + tags, 'hex'), rest]);
}

export interface HeaderParts {
  readonly vni?: number;
  readonly flags?: number;
  readonly reserved24?: number;
  readonly reserved8?: number;
}

/** What crosses the underlay, octet by octet. */
export function datagram(inner: Uint8Array, header: HeaderParts = {}): Buffer {
  const { vni = SEGMENT.vni, flags = 0x08, reserved24 = 0, reserved8 = 0 } = header;
  const octets = Buffer.alloc(8);
  octets.writeUInt8(flags, 0);
  octets.writeUIntBE(reserved24, 1, 3);
  octets.writeUIntBE(vni, 4, 3);
  octets.writeUInt8(reserved8, 7);
  return Buffer.concat([octets, inner]);
}

class RemovableTapPort extends MemoryTapPort {
  isGone = false;

  override read(tap: number): number {
    return this.isGone ? TAP_GONE : super.read(tap);
  }
}

export interface RigOptions {
  readonly dropReservedBits?: boolean;
  /** Sources whose datagrams are accepted. Default: all. */
  readonly allowedVteps?: readonly IpPrefix[];
  /** Whether received frames are merged. Default: no. */
  readonly merging?: OffloadSwitch;
  /** As `--tos`, INHERIT_TOS included. */
  readonly tos?: number;
  /** As `--df inherit`. */
  readonly inheritsDf?: boolean;
}

export type Rig = ReturnType<typeof newRig>;

/** The data plane of one worker. */
export function newRig(segments: readonly Segment[] = [SEGMENT], options: RigOptions = {}) {
  const { dropReservedBits = false, allowedVteps, merging, tos = 0, inheritsDf = false } = options;
  const slab = new Slab(SLAB_BYTES);
  const sums = octetSums(slab);
  const fdb = new Fdb(createFdbMemory(1, AGEING_SECONDS), 1);
  if (fdb.retainRemote(sourceOf(GROUP)) !== GROUP_REMOTE) throw new Error('the first remote has another id');
  const counters = new ReadableCounters();
  const remoteCounters = new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes);
  const taps = new RemovableTapPort(slab, sums, { counters, ...(merging && { merging }) });
  const underlay = new MemoryUdpPort(slab, fdb.remotes);
  const map = new SegmentMap();
  for (const segment of segments) map.apply({ kind: 'put', segment });
  underlay.addSocket(UNICAST_SOCKET, NO_GROUP, ENCAP.vxlan);
  for (const socket of [GROUP_SOCKET, OTHER_GROUP_SOCKET]) underlay.addSocket(socket, socket, ENCAP.vxlan);
  const neighboursMemory = NeighbourTable.createMemory(1);
  const pathLimits = new PathLimits(fdb.remotes);
  const sources = new SourceCheck();
  sources.mark(ADDRESS_MARK.own, { added: Int32Array.of(0, 0, 0xffff, OWN), removed: new Int32Array(0) });
  sources.allow(allowedVteps && new SourceFilter(allowedVteps));
  const heardInGroup: { segment: number; source: number }[] = [];
  const groupWatch = {
    heard: ({ index }: Segment, { d }: SourceAddress) => void heardInGroup.push({ segment: index, source: d }),
  };
  const storm = new StormControl(StormControl.createMemory());
  const ports = newPorts({
    slab,
    sums,
    fdb,
    taps,
    underlay,
    segments: map,
    counters,
    remoteCounters,
    groupWatch,
    pathLimits,
    sources,
    neighboursMemory,
    worker: 0,
    storm,
  });
  ports.receivePath.dropReservedBits = dropReservedBits;
  Object.assign(ports.sendPath, { tos, inheritsDf });

  /** A datagram arrives, or several that UDP_GRO merged. */
  function receive(
    payload: Uint8Array,
    { source = PEER, socket = UNICAST_SOCKET, now = NOW, segmentBytes = payload.length, tos: outerTos = 0 } = {},
  ): void {
    underlay.inject(socket, source, payload, segmentBytes, outerTos);
    forwardDatagrams(ports, socket, now);
  }

  return {
    ports,
    fdb,
    taps,
    underlay,
    counters,
    /** The calls of the group watch. */
    heardInGroup,
    pathLimits,
    neighboursMemory,
    storm,
    receive,
    /** A frame comes from a TAP. Returns whether the TAP still exists. */
    send(inner: Uint8Array, { tap = SEGMENT.tap, now = NOW, vnetHeader = new Uint8Array(10) } = {}): boolean {
      taps.inject(tap, inner, vnetHeader);
      return forwardFrames(ports, tap, now) !== TAP_GONE;
    },
    /** A MAC is learned from a VTEP by a datagram, as in production. */
    hear(mac: string, source: number, { vni = SEGMENT.vni, now = NOW } = {}): void {
      receive(datagram(frame({ src: mac }), { vni }), { source, now });
    },
    /** The VTEP of a MAC. */
    whereIs(mac: string, { segment = SEGMENT.index, now = NOW } = {}): number {
      const remote = fdb.lookup(segment, ...macWords(mac), now);
      return remote === UNKNOWN || remote === LOCAL ? remote : fdb.remotes.word(remote, 3);
    },
    addStatic(mac: string, address: number | 'local'): void {
      const source = address === 'local' ? LOCAL_SOURCE : sourceOf(address);
      fdb.addStatic(SEGMENT.index, ...macWords(mac), source, NOW);
    },
    /** As a control plane does it. */
    place(mac: string, address: number, isSticky = false): void {
      const [high, low] = macWords(mac);
      fdb.placeAll(SEGMENT.index, [{ high, low, at: sourceOf(address), isSticky }], NOW);
    },
    /** The counters of a VTEP. */
    vtep(address: number) {
      const { a, b, c, d } = sourceOf(address);
      return RemoteCounters.total([remoteCounters], fdb.remotes.find(a, b, c, d));
    },
    /** All drops of both directions, by segment, direction and reason. */
    drops(): Record<string, number> {
      const found: Record<string, number> = {};
      for (const segment of [NO_SEGMENT, ...segments.map(({ index }) => index)]) {
        const { rx, tx } = counters.drops(segment);
        for (const [i, count] of rx.entries()) if (count > 0) found[`${segment} rx ${RX_REASONS[i]}`] = count;
        for (const [i, count] of tx.entries()) if (count > 0) found[`${segment} tx ${TX_REASONS[i]}`] = count;
      }
      return found;
    },
  };
}

/** A rig with one segment, which floods to these remotes. */
export function newFloodingRig(addresses: readonly number[], segment: Segment = SEGMENT, options?: RigOptions): Rig {
  const floodRemotes: number[] = [];
  const rig = newRig([{ ...segment, floodRemotes }], options);
  for (const address of addresses) floodRemotes.push(rig.fdb.retainRemote(sourceOf(address)));
  return rig;
}

export function destinationsOf({ underlay }: Rig): number[] {
  return underlay.sent.map(({ destination }) => destination);
}

/** A MAC as the FDB stores it: its first four octets, and the last two. */
export function macWords(mac: string): [high: number, low: number] {
  return [Number.parseInt(mac.slice(0, 8), 16), Number.parseInt(mac.slice(8), 16)];
}

function sourceOf(address: number): SourceAddress {
  return { a: 0, b: 0, c: 0xffff, d: address };
}
