import type { ApiServer } from '../api/daemon-view.ts';
import type { EvpnSource } from '../evpn/evpn-status.ts';
import type { ToldNeighbours } from '../forward/answers/told-neighbours.ts';
import type { MetricsReading, VniReading, VtepReading } from '../observe/metrics.ts';
import type { Link } from '../sys/netlink/links.ts';
import type { Captures } from '../vtep/captures.ts';
import type { FdbEvents } from '../vtep/entries/fdb-events.ts';
import type { Taps } from '../vtep/vni/taps.ts';
import type { Vni } from '../vtep/vni/vni.ts';
import type { VniStatuses } from '../vtep/vni/vni-statuses.ts';
import type { WorkerPool } from '../vtep/workers/worker-pool.ts';
import type { WorkerState } from '../vtep/workers/worker-supervisor.ts';
import { readEvpn } from './evpn-view.ts';
import { type CountedParts, dropsOf, limitsOf, offloadOf, vniStats } from './statistics.ts';
import { countVtep, type RemoteParts } from './vtep-listing.ts';

/** The parts that Prometheus is told of. */
export interface MeasuredParts extends CountedParts {
  readonly tables: CountedParts['tables'] & { readonly told: Pick<ToldNeighbours, 'lost'> };
  readonly workers: WorkerPool;
  readonly taps: Pick<Taps, 'links' | 'gso'>;
  readonly statuses: Pick<VniStatuses, 'of'>;
  readonly events: Pick<FdbEvents, 'lost'>;
  readonly captures: Pick<Captures, 'count' | 'lost'>;
}

/** All values for Prometheus, read at one moment. */
export function readMetrics(
  parts: MeasuredParts,
  {
    version,
    startTime,
    lostLogLines,
    servers,
    evpn,
  }: {
    version: string;
    startTime: number;
    lostLogLines: number;
    servers: readonly ApiServer[];
    evpn: EvpnSource | undefined;
  },
): MetricsReading {
  const { vnis, workers, tables } = parts;
  const { fdb } = tables;
  const links = parts.taps.links();
  const { user, system } = process.cpuUsage();
  return {
    version,
    startTime,
    lostLogLines,
    vnis: vnis.list.map((vni) => readVni(parts, vni, links)).sort((a, b) => a.vni - b.vni),
    vteps: {
      keys: fdb.remotes.vteps().map((id) => fdb.remotes.keyOf(id)),
      read: (keys) => readVteps(parts, keys),
    },
    drops: dropsOf(parts, undefined, links),
    workers: workers.busyTimes.map(({ ratio, seconds }, worker) => ({
      ...(workers.states[worker] as WorkerState),
      busy: ratio,
      busySeconds: seconds,
    })),
    limits: limitsOf(parts, servers),
    offload: offloadOf(parts),
    evpn: evpn && readEvpn(evpn.status()),
    unmergedSockets: workers.unmerged.sockets,
    fdbEventsLost: parts.events.lost,
    localNeighboursLost: tables.told.lost,
    fdbRepairs: fdb.repairs,
    captureFramesLost: parts.captures.lost,
    connectionsCut: servers.map((server) => ({ server: server.name, cut: server.connections().cut })),
    cpuSeconds: (user + system) / 1_000_000,
    residentBytes: process.memoryUsage.rss(),
  };
}

function readVni(parts: MeasuredParts, vni: Vni, links: ReadonlyMap<number, Link>): VniReading {
  const { maxMacs, tap } = vni.config;
  return {
    ...vniStats(parts, vni, links),
    tap,
    maxMacs,
    isOk: parts.statuses.of(vni) === 'ok',
    statics: parts.tables.fdb.counts.staticsOf(vni.index),
    controls: parts.tables.fdb.counts.controlsOf(vni.index),
  };
}

function readVteps(parts: Pick<RemoteParts, 'tables' | 'workers'>, keys: readonly number[]): VtepReading[] {
  const [nowMs, now] = [Date.now(), parts.tables.now()];
  return keys.map((key) => {
    const { heard, ...counts } = countVtep(parts, key);
    return { ...counts, lastHeard: heard === undefined ? undefined : Math.round(nowMs / 100 - (now - heard)) / 10 };
  });
}
