import { MAC_HOLD_SECONDS, MAC_MOVE_WINDOW_SECONDS, MAX_MAC_MOVES } from '../lib/limits.ts';
import { type FdbMemory, FLAP } from './layout.ts';

/** The results of `judge` for a move. */
export const MOVE = {
  /** The MAC has not moved too often. */
  allowed: 0,
  /** One move too many: the entry is held from now on. */
  refused: 1,
} as const;

const WINDOW_TENTHS = MAC_MOVE_WINDOW_SECONDS * 10;
const HOLD_TENTHS = MAC_HOLD_SECONDS * 10;

/** The count of moves of an entry that is held. */
const HELD = MAX_MAC_MOVES + 1;

/**
 * Which MACs move too often, counted as in EVPN (RFC 7432 §15.1): the first move opens a window, and one move too many within it begins a hold. After
 * the hold, the next move opens a new window. There are two words per entry, which are valid only for an entry that has moved. So the memory pages of
 * MACs that do not move stay unused. `isHeld` takes no lock; all other methods are called with the lock of the FDB held.
 */
export class Flapping {
  readonly #flaps: Int32Array;

  constructor(memory: FdbMemory) {
    this.#flaps = memory.flaps;
  }

  /**
   * Without the lock, the result may be wrong once if the record has just become another MAC's. The frame is delivered in any case.
   *
   * @param moves that the entry has made
   */
  isHeld(entry: number, moves: number, now: number): boolean {
    const at = entry * FLAP.words;
    return (
      moves >= MAX_MAC_MOVES && this.#flaps[at + FLAP.moves] === HELD && now < (this.#flaps[at + FLAP.until] as number)
    );
  }

  /** Whether a move would be refused, by a hold or by the result of `judge`. Nothing is counted. Without the lock, as `isHeld`. */
  wouldHold(entry: number, moves: number, now: number): boolean {
    const at = entry * FLAP.words;
    if (moves === 0 || now >= (this.#flaps[at + FLAP.until] as number)) return false;
    return (this.#flaps[at + FLAP.moves] as number) + 1 >= HELD;
  }

  /** Counts a move of an entry that is not held, before it is made. @param moves that it has made before @returns one of MOVE */
  judge(entry: number, moves: number, now: number): number {
    const flaps = this.#flaps;
    const at = entry * FLAP.words;
    // If the MAC has not moved, these words belong to the previous MAC of the record.
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

  /** Starts a new count, after a writer died in the middle of a change. @param moves that the entry has made */
  forget(entry: number, moves: number): void {
    if (moves > 0) this.#flaps[entry * FLAP.words + FLAP.moves] = 0;
  }
}
