/** Which MACs move too often by RFC 7432 §15.1, in the model. */

/** In tenths of a second. */
const [MOVES, WINDOW, HOLD] = [5, 1_800, 300];

/** Recent moves of a MAC. */
interface Flap {
  /** Times of its moves since the window was opened. */
  readonly times: readonly number[];
  readonly heldUntil: number;
}

export class ModelFlaps {
  readonly #flaps = new Map<string, Flap>();

  /** Whether a MAC that was heard elsewhere moves there. */
  mayMove(key: string, now: number): boolean {
    return !this.isHeld(key, now) && this.#counted(key, now).length < MOVES;
  }

  isHeld(key: string, now: number): boolean {
    return now < this.#of(key).heldUntil;
  }

  move(key: string, now: number): void {
    this.#flaps.set(key, { times: [...this.#counted(key, now), now], heldUntil: 0 });
  }

  /** Holds a MAC that may not move. Returns whether it was not held before. */
  hold(key: string, now: number): boolean {
    if (this.isHeld(key, now)) return false;
    this.#flaps.set(key, { times: [], heldUntil: now + HOLD });
    return true;
  }

  forget(key: string): void {
    this.#flaps.delete(key);
  }

  #counted(key: string, now: number): readonly number[] {
    const { times } = this.#of(key);
    return now - (times[0] ?? now) >= WINDOW ? [] : times;
  }

  #of(key: string): Flap {
    return this.#flaps.get(key) ?? { times: [], heldUntil: 0 };
  }
}
