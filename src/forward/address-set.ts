import type { SourceAddress } from '../fdb/fdb.ts';

/** Octets and words of an address, IPv4 as ::ffff:a.b.c.d. */
const WORDS = 4;

const LEAST_SLOTS = 16;

/**
 * A set of addresses that each datagram's source is looked for in: an open hash table at most half full, so that a host with 10,000 addresses
 * pays for a look no more than one with two. A look allocates nothing; additions may.
 */
export class AddressSet {
  #words = new Int32Array(LEAST_SLOTS * WORDS);
  #taken = new Uint8Array(LEAST_SLOTS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  has({ a, b, c, d }: SourceAddress): boolean {
    return this.#taken[this.#slotOf(a, b, c, d)] === 1;
  }

  /** @param words four of each address */
  addAll(words: Int32Array): void {
    for (let at = 0; at + WORDS <= words.length; at += WORDS) {
      if ((this.#count + 1) * 2 > this.#taken.length) this.#grow();
      this.#add(words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number);
    }
  }

  /** @param words four of each address */
  removeAll(words: Int32Array): void {
    for (let at = 0; at + WORDS <= words.length; at += WORDS) {
      this.#remove(
        this.#slotOf(words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number),
      );
    }
  }

  #add(a: number, b: number, c: number, d: number): void {
    const slot = this.#slotOf(a, b, c, d);
    if (this.#taken[slot] === 1) return;
    this.#taken[slot] = 1;
    this.#words.set([a, b, c, d], slot * WORDS);
    this.#count++;
  }

  /** Moves those behind the gap forward that would not be found beyond it. */
  #remove(slot: number): void {
    if (this.#taken[slot] === 0) return;
    const mask = this.#taken.length - 1;
    let gap = slot;
    for (let next = (gap + 1) & mask; this.#taken[next] === 1; next = (next + 1) & mask) {
      const home = this.#homeOf(next);
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      this.#words.copyWithin(gap * WORDS, next * WORDS, (next + 1) * WORDS);
      gap = next;
    }
    this.#taken[gap] = 0;
    this.#count--;
  }

  #grow(): void {
    const [words, taken] = [this.#words, this.#taken];
    this.#words = new Int32Array(words.length * 2);
    this.#taken = new Uint8Array(taken.length * 2);
    this.#count = 0;
    for (let slot = 0; slot < taken.length; slot++) {
      if (taken[slot] === 1) this.addAll(words.subarray(slot * WORDS, (slot + 1) * WORDS));
    }
  }

  #homeOf(slot: number): number {
    const words = this.#words;
    const at = slot * WORDS;
    return (
      hash(words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number) &
      (this.#taken.length - 1)
    );
  }

  /** Where an address is, or else would be put. */
  #slotOf(a: number, b: number, c: number, d: number): number {
    const words = this.#words;
    const mask = this.#taken.length - 1;
    let slot = hash(a, b, c, d) & mask;
    for (; this.#taken[slot] === 1; slot = (slot + 1) & mask) {
      const at = slot * WORDS;
      if (words[at + 3] === d && words[at + 2] === c && words[at + 1] === b && words[at] === a) break;
    }
    return slot;
  }
}

/** The addresses in the set are the host's own: no peer chooses them. */
function hash(a: number, b: number, c: number, d: number): number {
  let mixed = Math.imul(a ^ Math.imul(b, 0x9e37_79b1) ^ Math.imul(c, 0x85eb_ca6b), 0xc2b2_ae35) ^ d;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb_352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846c_a68b);
  return mixed ^ (mixed >>> 16);
}
