/** Lets a number of requests run at a time. The others wait, in order. */
export class RequestTurns {
  #free: number;
  #waiting: (() => void)[] = [];
  /** Of the first that waits. */
  #head = 0;

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async run<T>(request: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await request();
    } finally {
      this.#next();
    }
  }

  /** Gives the turn to the first that waits. */
  #next(): void {
    const first = this.#waiting[this.#head];
    if (!first) {
      this.#free += 1;
      return;
    }
    this.#head += 1;
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    }
    first();
  }
}
