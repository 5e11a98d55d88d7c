/** Runs changes one after the other: each is complete, or has failed, before the next begins. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  run<Result>(change: () => Result | Promise<Result>): Promise<Result> {
    const result = this.#last.then(change);
    this.#last = result.catch(() => {});
    return result;
  }
}
