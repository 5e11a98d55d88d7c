import type { MacWords } from '../lib/addresses.ts';
import { EVENT_KIND, EventRing, STATIC_EVENT } from './event-ring.ts';
import { Fairness } from './fairness.ts';
import { Flapping, MOVE } from './flapping.ts';
import { HEADER, mapFdb, SEGMENT } from './layout.ts';
import { SharedLock } from './lock.ts';
import { LOCAL, NO_REMOTE, RemoteTable } from './remotes.ts';
import { DYNAMIC, EntryTable, NO_ENTRY, STATIC, TORN } from './table.ts';

/** What `lookup` answers for a MAC that is not known: flood. */
export const UNKNOWN = -1;

/** What became of a heard source MAC. */
export const LEARNED = {
  /** Known at this remote already; its age starts again. */
  refreshed: 0,
  added: 1,
  moved: 2,
  /** A static entry says it lives elsewhere: the frame is dropped. */
  conflict: 3,
  /** No room, and nobody may be evicted for it. The frame is forwarded all the same. */
  full: 4,
  /** It moved too often, and for a while stays where it was. The frame is forwarded all the same. */
  held: 5,
} as const;

/** The outer source address of a frame as four signed words, IPv4 as ::ffff:a.b.c.d; LOCAL_SOURCE for frames of the TAP. */
export interface SourceAddress {
  a: number;
  b: number;
  c: number;
  d: number;
}

/** Stands for "behind our own TAP". */
export const LOCAL_SOURCE: SourceAddress = { a: 0, b: 0, c: 0, d: 0 };

/** One entry as the control plane sees it. `remote` LOCAL or a remote id; `heard` in tenths of a second. */
export interface EntryView {
  readonly segment: number;
  readonly high: number;
  readonly low: number;
  readonly remote: number;
  readonly isStatic: boolean;
  readonly heard: number;
  readonly moves: number;
}

/**
 * The forwarding database of all segments, shared by all threads; each makes one of these over the same memory. Times are tenths of a
 * second of one monotonic clock. `lookup`, `conflicts` and the refresh in `learn` take no lock; all else does, for less than a
 * microsecond at a time.
 */
export class Fdb {
  readonly remotes: RemoteTable;
  readonly #table: EntryTable;
  readonly #fairness: Fairness;
  readonly #flapping: Flapping;
  readonly #events: EventRing;
  readonly #lock: SharedLock;
  readonly #segments: Int32Array;
  readonly #header: Int32Array;
  readonly #heard = (entry: number): number => this.#table.heard(entry);

  /**
   * @param owner the thread's number, unique and above 0; marks the lock
   * @param patienceMs how long a writer waits for the lock before it throws LockTimeout; for ever unless given
   */
  constructor(memory: SharedArrayBuffer, owner: number, patienceMs?: number) {
    const regions = mapFdb(memory);
    this.remotes = new RemoteTable(regions);
    this.#table = new EntryTable(regions);
    this.#fairness = new Fairness(regions);
    this.#flapping = new Flapping(regions);
    this.#events = new EventRing(regions, this.remotes);
    this.#lock = new SharedLock(regions.header, HEADER.lock, owner, patienceMs);
    this.#segments = regions.segments;
    this.#header = regions.header;
  }

