/**
 * `node bench/wake-ups.mjs`: what the machine takes to wake a chain of threads that do nothing but wake the next, once a millisecond. The floor
 * of a round trip through processes that sleep: with vtepd an echo wakes four.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { pause } from './processes.mjs';
import { percentile } from './statistics.mjs';

const CHAINS = [2, 3, 4];
const ROUNDS = 3_000;
const INTERVAL_MS = 1;

/** Thread `own` waits until its word says `round`, and then tells the next. */
function serve({ words, own }) {
  for (let round = 1; round <= ROUNDS; round++) {
    while (Atomics.load(words, own) < round) Atomics.wait(words, own, round - 1);
    Atomics.store(words, own + 1, round);
    Atomics.notify(words, own + 1);
  }
}

/** @param wakeUps threads woken until the first has its answer, itself included */
async function measure(wakeUps) {
  const words = new Int32Array(new SharedArrayBuffer(4 * (wakeUps + 1)));
  const threads = Array.from({ length: wakeUps - 1 }, (_, i) => {
    return new Worker(new URL(import.meta.url), { workerData: { words, own: i + 1 } });
  });
  await Promise.all(threads.map((thread) => new Promise((resolve) => thread.once('online', resolve))));
  await pause(100);
  const times = [];
  for (let round = 1; round <= ROUNDS; round++) {
    await pause(INTERVAL_MS);
    const begin = performance.now();
    Atomics.store(words, 1, round);
    Atomics.notify(words, 1);
    Atomics.wait(words, wakeUps, round - 1);
    times.push(1_000 * (performance.now() - begin));
  }
  await Promise.all(threads.map((thread) => thread.terminate()));
  return times;
}

if (isMainThread) {
  for (const wakeUps of CHAINS) {
    const times = await measure(wakeUps);
    const [p50, p99] = [0.5, 0.99].map((share) => Math.round(percentile(times, share)));
    console.log(`${wakeUps} wake-ups: p50 ${p50} µs, p99 ${p99} µs`);
  }
} else {
  serve(workerData);
}
