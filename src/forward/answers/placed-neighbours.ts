import { keyedHash } from '../../fdb/records.ts';
import { MAX_PLACED_NEIGHBOURS } from '../../lib/limits.ts';
import { HEADER, isOf, mapNeighbours, PLACED_WAYS, RECORD } from './neighbour-memory.ts';

/** The result of placing a neighbour. */
export const PLACED_NEIGHBOUR = {
  /** The same neighbour was placed already. */
  same: 0,
  added: 1,
  /** The address had another MAC, or another kind of station. */
  changed: 2,
  /** There is no room: requests for the address are flooded. */
  full: 3,
} as const;

/** The MAC of an address, in the words of the data path: IPv4 as ::ffff:a.b.c.d. */
export interface PlacedNeighbour {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  /** First four octets of the MAC, and the last two. */
  readonly high: number;
  readonly low: number;
  /** One of STATION. */
  readonly kind: number;
}

const NO_RECORDS: ReadonlySet<number> = new Set();

/**
 * Neighbours that a control plane announces. They stay until they are withdrawn: they do not expire, and heard neighbours do not replace them. The
 * main thread writes, all threads read, without a lock. A record has a version, odd while it is being written, and readers treat a torn record as a
 * miss.
 *
 * A station behind the own TAP may claim an address that is placed. The control plane learns of it later. Until then no worker may answer for the
 * address. So a worker may deny a record: it writes the version that it read beside the record. The next change of the record creates another
 * version.
 */
export class PlacedNeighbours {
  readonly #header: Int32Array;
  readonly #words: Int32Array;
  readonly #setMask: number;
  readonly #key0: number;
  readonly #key1: number;
  /** Output of `find`. */
  macHigh = 0;
  macLow = 0;
  kind = 0;

  constructor(memory: SharedArrayBuffer) {
    const { header, placed } = mapNeighbours(memory);
    this.#header = header;
    this.#words = placed;
    this.#setMask = placed.length / RECORD.words / PLACED_WAYS - 1;
    this.#key0 = header[HEADER.key0] as number;
    this.#key1 = header[HEADER.key1] as number;
  }

  /** Number of placed neighbours. */
  get count(): number {
    return this.#header[HEADER.placed] as number;
  }

  /** Whether the address is placed and not denied. If so, the output fields hold the result. One plain read while nothing is placed. */
  find(segment: number, a: number, b: number, c: number, d: number): boolean {
    const at = this.#recordOf(segment, a, b, c, d);
    if (at < 0) return false;
    const words = this.#words;
    const version = Atomics.load(words, at + RECORD.version);
    const isIt = isOf(words, at, segment, a, b, c, d);
    const high = words[at + RECORD.macHigh] as number;
    const low = words[at + RECORD.macLow] as number;
    const kind = words[at + RECORD.kind] as number;
    if (!isIt || words[at + RECORD.heardOrDenied] === version) return false;
    if ((version & 1) !== 0 || Atomics.load(words, at + RECORD.version) !== version) return false;
    this.macHigh = high;
    this.macLow = low;
    this.kind = kind;
    return true;
  }

  /** Denies the address: no worker answers for it until the control plane changes it. */
  deny(segment: number, a: number, b: number, c: number, d: number): void {
    const at = this.#recordOf(segment, a, b, c, d);
    if (at < 0) return;
    const words = this.#words;
    const version = Atomics.load(words, at + RECORD.version);
    if (isOf(words, at, segment, a, b, c, d)) Atomics.store(words, at + RECORD.heardOrDenied, version);
  }

