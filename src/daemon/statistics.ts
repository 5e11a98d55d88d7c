import type { Stats, VniStats, Vtep as VtepStats } from '../control/schemas.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { type IpAddress, ipWords } from '../lib/addresses.ts';
import type { Link } from '../sys/links.ts';
import { tapOverrun, type Vni } from './vni.ts';
import type { Vtep } from './vtep.ts';
import { addressOf } from './vtep-address.ts';

/** What `vtepctl` and Prometheus are told of the counters, so that both are told the same. */

/** @param chosen in any order */
export function statsOf(vtep: Pick<Vtep, 'counters' | 'fdb' | 'links' | 'busyTimes'>, chosen: readonly Vni[]): Stats {
  const links = new Map(vtep.links().map((link) => [link.index, link]));
  return {
    vnis: chosen.map((vni) => vniStats(vtep, vni, links)).sort((a, b) => a.vni - b.vni),
    workers: vtep.busyTimes.map(({ ratio }, worker) => ({ worker, busy: Math.round(ratio * 10_000) / 10_000 })),
  };
}

/** Sorted by address, IPv4 first. */
export function vtepsOf({ fdb, remoteCounters, now }: Pick<Vtep, 'fdb' | 'remoteCounters' | 'now'>): VtepStats[] {
  const { remotes } = fdb;
  const vteps = remotes.vteps().map((remote) => {
    const { heard, ...counts } = RemoteCounters.total(remoteCounters, remote);
    return {
      vtep: addressOf(fdb, remote) as IpAddress,
      macs: remotes.entriesAt(remote),
      ...counts,
      lastHeard: heard === undefined ? null : Math.max(0, Math.floor((now() - heard) / 10)),
    };
  });
  const keys = new Map(vteps.map(({ vtep }) => [vtep, sortKey(vtep)]));
  return vteps.sort((a, b) => ((keys.get(a.vtep) as string) < (keys.get(b.vtep) as string) ? -1 : 1));
}

function vniStats(
  { counters, fdb }: Pick<Vtep, 'counters' | 'fdb'>,
  { config, index, tap }: Vni,
  links: ReadonlyMap<number, Link>,
): VniStats {
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
  if (config.vlan === undefined) txDrops += tapOverrun(tap, links.get(tap.link.index));
  return {
    vni: config.vni,
    name: config.name ?? null,
    macs: fdb.countOf(index),
    ...sum,
    moves: fdb.movesOf(index),
    evictions: fdb.evictionsOf(index),
    rxDrops,
    txDrops,
  };
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
