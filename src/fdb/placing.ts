import type { MacWords } from '../lib/addresses.ts';
import type { EntryChanges, Parts, SegmentMac } from './entry-changes.ts';
import { EVENT_KIND } from './event-ring.ts';
import type { Evictions } from './evictions.ts';
import { LEARNED } from './learning.ts';
import { LOCAL_SOURCE, NO_REMOTE, type RemoteTable, type SourceAddress } from './remotes.ts';
import { CONTROL, DYNAMIC, type EntryTable, NO_ENTRY, STATIC, STICKY } from './table.ts';

/** What became of a MAC that a control plane placed. */
export const PLACED = {
  /** It was not known, or was learned there. */
  added: 0,
  /** It was learned elsewhere, or placed elsewhere. */
  moved: 1,
  /** It was placed there already. Whether it is sticky is as the placement says. */
  same: 2,
  /** A static entry says where it is, and nothing changes. */
  outranked: 3,
  /** No room for the entry or for its VTEP. What was known of the MAC is no longer true and is forgotten: frames to it are flooded. */
  full: 4,
} as const;

/** Where a control plane says that a MAC is. The MAC is neither group nor zero. */
export interface Placement extends MacWords {
  /** The address of one VTEP, never LOCAL_SOURCE. */
  readonly at: SourceAddress;
  /** Whether it stays there though it is heard behind the own TAP (RFC 7432 §15.2). */
  readonly isSticky: boolean;
}

/** Placements or withdrawals of one call, which hold the lock together: some hundred microseconds. */
export const PLACED_AT_ONCE = 256;

/** @throws RangeError */
export function refusePlacements(placements: readonly Placement[]): void {
  refuseTooMany(placements.length);
  if (placements.some(({ at }) => at === LOCAL_SOURCE)) throw new RangeError('a control plane places nothing locally');
}

/** @throws RangeError */
export function refuseTooMany(macs: number): void {
  if (macs > PLACED_AT_ONCE) throw new RangeError(`${macs} MACs in one call: at most ${PLACED_AT_ONCE}`);
}

/** What is said and not heard: static entries, and those of a control plane. Everything is called with the FDB's lock held. */
export class Placing {
  readonly #table: EntryTable;
  readonly #remotes: RemoteTable;
  readonly #changes: EntryChanges;
  readonly #evictions: Evictions;

  constructor({ table, remotes }: Parts, changes: EntryChanges, evictions: Evictions) {
    this.#table = table;
    this.#remotes = remotes;
    this.#changes = changes;
    this.#evictions = evictions;
  }

  /** What `Fdb.addStatic` says. */
  addStatic(mac: SegmentMac, source: SourceAddress, now: number): number {
    const table = this.#table;
    const remote = this.#remotes.internSource(source);
    if (remote === NO_REMOTE) return LEARNED.full;
    const entry = table.find(mac.segment, mac.high, mac.low);
    if (entry !== NO_ENTRY && table.kindOf(entry) === STATIC) {
      return table.remoteOf(entry) === remote ? LEARNED.refreshed : LEARNED.conflict;
    }
    let replaced = NO_REMOTE;
    if (entry !== NO_ENTRY) {
      if (table.isAlive(entry, now)) replaced = table.remoteOf(entry);
      else this.#changes.tell(entry, EVENT_KIND.aged, NO_REMOTE, now);
      this.#changes.remove(entry, now);
    }
    return this.#changes.add(mac, remote, STATIC, now, replaced) ? LEARNED.added : LEARNED.full;
  }

  /** One placement of `Fdb.placeAll`. One of PLACED. */
  place(segment: number, { high, low, at, isSticky }: Placement, now: number): number {
    const table = this.#table;
    const entry = table.find(segment, high, low);
    if (entry !== NO_ENTRY && table.kindOf(entry) === STATIC) return PLACED.outranked;
    const remote = this.#remotes.internSource(at);
    if (remote === NO_REMOTE) {
      if (entry !== NO_ENTRY) this.#changes.drop(entry, now);
      this.#evictions.makeRemote(now);
      return PLACED.full;
    }
    const bits = isSticky ? CONTROL | STICKY : CONTROL;
    if (entry !== NO_ENTRY) return this.#placeKnown(entry, remote, bits, now);
    return this.#changes.add({ segment, high, low }, remote, bits, now) ? PLACED.added : PLACED.full;
  }

  /** Withdraws what was placed. Whether there was such an entry. */
  withdraw(segment: number, { high, low }: MacWords, now: number): boolean {
    const entry = this.#table.find(segment, high, low);
    if (entry === NO_ENTRY || this.#table.kindOf(entry) !== CONTROL) return false;
    return this.#changes.drop(entry, now);
  }

  /**
   * Of an entry that was learned or placed. A placement is no move that is judged: the control plane counts those itself. The moves that were
   * heard stay counted, so that a MAC which is heard here and placed elsewhere in turn is held in the end.
   */
  #placeKnown(entry: number, remote: number, bits: number, now: number): number {
    const [table, changes] = [this.#table, this.#changes];
    const from = table.remoteOf(entry);
    if (!table.isAlive(entry, now)) {
      changes.tell(entry, EVENT_KIND.aged, NO_REMOTE, now);
      changes.change(entry, remote, bits, 0, now);
      changes.tell(entry, EVENT_KIND.added, NO_REMOTE, now);
      return PLACED.added;
    }
    const wasLearned = table.kindOf(entry) === DYNAMIC;
    if (from === remote && table.bitsOf(entry) === bits) return PLACED.same;
    changes.change(entry, remote, bits, table.movesOf(entry), now);
    if (from !== remote) {
      changes.tell(entry, EVENT_KIND.moved, from, now);
      return PLACED.moved;
    }
    if (!wasLearned) return PLACED.same;
    changes.tell(entry, EVENT_KIND.added, from, now);
    return PLACED.added;
  }
}
