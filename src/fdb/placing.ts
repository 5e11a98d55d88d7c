import type { MacWords } from '../lib/addresses.ts';
import type { EntryChanges, Parts, SegmentMac } from './entry-changes.ts';
import { EVENT_KIND } from './event-ring.ts';
import type { Evictions } from './evictions.ts';
import { LEARNED } from './learning.ts';
import { LOCAL_SOURCE, NO_REMOTE, type RemoteTable, type SourceAddress } from './remotes.ts';
import { CONTROL, DYNAMIC, type EntryTable, NO_ENTRY, STATIC, STICKY } from './table.ts';

/** The results of placing a MAC for a control plane. */
export const PLACED = {
  /** The MAC was unknown, or was learned there. */
  added: 0,
  /** The MAC was learned elsewhere, or placed elsewhere. */
  moved: 1,
  /** The MAC was placed there already. It is sticky if the new placement says so. */
  same: 2,
  /** A static entry exists for the MAC, and nothing changes. */
  outranked: 3,
  /** There is no room for the entry or for its VTEP. What was known of the MAC is wrong now and is removed: frames to it are flooded. */
  full: 4,
} as const;

/** A placement of a MAC by a control plane. The MAC is neither group nor zero. */
export interface Placement extends MacWords {
  /** The address of one VTEP, never LOCAL_SOURCE. */
  readonly at: SourceAddress;
  /** Whether it stays there when it is heard behind the own TAP (RFC 7432 §15.2). */
  readonly isSticky: boolean;
}

/** Maximum placements or withdrawals of one call, which hold the lock together: some hundred microseconds. */
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

/** Entries that are not learned: static entries, and those of a control plane. All methods are called with the lock of the FDB held. */
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

  /** The result of `Fdb.addStatic`. */
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

  /** One placement of `Fdb.placeAll`. Returns one of PLACED. */
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

  /** Withdraws a placement. Returns whether there was such an entry. */
  withdraw(segment: number, { high, low }: MacWords, now: number): boolean {
    const entry = this.#table.find(segment, high, low);
    if (entry === NO_ENTRY || this.#table.kindOf(entry) !== CONTROL) return false;
    return this.#changes.drop(entry, now);
  }

  /**
   * For an entry that was learned or placed. A placement is not judged as a move: the control plane counts its moves itself. The count of learned
   * moves stays, so that a MAC which is alternately heard here and placed elsewhere is held in the end.
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
