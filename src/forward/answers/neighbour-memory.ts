import {
  MAX_NEIGHBOURS,
  MAX_PLACED_NEIGHBOURS,
  MAX_SEGMENTS,
  MAX_TOLD_NEIGHBOURS,
  MAX_WORKERS,
} from '../../lib/limits.ts';

/**
 * The shared memory of the neighbour tables: one SharedArrayBuffer of fixed size. Its pages take memory only when they are used.
 *
 *     header | heard | placed | listened | rings, one for each worker
 */

/** Words of the header: the secret key, the number of placed neighbours, and a number that changes when a worker reports something. */
export const HEADER = { key0: 0, key1: 1, placed: 2, news: 3, words: 16 } as const;

/** Words of a record, 40 octets. `segment` counts from 1; 0 is a free record. */
export const RECORD = {
  /** Odd while the record is being written. */
  version: 0,
  segment: 1,
  a: 2,
  b: 3,
  c: 4,
  d: 5,
  macHigh: 6,
  macLow: 7,
  /** One of STATION. */
  kind: 8,
  /** For a heard neighbour: the time, in tenths of a second. For a placed neighbour: the version that is denied. */
  heardOrDenied: 9,
  words: 10,
} as const;

/**
 * Number of records in which an address may be stored, for heard and for placed neighbours. The table of placed neighbours has twice as many records
 * as may be used.
 */
export const HEARD_WAYS = 4;
export const PLACED_WAYS = 8;
const PLACED_RECORDS = 2 * MAX_PLACED_NEIGHBOURS;

/** Words of a ring: number of neighbours ever written, and read, modulo 2^32; number that found no room. The records follow. */
export const RING = { told: 0, read: 1, lost: 2, records: 16 } as const;

/** Words of a record in a ring. */
export const TOLD = { segment: 0, vni: 1, a: 2, b: 3, c: 4, d: 5, macHigh: 6, macLow: 7, words: 8 } as const;

/** Words of each region, in order. A word in `listened` that is not zero means that the segment has a listener. */
const REGIONS = {
  header: HEADER.words,
  heard: MAX_NEIGHBOURS * RECORD.words,
  placed: PLACED_RECORDS * RECORD.words,
  listened: MAX_SEGMENTS,
  rings: MAX_WORKERS * (RING.records + MAX_TOLD_NEIGHBOURS * TOLD.words),
} as const;

export type NeighbourMemory = { readonly [Region in keyof typeof REGIONS]: Int32Array };

/** @param seed 48 bits, random per daemon, so that outsiders cannot choose addresses that share a set */
export function createNeighbourMemory(seed: number): SharedArrayBuffer {
  const words = Object.values(REGIONS).reduce((sum, count) => sum + count, 0);
  const memory = new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT);
  new Int32Array(memory).set([seed, Math.floor(seed / 2 ** 32)]);
  return memory;
}

export function mapNeighbours(memory: SharedArrayBuffer): NeighbourMemory {
  let offset = 0;
  const region = (words: number) => {
    const array = new Int32Array(memory, offset, words);
    offset += array.byteLength;
    return array;
  };
  return Object.fromEntries(
    Object.entries(REGIONS).map(([name, words]) => [name, region(words)]),
  ) as unknown as NeighbourMemory;
}

/** The ring of one worker. Workers count from 0. */
export function ringOf({ rings }: NeighbourMemory, worker: number): Int32Array {
  const words = rings.length / MAX_WORKERS;
  return rings.subarray(worker * words, (worker + 1) * words);
}

/** Whether a record holds an address. */
export function isOf(
  words: Int32Array,
  at: number,
  segment: number,
  a: number,
  b: number,
  c: number,
  d: number,
): boolean {
  return (
    words[at + RECORD.d] === d &&
    words[at + RECORD.segment] === segment + 1 &&
    words[at + RECORD.c] === c &&
    words[at + RECORD.b] === b &&
    words[at + RECORD.a] === a
  );
}
