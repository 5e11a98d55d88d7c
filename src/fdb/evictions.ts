import { MAX_EVICTED_MACS, REMOTE_EVICTIONS_PER_TENTH } from '../lib/limits.ts';
import type { EntryChanges, Parts } from './entry-changes.ts';
import type { Fairness } from './fairness.ts';
import { type FdbMemory, HEADER } from './layout.ts';
import { LOCAL, type RemoteTable } from './remotes.ts';
import type { SegmentCounts } from './segment-counts.ts';
import type { EntryTable } from './table.ts';

/** Selects the learned entries that are evicted to make room for others. All methods are called with the lock of the FDB held. */
export class Evictions {
  readonly #header: Int32Array;
  readonly #table: EntryTable;
  readonly #remotes: RemoteTable;
  readonly #fairness: Fairness;
  readonly #counts: SegmentCounts;
  readonly #changes: EntryChanges;
  readonly #heard = (entry: number): number => this.#table.heard(entry);
  readonly #isSmall = (remote: number): boolean => this.#remotes.isSmall(remote, MAX_EVICTED_MACS);

  constructor({ header }: FdbMemory, { table, remotes, fairness, counts }: Parts, changes: EntryChanges) {
    this.#header = header;
    this.#table = table;
    this.#remotes = remotes;
    this.#fairness = fairness;
    this.#counts = counts;
    this.#changes = changes;
  }

  /** Makes room in a segment for one more learned entry of `remote`. Returns whether there is room. */
  makeRoom(segment: number, remote: number, maxMacs: number, now: number): boolean {
    return this.#counts.learnedIn(segment) < maxMacs || this.#evict(segment, remote, now);
  }

  /** Makes room in the full table for an entry of `remote`. Returns whether there is room. */
  makeRecord(remote: number, now: number): boolean {
    return this.#evict(this.#fullest(remote), remote, now);
  }

  /**
   * Makes room among the remotes for a later one: a freed id may only be reused after a pause. This is done only a few times in a tenth of a second.
   */
  makeRemote(now: number): void {
    if (!this.#mayEvictRemote(now)) return;
    const group = this.#fairness.silentGroup(this.#heard, this.#isSmall);
    if (group < 0) return;
    for (let entry = this.#fairness.firstOf(group); entry >= 0; entry = this.#fairness.firstOf(group)) {
      this.#counts.addEviction(this.#table.segmentOf(entry));
      this.#changes.drop(entry, now);
    }
  }

  /**
   * Evicts learned entries of a segment until at most `maxMacs` are left, in the order of fairness. Evicts at most `budget` entries. Returns whether
   * the limit is met.
   */
  enforceLimit(segment: number, maxMacs: number, now: number, budget: number): boolean {
    for (let left = budget; this.#counts.learnedIn(segment) > maxMacs; left--) {
      if (left === 0) return false;
      if (!this.#evict(segment, LOCAL, now)) return true;
    }
    return true;
  }

  #mayEvictRemote(now: number): boolean {
    const header = this.#header;
    if (header[HEADER.remoteTenth] !== now) {
      header[HEADER.remoteTenth] = now;
      header[HEADER.remoteEvictions] = 0;
    }
    const evictions = header[HEADER.remoteEvictions] as number;
    header[HEADER.remoteEvictions] = evictions + 1;
    return evictions < REMOTE_EVICTIONS_PER_TENTH;
  }

  /** The segment with the most learned entries, of those in which `remote` may replace an entry. Examines all segments. */
  #fullest(remote: number): number {
    let fullest = 0;
    for (let segment = 1; segment < this.#counts.end; segment++) {
      const isFuller = this.#counts.learnedIn(segment) > this.#counts.learnedIn(fullest);
      const isFirst = !this.#fairness.hasVictim(fullest, remote);
      if ((isFuller || isFirst) && this.#fairness.hasVictim(segment, remote)) fullest = segment;
    }
    return fullest;
  }

  #evict(segment: number, remote: number, now: number): boolean {
    const entry = this.#fairness.victim(segment, remote, this.#heard);
    if (entry < 0) return false;
    this.#changes.drop(entry, now);
    this.#counts.addEviction(segment);
    return true;
  }
}
