/** Loaded into the daemon by `--import`: from the first data-plane thread on, the process has only FDS_LEFT more fds. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import threads from 'node:worker_threads';

const { Worker, isMainThread } = threads;
let isLimited = false;

/** Those in use stay: how many numbers below the limit are free is what counts. */
function leaveFds(count) {
  const used = new Set(readdirSync('/proc/self/fd').map(Number));
  let limit = 0;
  for (let free = 0; free < count || used.has(limit); limit++) if (!used.has(limit)) free++;
  execFileSync('prlimit', ['--pid', `${process.pid}`, `--nofile=${limit}:`]);
}

if (isMainThread) {
  threads.Worker = class extends Worker {
    constructor(...words) {
      if (!isLimited && words[1]?.workerData?.setup) {
        isLimited = true;
        leaveFds(Number(process.env.FDS_LEFT));
      }
      super(...words);
    }
  };
  syncBuiltinESMExports();
}
