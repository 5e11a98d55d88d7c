import { setImmediate } from 'node:timers/promises';
import type { ApiServer } from '../control/daemon-view.ts';
import type { Drops, Limit, Stats, VniStats, Vtep as VtepStats } from '../control/schemas.ts';
import { NO_SEGMENT } from '../forward/counters.ts';
import { RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { type IpAddress, ipWords } from '../lib/addresses.ts';
import {
  MAX_CAPTURES,
  MAX_FDB_ENTRIES,
  MAX_NEIGHBOURS,
  MAX_PATH_LIMITS,
  MAX_REMOTES,
  MAX_SEGMENTS,
  MAX_UNDERLAYS,
} from '../lib/limits.ts';
import type { Link } from '../sys/links.ts';
import { distinctTaps, tapOverrun, type Vni } from './vni.ts';
import type { Vtep } from './vtep.ts';
import { addressOf } from './vtep-address.ts';

/** What `vtepctl` and Prometheus are told of the counters, so that both are told the same. */

/** Routes asked for between two turns of the event loop; each takes some microseconds. */
const ROUTES_AT_A_TIME = 64;

type Links = ReadonlyMap<number, Link>;

/** @param chosen in any order  @param links of the host, by their index */
export function statsOf(
  vtep: Pick<Vtep, 'counters' | 'fdb' | 'busyTimes'>,
  chosen: readonly Vni[],
  links: Links,
): Stats {
  return {
    vnis: chosen.map((vni) => vniStats(vtep, vni, links)).sort((a, b) => a.vni - b.vni),
    workers: vtep.busyTimes.map(({ ratio }, worker) => ({ worker, busy: Math.round(ratio * 10_000) / 10_000 })),
  };
}

/** How full the tables are that all VNIs share. */
export function limitsOf(
  {
    fdb,
    vnis,
    neighbours,
    now,
    pathLimits,
    captures,
    underlays,
  }: Pick<Vtep, 'fdb' | 'vnis' | 'neighbours' | 'now' | 'pathLimits' | 'captures' | 'underlays'>,
  servers: readonly ApiServer[],
): Limit[] {
  return [
    { limit: 'fdb-entries', used: fdb.count, max: MAX_FDB_ENTRIES },
    { limit: 'remotes', used: fdb.remotes.idsInUse, max: MAX_REMOTES },
    { limit: 'vnis', used: vnis.length, max: MAX_SEGMENTS },
    { limit: 'underlays', used: underlays.length, max: MAX_UNDERLAYS },
    { limit: 'neighbours', used: neighbours.fresh(now()), max: MAX_NEIGHBOURS },
    { limit: 'path-limits', used: pathLimits, max: MAX_PATH_LIMITS },
    { limit: 'captures', used: captures.count, max: MAX_CAPTURES },
    ...servers.map((server) => {
      const { used, max } = server.connections();
      return { limit: `${server.name}-connections`, used, max };
    }),
  ];
}

/** Of one VNI, or of the whole daemon, where what deleted VNIs dropped is in it too. */
export function dropsOf(
  { counters, vnis, socketOverruns, changes }: Pick<Vtep, 'counters' | 'vnis' | 'socketOverruns' | 'changes'>,
  vni: Vni | undefined,
  links: Links,
): Drops {
  const chosen = vni ? [vni] : [...vnis, ...changes.leaving];
  const rows = chosen.flatMap(({ index }) => counters.map((each) => each.drops(index)));
  if (!vni) rows.push(...counters.map((each) => each.drops(NO_SEGMENT)), changes.removedDrops);
  const sum = (counts: readonly Float64Array[], reason: number) =>
    counts.reduce((total, row) => total + (row[reason] as number), 0);
  const rx = rows.map((row) => row.rx);
  const tx = rows.map((row) => row.tx);
  // What the kernel lost at a socket is nobody's VNI in particular: it was never read. Nor is what it lost at the trunk.
  const taps = vni ? chosen.filter(({ config }) => config.vlan === undefined) : distinctTaps(chosen);
  const overrun = vni ? 0 : socketOverruns;
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

/** Sorted by address, IPv4 first. Others have their turn while the kernel is asked for paths. */
export async function vtepsOf(vtep: Pick<Vtep, 'fdb' | 'remoteCounters' | 'now' | 'paths'>): Promise<VtepStats[]> {
  const now = vtep.now();
  const pathMtu = vtep.paths();
  const rows: VtepStats[] = [];
  for (const { heard, ...counts } of heardRemotes(vtep)) {
    if (rows.length % ROUTES_AT_A_TIME === ROUTES_AT_A_TIME - 1) await setImmediate();
    rows.push({
      ...counts,
      lastHeard: heard === undefined ? null : Math.max(0, Math.floor((now - heard) / 10)),
      pathMtu: pathMtu(counts.vtep),
    });
  }
  return rows;
}

/** Likewise, with the time in tenths of a second when each was heard. */
export function heardRemotes({ fdb, remoteCounters }: Pick<Vtep, 'fdb' | 'remoteCounters'>) {
  const { remotes } = fdb;
  const found = remotes.vteps().map((remote) => {
    const vtep = addressOf(fdb, remote) as IpAddress;
    const counts = RemoteCounters.total(remoteCounters, remote);
    return { key: sortKey(vtep), count: { vtep, macs: remotes.entriesAt(remote), ...counts } };
  });
  return found.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ count }) => count);
}

/** The TAP as it is now; of another namespace as last seen there. */
function tapNow({ link, elsewhere }: Vni, links: Links): Link | undefined {
  return link ? (links.get(link.index) ?? link) : elsewhere?.link;
}

export function vniStats({ counters, fdb }: Pick<Vtep, 'counters' | 'fdb'>, vni: Vni, links: Links): VniStats {
  const { config, index } = vni;
  const sum = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, flooded: 0 };
  let [rxDrops, txDrops] = [0, 0];
  for (const each of counters) {
    const passages = each.passages(index);
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += passages[name];
    const { rx, tx } = each.drops(index);
    rxDrops += total(rx);
    txDrops += total(tx);
  }
  // What the kernel lost at the trunk is nobody's VNI in particular.
  if (config.vlan === undefined) txDrops += tapOverrun(vni.tap, tapNow(vni, links));
  return {
    vni: config.vni,
    name: config.name ?? null,
    macs: fdb.countOf(index),
    ...sum,
    moves: fdb.movesOf(index),
    evictions: fdb.evictionsOf(index),
    full: fdb.fullOf(index),
    held: fdb.heldOf(index),
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

/** Texts that sort as the addresses do in network order. */
function sortKey(address: IpAddress): string {
  const { a, b, c, d } = ipWords(address);
  const isIpv4 = a === 0 && b === 0 && c === 0xffff;
  return (isIpv4 ? '4' : '6') + [a, b, c, d].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}
