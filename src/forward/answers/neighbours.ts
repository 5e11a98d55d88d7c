import { keyedHash } from '../../fdb/records.ts';
import { NEIGHBOUR_FRESH_SECONDS } from '../../lib/limits.ts';
import { createNeighbourMemory, HEADER, HEARD_WAYS, isOf, mapNeighbours, RECORD } from './neighbour-memory.ts';
import { PlacedNeighbours } from './placed-neighbours.ts';

/**
 * Which MAC has an IP address, as a control plane says or as heard in ARP and neighbour discovery: shared by all workers, since a request is read
 * by one and its answer often by another. Addresses are four words, IPv4 as ::ffff:a.b.c.d. An address that was heard has a set of HEARD_WAYS records
 * to stand in; where all are taken, the one goes that was heard longest ago. What is lost that way is flooded, which is slower and never wrong.
 *
 * No lock: a record has a version, odd while it is written. Readers take a torn record for a miss, and a writer that finds another at work
 * gives up: the next frame says it again. A record that a thread left half-written when it died is lost until the daemon ends.
 */

/** What a binding says of the station. Until an advertisement tells whether it is a router, nobody may answer for it (RFC 4861 §7.2.5). */
export const STATION = { unknown: 0, host: 1, router: 2 } as const;

const FRESH_TENTHS = NEIGHBOUR_FRESH_SECONDS * 10;

export class NeighbourTable {
  /** What a control plane says, which comes first. */
  readonly placed: PlacedNeighbours;
  readonly #words: Int32Array;
  readonly #setMask: number;
  readonly #key0: number;
  readonly #key1: number;
  /** Out: what `find` found; the MAC as `macHigh` and `macLow` read it. */
  macHigh = 0;
  macLow = 0;
  /** One of STATION. */
  kind = 0;

  /** @param seed of 48 bits, random per daemon */
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
   * Whether the address is placed, or was heard in this segment in the last NEIGHBOUR_FRESH_SECONDS; then the fields say what of it.
   *
   * @param now tenths of a second
   */
  find(segment: number, a: number, b: number, c: number, d: number, now: number): boolean {
    const { placed } = this;
    if (!placed.find(segment, a, b, c, d)) return this.#findHeard(segment, a, b, c, d, now);
    const { macHigh, macLow } = placed;
    let { kind } = placed;
    // A control plane may not know what the station itself has said.
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
    // Two workers that heard an address first at the same time may have made two records of it: the later one counts.
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

  /** Forgets what was heard of an address, and denies what is placed. Where another is at the record, the next frame will say it again. */
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

  /** Addresses that were heard in the last NEIGHBOUR_FRESH_SECONDS. Walks the table. @param now tenths of a second */
  fresh(now: number): number {
    const words = this.#words;
    let count = 0;
    for (let at = 0; at < words.length; at += RECORD.words) {
      if (words[at + RECORD.segment] !== 0 && (words[at + RECORD.heardOrDenied] as number) > now - FRESH_TENTHS)
        count++;
    }
    return count;
  }

  /** Whether a record is a better one to take than another: unused, or heard longer ago. One that is being written is neither. */
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

  /** Where the records begin that an address may stand in. */
  #set(segment: number, a: number, b: number, c: number, d: number): number {
    // What the segment adds to a key word, no tenant chooses.
    const hash = keyedHash(this.#key0, this.#key1 ^ segment, a, b, c, d);
    return (hash & this.#setMask) * HEARD_WAYS * RECORD.words;
  }
}
