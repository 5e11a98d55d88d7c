/** Small dense numbers, each given to one user at a time. */
export class NumberPool {
  readonly #free: number[] = [];
  #next = 0;

  take(): number {
    return this.#free.pop() ?? this.#next++;
  }

  /** @param number is no longer in use */
  give(number: number): void {
    this.#free.push(number);
  }
}
