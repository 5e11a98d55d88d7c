/** Building blocks over shared words: fixed pools of records and open-addressing indexes of them. Writers hold the FDB's lock. */

/** MurmurHash3 finalizer over up to three words (Appleby, public domain). */
export function hashWords(seed: number, a: number, b: number, c: number): number {
  let hash = seed ^ Math.imul(a, 0xcc9e_2d51);
  hash = Math.imul((hash << 13) | (hash >>> 19), 0x1b87_3593) ^ Math.imul(b, 0x85eb_ca6b);
  hash = Math.imul((hash << 15) | (hash >>> 17), 0xc2b2_ae35) ^ Math.imul(c, 0x27d4_eb2f);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return hash ^ (hash >>> 16);
}

/**
 * HalfSipHash-1-3 of four words (Aumasson, Bernstein, "SipHash: a fast short-input PRF"; lib/siphash.c of Linux): for what outsiders choose
 * as a whole. Unlike the hash above, nobody who does not know the key finds words that collide.
 */
export function keyedHash(key0: number, key1: number, a: number, b: number, c: number, d: number): number {
  let v0 = key0;
  let v1 = key1;
  let v2 = key0 ^ 0x6c79_6765;
  let v3 = key1 ^ 0x7465_6462;
  // One round for each word, one for the length (16 octets), three to finish.
  for (let round = 0; round < 8; round++) {
    const word = round === 0 ? a : round === 1 ? b : round === 2 ? c : round === 3 ? d : round === 4 ? 16 << 24 : 0;
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
    if (round === 4) v2 ^= 0xff;
  }
  return v1 ^ v3;
}

/** Where a pool lives: its records, their size, the header words that hold its free list and high-water mark. */
export interface PoolPlace {
  readonly header: Int32Array;
  readonly free: number;
  readonly used: number;
  readonly records: Int32Array;
  readonly recordWords: number;
  /** The word of a free record that holds the next one. */
  readonly linkWord: number;
}

/** Hands out record numbers from `first`; freed ones first, so that records stay dense. */
export class RecordPool {
  readonly #place: PoolPlace;
  readonly #first: number;
  readonly #limit: number;

  constructor(place: PoolPlace, first: number) {
    this.#place = place;
    this.#first = first;
    this.#limit = place.records.length / place.recordWords;
  }

  /** A record, its words as its last user left them, or -1 when the pool is empty. */
  take(): number {
    const { header, free, used, records, recordWords, linkWord } = this.#place;
    const freed = Atomics.load(header, free);
    if (freed !== 0) {
      header[free] = records[(freed - 1) * recordWords + linkWord] as number;
      return freed - 1;
    }
    const next = this.#first + (header[used] as number);
    if (next >= this.#limit) return -1;
    Atomics.add(header, used, 1);
    return next;
  }

  give(record: number): void {
    const { header, free, records, recordWords, linkWord } = this.#place;
    records[record * recordWords + linkWord] = header[free] as number;
    header[free] = record + 1;
  }

  /** One past the highest record ever taken. */
  get end(): number {
    return this.#first + Atomics.load(this.#place.header, this.#place.used);
  }
}

/**
 * Linear-probing index of record numbers. Readers take no lock: they follow `first`/`next` and compare keys themselves. A removal moves
 * later records into the gap, so a reader may miss one that is there; in the FDB a miss floods, which is slower and never wrong.
 */
export class RecordIndex {
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** How far from its home a record may stand, in slots. */
  readonly #reach: number;
  /** The hash of a record that is in the index. */
  readonly #hashOf: (record: number) => number;

  /** @param reach how far from its home a record may stand, so that a search ends there; all the way round unless given */
  constructor(slots: Int32Array, hashOf: (record: number) => number, reach = slots.length - 1) {
    this.#slots = slots;
    this.#mask = slots.length - 1;
    this.#reach = reach;
    this.#hashOf = hashOf;
  }

  /** The first slot to look in. */
  slot(hash: number): number {
    return hash & this.#mask;
  }

  /** The slot behind the last one that a record of this hash can stand in. */
  end(hash: number): number {
    return (hash + this.#reach) & this.#mask;
  }

  /** The slot after `slot`. */
  next(slot: number): number {
    return (slot + 1) & this.#mask;
  }

  /** The record in `slot`, or -1 where the search ends. A plain load: whoever finds a record checks that it is the right one. */
  at(slot: number): number {
    return (this.#slots[slot] as number) - 1;
  }

  /** Whether there was room within reach. */
  insert(hash: number, record: number): boolean {
    const end = this.end(hash);
    for (let slot = hash & this.#mask; slot !== end; slot = (slot + 1) & this.#mask) {
      if (this.#slots[slot] !== 0) continue;
      Atomics.store(this.#slots, slot, record + 1);
      return true;
    }
    return false;
  }

  /** Takes `record` out and closes the gap (Knuth, TAOCP 6.4, algorithm R). */
  remove(hash: number, record: number): void {
    let gap = hash & this.#mask;
    while (this.#slots[gap] !== record + 1) {
      // A record that is not there would otherwise be searched for ever.
      if (this.#slots[gap] === 0) return;
      gap = (gap + 1) & this.#mask;
    }
    for (let slot = (gap + 1) & this.#mask; this.#slots[slot] !== 0; slot = (slot + 1) & this.#mask) {
      const home = this.#hashOf((this.#slots[slot] as number) - 1) & this.#mask;
      // A record may move back only as far as its home slot, counted cyclically.
      if (((slot - home) & this.#mask) < ((slot - gap) & this.#mask)) continue;
      Atomics.store(this.#slots, gap, this.#slots[slot] as number);
      gap = slot;
    }
    Atomics.store(this.#slots, gap, 0);
  }

  clear(): void {
    this.#slots.fill(0);
  }
}
