/** Waiting for what happens elsewhere: always for an event with a deadline, never for a guessed time. */

export interface WaitOptions {
  /** Longest time to wait. Default 10 000. */
  readonly timeoutMs?: number;
  /** Time between two looks. Default 5, or what a look costs. */
  readonly everyMs?: number;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Looks again and again until `accepts` is true of the value and returns that value.
 * On the deadline it throws with what was awaited and the last value seen.
 */
export async function waitFor<T>(
  what: string,
  look: () => T | Promise<T>,
  accepts: (value: T) => boolean,
  { timeoutMs = 10_000, everyMs = 5 }: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (accepts(value)) return value;
    if (performance.now() > deadline) {
      throw new Error(`not seen within ${timeoutMs} ms: ${what}; last value: ${describe(value)}`);
    }
    await sleep(everyMs);
  }
}

/** `waitFor` for plain conditions. */
export async function waitUntil(what: string, holds: () => boolean | Promise<boolean>, options?: WaitOptions) {
  await waitFor(what, holds, (value) => value, options);
}

function describe(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value, null, 1) ?? String(value));
  return text.length > 4000 ? `${text.slice(0, 4000)}…` : text;
}
