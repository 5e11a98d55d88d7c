import { keyedHash } from '../../fdb/records.ts';
import { NEIGHBOUR_FRESH_SECONDS } from '../../lib/limits.ts';
import { createNeighbourMemory, HEADER, HEARD_WAYS, isOf, mapNeighbours, RECORD } from './neighbour-memory.ts';
import { PlacedNeighbours } from './placed-neighbours.ts';

/**
 * The MAC of an IP address, as a control plane announces it or as heard in ARP and neighbour discovery. All workers share the table, since one worker
 * reads a request and often another reads its answer. Addresses are four words, IPv4 as ::ffff:a.b.c.d. A heard address has a set of HEARD_WAYS
 * records. If all are used, the one that was heard longest ago is replaced. A request for a lost address is flooded, which is slower but never wrong.
 *
 * There is no lock: a record has a version, odd while it is being written. Readers treat a torn record as a miss. A writer that finds another writer
 * gives up: the next frame repeats the information. A record that a thread left half-written when it died is lost until the daemon ends.
 */

/** What a binding says of the station. While no advertisement tells whether it is a router, no other node may answer for it (RFC 4861 §7.2.5). */
export const STATION = { unknown: 0, host: 1, router: 2 } as const;

const FRESH_TENTHS = NEIGHBOUR_FRESH_SECONDS * 10;

export class NeighbourTable {
  /** The neighbours that a control plane announces. They have precedence. */
  readonly placed: PlacedNeighbours;
  readonly #words: Int32Array;
  readonly #setMask: number;
  readonly #key0: number;
  readonly #key1: number;
  /** Output of `find`. `macHigh` and `macLow` read the MAC. */
  macHigh = 0;
  macLow = 0;
  /** One of STATION. */
  kind = 0;

  /** @param seed 48 bits, random per daemon */
  static createMemory(seed: number): SharedArrayBuffer {
    return createNeighbourMemory(seed);
  }

  constructor(memory: SharedArrayBuffer) {
    const { header, heard } = mapNeighbours(memory);
    this.placed = new PlacedNeighbours(memory);
    this.#words = heard;
    this.#setMask = heard.length / RECORD.words / HEARD_WAYS - 1;
    this.#key0 = header[HEADER.key0] as number;
    this.#key1 = header[HEADER.key1] as number;
  }

  /**
   * Whether the address is placed, or was heard in this segment in the last NEIGHBOUR_FRESH_SECONDS. If so, the output fields hold the result.
   *
   * @param now tenths of a second
   */
  find(segment: number, a: number, b: number, c: number, d: number, now: number): boolean {
    const { placed } = this;
    if (!placed.find(segment, a, b, c, d)) return this.#findHeard(segment, a, b, c, d, now);
    const { macHigh, macLow } = placed;
    let { kind } = placed;
    // A control plane may not know what the station itself has announced.
    const asksHeard = kind === STATION.unknown && this.#findHeard(segment, a, b, c, d, now);
    if (asksHeard && this.macHigh === macHigh && this.macLow === macLow) kind = this.kind;
    this.macHigh = macHigh;
    this.macLow = macLow;
    this.kind = kind;
    return true;
  }

  #findHeard(segment: number, a: number, b: number, c: number, d: number, now: number): boolean {
    const words = this.#words;
    const set = this.#set(segment, a, b, c, d);
    let latest = now - FRESH_TENTHS;
    let isFound = false;
    // If two workers hear an address for the first time at the same moment, there may be two records of it. The later one counts.
    for (let at = set; at < set + HEARD_WAYS * RECORD.words; at += RECORD.words) {
      const version = Atomics.load(words, at);
      if (!isOf(words, at, segment, a, b, c, d)) continue;
      const heard = words[at + RECORD.heardOrDenied] as number;
      const high = words[at + RECORD.macHigh] as number;
      const low = words[at + RECORD.macLow] as number;
      const kind = words[at + RECORD.kind] as number;
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
   * Records that an address was heard with this MAC.
   *
   * @param kind one of STATION; `unknown` keeps what is known of the same MAC
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
    for (let at = set; at < set + HEARD_WAYS * RECORD.words; at += RECORD.words) {
      if (isOf(words, at, segment, a, b, c, d)) {
        chosen = at;
        break;
      }
      if (this.#isOlder(at, chosen)) chosen = at;
    }
    const version = Atomics.load(words, chosen);
    if ((version & 1) !== 0 || Atomics.compareExchange(words, chosen, version, version + 1) !== version) return;
    const isSame =
      isOf(words, chosen, segment, a, b, c, d) &&
      words[chosen + RECORD.macHigh] === (high | 0) &&
      words[chosen + RECORD.macLow] === low;
    if (kind !== STATION.unknown || !isSame) words[chosen + RECORD.kind] = kind;
    words[chosen + RECORD.segment] = segment + 1;
    words[chosen + RECORD.a] = a;
    words[chosen + RECORD.b] = b;
    words[chosen + RECORD.c] = c;
    words[chosen + RECORD.d] = d;
    words[chosen + RECORD.macHigh] = high;
    words[chosen + RECORD.macLow] = low;
    words[chosen + RECORD.heardOrDenied] = now;
    Atomics.store(words, chosen, version + 2);
  }

  /**
   * Forgets what was heard of an address, and denies a placed neighbour. If another writer holds the record, the next frame repeats the information.
   */
  forget(segment: number, a: number, b: number, c: number, d: number): void {
    this.placed.deny(segment, a, b, c, d);
    const words = this.#words;
    const set = this.#set(segment, a, b, c, d);
    for (let at = set; at < set + HEARD_WAYS * RECORD.words; at += RECORD.words) {
      const version = Atomics.load(words, at);
      if ((version & 1) !== 0 || !isOf(words, at, segment, a, b, c, d)) continue;
      if (Atomics.compareExchange(words, at, version, version + 1) !== version) continue;
      if (isOf(words, at, segment, a, b, c, d)) words[at + RECORD.segment] = 0;
      Atomics.store(words, at, version + 2);
    }
  }

  /** Addresses that were heard in the last NEIGHBOUR_FRESH_SECONDS. Reads the whole table. @param now tenths of a second */
  fresh(now: number): number {
    const words = this.#words;
    let count = 0;
    for (let at = 0; at < words.length; at += RECORD.words) {
      if (words[at + RECORD.segment] !== 0 && (words[at + RECORD.heardOrDenied] as number) > now - FRESH_TENTHS)
        count++;
    }
    return count;
  }

  /** Whether one record is better to replace than another: it is unused, or was heard longer ago. A record that is being written is never better. */
  #isOlder(at: number, than: number): boolean {
    const words = this.#words;
    if (((words[at] as number) & 1) !== 0) return false;
    if (((words[than] as number) & 1) !== 0) return true;
    if (words[than + RECORD.segment] === 0) return false;
    return (
      words[at + RECORD.segment] === 0 ||
      (words[at + RECORD.heardOrDenied] as number) < (words[than + RECORD.heardOrDenied] as number)
    );
  }

  /** The first record in which an address may be stored. */
  #set(segment: number, a: number, b: number, c: number, d: number): number {
    // The segment's part of a key word. No tenant can choose it.
    const hash = keyedHash(this.#key0, this.#key1 ^ segment, a, b, c, d);
    return (hash & this.#setMask) * HEARD_WAYS * RECORD.words;
  }
}
