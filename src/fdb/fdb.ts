import type { MacWords } from '../lib/addresses.ts';
import { Announcers } from './announcers.ts';
import { ChangeLock } from './change-lock.ts';
import { EntryChanges } from './entry-changes.ts';
import { type EntryView, viewOf } from './entry-view.ts';
import { EventRing } from './event-ring.ts';
import { Evictions } from './evictions.ts';
import { Fairness } from './fairness.ts';
import { Flapping } from './flapping.ts';
import { mapFdb } from './layout.ts';
import { answerAt, LEARNED, Learning, YIELDS } from './learning.ts';
import { type Placement, Placing, refusePlacements, refuseTooMany } from './placing.ts';
import { LOCAL, NO_REMOTE, RemoteTable, type SourceAddress } from './remotes.ts';
import { SegmentCounts, type SegmentReadings } from './segment-counts.ts';
import { CONTROL, DYNAMIC, EntryTable, NO_ENTRY, STATIC, TORN } from './table.ts';

// Types that callers need with it.
export type { EntryKind, EntryView } from './entry-view.ts';
export { LEARNED } from './learning.ts';
export { PLACED, PLACED_AT_ONCE, type Placement } from './placing.ts';
export { LOCAL_SOURCE, type SourceAddress } from './remotes.ts';

/** The result of `lookup` for an unknown MAC: the frame is flooded. */
export const UNKNOWN = -1;

/** Entries that `enforceLimit` removes under one lock: some hundred microseconds. */
const ENFORCED_AT_ONCE = 256;

/**
 * The forwarding database of all segments, shared by all threads. Each thread creates its own object over the same memory. Times are tenths of a
 * second of one monotonic clock. `lookup`, `conflicts` and the refresh in `learn` take no lock. All other methods take it, for less than a
 * microsecond at a time unless stated otherwise.
 *
 * Static entries have precedence over those of a control plane, and those over learned ones. Learned entries age, can be evicted and count in
 * max-macs. Static ones stay until they are deleted. Those of a control plane stay until it withdraws them.
 */
export class Fdb {
  readonly remotes: RemoteTable;
  /** The counters of each segment. */
  readonly counts: SegmentReadings;
  /** The VTEPs that announce their MACs by a control plane. `setAnnouncer` changes it. */
  readonly announcers: Pick<Announcers, 'isEmpty' | 'hasRemote'>;
  readonly #announcers: Announcers;
  readonly #table: EntryTable;
  readonly #flapping: Flapping;
  readonly #counts: SegmentCounts;
  readonly #events: EventRing;
  readonly #changes: EntryChanges;
  readonly #evictions: Evictions;
  readonly #learning: Learning;
  readonly #placing: Placing;
  readonly #lock: ChangeLock;
  readonly #rebuild = () => this.#changes.rebuild();

  /**
   * @param owner the thread's number, unique and above 0; marks the lock
   * @param patienceMs how long a writer waits for the lock before it throws LockTimeout; unlimited by default
   */
  constructor(memory: SharedArrayBuffer, owner: number, patienceMs?: number) {
    const regions = mapFdb(memory);
    const remotes = new RemoteTable(regions);
    const table = new EntryTable(regions);
    const flapping = new Flapping(regions);
    const counts = new SegmentCounts(regions);
    const events = new EventRing(regions, remotes);
    this.remotes = remotes;
    this.#announcers = new Announcers(regions, remotes);
    this.announcers = this.#announcers;
    this.#table = table;
    this.#flapping = flapping;
    this.counts = counts;
    this.#counts = counts;
    this.#events = events;
    const parts = { table, remotes, flapping, counts, events, fairness: new Fairness(regions) };
    this.#changes = new EntryChanges(parts);
    this.#evictions = new Evictions(regions, parts, this.#changes);
    this.#learning = new Learning(parts, this.#changes, this.#evictions);
    this.#placing = new Placing(parts, this.#changes, this.#evictions);
    this.#lock = new ChangeLock(regions.header, owner, patienceMs);
  }

