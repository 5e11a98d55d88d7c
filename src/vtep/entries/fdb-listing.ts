import { setImmediate } from 'node:timers/promises';
import type { FdbEntry } from '../../api/schemas.ts';
import type { StaticEntry } from '../../config/config.ts';
import type { EntryView, Fdb } from '../../fdb/fdb.ts';
import { formatMac } from '../../lib/addresses.ts';
import { addressOf } from '../vni/vtep-address.ts';
import { ENTRY_TYPE } from './entry-type.ts';

/** Work of one slice: examining this many records, or converting this many entries to text, holds the event loop for a few milliseconds. */
const SLICE_RECORDS = 10_000;
const SLICE_ENTRIES = 1_000;

export interface Listing {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  /** The VNI of each segment at the time of the call. */
  readonly numbers: () => ReadonlyMap<number, number>;
  readonly matches: (entry: EntryView) => boolean;
}

/**
 * The entries that match, sorted by VNI, then MAC, one slice at a time. Other tasks run in between. Only the MACs present at the beginning are kept
 * in memory, 8 octets each. Each entry is described as it is when its slice is made. An entry that is deleted before its slice is left out.
 */
export async function* listFdb(listing: Listing): AsyncGenerator<readonly FdbEntry[], void, undefined> {
  const { fdb, now, numbers, matches } = listing;
  const segments = [...numbers()].sort(([, a], [, b]) => a - b);
  const macs = await macsOf(listing);
  let [time, present] = [now(), numbers()];
  let slice: FdbEntry[] = [];
  for (const [segment, vni] of segments) {
    for (const mac of Float64Array.from(macs.get(segment) ?? []).sort()) {
      // If a VNI is deleted meanwhile, another VNI may get its segment number.
      if (present.get(segment) !== vni) break;
      const entry = fdb.entryOf(segment, Math.floor(mac / 0x1_0000), mac % 0x1_0000, time);
      if (entry && matches(entry)) slice.push(describe(fdb, entry, vni, time));
      if (slice.length < SLICE_ENTRIES) continue;
      yield slice;
      await setImmediate();
      [time, present, slice] = [now(), numbers(), []];
    }
    macs.delete(segment);
  }
  if (slice.length > 0) yield slice;
}

/** The static entries, by VNI, sorted by MAC. VNIs without static entries are left out. */
export async function listStatics(listing: Omit<Listing, 'matches'>): Promise<Map<number, StaticEntry[]>> {
  const statics = new Map<number, StaticEntry[]>();
  for await (const entries of listFdb({ ...listing, matches: ({ kind }) => kind === 'static' })) {
    for (const { vni, mac, vtep } of entries) {
      const known = statics.get(vni);
      if (known) known.push({ mac, vtep });
      else statics.set(vni, [{ mac, vtep }]);
    }
  }
  return statics;
}

/** MACs by segment, unsorted, as 48-bit numbers. */
async function macsOf({ fdb, now, matches }: Listing): Promise<Map<number, number[]>> {
  const macs = new Map<number, number[]>();
  const visit = (entry: EntryView) => {
    if (!matches(entry)) return;
    const mac = entry.high * 0x1_0000 + entry.low;
    const known = macs.get(entry.segment);
    if (known) known.push(mac);
    else macs.set(entry.segment, [mac]);
  };
  for (let from = 0; ; await setImmediate()) {
    from = fdb.forEachSlice(from, SLICE_RECORDS, visit, now());
    if (from === 0) return macs;
  }
}

function describe(fdb: Fdb, entry: EntryView, vni: number, now: number): FdbEntry {
  return {
    vni,
    mac: formatMac(entry.high, entry.low),
    vtep: addressOf(fdb, entry.remote),
    type: ENTRY_TYPE[entry.kind],
    age: entry.kind === 'learned' ? Math.max(0, Math.floor((now - entry.heard) / 10)) : null,
    moves: entry.moves,
    ...(fdb.isBarred(entry.remote) && { unsent: true as const }),
  };
}
