import { setImmediate } from 'node:timers/promises';
import type { Vtep as VtepStats } from '../api/schemas.ts';
import { idOf, NO_REMOTE, type RemoteTable } from '../fdb/remotes.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { type IpAddress, ipWords } from '../lib/addresses.ts';
import { MAX_REMOTES } from '../lib/limits.ts';
import { addressOf } from '../vtep/vni/vtep-address.ts';
import type { SharedTables } from '../vtep/workers/shared-tables.ts';
import type { WorkerPool } from '../vtep/workers/worker-pool.ts';
import { type PathParts, pathsNow } from './trace-size.ts';

/** The parts that know the remotes. */
export interface RemoteParts extends PathParts {
  readonly tables: Pick<SharedTables, 'fdb' | 'now'>;
  readonly workers: Pick<WorkerPool, 'remoteCounters'>;
}

/** VTEPs of one slice. For each the kernel is asked for a route, some microseconds. */
const SLICE_VTEPS = 64;

/** Places in a list of VTEPs are below. */
const PLACE_SPAN = MAX_REMOTES + 1;

/** What the words of addresses are sorted by, the least first. */
const IS_IPV6 = 4;
const SORTED_BY = [3, 2, 1, 0, IS_IPV6] as const;

/**
 * The VTEPs that an entry or a flood list names, sorted by address, IPv4 first, a slice at a time, so that other work continues between slices. It
 * keeps a number for each that existed at the beginning. One that is gone when its slice is made is left out.
 *
 * @param only this one, if it exists
 */
export async function* listVteps(
  parts: RemoteParts,
  only?: IpAddress,
): AsyncGenerator<readonly VtepStats[], void, undefined> {
  const { fdb, now } = parts.tables;
  const { remotes } = fdb;
  const keys = only === undefined ? await sortedKeys(remotes) : keyAt(remotes, only);
  const pathMtu = pathsNow(parts);
  for (let from = 0; from < keys.length; from += SLICE_VTEPS) {
    if (from > 0) await setImmediate();
    const time = now();
    const present = keys.slice(from, from + SLICE_VTEPS).filter((key) => remotes.isKnown(key));
    yield present.map((key) => {
      const { heard, ...counts } = countVtep(parts, key);
      const lastHeard = heard === undefined ? null : Math.max(0, Math.floor((time - heard) / 10));
      return { ...counts, lastHeard, pathMtu: pathMtu(counts.vtep) };
    });
  }
}

/** What all workers counted of a VTEP, with the time in tenths of a second when it was heard. @param key of an existing one */
export function countVtep({ tables: { fdb }, workers }: Pick<RemoteParts, 'tables' | 'workers'>, key: number) {
  const id = idOf(key);
  const counts = RemoteCounters.total(workers.remoteCounters, id);
  return { vtep: addressOf(fdb, id) as IpAddress, macs: fdb.remotes.entriesAt(id), ...counts };
}

function keyAt(remotes: RemoteTable, address: IpAddress): number[] {
  const { a, b, c, d } = ipWords(address);
  const id = remotes.find(a, b, c, d);
  return id === NO_REMOTE ? [] : [remotes.keyOf(id)];
}

/** Sorts by one word after another, the least first: the order by those before stays among equals. As numbers, 65,535 take some ms for each word. */
async function sortedKeys(remotes: RemoteTable): Promise<number[]> {
  const ids = remotes.vteps();
  const keys = ids.map((id) => remotes.keyOf(id));
  // Ids may be reused before the last word is sorted.
  const words = SORTED_BY.map((word) =>
    Uint32Array.from(ids, (id) => (word === IS_IPV6 ? Number(!remotes.isIpv4(id)) : remotes.word(id, word))),
  );
  let order = Float64Array.from(ids.keys());
  for (const column of words) {
    await setImmediate();
    const ranked = order.map((place, rank) => (column[place] as number) * PLACE_SPAN + rank).sort();
    order = ranked.map((value) => order[value % PLACE_SPAN] as number);
  }
  return Array.from(order, (place) => keys[place] as number);
}
