import type { SourceAddress } from '../fdb/fdb.ts';
import { ipFamily } from '../lib/addresses.ts';
import { type IpPrefix, networkBytes } from '../lib/ip-prefix.ts';

/** Words of a prefix: network and mask, four each, IPv4 as ::ffff:a.b.c.d. */
const WORDS = 8;
const MASK = 4;

/** Bits in front of an IPv4 address in its IPv4-mapped form. */
const MAPPED_BITS = 96;

/** The words of networks are stored with this bit inverted. A signed comparison then gives the order of unsigned numbers. */
const TURNED = 0x8000_0000 | 0;

/**
 * The outer sources that may send to this VTEP (`--allow-vtep`). The prefixes are sorted, and prefixes inside another one are removed. So at most one
 * prefix can contain an address: the last one that does not begin after the address.
 */
export class SourceFilter {
  readonly #words: Int32Array;

  constructor(prefixes: readonly IpPrefix[]) {
    const disjoint: Int32Array[] = [];
    // Of two prefixes with the same start, the wider one comes first. So a prefix inside another one comes after it.
    for (const words of prefixes.map(prefixWords).sort(compareWords)) {
      const last = disjoint.at(-1);
      if (last === undefined || !holdsNetwork(last, words)) disjoint.push(words);
    }
    this.#words = new Int32Array(disjoint.length * WORDS);
    for (const [i, words] of disjoint.entries()) this.#words.set(words, i * WORDS);
  }

  /** Number of prefixes that the search still has to examine. */
  get size(): number {
    return this.#words.length / WORDS;
  }

  /** Whether a prefix contains the address. */
  allows({ a, b, c, d }: SourceAddress): boolean {
    const words = this.#words;
    let low = 0;
    let high = words.length / WORDS;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBeyond(words, middle * WORDS, a ^ TURNED, b ^ TURNED, c ^ TURNED, d ^ TURNED)) high = middle;
      else low = middle + 1;
    }
    return low > 0 && holds(words, (low - 1) * WORDS, a, b, c, d);
  }
}

/** Whether the network at `at` begins after the address. The words of the address have the bit inverted too. */
function isBeyond(words: Int32Array, at: number, a: number, b: number, c: number, d: number): boolean {
  if (words[at] !== a) return (words[at] as number) > a;
  if (words[at + 1] !== b) return (words[at + 1] as number) > b;
  if (words[at + 2] !== c) return (words[at + 2] as number) > c;
  return (words[at + 3] as number) > d;
}

function holds(words: Int32Array, at: number, a: number, b: number, c: number, d: number): boolean {
  return (
    ((a & (words[at + MASK] as number)) ^ TURNED) === words[at] &&
    ((b & (words[at + MASK + 1] as number)) ^ TURNED) === words[at + 1] &&
    ((c & (words[at + MASK + 2] as number)) ^ TURNED) === words[at + 2] &&
    ((d & (words[at + MASK + 3] as number)) ^ TURNED) === words[at + 3]
  );
}

function holdsNetwork(words: Int32Array, other: Int32Array): boolean {
  const [a, b, c, d] = [...other.subarray(0, MASK)].map((word) => word ^ TURNED) as [number, number, number, number];
  return holds(words, 0, a, b, c, d);
}

function prefixWords({ address, bits }: IpPrefix): Int32Array {
  const network = networkBytes(address, bits);
  const isIpv4 = ipFamily(address) === 4;
  const octets = isIpv4 ? [...new Uint8Array(10), 0xff, 0xff, ...network] : [...network];
  const view = new DataView(Uint8Array.from(octets).buffer);
  const length = isIpv4 ? MAPPED_BITS + bits : bits;
  const words = new Int32Array(WORDS);
  for (let i = 0; i < MASK; i++) {
    words[i] = view.getInt32(4 * i) ^ TURNED;
    const ones = Math.max(0, Math.min(32, length - 32 * i));
    words[MASK + i] = ones === 0 ? 0 : -1 << (32 - ones);
  }
  return words;
}

/** Sorts by network, the wider prefix first. The mask of the first is compared as an unsigned number. */
function compareWords(one: Int32Array, other: Int32Array): number {
  for (let i = 0; i < WORDS; i++) {
    const [left, right] = [one[i] as number, other[i] as number];
    if (left !== right) return i < MASK ? left - right : (left >>> 0) - (right >>> 0);
  }
  return 0;
}