  /** LOCAL, a remote id, or UNKNOWN. */
  lookup(segment: number, high: number, low: number, now: number): number {
    const entry = this.#table.find(segment, high, low);
    if (entry === NO_ENTRY) return UNKNOWN;
    const value = this.#table.consistentValue(entry, segment, high, low);
    if (value === TORN || ((value & DYNAMIC) !== 0 && this.#table.isExpired(entry, now))) return UNKNOWN;
    return value & 0xffff;
  }

  /** Whether sending to a remote that `lookup` returned is barred. */
  isBarred(remote: number): boolean {
    return this.remotes.isBarred(remote);
  }

  /** Whether a static entry places the MAC elsewhere than at `source`. Almost free in a segment without static entries. */
  conflicts(segment: number, high: number, low: number, source: SourceAddress): boolean {
    if (!this.#counts.hasStatics(segment)) return false;
    const entry = this.#table.find(segment, high, low);
    if (entry === NO_ENTRY) return false;
    const value = this.#table.consistentValue(entry, segment, high, low);
    return value !== TORN && (value & STATIC) !== 0 && !this.remotes.isAt(value & 0xffff, source);
  }

  /**
   * Learns that a frame with this source MAC came from `source`. The caller has refused group and zero MACs.
   *
   * @param maxMacs limit of learned entries of this segment
   * @returns one of LEARNED
   */
  learn(segment: number, high: number, low: number, source: SourceAddress, maxMacs: number, now: number): number {
    const entry = this.#table.find(segment, high, low);
    if (entry !== NO_ENTRY) {
      const value = this.#table.consistentValue(entry, segment, high, low);
      if (value !== TORN) {
        const isSame = this.remotes.isAt(value & 0xffff, source);
        const isLearned = (value & DYNAMIC) !== 0;
        if (!isLearned) {
          const answer = answerAt(value, isSame, source);
          if (answer !== YIELDS) return answer;
        }
        if (!isLearned || !this.#table.isExpired(entry, now)) {
          if (isSame) {
            this.#table.touch(entry, now);
            return LEARNED.refreshed;
          }
          if (this.#flapping.isHeld(entry, this.#table.movesOf(entry), now)) {
            this.#counts.addHeld(segment);
            return LEARNED.held;
          }
        }
      }
    }
    if (this.#announcers.has(segment, source)) return LEARNED.announced;
    this.#lock.acquire();
    try {
      const learned = this.#learning.learn({ segment, high, low }, source, maxMacs, now);
      if (learned === LEARNED.full) this.#counts.addFull(segment);
      if (learned === LEARNED.held) this.#counts.addHeld(segment);
      return learned;
    } catch (error) {
      this.#lock.breakDown();
      throw error;
    } finally {
      this.#lock.release();
    }
  }

  /** The result that `learn` would return if there is room. Nothing changes. */
  wouldLearn(segment: number, high: number, low: number, source: SourceAddress, now: number): number {
    const entry = this.#table.find(segment, high, low);
    const value = entry === NO_ENTRY ? TORN : this.#table.consistentValue(entry, segment, high, low);
    const isLearned = (value & DYNAMIC) !== 0;
    if (value === TORN || (isLearned && this.#table.isExpired(entry, now))) {
      return this.#announcers.has(segment, source) ? LEARNED.announced : LEARNED.added;
    }
    const isSame = this.remotes.isAt(value & 0xffff, source);
    const answer = isLearned ? YIELDS : answerAt(value, isSame, source);
    if (answer !== YIELDS) return answer;
    if (isSame) return LEARNED.refreshed;
    const moves = this.#table.movesOf(entry);
    if (this.#flapping.isHeld(entry, moves, now)) return LEARNED.held;
    if (this.#announcers.has(segment, source)) return LEARNED.announced;
    return this.#flapping.wouldHold(entry, moves, now) ? LEARNED.held : LEARNED.moved;
  }

  /**
   * Creates or keeps a static entry. It replaces an entry of another kind. `conflict`: a static entry names another place. `full`: there is no room.
   */
  addStatic(segment: number, high: number, low: number, source: SourceAddress, now: number): number {
    return this.#lock.run(() => this.#placing.addStatic({ segment, high, low }, source, now));
  }

  /**
   * Creates, keeps or moves entries of a control plane, all under one lock. They replace learned ones.
   *
   * @param placements at most PLACED_AT_ONCE
   * @returns one of PLACED for each
   * @throws RangeError for more placements, or one at LOCAL_SOURCE; nothing has changed then
   */
  placeAll(segment: number, placements: readonly Placement[], now: number): number[] {
    refusePlacements(placements);
    return this.#lock.run(() => placements.map((placement) => this.#placing.place(segment, placement, now)));
  }

  /**
   * Removes entries of a control plane, all under one lock. Entries of another kind stay.
   *
   * @param macs at most PLACED_AT_ONCE
   * @returns how many were removed
   * @throws RangeError for more MACs; nothing has changed then
   */
  withdrawAll(segment: number, macs: readonly MacWords[], now: number): number {
    refuseTooMany(macs.length);
    return this.#lock.run(() => macs.filter((mac) => this.#placing.withdraw(segment, mac, now)).length);
  }

  /** From now on, learned entries expire this long after they were last heard. 0: never. */
  setAgeing(seconds: number): void {
    this.#table.setAgeing(seconds * 10);
  }

  /** Removes the learned or static entry of a MAC. false: there is none, it had expired, or a control plane placed it. */
  delete(segment: number, high: number, low: number, now: number): boolean {
    return this.#lock.run(() => {
      const entry = this.#table.find(segment, high, low);
      return entry !== NO_ENTRY && this.#table.kindOf(entry) !== CONTROL && this.#changes.drop(entry, now);
    });
  }

  /**
   * Removes all entries that `matches` accepts, of any kind. The lock is released between them. Returns how many were removed, without expired ones.
   */
  flush(matches: (entry: EntryView) => boolean, now: number): number {
    return this.flushSlice(0, this.#table.end, matches, now).removed;
  }

  /** `flush` among `budget` records from record `from` on. Also returns the next record, 0 after the last one. */
  flushSlice(
    from: number,
    budget: number,
    matches: (entry: EntryView) => boolean,
    now: number,
  ): { readonly removed: number; readonly next: number } {
    const end = Math.min(this.#table.end, from + budget);
    let removed = 0;
    for (let entry = from; entry < end; entry++) {
      const view = viewOf(this.#table, entry);
      if (!view || !matches(view)) continue;
      if (this.#dropIfStill(view, now)) removed++;
    }
    return { removed, next: end < this.#table.end ? end : 0 };
  }

  /**
   * Calls `visit` for each entry that has not expired among `budget` records from record `from` on, in no order. Returns the next record, 0 after the
   * last one.
   */
  forEachSlice(from: number, budget: number, visit: (entry: EntryView) => void, now: number): number {
    const end = Math.min(this.#table.end, from + budget);
    for (let entry = from; entry < end; entry++) {
      const view = viewOf(this.#table, entry);
      if (view && (view.kind !== 'learned' || !this.#table.isExpired(entry, now))) visit(view);
    }
    return end < this.#table.end ? end : 0;
  }

  /** The entry of a MAC, unless it has expired. */
  entryOf(segment: number, high: number, low: number, now: number): EntryView | undefined {
    return this.#lock.run(() => {
      const entry = this.#table.find(segment, high, low);
      if (entry === NO_ENTRY) return undefined;
      return this.#table.isAlive(entry, now) ? viewOf(this.#table, entry) : undefined;
    });
  }

  /**
   * Removes expired entries among `budget` records from record `from` on, at most `removals` of them. One removal costs as much as examining some
   * hundred records. Returns the next record, or 0 after the last one: repeated calls sweep the whole table in slices.
   */
  sweep(from: number, budget: number, now: number, removals = budget): number {
    const end = Math.min(this.#table.end, from + budget);
    let left = removals;
    for (let entry = from; entry < end; entry++) {
      if (this.#table.kindOf(entry) !== DYNAMIC || !this.#table.isExpired(entry, now)) continue;
      this.#lock.run(() => {
        // The MAC may have been heard since, or the record may belong to another MAC.
        if (this.#table.kindOf(entry) === DYNAMIC && this.#table.isExpired(entry, now)) this.#changes.drop(entry, now);
      });
      if (--left === 0 && entry + 1 < this.#table.end) return entry + 1;
    }
    if (end < this.#table.end) return end;
    for (let remote = LOCAL + 1; remote < this.remotes.end; remote++) {
      if (!this.remotes.isIdle(remote, now)) continue;
      this.#lock.run(() => {
        if (this.remotes.isIdle(remote, now)) this.remotes.forget(remote);
      });
    }
    return 0;
  }

  /** Interns a remote of a flood list. NO_REMOTE if the table is full. Release it with `releaseRemote`. */
  retainRemote(address: SourceAddress): number {
    return this.#lock.run(() => {
      const remote = this.remotes.internSource(address);
      if (remote !== NO_REMOTE) this.remotes.pin(remote);
      return remote;
    });
  }

  /**
   * Sets whether a VTEP announces its MACs in a segment by a control plane: nothing new is learned from its frames then. Only for the main thread. Takes
   * no lock.
   *
   * @param remote is retained until it does not announce any more
   */
  setAnnouncer(segment: number, remote: number, announces: boolean): void {
    this.#announcers.set(segment, remote, announces);
  }

  releaseRemote(remote: number, now: number): void {
    this.#lock.run(() => this.remotes.unpin(remote, now));
  }

  /** Local entries of a segment, also expired ones, without those of the `stations`. */
  localsBeside(segment: number, stations: readonly MacWords[]): number {
    return this.#lock.run(() => {
      const own = stations.filter(({ high, low }) => {
        const entry = this.#table.find(segment, high, low);
        return entry !== NO_ENTRY && this.#table.remoteOf(entry) === LOCAL;
      });
      return this.#counts.localsOf(segment) - own.length;
    });
  }

  /** A number that changes whenever a MAC of any segment becomes local or stops being local, or a static entry is removed. */
  get localChanges(): number {
    return this.#counts.localChanges;
  }

  /** Resolves once `localChanges` is not `seen`, or after `patienceMs`. */
  localChange(seen: number, patienceMs: number): Promise<void> {
    return this.#counts.localChange(seen, patienceMs);
  }

  /** Entries of all segments. Expired ones count until the sweep removes them. */
  get count(): number {
    return this.#table.count;
  }

  /**
   * Evicts learned entries of a segment that has more than `maxMacs`, for example after the limit was lowered: first those of the VTEP with the most.
   * The lock is released after a few hundred. Returns whether the limit is met. If not, call it again.
   */
  enforceLimit(segment: number, maxMacs: number, now: number): boolean {
    return this.#lock.run(() => this.#evictions.enforceLimit(segment, maxMacs, now, ENFORCED_AT_ONCE));
  }

  /** Sets the counters of a segment to zero. The segment must have no entries. */
  resetSegment(segment: number): void {
    this.#counts.reset(segment);
  }

  /** Sets the VNI in the later events of a segment. */
  nameSegment(segment: number, vni: number): void {
    this.#counts.name(segment, vni);
  }

  /** The VNI in the events of a segment now. */
  vniOf(segment: number): number {
    return this.#counts.vniOf(segment);
  }

  /** Number of the next event, 32 bits that wrap. A reader of later events starts here. Takes no lock. */
  get nextEvent(): number {
    return this.#events.next;
  }

  /** The oldest events from number `from` on, as many as fit, each in the layout of EVENT. Also returns how many earlier ones are lost. */
  copyEvents(from: number, into: Int32Array): { readonly lost: number; readonly count: number } {
    return this.#lock.run(() => this.#events.copy(from, into));
  }

  /** Frees the lock that a dead thread held, and repairs what it left half-written. Returns whether there was anything to repair. */
  recover(deadOwner: number): boolean {
    return this.#lock.recover(deadOwner, this.#rebuild);
  }

  /** Repairs a change that an exception left half-written. Returns whether there was anything to repair. @throws LockTimeout */
  repair(): boolean {
    return this.#lock.repair(this.#rebuild);
  }

  /** Number of repairs. */
  get repairs(): number {
    return this.#lock.repairs;
  }

  /** Removes an entry that was read before, unless its kind has changed since. Returns whether it was alive. */
  #dropIfStill({ segment, high, low, kind }: EntryView, now: number): boolean {
    return this.#lock.run(() => {
      const entry = this.#table.find(segment, high, low);
      return entry !== NO_ENTRY && viewOf(this.#table, entry)?.kind === kind && this.#changes.drop(entry, now);
    });
  }
}
