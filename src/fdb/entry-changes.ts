import { MAX_EVICTED_MACS, REMOTE_EVICTIONS_PER_TENTH } from '../lib/limits.ts';
import { EVENT_KIND, type EventRing, STATIC_EVENT } from './event-ring.ts';
import { Fairness } from './fairness.ts';
import { type Flapping, MOVE } from './flapping.ts';
import { type FdbMemory, HEADER } from './layout.ts';
import { LOCAL, NO_REMOTE, type RemoteTable, type SourceAddress } from './remotes.ts';
import type { SegmentCounts } from './segment-counts.ts';
import { DYNAMIC, type EntryTable, NO_ENTRY, STATIC } from './table.ts';

/** What became of a heard source MAC. */
export const LEARNED = {
  /** Known at this remote already; its age starts again. */
  refreshed: 0,
  added: 1,
  moved: 2,
  /** A static entry says it lives elsewhere: the frame is dropped. */
  conflict: 3,
  /** No room, and nobody may be evicted for it: the MAC is unknown from now on. The frame is forwarded all the same. */
  full: 4,
  /** It moved too often, and for a while stays where it was. The frame is forwarded all the same. */
  held: 5,
} as const;

interface Parts {
  readonly table: EntryTable;
  readonly remotes: RemoteTable;
  readonly flapping: Flapping;
  readonly counts: SegmentCounts;
  readonly events: EventRing;
}

/**
 * The policy: learn, move, hold, evict, static. Whatever changes an entry is here, because each change keeps the table, the remotes, the
 * counts and the events in step. Everything is called with the FDB's lock held.
 */
export class EntryChanges {
  readonly #header: Int32Array;
  readonly #table: EntryTable;
  readonly #remotes: RemoteTable;
  readonly #fairness: Fairness;
  readonly #flapping: Flapping;
  readonly #counts: SegmentCounts;
  readonly #events: EventRing;
  readonly #heard = (entry: number): number => this.#table.heard(entry);
  readonly #isSmall = (remote: number): boolean => this.#remotes.isSmall(remote, MAX_EVICTED_MACS);

  constructor(memory: FdbMemory, { table, remotes, flapping, counts, events }: Parts) {
    this.#header = memory.header;
    this.#table = table;
    this.#remotes = remotes;
    this.#fairness = new Fairness(memory);
    this.#flapping = flapping;
    this.#counts = counts;
    this.#events = events;
  }

