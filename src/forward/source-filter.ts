import type { SourceAddress } from '../fdb/fdb.ts';
import { ipFamily } from '../lib/addresses.ts';
import { type IpPrefix, networkBytes } from '../lib/ip-prefix.ts';

/** Words of a prefix: network and mask, four each, IPv4 as ::ffff:a.b.c.d. */
const WORDS = 8;
const MASK = 4;

/** Bits that stand before an IPv4 address in its IPv4-mapped form. */
const MAPPED_BITS = 96;

/** The words of networks are kept with this bit turned: signed comparison then orders them as unsigned numbers. */
const TURNED = 0x8000_0000 | 0;

/**
 * The outer sources that may send to this VTEP (`--allow-vtep`). The prefixes are kept sorted and without those that lie in another, so that
 * at most one can hold an address: the last that does not begin beyond it.
 */
export class SourceFilter {
  readonly #words: Int32Array;

  constructor(prefixes: readonly IpPrefix[]) {
    const disjoint: Int32Array[] = [];
    // The wider of two that begin alike comes first: whatever lies in another comes after it.
    for (const words of prefixes.map(prefixWords).sort(compareWords)) {
      const last = disjoint.at(-1);
      if (last === undefined || !holdsNetwork(last, words)) disjoint.push(words);
    }
    this.#words = new Int32Array(disjoint.length * WORDS);
    for (const [i, words] of disjoint.entries()) this.#words.set(words, i * WORDS);
  }

  /** How many prefixes are left to look through. */
  get size(): number {
    return this.#words.length / WORDS;
  }

  /** Whether a prefix holds the address. */
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

/** Whether the network at `at` begins beyond the address, given with its words turned. */
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

/** By network, the wider first. The first one's mask is compared as an unsigned number. */
function compareWords(one: Int32Array, other: Int32Array): number {
  for (let i = 0; i < WORDS; i++) {
    const [left, right] = [one[i] as number, other[i] as number];
    if (left !== right) return i < MASK ? left - right : (left >>> 0) - (right >>> 0);
  }
  return 0;
}
