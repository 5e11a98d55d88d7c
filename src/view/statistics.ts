import type { ApiServer } from '../api/daemon-view.ts';
import type { Drops, Limit, Stats, Status, VniStats } from '../api/schemas.ts';
import { NO_SEGMENT } from '../forward/counters.ts';
import { RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import type { HostAddresses } from '../host/host-addresses.ts';
import {
  MAX_CAPTURES,
  MAX_FDB_ENTRIES,
  MAX_HOST_ADDRESSES,
  MAX_NEIGHBOURS,
  MAX_PATH_LIMITS,
  MAX_PLACED_NEIGHBOURS,
  MAX_REMOTES,
  MAX_SEGMENTS,
  MAX_UNDERLAYS,
} from '../lib/limits.ts';
import type { Link } from '../sys/netlink/links.ts';
import type { Captures } from '../vtep/captures.ts';
import type { LiveChanges } from '../vtep/changes/live-changes.ts';
import type { Taps } from '../vtep/vni/taps.ts';
import type { Underlays } from '../vtep/vni/underlays.ts';
import { distinctTaps, tapOverrun, type Vni } from '../vtep/vni/vni.ts';
import type { Vnis } from '../vtep/vni/vnis.ts';
import type { SharedTables } from '../vtep/workers/shared-tables.ts';
import type { WorkerPool } from '../vtep/workers/worker-pool.ts';

/** The counters as `vtepctl` and Prometheus show them, so that both show the same. */

type Links = ReadonlyMap<number, Link>;

/** The parts that count, or are counted. */
export interface CountedParts {
  readonly tables: Pick<SharedTables, 'fdb' | 'neighbours' | 'now'>;
  readonly vnis: Pick<Vnis, 'list' | 'leaving'>;
  readonly workers: Pick<WorkerPool, 'counters' | 'busyTimes' | 'pathLimits'>;
  readonly underlays: Pick<Underlays, 'list' | 'dropped'>;
  readonly addresses: Pick<HostAddresses, 'count'>;
  readonly captures: Pick<Captures, 'count'>;
  readonly changes: Pick<LiveChanges, 'removedDrops'>;
}

/** @param chosen in any order  @param links of the host, by their index */
export function statsOf(parts: Pick<CountedParts, 'tables' | 'workers'>, chosen: readonly Vni[], links: Links): Stats {
  return {
    vnis: chosen.map((vni) => vniStats(parts, vni, links)).sort((a, b) => a.vni - b.vni),
    workers: parts.workers.busyTimes.map(({ ratio }, worker) => ({
      worker,
      busy: Math.round(ratio * 10_000) / 10_000,
    })),
  };
}

/** The offloads in force with all TAPs and all workers. */
export function offloadOf({
  taps,
  workers,
}: {
  taps: Pick<Taps, 'gso'>;
  workers: Pick<WorkerPool, 'offload'>;
}): Status['offload'] {
  return { tapGso: taps.gso, ...workers.offload };
}

/** The use of the tables that all VNIs share. */
export function limitsOf(
  { tables, vnis, workers, captures, underlays, addresses }: CountedParts,
  servers: readonly ApiServer[],
): Limit[] {
  const { fdb, neighbours, now } = tables;
  return [
    { limit: 'fdb-entries', used: fdb.count, max: MAX_FDB_ENTRIES },
    { limit: 'remotes', used: fdb.remotes.idsInUse, max: MAX_REMOTES },
    { limit: 'vnis', used: vnis.list.length, max: MAX_SEGMENTS },
    { limit: 'underlays', used: underlays.list.length, max: MAX_UNDERLAYS },
    { limit: 'host-addresses', used: addresses.count, max: MAX_HOST_ADDRESSES },
    { limit: 'neighbours', used: neighbours.fresh(now()), max: MAX_NEIGHBOURS },
    { limit: 'placed-neighbours', used: neighbours.placed.count, max: MAX_PLACED_NEIGHBOURS },
    { limit: 'path-limits', used: workers.pathLimits, max: MAX_PATH_LIMITS },
    { limit: 'captures', used: captures.count, max: MAX_CAPTURES },
    ...servers.map((server) => {
      const { used, max } = server.connections();
      return { limit: `${server.name}-connections`, used, max };
    }),
  ];
}

/** Drops of one VNI, or of the whole daemon, which include those of deleted VNIs. */
export function dropsOf(
  { workers, vnis, underlays, changes }: CountedParts,
  vni: Vni | undefined,
  links: Links,
): Drops {
  const { counters } = workers;
  const chosen = vni ? [vni] : [...vnis.list, ...vnis.leaving];
  const rows = chosen.flatMap(({ index }) => counters.map((each) => each.drops(index)));
  if (!vni) rows.push(...counters.map((each) => each.drops(NO_SEGMENT)), changes.removedDrops);
  const sum = (counts: readonly Float64Array[], reason: number) =>
    counts.reduce((total, row) => total + (row[reason] as number), 0);
  const rx = rows.map((row) => row.rx);
  const tx = rows.map((row) => row.tx);
  // Datagrams that the kernel lost at a socket belong to no VNI, since they were never read. Nor do those lost at the trunk.
  const taps = vni ? chosen.filter(({ config }) => config.vlan === undefined) : distinctTaps(chosen);
  const overrun = vni ? 0 : underlays.dropped;
  return {
    rx: { ...byName(RX_REASONS, (reason) => sum(rx, reason)), 'socket-overrun': overrun },
    tx: {
      ...byName(TX_REASONS, (reason) => sum(tx, reason)),
      'tap-overrun': taps.reduce(
        (total, each) => total + tapOverrun(each.tap, tapNow(each, links)),
        vni ? 0 : changes.removedDrops.tapOverrun,
      ),
    },
  };
}

/** The TAP as it is now; in another namespace, as last seen there. */
function tapNow({ link, elsewhere }: Vni, links: Links): Link | undefined {
  return link ? (links.get(link.index) ?? link) : elsewhere?.link;
}

export function vniStats(
  { tables, workers }: Pick<CountedParts, 'tables' | 'workers'>,
  vni: Vni,
  links: Links,
): VniStats {
  const { fdb } = tables;
  const { config, index } = vni;
  const sum = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, flooded: 0 };
  let [rxDrops, txDrops] = [0, 0];
  for (const each of workers.counters) {
    const passages = each.passages(index);
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += passages[name];
    const { rx, tx } = each.drops(index);
    rxDrops += total(rx);
    txDrops += total(tx);
  }
  // Frames that the kernel lost at the trunk belong to no VNI.
  if (config.vlan === undefined) txDrops += tapOverrun(vni.tap, tapNow(vni, links));
  return {
    vni: config.vni,
    name: config.name ?? null,
    macs: fdb.counts.totalOf(index),
    ...sum,
    moves: fdb.counts.movesOf(index),
    evictions: fdb.counts.evictionsOf(index),
    full: fdb.counts.fullOf(index),
    held: fdb.counts.heldOf(index),
    rxDrops,
    txDrops,
  };
}

function byName(names: readonly string[], count: (reason: number) => number): Record<string, number> {
  return Object.fromEntries(names.map((name, reason) => [name, count(reason)]));
}

function total(counts: Float64Array): number {
  return counts.reduce((sum, count) => sum + count, 0);
}
