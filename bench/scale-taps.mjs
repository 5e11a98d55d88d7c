/** Hundreds of VNIs with a TAP and a group each: how long they take to come and to go, and that they go. */
import { existsSync } from 'node:fs';
import { ip, residentBytes } from './processes.mjs';
import { startDaemon, stopDaemon } from './vteps.mjs';

const READY_PATIENCE_MS = 60_000;
const FIRST_VNI = 1_000;

/**
 * @param {import('./lab.mjs').Host[]} hosts
 * @param {{ taps: number }} size
 * @param {(name: string, unit: string, value: number) => void} add takes a figure
 */
export async function measureTaps([host], { taps }, add) {
  const before = standing(host);
  const flags = Array.from({ length: taps - 1 }, (_, i) => ['--vni', `${FIRST_VNI + i}=239.2.${i >> 8}.${i & 0xff}`]);
  const { daemon, readyMs } = await startDaemon(host, flags.flat(), { patienceMs: READY_PATIENCE_MS });
  let begin;
  try {
    add('Start to ready', 'ms', readyMs);
    add('Resident', 'MB', residentBytes(daemon.pid) / 1e6);
    const { links, groups } = standing(host);
    if (links !== before.links + taps) throw new Error(`${links - before.links} TAPs are there, not ${taps}`);
    add('TAPs', '', links - before.links);
    add('Groups', '', groups - before.groups);
  } finally {
    begin = performance.now();
    await stopDaemon(daemon);
  }
  add('Stop', 'ms', performance.now() - begin);
  const after = standing(host);
  const left = after.links - before.links + after.groups - before.groups + after.sockets - before.sockets;
  add('Left behind', '', left);
  if (left !== 0) throw new Error(`left behind: ${JSON.stringify(after)}, before the start ${JSON.stringify(before)}`);
}

/** What a daemon could leave on its host. */
function standing({ namespace, socket }) {
  const groups = JSON.parse(ip('-n', namespace, '-j', 'maddr', 'show', 'dev', 'eth0'));
  return {
    links: JSON.parse(ip('-n', namespace, '-j', 'link')).length,
    groups: groups.flatMap(({ maddr }) => maddr).filter(({ family }) => family === 'inet').length,
    sockets: existsSync(socket) ? 1 : 0,
  };
}
