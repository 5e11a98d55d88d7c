import type { EntryChanges, Parts, SegmentMac } from './entry-changes.ts';
import { EVENT_KIND } from './event-ring.ts';
import type { Evictions } from './evictions.ts';
import { type Flapping, MOVE } from './flapping.ts';
import { LOCAL_SOURCE, NO_REMOTE, type RemoteTable, type SourceAddress } from './remotes.ts';
import type { SegmentCounts } from './segment-counts.ts';
import { CONTROL, DYNAMIC, type EntryTable, NO_ENTRY, STATIC, STICKY } from './table.ts';

/** The results of learning a source MAC. */
export const LEARNED = {
  /** Known at this remote already. If the entry is a learned one, its age starts again. */
  refreshed: 0,
  added: 1,
  moved: 2,
  /** A static entry places the MAC elsewhere: the frame is dropped. */
  conflict: 3,
  /** There is no room, and no entry may be evicted for it. What was learned of the MAC is forgotten. The frame is forwarded. */
  full: 4,
  /** The MAC moved too often, and stays at its place for a while. The frame is forwarded. */
  held: 5,
  /** A control plane places the MAC elsewhere, and nothing changes. The frame is forwarded, since it may be a late one. */
  outranked: 6,
  /** The source VTEP announces its MACs by a control plane, and not this one there. Nothing changes. The frame is forwarded, since it may be late. */
  announced: 7,
} as const;

/** The result of `answerAt` for an entry that the frame replaces. */
export const YIELDS = -1;

/**
 * The result for a frame from `source` if the MAC has a static or control entry. A control plane may learn late that a MAC has moved behind the own
 * TAP: the frame then replaces its entry, unless the entry is sticky. A frame from another VTEP does not replace it: a late frame from the previous
 * place of the MAC must not undo a move (RFC 7432 §15).
 *
 * @param bits as returned by `EntryTable.bitsOf`
 * @param isSame whether the entry names `source`
 * @returns one of LEARNED, or YIELDS
 */
export function answerAt(bits: number, isSame: boolean, source: SourceAddress): number {
  if (isSame) return LEARNED.refreshed;
  if ((bits & STATIC) !== 0) return LEARNED.conflict;
  return source === LOCAL_SOURCE && (bits & STICKY) === 0 ? YIELDS : LEARNED.outranked;
}

/** Learning from frames: learn, move, hold. All methods are called with the lock of the FDB held. */
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

  /** The result of `Fdb.learn` for a MAC that is not simply refreshed. */
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

  /** For a known entry, which another thread may have created just before the lock was taken. The entry is learned, or the frame replaces it. */
  #learnKnown(entry: number, remote: number, maxMacs: number, now: number): number {
    const table = this.#table;
    // An expired entry counts as removed: the MAC is new, so this is neither a refresh nor a move.
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
    // An entry of a control plane did not count in max-macs before. It stays if there is no room.
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
   * A MAC was heard at a VTEP for which there is no room. The learned entry of the MAC is wrong now and is removed: frames to the MAC are then
   * flooded. Room is made for a later VTEP.
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