  /** LOCAL, a remote id, or UNKNOWN. */
  lookup(segment: number, high: number, low: number, now: number): number {
    const entry = this.#table.find(segment, high, low);
    if (entry === NO_ENTRY) return UNKNOWN;
    const value = this.#table.consistentValue(entry, segment, high, low);
    if (value === TORN || ((value & DYNAMIC) !== 0 && this.#table.isExpired(entry, now))) return UNKNOWN;
    return value & 0xffff;
  }

  /** Whether a static entry says that the MAC lives elsewhere than at `source`. Costs next to nothing in a segment without static entries. */
  conflicts(segment: number, high: number, low: number, source: SourceAddress): boolean {
    if (this.#segments[segment * SEGMENT.words + SEGMENT.statics] === 0) return false;
    const entry = this.#table.find(segment, high, low);
    if (entry === NO_ENTRY) return false;
    const value = this.#table.consistentValue(entry, segment, high, low);
    return value !== TORN && (value & STATIC) !== 0 && !this.#isAt(value & 0xffff, source);
  }

  /**
   * Takes note that a frame with this source MAC came from `source`. The caller has refused group and zero MACs.
   *
   * @param maxMacs bound on learned entries of this segment
   * @returns one of LEARNED
   */
  learn(segment: number, high: number, low: number, source: SourceAddress, maxMacs: number, now: number): number {
    const entry = this.#table.find(segment, high, low);
    if (entry !== NO_ENTRY) {
      const value = this.#table.consistentValue(entry, segment, high, low);
      if (value !== TORN) {
        const isSame = this.#isAt(value & 0xffff, source);
        if ((value & STATIC) !== 0) return isSame ? LEARNED.refreshed : LEARNED.conflict;
        if (!this.#table.isExpired(entry, now)) {
          if (isSame) {
            this.#table.touch(entry, now);
            return LEARNED.refreshed;
          }
          if (this.#isHeld(entry, now)) return LEARNED.held;
        }
      }
    }
    this.#lock.acquire();
    try {
      return this.#learnLocked({ segment, high, low }, source, maxMacs, now);
    } finally {
      this.#lock.release();
    }
  }

  /** Makes or keeps a static entry; it replaces a learned one. `conflict` if a static one names another place, `full` if there is no room. */
  addStatic(segment: number, high: number, low: number, source: SourceAddress, now: number): number {
    return this.#locked(() => {
      const remote = this.#intern(source);
      if (remote === NO_REMOTE) return LEARNED.full;
      const entry = this.#table.find(segment, high, low);
      if (entry !== NO_ENTRY && this.#table.kindOf(entry) === STATIC) {
        return this.#table.remoteOf(entry) === remote ? LEARNED.refreshed : LEARNED.conflict;
      }
      let replaced = NO_REMOTE;
      if (entry !== NO_ENTRY) {
        if (this.#table.isExpired(entry, now)) this.#tell(entry, EVENT_KIND.aged, NO_REMOTE, now);
        else replaced = this.#table.remoteOf(entry);
        this.#remove(entry, now);
      }
      const made = this.#table.insert({ segment, high, low, remote, kind: STATIC, now });
      if (made === NO_ENTRY) return LEARNED.full;
      this.remotes.retain(remote);
      this.#countLocal(segment, remote, 1);
      this.#count(segment, SEGMENT.total, 1);
      this.#count(segment, SEGMENT.statics, 1);
      this.#tell(made, EVENT_KIND.added, replaced, now);
      return LEARNED.added;
    });
  }

  /** Removes the entry of a MAC, static ones too; false if there is none or it had expired. */
  delete(segment: number, high: number, low: number, now: number): boolean {
    return this.#locked(() => {
      const entry = this.#table.find(segment, high, low);
      if (entry === NO_ENTRY) return false;
      const wasAlive = this.#isAlive(entry, now);
      this.#drop(entry, now);
      return wasAlive;
    });
  }

  /** Removes all entries that `matches` says; the lock is let go between them. How many were removed, expired ones not counted. */
  flush(matches: (entry: EntryView) => boolean, now: number): number {
    return this.flushSlice(0, this.#table.end, matches, now).removed;
  }

  /** `flush` among `budget` records from record `from` on, and where to go on, 0 after the last record. */
  flushSlice(
    from: number,
    budget: number,
    matches: (entry: EntryView) => boolean,
    now: number,
  ): { readonly removed: number; readonly next: number } {
    const end = Math.min(this.#table.end, from + budget);
    let removed = 0;
    for (let entry = from; entry < end; entry++) {
      const view = this.#view(entry);
      if (!view || !matches(view)) continue;
      if (this.delete(view.segment, view.high, view.low, now)) removed++;
    }
    return { removed, next: end < this.#table.end ? end : 0 };
  }

  /** Calls `visit` for every entry that has not expired, in no order. */
  forEach(visit: (entry: EntryView) => void, now: number): void {
    for (let entry = 0; entry < this.#table.end; entry++) {
      const view = this.#view(entry);
      if (view && (view.isStatic || !this.#table.isExpired(entry, now))) visit(view);
    }
  }

  /**
   * Removes expired entries among `budget` records from record `from` on, at most `removals` of them: a removal costs as much as looking at
   * some hundred records. Where to go on, or 0 after the last record: call it again and again to sweep all, a piece at a time.
   */
  sweep(from: number, budget: number, now: number, removals = budget): number {
    const end = Math.min(this.#table.end, from + budget);
    let left = removals;
    for (let entry = from; entry < end; entry++) {
      if (this.#table.kindOf(entry) !== DYNAMIC || !this.#table.isExpired(entry, now)) continue;
      this.#locked(() => {
        // It may have been heard, or become another MAC's, since.
        if (this.#table.kindOf(entry) === DYNAMIC && this.#table.isExpired(entry, now)) this.#drop(entry, now);
      });
      if (--left === 0 && entry + 1 < this.#table.end) return entry + 1;
    }
    if (end < this.#table.end) return end;
    for (let remote = LOCAL + 1; remote < this.remotes.end; remote++) {
      if (!this.remotes.isIdle(remote, now)) continue;
      this.#locked(() => {
        if (this.remotes.isIdle(remote, now)) this.remotes.forget(remote);
      });
    }
    return 0;
  }

  /** Interns a remote of a flood list; NO_REMOTE if the table is full. Give it back with `releaseRemote`. */
  retainRemote(address: SourceAddress): number {
    return this.#locked(() => {
      const remote = this.#intern(address);
      if (remote !== NO_REMOTE) this.remotes.pin(remote);
      return remote;
    });
  }

  releaseRemote(remote: number, now: number): void {
    this.#locked(() => this.remotes.unpin(remote, now));
  }

  /** Entries of a segment, static ones included; expired ones are counted until the sweep takes them. */
  countOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.total);
  }

  /** Local entries of a segment, likewise. */
  localsOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.locals);
  }

  /** Local entries of a segment, likewise, those of the `stations` left out. */
  localsBeside(segment: number, stations: readonly MacWords[]): number {
    return this.#locked(() => {
      const own = stations.filter(({ high, low }) => {
        const entry = this.#table.find(segment, high, low);
        return entry !== NO_ENTRY && this.#table.remoteOf(entry) === LOCAL;
      });
      return this.localsOf(segment) - own.length;
    });
  }

  /** A number that changes whenever a MAC of any segment becomes local or is so no more. */
  get localChanges(): number {
    return Atomics.load(this.#header, HEADER.localChanges);
  }

  /** Resolves once `localChanges` is not `seen`, or after `patienceMs`. */
  async localChange(seen: number, patienceMs: number): Promise<void> {
    await Atomics.waitAsync(this.#header, HEADER.localChanges, seen, patienceMs).value;
  }

  /** Entries of all segments, likewise. */
  get count(): number {
    return this.#table.count;
  }

  /** Moves of learned MACs in a segment since it was made. */
  movesOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.moves);
  }

  /** Starts a segment's counters at zero. Its number must have no entries. */
  resetSegment(segment: number): void {
    this.#segments.fill(0, segment * SEGMENT.words, (segment + 1) * SEGMENT.words);
  }

  /** The VNI that a segment's events say, from the next one on. */
  nameSegment(segment: number, vni: number): void {
    this.#segments[segment * SEGMENT.words + SEGMENT.vni] = vni;
  }

  /** Number of the next event, 32 bits that wrap: where a reader starts who wants to know what happens from now on. Takes no lock. */
  get nextEvent(): number {
    return this.#events.next;
  }

  /** The oldest events from number `from` on, as many as fit, each as EVENT says; and how many before them are lost. */
  copyEvents(from: number, into: Int32Array): { readonly lost: number; readonly count: number } {
    return this.#locked(() => this.#events.copy(from, into));
  }

  /** Frees what a dead thread held, and repairs what it left half-written. Whether there was anything to repair. */
  recover(deadOwner: number): boolean {
    if (!this.#lock.seize(deadOwner)) return false;
    try {
      this.#table.rebuild();
      this.remotes.rebuild();
      this.#fairness.clear();
      for (let at = 0; at < this.#segments.length; at += SEGMENT.words) {
        this.#segments[at + SEGMENT.learned] = 0;
        this.#segments[at + SEGMENT.total] = 0;
        this.#segments[at + SEGMENT.statics] = 0;
        this.#segments[at + SEGMENT.locals] = 0;
      }
      for (let entry = 0; entry < this.#table.end; entry++) this.#countAgain(entry);
      this.#tellLocalChange();
      this.#events.append(EVENT_KIND.repaired, 0, 0, 0, LOCAL, NO_REMOTE, 0);
    } finally {
      this.#lock.release();
    }
    return true;
  }

  #countAgain(entry: number): void {
    const kind = this.#table.kindOf(entry);
    if (kind === 0) return;
    const segment = this.#table.segmentOf(entry);
    const remote = this.#table.remoteOf(entry);
    this.remotes.retain(remote);
    this.#countLocal(segment, remote, 1);
    this.#count(segment, SEGMENT.total, 1);
    if (kind === STATIC) {
      this.#count(segment, SEGMENT.statics, 1);
      return;
    }
    this.#count(segment, SEGMENT.learned, 1);
    this.#fairness.add(entry, segment, remote);
    this.#flapping.forget(entry, this.#table.movesOf(entry));
  }

  #learnLocked(
    mac: { segment: number; high: number; low: number },
    source: SourceAddress,
    maxMacs: number,
    now: number,
  ): number {
    const { segment, high, low } = mac;
    const known = this.#table.find(segment, high, low);
    if (known !== NO_ENTRY && this.#table.kindOf(known) === STATIC) {
      return this.#isAt(this.#table.remoteOf(known), source) ? LEARNED.refreshed : LEARNED.conflict;
    }
    const remote = this.#intern(source);
    if (remote === NO_REMOTE) return LEARNED.full;
    if (known !== NO_ENTRY) return this.#learnKnown(known, remote, now);

    if (this.#learnedIn(segment) >= maxMacs && !this.#evict(segment, remote, now)) return LEARNED.full;
    let entry = this.#table.insert({ segment, high, low, remote, kind: DYNAMIC, now });
    if (entry === NO_ENTRY) {
      if (!this.#evict(this.#fullestSegment(), remote, now)) return LEARNED.full;
      entry = this.#table.insert({ segment, high, low, remote, kind: DYNAMIC, now });
    }
    this.remotes.retain(remote);
    this.#fairness.add(entry, segment, remote);
    this.#countLocal(segment, remote, 1);
    this.#count(segment, SEGMENT.total, 1);
    this.#count(segment, SEGMENT.learned, 1);
    this.#tell(entry, EVENT_KIND.added, NO_REMOTE, now);
    return LEARNED.added;
  }

  /** Of an entry that is known, perhaps only since the lock was asked for. */
  #learnKnown(entry: number, remote: number, now: number): number {
    // An expired entry is as good as gone: what is heard now is a new one, neither a refresh nor a move.
    if (this.#table.isExpired(entry, now)) {
      this.#tell(entry, EVENT_KIND.aged, NO_REMOTE, now);
      this.#place(entry, remote, 0, now);
      this.#tell(entry, EVENT_KIND.added, NO_REMOTE, now);
      return LEARNED.added;
    }
    const from = this.#table.remoteOf(entry);
    if (from === remote) {
      this.#table.touch(entry, now);
      return LEARNED.refreshed;
    }
    if (this.#isHeld(entry, now)) return LEARNED.held;
    const moves = this.#table.movesOf(entry);
    if (this.#flapping.judge(entry, moves, now) === MOVE.refused) {
      this.#tell(entry, EVENT_KIND.held, remote, now);
      return LEARNED.held;
    }
    this.#place(entry, remote, moves + 1, now);
    this.#count(this.#table.segmentOf(entry), SEGMENT.moves, 1);
    this.#tell(entry, EVENT_KIND.moved, from, now);
    return LEARNED.moved;
  }

  /** Makes a learned entry say another remote. */
  #place(entry: number, remote: number, moves: number, now: number): void {
    const [segment, from] = [this.#table.segmentOf(entry), this.#table.remoteOf(entry)];
    this.#fairness.remove(entry);
    this.remotes.release(from, now);
    this.#table.update(entry, { remote, kind: DYNAMIC, moves, now });
    this.remotes.retain(remote);
    this.#fairness.add(entry, segment, remote);
    if (from === remote) return;
    this.#countLocal(segment, from, -1);
    this.#countLocal(segment, remote, 1);
  }

  #evict(segment: number, remote: number, now: number): boolean {
    const entry = this.#fairness.victim(segment, remote, this.#heard);
    if (entry < 0) return false;
    this.#drop(entry, now);
    this.#count(segment, SEGMENT.evictions, 1);
    return true;
  }

  /** Removes an entry and tells of it: one that had expired has aged, whatever found it. */
  #drop(entry: number, now: number): void {
    this.#tell(entry, this.#isAlive(entry, now) ? EVENT_KIND.deleted : EVENT_KIND.aged, NO_REMOTE, now);
    this.#remove(entry, now);
  }

  #remove(entry: number, now: number): void {
    const segment = this.#table.segmentOf(entry);
    const remote = this.#table.remoteOf(entry);
    if (this.#table.kindOf(entry) === DYNAMIC) {
      this.#fairness.remove(entry);
      this.#count(segment, SEGMENT.learned, -1);
    } else {
      this.#count(segment, SEGMENT.statics, -1);
    }
    this.#table.remove(entry);
    this.remotes.release(remote, now);
    this.#countLocal(segment, remote, -1);
    this.#count(segment, SEGMENT.total, -1);
  }

  /** Only asked when all entries of all segments are taken. */
  #fullestSegment(): number {
    let fullest = 0;
    for (let segment = 1; segment < (this.#header[HEADER.segmentsUsed] as number); segment++) {
      if (this.#learnedIn(segment) > this.#learnedIn(fullest)) fullest = segment;
    }
    return fullest;
  }

  #view(entry: number): EntryView | undefined {
    const table = this.#table;
    const [segment, high, low] = [table.segmentOf(entry), table.macHighOf(entry), table.macLowOf(entry)];
    const [heard, moves] = [table.heard(entry), table.movesOf(entry)];
    const value = table.consistentValue(entry, segment, high, low);
    if (value === TORN) return undefined;
    return { segment, high, low, remote: value & 0xffff, isStatic: (value & STATIC) !== 0, heard, moves };
  }

  #tell(entry: number, kind: number, from: number, now: number): void {
    const table = this.#table;
    const event = table.kindOf(entry) === STATIC ? kind | STATIC_EVENT : kind;
    const segment = table.segmentOf(entry);
    this.#events.append(
      event,
      segment,
      table.macHighOf(entry),
      table.macLowOf(entry),
      table.remoteOf(entry),
      from,
      now,
    );
  }

  #isHeld(entry: number, now: number): boolean {
    return this.#flapping.isHeld(entry, this.#table.movesOf(entry), now);
  }

  #isAlive(entry: number, now: number): boolean {
    return this.#table.kindOf(entry) === STATIC || !this.#table.isExpired(entry, now);
  }

  #isAt(remote: number, source: SourceAddress): boolean {
    if (remote === LOCAL) return source === LOCAL_SOURCE;
    const { remotes } = this;
    return (
      remotes.word(remote, 3) === source.d &&
      remotes.word(remote, 2) === source.c &&
      remotes.word(remote, 1) === source.b &&
      remotes.word(remote, 0) === source.a
    );
  }

  #intern(source: SourceAddress): number {
    return source === LOCAL_SOURCE ? LOCAL : this.remotes.intern(source.a, source.b, source.c, source.d);
  }

  #learnedIn(segment: number): number {
    return this.#segments[segment * SEGMENT.words + SEGMENT.learned] as number;
  }

  /** Counts an entry if it is a local one. */
  #countLocal(segment: number, remote: number, step: number): void {
    if (remote !== LOCAL) return;
    this.#count(segment, SEGMENT.locals, step);
    this.#tellLocalChange();
  }

  #tellLocalChange(): void {
    Atomics.add(this.#header, HEADER.localChanges, 1);
    Atomics.notify(this.#header, HEADER.localChanges);
  }

  #count(segment: number, word: number, step: number): void {
    Atomics.add(this.#segments, segment * SEGMENT.words + word, step);
    if (segment >= (this.#header[HEADER.segmentsUsed] as number)) this.#header[HEADER.segmentsUsed] = segment + 1;
  }

  #locked<Result>(write: () => Result): Result {
    this.#lock.acquire();
    try {
      return write();
    } finally {
      this.#lock.release();
    }
  }
}
