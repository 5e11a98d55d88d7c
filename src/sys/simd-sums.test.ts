import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_SLAB_BYTES } from '../lib/limits.ts';
import { naiveSum } from '../wire/naive-sum.ts';
import { type OctetSums, portableSums } from '../wire/octet-sums.ts';
import { octetSums, simdSums } from './simd-sums.ts';
import { Slab } from './slab.ts';

const PAGE_BYTES = 65_536;
const MAX_LENGTH = 65_536;
const GUARD = 0xa5;

/** Octets that look random, the same for the same seed (xorshift32): cheaper by far than drawing each. */
function scrambled(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0xff;
  });
}

/** Octets that repeat a pattern of eight: each bit says whether one is 0xff or zero. */
const striped = (length: number, bits: number) =>
  Uint8Array.from({ length }, (_, i) => ((bits >> (i % 8)) & 1 ? 0xff : 0));

const lengths = fc.oneof(
  fc.nat({ max: 300 }),
  fc.nat({ max: MAX_LENGTH }),
  fc.constantFrom(MAX_LENGTH - 1, MAX_LENGTH),
);
const octetArrays = fc.oneof(
  fc.tuple(lengths, fc.integer({ min: 1 })).map(([length, seed]) => scrambled(length, seed)),
  fc.tuple(lengths, fc.nat({ max: 0xff })).map(([length, bits]) => striped(length, bits)),
);

/** Both implementations, each over a slab of its own. */
const IMPLEMENTATIONS: readonly [string, (slab: Slab) => OctetSums | undefined][] = [
  ['simdSums', simdSums],
  ['portableSums', (slab) => portableSums(slab.bytes)],
];

