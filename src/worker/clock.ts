/** Milliseconds of CLOCK_MONOTONIC, the same in every thread. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/**
 * Tenths of a second since `epochMs` of that clock. `performance.now()` starts anew in each thread but costs no allocation, so the distance
 * between the two is taken once.
 */
export function createClock(epochMs: number): () => number {
  const offset = monotonicMs() - performance.now() - epochMs;
  return () => Math.floor((performance.now() + offset) / 100);
}
