/** Entries and events in the model of the forwarding database: few of each, with small numbers. */
import { type EntryKind, LOCAL_SOURCE, type SourceAddress } from './fdb.ts';

export const SEGMENTS = 3;
export const MACS = 12;
/** VNI of segment 0. */
export const VNI = 1_000;
/** VTEP 0 is the local side. */
export const VTEPS = 6;
export const HIGH = 0x0200_0000;
export const SOURCES: readonly SourceAddress[] = Array.from({ length: VTEPS }, (_, vtep) =>
  vtep === 0 ? LOCAL_SOURCE : { a: 0, b: 0, c: 0xffff, d: (198 << 24) | vtep },
);

export interface Entry {
  segment: number;
  mac: number;
  vtep: number;
  kind: EntryKind;
  isSticky: boolean;
  /** For a learned entry. 0 for other entries, which do not age. */
  heard: number;
  moves: number;
}

interface Described {
  readonly event: string;
  readonly vni: number;
  readonly mac: number;
  readonly at: number;
  readonly from: number | 'nowhere';
  readonly kind: EntryKind;
  readonly time: number;
}

export function describeEvent({ event, vni, mac, at, from, kind, time }: Described): string {
  return `${time} ${event} ${vni} ${mac} at ${at} from ${from} ${kind}`;
}

export function eachMac<Result>(ask: (where: { segment: number; mac: number }) => Result): Result[] {
  return Array.from({ length: SEGMENTS * MACS }, (_, i) =>
    ask({ segment: i % SEGMENTS, mac: Math.floor(i / SEGMENTS) }),
  );
}

export function sourceOf(vtep: number): SourceAddress {
  return SOURCES[vtep] as SourceAddress;
}

export function keyOf({ segment, mac }: { segment: number; mac: number }): string {
  return `${segment} ${mac}`;
}

export function byKey(a: Entry, b: Entry): number {
  return a.segment - b.segment || a.mac - b.mac;
}
