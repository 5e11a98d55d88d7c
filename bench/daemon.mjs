/** What is measured of one daemon that forwards nothing. Each function takes the lab's hosts and returns its figures by name. */
import { ask } from './control-socket.mjs';
import { cpuSeconds, finish, pause, residentBytes, start } from './processes.mjs';
import { median } from './statistics.mjs';
import { startDaemon, stopDaemon, VNI } from './vteps.mjs';

const INJECTION_TIMEOUT_MS = 20_000;
const INJECTIONS = 3;
const SETTLE_MS = 2_000;

/** From exec to READY=1, the middle one of some starts. */
export async function startUp([host], flags, { starts }) {
  const times = [];
  for (let i = 0; i < starts; i++) {
    const { daemon, readyMs } = await startDaemon(host, flags);
    await stopDaemon(daemon);
    times.push(readyMs);
  }
  return { readyMs: median(times) };
}

/** Resident memory once so many MACs are learned from another VTEP's datagrams. */
export function memory([host, peer], flags, { macs }) {
  return withDaemon(host, flags, async (daemon) => {
    const inject = [process.execPath, 'bench/injector.mjs', host.address, `${VNI}`, `${macs}`];
    for (let i = 0; i < INJECTIONS && (await ask(host, '/v1/status')).macs < macs; i++) {
      await finish(start(peer.namespace, inject), 'the injector', INJECTION_TIMEOUT_MS);
      await pause(SETTLE_MS);
    }
    const { macs: known } = await ask(host, '/v1/status');
    if (known < macs) throw new Error(`only ${known} of ${macs} MACs were learned`);
    return { residentMb: residentBytes(daemon.pid) / 1e6 };
  });
}

/** Share of one core that a daemon takes while nothing happens. */
export function idle([host], flags, { seconds }) {
  return withDaemon(host, flags, async (daemon) => {
    await pause(SETTLE_MS);
    const [before, begin] = [cpuSeconds(daemon.pid), performance.now()];
    await pause(seconds * 1000);
    const lasted = (performance.now() - begin) / 1000;
    return { percent: (100 * (cpuSeconds(daemon.pid) - before)) / lasted };
  });
}

async function withDaemon(host, flags, take) {
  const { daemon } = await startDaemon(host, flags);
  try {
    return await take(daemon);
  } finally {
    await stopDaemon(daemon);
  }
}
