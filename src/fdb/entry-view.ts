import { DYNAMIC, type EntryTable, STATIC, STICKY, TORN } from './table.ts';

/** Who says where a MAC is: frames that were heard, somebody who asked for it, or a control plane. */
export type EntryKind = 'learned' | 'static' | 'control';

/** One entry as the main thread sees it. `remote` LOCAL or a remote id; `heard` in tenths of a second, and nothing unless it is learned. */
export interface EntryView {
  readonly segment: number;
  readonly high: number;
  readonly low: number;
  readonly remote: number;
  readonly kind: EntryKind;
  /** Of a `control` entry: it does not yield to what is heard behind the own TAP. */
  readonly isSticky: boolean;
  readonly heard: number;
  /** Moves that were heard. */
  readonly moves: number;
}

/** The entry in a record; undefined if that is free, or a writer is there. Needs no lock. */
export function viewOf(table: EntryTable, entry: number): EntryView | undefined {
  const [segment, high, low] = [table.segmentOf(entry), table.macHighOf(entry), table.macLowOf(entry)];
  const [heard, moves] = [table.heard(entry), table.movesOf(entry)];
  const value = table.consistentValue(entry, segment, high, low);
  if (value === TORN) return undefined;
  const kind = (value & DYNAMIC) !== 0 ? 'learned' : (value & STATIC) !== 0 ? 'static' : 'control';
  return { segment, high, low, remote: value & 0xffff, kind, isSticky: (value & STICKY) !== 0, heard, moves };
}
