/** Building blocks over shared words: fixed pools of records, and open-addressing indexes of them. Writers hold the lock of the FDB. */

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
 * HalfSipHash-1-3 of four words (Aumasson, Bernstein, "SipHash: a fast short-input PRF"; lib/siphash.c of Linux). It is for keys that outsiders
 * choose completely. Unlike the hash above, nobody can find colliding words without the key.
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

/** The place of a pool: its records, their size, and the header words for its free list and its high-water mark. */
export interface PoolPlace {
  readonly header: Int32Array;
  readonly free: number;
  readonly used: number;
  readonly records: Int32Array;
  readonly recordWords: number;
  /** The word of a free record that holds the number of the next free one. */
  readonly linkWord: number;
}

/** Assigns record numbers from `first` on. Freed numbers are reused first, so that records stay dense. */
export class RecordPool {
  readonly #place: PoolPlace;
  readonly #first: number;
  readonly #limit: number;

  constructor(place: PoolPlace, first: number) {
    this.#place = place;
    this.#first = first;
    this.#limit = place.records.length / place.recordWords;
  }

  /** A record, with the words of its last user, or -1 when the pool is empty. */
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
 * Linear-probing index of record numbers. Readers take no lock: they follow `first`/`next` and compare keys themselves. A removal moves later records
 * into the gap, so a reader may miss an existing record. In the FDB a miss causes a flood, which is slower but never wrong.
 */
export class RecordIndex {
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** Maximum distance of a record from its home slot, in slots. */
  readonly #reach: number;
  /** The hash of a record that is in the index. */
  readonly #hashOf: (record: number) => number;

  /** @param reach maximum distance of a record from its home slot, which limits a search; by default the whole index */
  constructor(slots: Int32Array, hashOf: (record: number) => number, reach = slots.length - 1) {
    this.#slots = slots;
    this.#mask = slots.length - 1;
    this.#reach = reach;
    this.#hashOf = hashOf;
  }

  /** The first slot of a search. */
  slot(hash: number): number {
    return hash & this.#mask;
  }

  /** The slot after the last one in which a record of this hash can be. */
  end(hash: number): number {
    return (hash + this.#reach) & this.#mask;
  }

  /** The slot after `slot`. */
  next(slot: number): number {
    return (slot + 1) & this.#mask;
  }

  /** The record in `slot`, or -1 where the search ends. This is a plain load: the caller checks that the record is the right one. */
  at(slot: number): number {
    return (this.#slots[slot] as number) - 1;
  }

  /** Returns whether there was room within reach. */
  insert(hash: number, record: number): boolean {
    const end = this.end(hash);
    for (let slot = hash & this.#mask; slot !== end; slot = (slot + 1) & this.#mask) {
      if (this.#slots[slot] !== 0) continue;
      Atomics.store(this.#slots, slot, record + 1);
      return true;
    }
    return false;
  }

  /** Removes `record` and closes the gap (Knuth, TAOCP 6.4, algorithm R). */
  remove(hash: number, record: number): void {
    let gap = hash & this.#mask;
    while (this.#slots[gap] !== record + 1) {
      // Without this, the search for a missing record would never end.
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
