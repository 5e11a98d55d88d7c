/** Milliseconds of CLOCK_MONOTONIC, the same in every thread. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** Tenths of a second since `epochMs` of that clock. */
export function createClock(epochMs: number): () => number {
  const nowMs = createFineClock(epochMs);
  return () => Math.floor(nowMs() / 100);
}

/**
 * Milliseconds since `epochMs` of that clock, with microseconds as a fraction. `performance.now()` starts at zero in each thread but costs no
 * allocation. So the difference between the two clocks is computed once.
 */
export function createFineClock(epochMs: number): () => number {
  const offset = Number(process.hrtime.bigint()) / 1e6 - performance.now() - epochMs;
  return () => performance.now() + offset;
}
