import { MAX_FDB_ENTRIES, MAX_FDB_EVENTS, MAX_REMOTES, MAX_SEGMENTS } from '../lib/limits.ts';

/**
 * The shared memory of the forwarding database: one SharedArrayBuffer of fixed size (a growable one is 3 to 5 times slower to read).
 * Its pages take memory only when they are used. Every thread creates its own typed arrays over it with `mapFdb`.
 *
 *     header | entry index | entries | entry links | group index | groups | buckets | segments | remote index | remotes | barred | announcers | flaps
 *     | events
 *
 * Indexes are open-addressing hash tables of record numbers + 1, at most half full. So the records stay dense: ten thousand
 * MACs use kilobytes, not one page each.
 */

/** Words of the header. */
export const HEADER = {
  lock: 0,
  seed: 1,
  ageingTenths: 2,
  entries: 3,
  entriesFree: 4,
  entriesUsed: 5,
  groupsFree: 6,
  groupsUsed: 7,
  bucketsFree: 8,
  bucketsUsed: 9,
  remotesFree: 10,
  remotesUsed: 11,
  /** One past the highest segment that ever had an entry. */
  segmentsUsed: 12,
  /** Increases whenever a MAC becomes local or stops being local, or a static entry is removed, in any segment. */
  localChanges: 13,
  /** Events ever written, modulo 2^32. */
  events: 14,
  /** The second half of the key. `seed` is the first half. */
  seedHigh: 15,
  /**
   * The group where the next search for a remote to forget begins. Then the tenth of a second of the last search, and how many remotes were forgotten
   * in it.
   */
  remoteHand: 16,
  remoteTenth: 17,
  remoteEvictions: 18,
  /** Not zero after a change threw an exception, until the table is repaired. */
  broken: 19,
  /** Number of repairs. */
  repairs: 20,
  /** Pairs of segment and VTEP that are marked in `announcers`. */
  announcers: 21,
  words: 32,
} as const;

/** Words of one MAC entry. `version` is odd while it is being written. A lookup reads only these 24 octets. */
export const ENTRY = { version: 0, segment: 1, macHigh: 2, macLow: 3, heard: 4, moves: 5, words: 6 } as const;

/** Words that only writers read: the group of the entry and its neighbours in the group. */
export const LINK = { group: 0, next: 1, previous: 2, words: 3 } as const;

/** Learned entries of one remote in one segment, in the order of learning. Groups with equal counts form a bucket. */
export const GROUP = {
  segment: 0,
  remote: 1,
  count: 2,
  head: 3,
  tail: 4,
  bucket: 5,
  next: 6,
  previous: 7,
  words: 8,
} as const;

/** Groups of one segment that have the same count. The buckets of a segment are a list from the highest count down. */
export const BUCKET = { count: 0, head: 1, higher: 2, lower: 3, words: 4 } as const;

/** Words of one segment. */
export const SEGMENT = {
  learned: 0,
  total: 1,
  topBucket: 2,
  lowBucket: 3,
  moves: 4,
  evictions: 5,
  statics: 6,
  /** Entries behind the own TAP. */
  locals: 7,
  vni: 8,
  /** MACs that were heard and not learned: there was no room, or they were held at their place. */
  full: 9,
  held: 10,
  /** Entries that a control plane placed. */
  controls: 11,
  words: 12,
} as const;

/**
 * Words of one remote: IPv6 or IPv4-mapped address; number of entries and flood lists that name it; since when none does; number of flood lists
 * alone; number of times the id was assigned and released.
 */
export const REMOTE = { address: 0, references: 4, idleSince: 5, pins: 6, generation: 7, words: 8 } as const;

/** Words of the moves of one entry: the time, in tenths of a second, until which they are counted or the entry is held; and their number. */
export const FLAP = { until: 0, moves: 1, words: 2 } as const;

/** Words of one event: kind, time and MAC; the place of the MAC now, and its previous place. */
export const EVENT = { macLowAndKind: 0, macHigh: 1, vni: 2, time: 3, at: 4, from: 8, words: 12 } as const;

const ENTRY_INDEX_SLOTS = 2 * MAX_FDB_ENTRIES;
const REMOTE_INDEX_SLOTS = 2 * (MAX_REMOTES + 1);

export interface FdbMemory {
  readonly header: Int32Array;
  readonly entryIndex: Int32Array;
  readonly entries: Int32Array;
  readonly links: Int32Array;
  readonly groupIndex: Int32Array;
  readonly groups: Int32Array;
  readonly buckets: Int32Array;
  readonly segments: Int32Array;
  readonly remoteIndex: Int32Array;
  readonly remotes: Int32Array;
  /** One word per remote. Not zero: sending to it is barred. */
  readonly barred: Int32Array;
  /** One bit per remote and segment: the VTEP announces its MACs by a control plane. */
  readonly announcers: Int32Array;
  readonly flaps: Int32Array;
  readonly events: Int32Array;
}

/** Words of each region, in order. Record 0 of groups, buckets and remotes means none (remote 0: local). */
const REGIONS = {
  header: HEADER.words,
  entryIndex: ENTRY_INDEX_SLOTS,
  entries: MAX_FDB_ENTRIES * ENTRY.words,
  links: MAX_FDB_ENTRIES * LINK.words,
  groupIndex: ENTRY_INDEX_SLOTS,
  groups: (MAX_FDB_ENTRIES + 1) * GROUP.words,
  buckets: (MAX_FDB_ENTRIES + 1) * BUCKET.words,
  segments: MAX_SEGMENTS * SEGMENT.words,
  remoteIndex: REMOTE_INDEX_SLOTS,
  remotes: (MAX_REMOTES + 1) * REMOTE.words,
  barred: MAX_REMOTES + 1,
  announcers: (MAX_REMOTES + 1) * (MAX_SEGMENTS / 32),
  flaps: MAX_FDB_ENTRIES * FLAP.words,
  events: MAX_FDB_EVENTS * EVENT.words,
} as const satisfies Record<keyof FdbMemory, number>;

/**
 * @param seed 48 bits, random per daemon, so that outsiders cannot choose MACs or addresses that collide
 * @param ageingSeconds learned entries expire this long after they were last heard; 0 never
 */
export function createFdbMemory(seed: number, ageingSeconds: number): SharedArrayBuffer {
  const words = Object.values(REGIONS).reduce((sum, count) => sum + count, 0);
  const buffer = new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT);
  const header = new Int32Array(buffer, 0, HEADER.words);
  header[HEADER.seed] = seed;
  header[HEADER.seedHigh] = Math.floor(seed / 2 ** 32);
  header[HEADER.ageingTenths] = ageingSeconds * 10;
  return buffer;
}

export function mapFdb(buffer: SharedArrayBuffer): FdbMemory {
  let offset = 0;
  const region = (words: number) => {
    const array = new Int32Array(buffer, offset, words);
    offset += array.byteLength;
    return array;
  };
  return Object.fromEntries(
    Object.entries(REGIONS).map(([name, words]) => [name, region(words)]),
  ) as unknown as FdbMemory;
}
