/**
 * Loaded into the daemon by `--import`: a data-plane thread throws when the file is there whose path is KILL_WORKER and the thread's number
 * (2, 3, … in order of birth).
 */
import { existsSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

if (!isMainThread && workerData?.setup) {
  const { add } = Atomics;
  const path = `${process.env.KILL_WORKER}${workerData.setup.owner}`;
  // What a thread does at each turn.
  Atomics.add = (...words) => {
    if (existsSync(path)) throw new Error('it was told to die');
    return add(...words);
  };
}
