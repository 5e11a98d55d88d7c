import { setImmediate } from 'node:timers/promises';
import type { FdbEntry } from '../../api/schemas.ts';
import type { StaticEntry } from '../../config/config.ts';
import type { EntryView, Fdb } from '../../fdb/fdb.ts';
import { formatMac } from '../../lib/addresses.ts';
import { addressOf } from '../vni/vtep-address.ts';
import { ENTRY_TYPE } from './entry-type.ts';

/** Work of one slice: looking at so many records, or putting so many entries into words, holds the event loop for a few milliseconds. */
const SLICE_RECORDS = 10_000;
const SLICE_ENTRIES = 1_000;

export interface Listing {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  /** The VNI of each segment, as it is now. */
  readonly numbers: () => ReadonlyMap<number, number>;
  readonly matches: (entry: EntryView) => boolean;
}

/**
 * The entries that match, sorted by VNI, then MAC, a slice at a time; in between others have their turn. What is kept is the MACs that were
 * there at the beginning, 8 octets each; what is said of one is what holds when its slice is made, and one that has gone by then is left out.
 */
export async function* listFdb(listing: Listing): AsyncGenerator<readonly FdbEntry[], void, undefined> {
  const { fdb, now, numbers, matches } = listing;
  const segments = [...numbers()].sort(([, a], [, b]) => a - b);
  const macs = await macsOf(listing);
  let [time, present] = [now(), numbers()];
  let slice: FdbEntry[] = [];
  for (const [segment, vni] of segments) {
    for (const mac of Float64Array.from(macs.get(segment) ?? []).sort()) {
      // A VNI that has gone meanwhile leaves its segment to another.
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

/** The static entries of each VNI that has some, sorted by MAC. */
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

/** By segment, in no order; as numbers of 48 bits. */
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
