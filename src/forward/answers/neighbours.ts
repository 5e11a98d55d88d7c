import { keyedHash } from '../../fdb/records.ts';
import { MAX_NEIGHBOURS, NEIGHBOUR_FRESH_SECONDS } from '../../lib/limits.ts';

/**
 * Which MAC has an IP address, as heard in ARP and neighbour discovery: shared by all workers, since a request is read by one and its answer
 * often by another. Addresses are four words, IPv4 as ::ffff:a.b.c.d. An address has a set of WAYS records to stand in; where all are taken,
 * the one goes that was heard longest ago. What is lost that way is flooded, which is slower and never wrong.
 *
 * No lock: a record has a version, odd while it is written. Readers take a torn record for a miss, and a writer that finds another at work
 * gives up: the next frame says it again. A record that a thread left half-written when it died is lost until the daemon ends.
 */

/** What a binding says of the station. Until an advertisement tells whether it is a router, nobody may answer for it (RFC 4861 §7.2.5). */
export const STATION = { unknown: 0, host: 1, router: 2 } as const;

const WAYS = 4;
const SETS = MAX_NEIGHBOURS / WAYS;

/** Words of a record: 40 octets. `kind` is a STATION; `segment` counts from 1, 0 is a record that was never used. */
const WORD = { version: 0, segment: 1, a: 2, b: 3, c: 4, d: 5, macHigh: 6, macLow: 7, kind: 8, heard: 9 } as const;
const WORDS = 10;

/** The key, two words, and padding to a cache line. */
const HEADER_WORDS = 16;

const FRESH_TENTHS = NEIGHBOUR_FRESH_SECONDS * 10;

export class NeighbourTable {
  readonly #words: Int32Array;
  readonly #key0: number;
  readonly #key1: number;
  /** Out: what `find` found; the MAC as `macHigh` and `macLow` read it. */
  macHigh = 0;
  macLow = 0;
  /** One of STATION. */
  kind = 0;

  /** @param seed of 48 bits, random per daemon, so that nobody outside can choose addresses that share a set */
  static createMemory(seed: number): SharedArrayBuffer {
    const memory = new SharedArrayBuffer((HEADER_WORDS + MAX_NEIGHBOURS * WORDS) * Int32Array.BYTES_PER_ELEMENT);
    new Int32Array(memory).set([seed, Math.floor(seed / 2 ** 32)]);
    return memory;
  }

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
    this.#key0 = this.#words[0] as number;
    this.#key1 = this.#words[1] as number;
  }

  /** Whether the address was heard in this segment in the last NEIGHBOUR_FRESH_SECONDS; then the fields say what of it. @param now tenths of a second */
  find(segment: number, a: number, b: number, c: number, d: number, now: number): boolean {
    const words = this.#words;
    const set = this.#set(segment, a, b, c, d);
    let latest = now - FRESH_TENTHS;
    let isFound = false;
    // Two workers that heard an address first at the same time may have made two records of it: the later one counts.
    for (let at = set; at < set + WAYS * WORDS; at += WORDS) {
      const version = Atomics.load(words, at);
      if (!this.#isOf(at, segment, a, b, c, d)) continue;
      const heard = words[at + WORD.heard] as number;
      const high = words[at + WORD.macHigh] as number;
      const low = words[at + WORD.macLow] as number;
      const kind = words[at + WORD.kind] as number;
      if ((version & 1) !== 0 || Atomics.load(words, at) !== version || heard <= latest) continue;
      latest = heard;
      isFound = true;
      this.macHigh = high;
      this.macLow = low;
      this.kind = kind;
    }
    return isFound;
  }

  /**
   * Takes note that an address was heard with this MAC.
   *
   * @param kind one of STATION; `unknown` leaves what is known of the same MAC
   * @param now tenths of a second
   */
  learn(
    segment: number,
    a: number,
    b: number,
    c: number,
    d: number,
    high: number,
    low: number,
    kind: number,
    now: number,
  ): void {
    const words = this.#words;
    const set = this.#set(segment, a, b, c, d);
    let chosen = set;
    for (let at = set; at < set + WAYS * WORDS; at += WORDS) {
      if (this.#isOf(at, segment, a, b, c, d)) {
        chosen = at;
        break;
      }
      if (this.#isOlder(at, chosen)) chosen = at;
    }
    const version = Atomics.load(words, chosen);
    if ((version & 1) !== 0 || Atomics.compareExchange(words, chosen, version, version + 1) !== version) return;
    const isSame =
      this.#isOf(chosen, segment, a, b, c, d) &&
      words[chosen + WORD.macHigh] === (high | 0) &&
      words[chosen + WORD.macLow] === low;
    if (kind !== STATION.unknown || !isSame) words[chosen + WORD.kind] = kind;
    words[chosen + WORD.segment] = segment + 1;
    words[chosen + WORD.a] = a;
    words[chosen + WORD.b] = b;
    words[chosen + WORD.c] = c;
    words[chosen + WORD.d] = d;
    words[chosen + WORD.macHigh] = high;
    words[chosen + WORD.macLow] = low;
    words[chosen + WORD.heard] = now;
    Atomics.store(words, chosen, version + 2);
  }

  /** Forgets what was heard of an address. Where another is at the record, the next frame will say it again. */
  forget(segment: number, a: number, b: number, c: number, d: number): void {
    const words = this.#words;
    const set = this.#set(segment, a, b, c, d);
    for (let at = set; at < set + WAYS * WORDS; at += WORDS) {
      const version = Atomics.load(words, at);
      if ((version & 1) !== 0 || !this.#isOf(at, segment, a, b, c, d)) continue;
      if (Atomics.compareExchange(words, at, version, version + 1) !== version) continue;
      if (this.#isOf(at, segment, a, b, c, d)) words[at + WORD.segment] = 0;
      Atomics.store(words, at, version + 2);
    }
  }

  /** Addresses that were heard in the last NEIGHBOUR_FRESH_SECONDS. Walks the table. @param now tenths of a second */
  fresh(now: number): number {
    const words = this.#words;
    let count = 0;
    for (let at = HEADER_WORDS; at < words.length; at += WORDS) {
      if (words[at + WORD.segment] !== 0 && (words[at + WORD.heard] as number) > now - FRESH_TENTHS) count++;
    }
    return count;
  }

  /** Whether a record is a better one to take than another: unused, or heard longer ago. One that is being written is neither. */
  #isOlder(at: number, than: number): boolean {
    const words = this.#words;
    if (((words[at] as number) & 1) !== 0) return false;
    if (((words[than] as number) & 1) !== 0) return true;
    if (words[than + WORD.segment] === 0) return false;
    return words[at + WORD.segment] === 0 || (words[at + WORD.heard] as number) < (words[than + WORD.heard] as number);
  }

  #isOf(at: number, segment: number, a: number, b: number, c: number, d: number): boolean {
    const words = this.#words;
    return (
      words[at + WORD.d] === d &&
      words[at + WORD.segment] === segment + 1 &&
      words[at + WORD.c] === c &&
      words[at + WORD.b] === b &&
      words[at + WORD.a] === a
    );
  }

  /** Where the records begin that an address may stand in. */
  #set(segment: number, a: number, b: number, c: number, d: number): number {
    // What the segment adds to a key word, no tenant chooses.
    const hash = keyedHash(this.#key0, this.#key1 ^ segment, a, b, c, d);
    return HEADER_WORDS + (hash & (SETS - 1)) * WAYS * WORDS;
  }
}
