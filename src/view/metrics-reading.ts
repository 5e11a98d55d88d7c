import type { ApiServer } from '../api/daemon-view.ts';
import type { MetricsReading, VniReading, VtepReading } from '../observe/metrics.ts';
import type { Link } from '../sys/netlink/links.ts';
import type { Vni } from '../vtep/vni/vni.ts';
import type { Vtep } from '../vtep/vtep.ts';
import type { WorkerState } from '../vtep/workers/worker-supervisor.ts';
import { dropsOf, limitsOf, vniStats } from './statistics.ts';
import { countVtep } from './vtep-listing.ts';

/** All that Prometheus is told, at one moment. */
export function readMetrics(
  vtep: Vtep,
  {
    version,
    startTime,
    lostLogLines,
    servers,
  }: { version: string; startTime: number; lostLogLines: number; servers: readonly ApiServer[] },
): MetricsReading {
  const { vnis, busyTimes } = vtep;
  const links = new Map(vtep.links().map((link) => [link.index, link]));
  const { user, system } = process.cpuUsage();
  return {
    version,
    startTime,
    lostLogLines,
    vnis: vnis.map((vni) => readVni(vtep, vni, links)).sort((a, b) => a.vni - b.vni),
    vteps: {
      keys: vtep.fdb.remotes.vteps().map((id) => vtep.fdb.remotes.keyOf(id)),
      read: (keys) => readVteps(vtep, keys),
    },
    drops: dropsOf(vtep, undefined, links),
    workers: busyTimes.map(({ ratio, seconds }, worker) => ({
      ...(vtep.workerStates[worker] as WorkerState),
      busy: ratio,
      busySeconds: seconds,
    })),
    limits: limitsOf(vtep, servers),
    offload: vtep.offload,
    unmergedSockets: vtep.unmerged.sockets,
    fdbEventsLost: vtep.events.lost,
    fdbRepairs: vtep.fdb.repairs,
    captureFramesLost: vtep.captures.lost,
    connectionsCut: servers.map((server) => ({ server: server.name, cut: server.connections().cut })),
    cpuSeconds: (user + system) / 1_000_000,
    residentBytes: process.memoryUsage.rss(),
  };
}

function readVni(vtep: Vtep, vni: Vni, links: ReadonlyMap<number, Link>): VniReading {
  const { maxMacs, tap } = vni.config;
  return {
    ...vniStats(vtep, vni, links),
    tap,
    maxMacs,
    isOk: vtep.statuses.of(vni) === 'ok',
    statics: vtep.fdb.staticsOf(vni.index),
    controls: vtep.fdb.controlsOf(vni.index),
  };
}

function readVteps(vtep: Vtep, keys: readonly number[]): VtepReading[] {
  const [nowMs, now] = [Date.now(), vtep.now()];
  return keys.map((key) => {
    const { heard, ...counts } = countVtep(vtep, key);
    return { ...counts, lastHeard: heard === undefined ? undefined : Math.round(nowMs / 100 - (now - heard)) / 10 };
  });
}