  /** Main thread only. Placing the same neighbour again changes nothing, and a denied record stays denied. Returns one of PLACED_NEIGHBOUR. */
  place(segment: number, neighbour: PlacedNeighbour): number {
    const { a, b, c, d, high, low, kind } = neighbour;
    const words = this.#words;
    const known = this.#recordOf(segment, a, b, c, d);
    if (known >= 0) {
      const isSame = words[known + RECORD.macHigh] === (high | 0) && words[known + RECORD.macLow] === low;
      if (isSame && words[known + RECORD.kind] === kind) return PLACED_NEIGHBOUR.same;
      this.#write(known, segment + 1, neighbour);
      return PLACED_NEIGHBOUR.changed;
    }
    const at = this.count < MAX_PLACED_NEIGHBOURS ? this.#freeOf(segment, a, b, c, d) : -1;
    if (at < 0) return PLACED_NEIGHBOUR.full;
    this.#write(at, segment + 1, neighbour);
    Atomics.add(this.#header, HEADER.placed, 1);
    return PLACED_NEIGHBOUR.added;
  }

  /** Main thread only. Returns whether it was placed. */
  withdraw(segment: number, a: number, b: number, c: number, d: number): boolean {
    const at = this.#recordOf(segment, a, b, c, d);
    if (at >= 0) this.#free(at);
    return at >= 0;
  }

  /** Main thread only. The number of the record of a neighbour until it is withdrawn, or -1: it is not placed. */
  recordOf(segment: number, a: number, b: number, c: number, d: number): number {
    const at = this.#recordOf(segment, a, b, c, d);
    return at < 0 ? -1 : at / RECORD.words;
  }

  /**
   * Main thread only. Withdraws the neighbours of a segment among `budget` records from record `from` on. Returns the next record, or 0 after the
   * last one. Ten thousand records take about 50 µs.
   *
   * @param kept records that stay
   */
  withdrawSlice(segment: number, from: number, budget: number, kept: ReadonlySet<number> = NO_RECORDS): number {
    const end = Math.min(this.#words.length, (from + budget) * RECORD.words);
    for (let at = from * RECORD.words; at < end; at += RECORD.words) {
      if (this.#words[at + RECORD.segment] === segment + 1 && !kept.has(at / RECORD.words)) this.#free(at);
    }
    return end < this.#words.length ? end / RECORD.words : 0;
  }

  #free(at: number): void {
    this.#write(at, 0, { a: 0, b: 0, c: 0, d: 0, high: 0, low: 0, kind: 0 });
    Atomics.sub(this.#header, HEADER.placed, 1);
  }

  #write(at: number, segmentWord: number, { a, b, c, d, high, low, kind }: PlacedNeighbour): void {
    const words = this.#words;
    const version = Atomics.add(words, at + RECORD.version, 1);
    words[at + RECORD.segment] = segmentWord;
    words[at + RECORD.a] = a;
    words[at + RECORD.b] = b;
    words[at + RECORD.c] = c;
    words[at + RECORD.d] = d;
    words[at + RECORD.macHigh] = high;
    words[at + RECORD.macLow] = low;
    words[at + RECORD.kind] = kind;
    Atomics.store(words, at + RECORD.version, version + 2);
  }

  /** The record of the address, which may be torn. -1: there is none. */
  #recordOf(segment: number, a: number, b: number, c: number, d: number): number {
    if (this.#header[HEADER.placed] === 0) return -1;
    const set = this.#set(segment, a, b, c, d);
    for (let at = set; at < set + PLACED_WAYS * RECORD.words; at += RECORD.words) {
      if (isOf(this.#words, at, segment, a, b, c, d)) return at;
    }
    return -1;
  }

  #freeOf(segment: number, a: number, b: number, c: number, d: number): number {
    const set = this.#set(segment, a, b, c, d);
    for (let at = set; at < set + PLACED_WAYS * RECORD.words; at += RECORD.words) {
      if (this.#words[at + RECORD.segment] === 0) return at;
    }
    return -1;
  }

  /** The first record in which an address may be stored. */
  #set(segment: number, a: number, b: number, c: number, d: number): number {
    const hash = keyedHash(this.#key0, this.#key1 ^ segment, a, b, c, d);
    return (hash & this.#setMask) * PLACED_WAYS * RECORD.words;
  }
}
