/** A forwarding database in its own memory, and short helpers to query it. */
import { MAX_FDB_ENTRIES } from '../lib/limits.ts';
import { type EntryView, Fdb, LOCAL_SOURCE, type SourceAddress } from './fdb.ts';
import { createFdbMemory } from './layout.ts';
import { LOCAL } from './remotes.ts';

const AGEING_SECONDS = 10;
export const AGEING = AGEING_SECONDS * 10;
/** Tenths of a second: the daemon has run for a while. */
export const NOW = 5_000;
export const HIGH = 0x0200_0000;
export const SEGMENT = 3;
export const UNLIMITED = 65_536;

/** 198.18.x.y, IPv4-mapped. */
export const vtep = (number: number): SourceAddress => ({
  a: 0,
  b: 0,
  c: 0xffff,
  d: (198 << 24) | (18 << 16) | number,
});

export function newFdb(ageingSeconds = AGEING_SECONDS) {
  const fdb = new Fdb(createFdbMemory(99, ageingSeconds), 1);
  const learn = (low: number, source: SourceAddress, { segment = SEGMENT, maxMacs = UNLIMITED, now = NOW } = {}) =>
    fdb.learn(segment, HIGH, low, source, maxMacs, now);
  const lookup = (low: number, { segment = SEGMENT, now = NOW } = {}) => fdb.lookup(segment, HIGH, low, now);
  const idOf = ({ a, b, c, d }: SourceAddress) => fdb.remotes.find(a, b, c, d);
  const entries = (now = NOW) => {
    const found: EntryView[] = [];
    fdb.forEachSlice(0, MAX_FDB_ENTRIES, (entry) => found.push(entry), now);
    return found.sort((x, y) => x.segment - y.segment || x.low - y.low);
  };
  /** Live entries of one segment by VTEP. */
  const perVtep = (sources: readonly SourceAddress[], segment = SEGMENT) =>
    sources.map((source) => {
      const id = source === LOCAL_SOURCE ? LOCAL : idOf(source);
      return entries().filter((entry) => entry.segment === segment && entry.remote === id).length;
    });
  return { fdb, learn, lookup, idOf, entries, perVtep };
}