describe.each(IMPLEMENTATIONS)('%s', (_name, implementation) => {
  function sumsOf(size: number): { sums: OctetSums; bytes: Uint8Array } {
    const slab = new Slab(size);
    const sums = implementation(slab);
    if (!sums) throw new Error('this processor has no SIMD to test');
    return { sums, bytes: slab.bytes };
  }

  /** Whether two memories are the same, without the minute that a matcher takes over a megabyte. */
  const isSame = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

  it.each([
    ['nothing', [], 0],
    ['the example of RFC 1071 §3', [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0xddf2],
    ['one octet, the high half of a word', [0xab], 0xab00],
    ['three octets', [0x00, 0x01, 0xab], 0xab01],
    ['carries that carry again in each fold', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0], 0x0100],
    ['a carry that carries again', [0xff, 0xff, 0xff, 0xff, 0x00, 0x01], 0x0001],
  ])('sums %s', (_octets, octets, sum) => {
    const { sums, bytes } = sumsOf(PAGE_BYTES);
    bytes.fill(GUARD);
    bytes.set(octets, 1);
    expect(sums.sum(1, octets.length)).toBe(sum);
    expect(sums.copySum(101, 1, octets.length)).toBe(sum);
  });

  it('sums every length to 200 at every alignment, and writes nothing', () => {
    const { sums, bytes } = sumsOf(PAGE_BYTES);
    const octets = scrambled(200, 1);
    const wrong: string[] = [];
    for (let length = 0; length <= octets.length; length++) {
      const wanted = naiveSum(octets.subarray(0, length));
      for (let at = 0; at < 16; at++) {
        bytes.fill(GUARD, 0, 256);
        bytes.set(octets.subarray(0, length), at);
        const before = bytes.slice(0, 256);
        if (sums.sum(at, length) !== wanted) wrong.push(`${length} octets at ${at}: sum`);
        if (!isSame(bytes.subarray(0, 256), before)) wrong.push(`${length} octets at ${at}: written`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('copies every length to 200 from every alignment to every other, and touches nothing around', () => {
    const { sums, bytes } = sumsOf(PAGE_BYTES);
    const octets = scrambled(200, 2);
    const wrong: string[] = [];
    const wanted = new Uint8Array(512);
    for (let length = 0; length <= octets.length; length++) {
      const cut = octets.subarray(0, length);
      const sum = naiveSum(cut);
      for (let from = 0; from < 16; from++) {
        for (let to = 256; to < 272; to++) {
          bytes.fill(GUARD, 0, 512);
          bytes.set(cut, from);
          wanted.set(bytes.subarray(0, 512));
          wanted.set(cut, to);
          if (sums.copySum(to, from, length) !== sum) wrong.push(`${length} octets, ${from} to ${to}: sum`);
          if (!isSame(bytes.subarray(0, 512), wanted)) wrong.push(`${length} octets, ${from} to ${to}: copy`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('sums and copies up to 65,536 octets anywhere, to either side, and touches nothing else in its memory', () => {
    const { sums, bytes } = sumsOf(4 * PAGE_BYTES);
    const wanted = new Uint8Array(bytes.length);
    const places = fc.nat({ max: PAGE_BYTES });
    fc.assert(
      fc.property(octetArrays, places, places, fc.boolean(), (octets, low, high, isUpwards) => {
        const [from, to] = isUpwards ? [low, 2 * PAGE_BYTES + high] : [2 * PAGE_BYTES + high, low];
        bytes.fill(GUARD);
        bytes.set(octets, from);
        wanted.set(bytes);
        wanted.set(octets, to);
        const sum = naiveSum(octets);
        expect(sums.sum(from, octets.length)).toBe(sum);
        expect(sums.copySum(to, from, octets.length)).toBe(sum);
        expect(isSame(bytes, wanted)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('finds a difference in each bit of the mask, and in no other, wherever it stands', () => {
    const { sums, bytes } = sumsOf(PAGE_BYTES);
    const specs = fc.record({
      length: fc.integer({ min: 16, max: 130 }),
      places: fc.tuple(fc.nat({ max: 15 }), fc.nat({ max: 15 }), fc.nat({ max: 15 })),
      seed: fc.integer({ min: 1 }),
      at: fc.nat({ max: 129 }),
      bit: fc.nat({ max: 7 }),
    });
    fc.assert(
      fc.property(specs, ({ length, places, seed, at, bit }) => {
        const [mask, a, b] = [places[0], 256 + places[1], 512 + places[2]];
        const octet = at % length;
        // What stands around the octets differs, and is masked in.
        bytes.fill(0xff, 0, 256).fill(0x00, 256, 512).fill(0xff, 512, 768);
        bytes.set(scrambled(length, seed), a);
        bytes.set(scrambled(length, seed), b);
        expect(sums.equalUnder(mask, a, b, length)).toBe(1);
        bytes[b + octet] = (bytes[b + octet] as number) ^ (1 << bit);
        expect(sums.equalUnder(mask, a, b, length)).toBe(0);
        bytes[mask + octet] = 0xff & ~(1 << bit);
        expect(sums.equalUnder(mask, a, b, length)).toBe(1);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([1, 2, 63, 64, 65, 1_448, 65_471, 65_472, MAX_LENGTH - 1, MAX_LENGTH])(
    'loses no carry of %i octets, whichever of each eight are 0xff and which zero',
    (length) => {
      const { sums, bytes } = sumsOf(3 * PAGE_BYTES);
      for (const bits of [0x00, 0xff, 0x0f, 0xf0, 0x33, 0xcc, 0x55, 0xaa, 0x01, 0x80]) {
        const octets = striped(length, bits);
        bytes.set(octets, 3);
        expect(sums.sum(3, length), `sum, pattern ${bits}`).toBe(naiveSum(octets));
        expect(sums.copySum(PAGE_BYTES + 4, 3, length), `copySum, pattern ${bits}`).toBe(naiveSum(octets));
      }
    },
  );

  it('tells all ones from zero: a sum of 0xffff is not folded to 0', () => {
    const { sums, bytes } = sumsOf(PAGE_BYTES);
    bytes.fill(0xff, 0, 1_448);
    expect(sums.sum(0, 1_448)).toBe(0xffff);
    expect(sums.sum(2_000, 1_448)).toBe(0);
  });

  it('reaches the first and the last octet of the largest slab, and not beyond', () => {
    const { sums, bytes } = sumsOf(MAX_SLAB_BYTES);
    const octets = scrambled(1_449, 3);
    const last = bytes.length - octets.length;
    bytes.set(octets, last);
    expect(sums.copySum(0, last, octets.length)).toBe(naiveSum(octets));
    expect(isSame(bytes.subarray(0, octets.length), octets)).toBe(true);
    expect(sums.sum(last, octets.length)).toBe(naiveSum(octets));
    expect(sums.copySum(last, 0, octets.length)).toBe(naiveSum(octets));
    expect(() => sums.sum(last, octets.length + 1)).toThrow();
  });
});

describe('octetSums', () => {
  it('is the SIMD module where there is SIMD, over the slab it is given', () => {
    const [one, other] = [new Slab(PAGE_BYTES), new Slab(2 * PAGE_BYTES)];
    const [sumsOfOne, sumsOfOther] = [octetSums(one), octetSums(other)];
    one.bytes.set([0x12, 0x34], 64);
    other.bytes.set([0x56, 0x78], 64);
    expect(sumsOfOne.sum(64, 2)).toBe(0x1234);
    expect(sumsOfOther.sum(64, 2)).toBe(0x5678);
    // An exported WASM function is named by its index.
    expect(sumsOfOne.sum.name).toMatch(/^\d+$/);
  });
});

describe('the compiled module', () => {
  it('has nothing that could write to the slab by itself: no data, start function, globals or memory of its own', () => {
    const octets = readFileSync(new URL('../../dist/wire/octet-sums.wasm', import.meta.url));
    const [TYPE, IMPORT, FUNCTION, EXPORT, CODE] = [1, 2, 3, 7, 10];
    expect(sectionIds(octets)).toEqual([TYPE, IMPORT, FUNCTION, EXPORT, CODE]);
  });

  it('leaves the slab as it is when it is instantiated', () => {
    const slab = new Slab(PAGE_BYTES);
    slab.bytes.fill(GUARD);
    simdSums(slab);
    expect(slab.bytes.every((octet) => octet === GUARD)).toBe(true);
  });
});

/** The sections of a WASM module (WebAssembly core specification §5.5.2): after magic and version, an id and a LEB128 length each. */
function sectionIds(octets: Uint8Array): number[] {
  const ids: number[] = [];
  let at = 8;
  while (at < octets.length) {
    ids.push(octets[at++] as number);
    let length = 0;
    for (let shift = 0, more = true; more; shift += 7) {
      const octet = octets[at++] as number;
      length += (octet & 0x7f) << shift;
      more = octet >= 0x80;
    }
    at += length;
  }
  return ids;
}
