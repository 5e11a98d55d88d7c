import { MAC_HOLD_SECONDS, MAC_MOVE_WINDOW_SECONDS, MAX_MAC_MOVES } from '../lib/limits.ts';
import { type FdbMemory, FLAP } from './layout.ts';

/** What `judge` says of a move. */
export const MOVE = {
  /** It is one of the few that a MAC may make. */
  allowed: 0,
  /** One too many: the entry is held from now on. */
  refused: 1,
} as const;

const WINDOW_TENTHS = MAC_MOVE_WINDOW_SECONDS * 10;
const HOLD_TENTHS = MAC_HOLD_SECONDS * 10;

/** Moves counted of an entry that is held. */
const HELD = MAX_MAC_MOVES + 1;

/**
 * Which MACs move too often, counted as EVPN does (RFC 7432 §15.1): the first move opens a window, and one too many within it begins a hold.
 * When that is over, the next move opens a window again. Two words an entry, which mean something only of one that has moved: the pages
 * of MACs that stay where they are remain untouched. `isHeld` takes no lock; everything else is called with the FDB's lock held.
 */
export class Flapping {
  readonly #flaps: Int32Array;

  constructor(memory: FdbMemory) {
    this.#flaps = memory.flaps;
  }

  /**
   * Without the lock, and if the record has just become another MAC's, it may be wrong once: that frame is delivered all the same.
   *
   * @param moves that the entry has made
   */
  isHeld(entry: number, moves: number, now: number): boolean {
    const at = entry * FLAP.words;
    return (
      moves >= MAX_MAC_MOVES && this.#flaps[at + FLAP.moves] === HELD && now < (this.#flaps[at + FLAP.until] as number)
    );
  }

  /** Whether a move would be refused, by a hold or by what `judge` would say; nothing is counted. Without the lock, as `isHeld`. */
  wouldHold(entry: number, moves: number, now: number): boolean {
    const at = entry * FLAP.words;
    if (moves === 0 || now >= (this.#flaps[at + FLAP.until] as number)) return false;
    return (this.#flaps[at + FLAP.moves] as number) + 1 >= HELD;
  }

  /** Counts a move that is about to be made by an entry that is not held. @param moves that it has made before @returns one of MOVE */
  judge(entry: number, moves: number, now: number): number {
    const flaps = this.#flaps;
    const at = entry * FLAP.words;
    // The words of a MAC that has not moved are those of the record's last user.
    if (moves === 0 || now >= (flaps[at + FLAP.until] as number)) {
      flaps[at + FLAP.until] = now + WINDOW_TENTHS;
      flaps[at + FLAP.moves] = 0;
    }
    const counted = (flaps[at + FLAP.moves] as number) + 1;
    flaps[at + FLAP.moves] = counted;
    if (counted < HELD) return MOVE.allowed;
    flaps[at + FLAP.until] = now + HOLD_TENTHS;
    return MOVE.refused;
  }

  /** Counts anew, after a writer died half-way. @param moves that the entry has made */
  forget(entry: number, moves: number): void {
    if (moves > 0) this.#flaps[entry * FLAP.words + FLAP.moves] = 0;
  }
}