  /** What `Fdb.learn` says, of a MAC that is not simply refreshed. */
  learn(
    mac: { segment: number; high: number; low: number },
    source: SourceAddress,
    maxMacs: number,
    now: number,
  ): number {
    const { segment, high, low } = mac;
    const known = this.#table.find(segment, high, low);
    if (known !== NO_ENTRY && this.#table.kindOf(known) === STATIC) {
      return this.#remotes.isAt(this.#table.remoteOf(known), source) ? LEARNED.refreshed : LEARNED.conflict;
    }
    const remote = this.#remotes.internSource(source);
    if (remote === NO_REMOTE) return this.#learnNowhere(known, now);
    if (known !== NO_ENTRY) return this.#learnKnown(known, remote, now);

    if (this.#counts.learnedIn(segment) >= maxMacs && !this.#evict(segment, remote, now)) return LEARNED.full;
    let entry = this.#table.insert({ segment, high, low, remote, kind: DYNAMIC, now });
    if (entry === NO_ENTRY) {
      if (!this.#evict(this.#fullest(remote), remote, now)) return LEARNED.full;
      entry = this.#table.insert({ segment, high, low, remote, kind: DYNAMIC, now });
      if (entry === NO_ENTRY) return LEARNED.full;
    }
    this.#remotes.retain(remote);
    this.#fairness.add(entry, segment, remote);
    this.#counts.add(segment, DYNAMIC, remote, 1);
    this.#tell(entry, EVENT_KIND.added, NO_REMOTE, now);
    return LEARNED.added;
  }

  /** What `Fdb.addStatic` says. */
  addStatic(segment: number, high: number, low: number, source: SourceAddress, now: number): number {
    const remote = this.#remotes.internSource(source);
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
    this.#remotes.retain(remote);
    this.#counts.add(segment, STATIC, remote, 1);
    this.#tell(made, EVENT_KIND.added, replaced, now);
    return LEARNED.added;
  }

  /** Removes learned entries of a segment until it has `maxMacs` at most, those that fairness would take; `budget` of them at most. Whether that is enough. */
  enforceLimit(segment: number, maxMacs: number, now: number, budget: number): boolean {
    for (let left = budget; this.#counts.learnedIn(segment) > maxMacs; left--) {
      if (left === 0) return false;
      if (!this.#evict(segment, LOCAL, now)) return true;
    }
    return true;
  }

  /** Removes an entry and tells of it: one that had expired has aged, whatever found it. Whether it was alive. */
  drop(entry: number, now: number): boolean {
    const isAlive = this.#table.kindOf(entry) === STATIC || !this.#table.isExpired(entry, now);
    this.#tell(entry, isAlive ? EVENT_KIND.deleted : EVENT_KIND.aged, NO_REMOTE, now);
    this.#remove(entry, now);
    return isAlive;
  }

  /** Makes everything anew that the entries say, after a writer died half-way. */
  rebuild(): void {
    this.#table.rebuild();
    this.#remotes.rebuild();
    this.#fairness.clear();
    this.#counts.clear();
    for (let entry = 0; entry < this.#table.end; entry++) this.#addAgain(entry);
    this.#events.append(EVENT_KIND.repaired, 0, 0, 0, LOCAL, NO_REMOTE, 0);
  }

  #addAgain(entry: number): void {
    const kind = this.#table.kindOf(entry);
    if (kind === 0) return;
    const segment = this.#table.segmentOf(entry);
    const remote = this.#table.remoteOf(entry);
    this.#remotes.retain(remote);
    this.#counts.add(segment, kind, remote, 1);
    if (kind === STATIC) return;
    this.#fairness.add(entry, segment, remote);
    this.#flapping.forget(entry, this.#table.movesOf(entry));
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
    const moves = this.#table.movesOf(entry);
    if (this.#flapping.isHeld(entry, moves, now)) return LEARNED.held;
    if (this.#flapping.judge(entry, moves, now) === MOVE.refused) {
      this.#tell(entry, EVENT_KIND.held, remote, now);
      return LEARNED.held;
    }
    this.#place(entry, remote, moves + 1, now);
    this.#counts.addMove(this.#table.segmentOf(entry));
    this.#tell(entry, EVENT_KIND.moved, from, now);
    return LEARNED.moved;
  }

  /** Makes a learned entry say another remote. */
  #place(entry: number, remote: number, moves: number, now: number): void {
    const [segment, from] = [this.#table.segmentOf(entry), this.#table.remoteOf(entry)];
    this.#fairness.remove(entry);
    this.#remotes.release(from, now);
    this.#table.update(entry, { remote, kind: DYNAMIC, moves, now });
    this.#remotes.retain(remote);
    this.#fairness.add(entry, segment, remote);
    if (from === remote) return;
    this.#counts.addLocal(segment, from, -1);
    this.#counts.addLocal(segment, remote, 1);
  }

  /**
   * A MAC was heard at a VTEP that there is no room for. What was known of it is no longer true: without an entry, frames to it are flooded. Room
   * is made for whoever comes later, since a number that was somebody's must rest for a while.
   */
  #learnNowhere(known: number, now: number): number {
    if (known !== NO_ENTRY) {
      if (this.#flapping.isHeld(known, this.#table.movesOf(known), now)) return LEARNED.held;
      this.drop(known, now);
    }
    if (this.#mayEvictRemote(now)) this.#evictRemote(now);
    return LEARNED.full;
  }

  #evictRemote(now: number): void {
    const group = this.#fairness.silentGroup(this.#heard, this.#isSmall);
    if (group < 0) return;
    for (let entry = this.#fairness.firstOf(group); entry >= 0; entry = this.#fairness.firstOf(group)) {
      this.#counts.addEviction(this.#table.segmentOf(entry));
      this.drop(entry, now);
    }
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

  /** The segment with the most learned entries among those in which `remote` may take one's place; walks all. */
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
    this.drop(entry, now);
    this.#counts.addEviction(segment);
    return true;
  }

  #remove(entry: number, now: number): void {
    const segment = this.#table.segmentOf(entry);
    const remote = this.#table.remoteOf(entry);
    const kind = this.#table.kindOf(entry);
    if (kind === DYNAMIC) this.#fairness.remove(entry);
    this.#table.remove(entry);
    this.#remotes.release(remote, now);
    this.#counts.add(segment, kind, remote, -1);
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
}
