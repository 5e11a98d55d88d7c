import type { EntryChanges, Parts, SegmentMac } from './entry-changes.ts';
import { EVENT_KIND } from './event-ring.ts';
import type { Evictions } from './evictions.ts';
import { type Flapping, MOVE } from './flapping.ts';
import { LOCAL_SOURCE, NO_REMOTE, type RemoteTable, type SourceAddress } from './remotes.ts';
import type { SegmentCounts } from './segment-counts.ts';
import { CONTROL, DYNAMIC, type EntryTable, NO_ENTRY, STATIC, STICKY } from './table.ts';

/** What became of a heard source MAC. */
export const LEARNED = {
  /** Known at this remote already. If it was learned, its age starts again. */
  refreshed: 0,
  added: 1,
  moved: 2,
  /** A static entry says it lives elsewhere: the frame is dropped. */
  conflict: 3,
  /** No room, and nobody may be evicted for it. What was learned of the MAC is forgotten. The frame is forwarded all the same. */
  full: 4,
  /** It moved too often, and for a while stays where it was. The frame is forwarded all the same. */
  held: 5,
  /** A control plane says it lives elsewhere, and nothing changes. The frame is forwarded all the same: it may be a late one. */
  outranked: 6,
} as const;

/** What `answerAt` says of an entry that yields to the frame. */
export const YIELDS = -1;

/**
 * What a frame from `source` is answered at an entry that is not a learned one. A control plane may be late to hear of a MAC that has come
 * behind the own TAP: its entry yields to that, unless it is sticky. It does not yield to another VTEP: a late frame from where the MAC was
 * must not undo a move (RFC 7432 §15).
 *
 * @param bits as `EntryTable.bitsOf` answers them
 * @param isSame whether the entry says `source`
 * @returns one of LEARNED, or YIELDS
 */
export function answerAt(bits: number, isSame: boolean, source: SourceAddress): number {
  if (isSame) return LEARNED.refreshed;
  if ((bits & STATIC) !== 0) return LEARNED.conflict;
  return source === LOCAL_SOURCE && (bits & STICKY) === 0 ? YIELDS : LEARNED.outranked;
}

/** What is heard: learn, move, hold. Everything is called with the FDB's lock held. */
export class Learning {
  readonly #table: EntryTable;
  readonly #remotes: RemoteTable;
  readonly #flapping: Flapping;
  readonly #counts: SegmentCounts;
  readonly #changes: EntryChanges;
  readonly #evictions: Evictions;

  constructor({ table, remotes, flapping, counts }: Parts, changes: EntryChanges, evictions: Evictions) {
    this.#table = table;
    this.#remotes = remotes;
    this.#flapping = flapping;
    this.#counts = counts;
    this.#changes = changes;
    this.#evictions = evictions;
  }

  /** What `Fdb.learn` says, of a MAC that is not simply refreshed. */
  learn(mac: SegmentMac, source: SourceAddress, maxMacs: number, now: number): number {
    const { segment, high, low } = mac;
    const table = this.#table;
    const known = table.find(segment, high, low);
    if (known !== NO_ENTRY && table.kindOf(known) !== DYNAMIC) {
      const answer = answerAt(table.bitsOf(known), this.#remotes.isAt(table.remoteOf(known), source), source);
      if (answer !== YIELDS) return answer;
    }
    const remote = this.#remotes.internSource(source);
    if (remote === NO_REMOTE) return this.#learnNowhere(known, now);
    if (known !== NO_ENTRY) return this.#learnKnown(known, remote, maxMacs, now);

    const evictions = this.#evictions;
    if (!evictions.makeRoom(segment, remote, maxMacs, now)) return LEARNED.full;
    const isAdded =
      this.#changes.add(mac, remote, DYNAMIC, now) ||
      (evictions.makeRecord(remote, now) && this.#changes.add(mac, remote, DYNAMIC, now));
    return isAdded ? LEARNED.added : LEARNED.full;
  }

  /** Of an entry that is known, perhaps only since the lock was asked for. It is learned, or yields. */
  #learnKnown(entry: number, remote: number, maxMacs: number, now: number): number {
    const table = this.#table;
    // An expired entry is as good as gone: what is heard now is a new one, neither a refresh nor a move.
    if (!table.isAlive(entry, now)) {
      this.#changes.tell(entry, EVENT_KIND.aged, NO_REMOTE, now);
      this.#changes.change(entry, remote, DYNAMIC, 0, now);
      this.#changes.tell(entry, EVENT_KIND.added, NO_REMOTE, now);
      return LEARNED.added;
    }
    const from = table.remoteOf(entry);
    if (from === remote) {
      table.touch(entry, now);
      return LEARNED.refreshed;
    }
    const segment = table.segmentOf(entry);
    const moves = table.movesOf(entry);
    if (this.#flapping.isHeld(entry, moves, now)) return LEARNED.held;
    // What a control plane placed did not count in max-macs until now. It stays if there is no room.
    const needsRoom = table.kindOf(entry) === CONTROL && !this.#flapping.wouldHold(entry, moves, now);
    if (needsRoom && !this.#evictions.makeRoom(segment, remote, maxMacs, now)) return LEARNED.full;
    if (this.#flapping.judge(entry, moves, now) === MOVE.refused) {
      this.#changes.tell(entry, EVENT_KIND.held, remote, now);
      return LEARNED.held;
    }
    this.#changes.change(entry, remote, DYNAMIC, moves + 1, now);
    this.#counts.addMove(segment);
    this.#changes.tell(entry, EVENT_KIND.moved, from, now);
    return LEARNED.moved;
  }

  /**
   * A MAC was heard at a VTEP that there is no room for. What was learned of it is no longer true: without an entry, frames to it are flooded.
   * Room is made for whoever comes later.
   */
  #learnNowhere(known: number, now: number): number {
    if (known !== NO_ENTRY) {
      if (this.#flapping.isHeld(known, this.#table.movesOf(known), now)) return LEARNED.held;
      this.#changes.drop(known, now);
    }
    this.#evictions.makeRemote(now);
    return LEARNED.full;
  }
}
