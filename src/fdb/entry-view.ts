import { DYNAMIC, type EntryTable, STATIC, STICKY, TORN } from './table.ts';

/** The origin of an entry: frames (learned), a user (static), or a control plane. */
export type EntryKind = 'learned' | 'static' | 'control';

/** One entry as the main thread sees it. `remote`: LOCAL or a remote id. `heard`: tenths of a second, only valid for a learned entry. */
export interface EntryView {
  readonly segment: number;
  readonly high: number;
  readonly low: number;
  readonly remote: number;
  readonly kind: EntryKind;
  /** For a `control` entry: a frame from behind the own TAP does not replace it. */
  readonly isSticky: boolean;
  readonly heard: number;
  /** Moves that were learned from frames. */
  readonly moves: number;
}

/** The entry in a record. undefined: the record is free, or is being written. Needs no lock. */
export function viewOf(table: EntryTable, entry: number): EntryView | undefined {
  const [segment, high, low] = [table.segmentOf(entry), table.macHighOf(entry), table.macLowOf(entry)];
  const [heard, moves] = [table.heard(entry), table.movesOf(entry)];
  const value = table.consistentValue(entry, segment, high, low);
  if (value === TORN) return undefined;
  const kind = (value & DYNAMIC) !== 0 ? 'learned' : (value & STATIC) !== 0 ? 'static' : 'control';
  return { segment, high, low, remote: value & 0xffff, kind, isSticky: (value & STICKY) !== 0, heard, moves };
}
