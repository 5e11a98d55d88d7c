import { openSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_SLAB_BYTES } from '../lib/limits.ts';
import { addressOf, close, read } from './libc.ts';
import { Slab } from './slab.ts';

const PAGE_BYTES = 65_536;
const CACHE_LINE_BYTES = 64;

describe('Slab', () => {
  it('allocates whole cache lines that overlap nobody, in memory as in offsets', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 30 }), (sizes) => {
        const slab = new Slab(PAGE_BYTES);
        let end = 0;
        for (const size of sizes) {
          const at = slab.allocate(size);
          expect(at % CACHE_LINE_BYTES).toBe(0);
          expect(slab.address(at) % CACHE_LINE_BYTES).toBe(0);
          expect(at).toBeGreaterThanOrEqual(end);
          end = at + size;
        }
        expect(end).toBeLessThanOrEqual(slab.bytes.length);
      }),
      { numRuns: 50 },
    );
  });

  it('hands out zero octets, and never offset 0', () => {
    const slab = new Slab(PAGE_BYTES);
    const at = slab.allocate(4096);
    expect(at).toBeGreaterThan(0);
    expect(slab.bytes.subarray(at, at + 4096).every((octet) => octet === 0)).toBe(true);
  });

  it('rounds its size up to pages, and caps it', () => {
    expect(new Slab(1).bytes.length).toBe(PAGE_BYTES);
    expect(new Slab(PAGE_BYTES + 1).bytes.length).toBe(2 * PAGE_BYTES);
    expect(new Slab(MAX_SLAB_BYTES * 2).bytes.length).toBe(MAX_SLAB_BYTES);
  });

  it('gives its last octet away and then refuses with a RangeError that says its size', () => {
    const slab = new Slab(PAGE_BYTES);
    const first = slab.allocate(1);
    const rest = slab.bytes.length - first - CACHE_LINE_BYTES;
    expect(slab.allocate(rest) + rest).toBe(slab.bytes.length);
    expect(() => slab.allocate(1)).toThrow(new RangeError('slab of 65536 octets is full'));
  });

  it('refuses one octet more than there is with a RangeError', () => {
    const room = PAGE_BYTES - new Slab(PAGE_BYTES).allocate(1);
    expect(() => new Slab(PAGE_BYTES).allocate(room)).not.toThrow();
    expect(() => new Slab(PAGE_BYTES).allocate(room + 1)).toThrow(RangeError);
  });

  it('shows the same memory as octets and as a view', () => {
    const slab = new Slab(PAGE_BYTES);
    const at = slab.allocate(4);
    slab.view.setUint32(at, 0x01020304);
    expect([...slab.bytes.subarray(at, at + 4)]).toEqual([1, 2, 3, 4]);
  });

  it('names addresses where the kernel writes what the octets then show', () => {
    const slab = new Slab(PAGE_BYTES);
    const at = slab.allocate(64);
    slab.bytes.fill(0xa5, at, at + 64);
    const zero = openSync('/dev/zero', 'r');
    onTestFinished(() => {
      close(zero);
    });
    expect(read(zero, slab.address(at + 8), 16)).toBe(16);
    const zeros = [...slab.bytes.subarray(at, at + 64)].map((octet, i) => (octet === 0 ? i : -1)).filter((i) => i >= 0);
    expect(zeros).toEqual(Array.from({ length: 16 }, (_, i) => 8 + i));
  });
});

describe('setAddress', () => {
  it('writes the address as the kernel reads it, and touches nothing around', () => {
    const slab = new Slab(32 * PAGE_BYTES);
    const at = slab.allocate(64);
    const targets = [0, 1, 0xffff, 0x1_0000, 0x1_ffff, slab.bytes.length - 1];
    for (let to = 0; to < slab.bytes.length; to += 4_093) targets.push(to);
    for (const to of targets) {
      slab.bytes.fill(0xa5, at, at + 64);
      slab.setAddress(at + 8, to);
      expect(slab.view.getBigUint64(at + 8, true)).toBe(BigInt(slab.address(to)));
      expect(slab.view.getBigUint64(at, true)).toBe(0xa5a5_a5a5_a5a5_a5a5n);
      expect(slab.view.getBigUint64(at + 16, true)).toBe(0xa5a5_a5a5_a5a5_a5a5n);
    }
  });
});

describe('AddressTable', () => {
  it('returns base + offset for every record', () => {
    const slab = new Slab(PAGE_BYTES);
    const at = slab.allocate(10 * 24);
    const table = slab.addresses(at, 24, 10);
    const base = addressOf(slab.bytes);
    for (let i = 0; i < 10; i++) {
      expect(table.at(i)).toBe(base + at + i * 24);
      expect(table.at(i)).toBe(slab.address(at + i * 24));
    }
  });
});
