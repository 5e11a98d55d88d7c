/** How a small operation is timed. All functions return one value per sample, of which the median is shown. */

const SAMPLES = 7;
const WARM_UP_MS = 200;
const SAMPLE_MS = 50;
const NANOSECONDS_PER_MS = 1e6;

/** Results end up here, so that nothing is optimised away. */
let consumed = 0;

/**
 * Nanoseconds per operation, in a loop of the caller's own: one call per operation would cost more than some of them do.
 * @param {(count: number) => number} loop does `count` operations and returns what depends on all of them
 */
export function perOperation(loop) {
  let count = 1;
  const end = performance.now() + WARM_UP_MS;
  // The warm-up finds how many fill a sample, too.
  for (;;) {
    const ms = milliseconds(() => loop(count));
    if (performance.now() > end) {
      count = Math.max(1, Math.round((count * SAMPLE_MS) / Math.max(ms, 0.001)));
      break;
    }
    if (ms < SAMPLE_MS / 10) count *= 2;
  }
  return times(SAMPLES, () => (milliseconds(() => loop(count)) * NANOSECONDS_PER_MS) / count);
}

/**
 * Nanoseconds per operation of what cannot be repeated without undoing it.
 * @param {{ count: number, run: () => number, undo: () => void }} work `run` does `count` operations; `undo` is not timed
 */
export function perOperationUndone({ count, run, undo }) {
  const sample = () => {
    const ms = milliseconds(run);
    undo();
    return (ms * NANOSECONDS_PER_MS) / count;
  };
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) sample();
  return times(SAMPLES, sample);
}

/**
 * Milliseconds of the longest of several steps, the time for which they hold up whoever shares the thread.
 * @param {{ prepare: () => void, step: () => boolean }} work `step` says whether there is another
 * @param {number} samples
 */
export function longestStep({ prepare, step }, samples) {
  const sample = () => {
    prepare();
    let longest = 0;
    for (let isMore = true; isMore; ) {
      const ms = milliseconds(() => {
        isMore = step();
        return 0;
      });
      longest = Math.max(longest, ms);
    }
    return longest;
  };
  sample();
  return times(samples, sample);
}

function milliseconds(work) {
  const begin = performance.now();
  const result = work();
  const ms = performance.now() - begin;
  consumed += result;
  if (Number.isNaN(consumed)) throw new Error('an operation gave no number');
  return ms;
}

const times = (count, take) => Array.from({ length: count }, take);
