import type { SourceAddress } from '../fdb/fdb.ts';

/** Octets and words of an address, IPv4 as ::ffff:a.b.c.d. */
const WORDS = 4;

const LEAST_SLOTS = 16;

/** Bits that say what an address of the host is: own address, broadcast address, or both. */
export const ADDRESS_MARK = { own: 1, broadcast: 2 } as const;

/**
 * Addresses and their marks. The source of each datagram is looked up here. The table is an open hash table, at most half full, so a host with 10,000
 * addresses pays no more for a lookup than a host with two. A lookup allocates nothing; an addition may allocate.
 */
export class AddressMarks {
  #words = new Int32Array(LEAST_SLOTS * WORDS);
  /** One word per slot. 0: the slot is free. */
  #marks = new Uint8Array(LEAST_SLOTS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Bits of ADDRESS_MARK. 0: the address has no mark. */
  of({ a, b, c, d }: SourceAddress): number {
    return this.#marks[this.#slotOf(a, b, c, d)] as number;
  }

  /** @param words four words per address */
  addAll(words: Int32Array, mark: number): void {
    for (let at = 0; at + WORDS <= words.length; at += WORDS) {
      if ((this.#count + 1) * 2 > this.#marks.length) this.#grow();
      this.#add(words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number, mark);
    }
  }

  /** @param words four words per address */
  removeAll(words: Int32Array, mark: number): void {
    for (let at = 0; at + WORDS <= words.length; at += WORDS) {
      this.#remove(
        this.#slotOf(words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number),
        mark,
      );
    }
  }

  #add(a: number, b: number, c: number, d: number, mark: number): void {
    const slot = this.#slotOf(a, b, c, d);
    const marks = this.#marks[slot] as number;
    this.#marks[slot] = marks | mark;
    if (marks !== 0) return;
    this.#words.set([a, b, c, d], slot * WORDS);
    this.#count++;
  }

  /** An address without marks is removed. Later addresses move into the gap where a search would otherwise not find them. */
  #remove(slot: number, mark: number): void {
    const marks = this.#marks[slot] as number;
    if (marks === 0) return;
    this.#marks[slot] = marks & ~mark;
    if (this.#marks[slot] !== 0) return;
    const mask = this.#marks.length - 1;
    let gap = slot;
    for (let next = (gap + 1) & mask; this.#marks[next] !== 0; next = (next + 1) & mask) {
      const home = this.#homeOf(next);
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      this.#words.copyWithin(gap * WORDS, next * WORDS, (next + 1) * WORDS);
      this.#marks[gap] = this.#marks[next] as number;
      gap = next;
    }
    this.#marks[gap] = 0;
    this.#count--;
  }

  #grow(): void {
    const [words, marks] = [this.#words, this.#marks];
    this.#words = new Int32Array(words.length * 2);
    this.#marks = new Uint8Array(marks.length * 2);
    this.#count = 0;
    for (const [slot, mark] of marks.entries()) {
      if (mark !== 0) this.addAll(words.subarray(slot * WORDS, (slot + 1) * WORDS), mark);
    }
  }

  #homeOf(slot: number): number {
    const words = this.#words;
    const at = slot * WORDS;
    return (
      hash(words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number) &
      (this.#marks.length - 1)
    );
  }

  /** The slot of an address, or the slot where it would be added. */
  #slotOf(a: number, b: number, c: number, d: number): number {
    const words = this.#words;
    const mask = this.#marks.length - 1;
    let slot = hash(a, b, c, d) & mask;
    for (; this.#marks[slot] !== 0; slot = (slot + 1) & mask) {
      const at = slot * WORDS;
      if (words[at + 3] === d && words[at + 2] === c && words[at + 1] === b && words[at] === a) break;
    }
    return slot;
  }
}

/** The addresses in the set are own addresses of the host: no peer can choose them. */
function hash(a: number, b: number, c: number, d: number): number {
  let mixed = Math.imul(a ^ Math.imul(b, 0x9e37_79b1) ^ Math.imul(c, 0x85eb_ca6b), 0xc2b2_ae35) ^ d;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb_352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846c_a68b);
  return mixed ^ (mixed >>> 16);
}
