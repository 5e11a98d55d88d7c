import fc from 'fast-check';
import { expect, it } from 'vitest';
import { hashWords, keyedHash, RecordIndex, RecordPool } from './records.ts';

const FREE = 0;
const USED = 1;

function newPool(records: number, first: number) {
  const header = new Int32Array(new SharedArrayBuffer(8));
  const place = { header, free: FREE, used: USED, records: new Int32Array(records * 3), recordWords: 3, linkWord: 2 };
  return { pool: new RecordPool(place, first), header };
}

it('hands out every record from the first on, once each, and then -1', () => {
  const { pool } = newPool(5, 1);
  expect(Array.from({ length: 6 }, () => pool.take())).toEqual([1, 2, 3, 4, -1, -1]);
  expect(pool.end).toBe(5);
});

it('hands out records that were given back before fresh ones, so that they stay dense', () => {
  const { pool } = newPool(8, 0);
  const taken = [pool.take(), pool.take(), pool.take()];
  pool.give(0);
  pool.give(2);
  expect(new Set([pool.take(), pool.take()])).toEqual(new Set([0, 2]));
  expect(taken).toEqual([0, 1, 2]);
  expect(pool.take()).toBe(3);
});

it('never has a record out twice, whatever is taken and given back', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(15), { nil: -1 }), { maxLength: 200 }), (steps) => {
      const { pool } = newPool(12, 1);
      const out: number[] = [];
      for (const step of steps) {
        if (step < 0) {
          const record = pool.take();
          expect(record).toBe(out.length === 11 ? -1 : record);
          if (record < 0) continue;
          expect(out).not.toContain(record);
          expect(record).toBeGreaterThanOrEqual(1);
          expect(record).toBeLessThan(pool.end);
          out.push(record);
        } else if (out.length > 0) {
          const [record] = out.splice(step % out.length, 1);
          pool.give(record as number);
        }
      }
    }),
  );
});

/** Hashes that collide and wrap around the end of a table of 16 slots: what removal has to get right. */
it('finds exactly the records that are in the index, after any insertions and removals among colliding hashes', () => {
  const steps = fc.array(fc.record({ record: fc.nat(7), insert: fc.boolean() }), { maxLength: 100 });
  const hashes = fc.array(fc.constantFrom(0, 1, 13, 14, 15, 31, -1, -2), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(steps, hashes, (sequence, hashOf) => {
      const index = new RecordIndex(new Int32Array(new SharedArrayBuffer(64)), (record) => hashOf[record] as number);
      const has = (record: number) => {
        for (let slot = index.slot(hashOf[record] as number); index.at(slot) >= 0; slot = index.next(slot)) {
          if (index.at(slot) === record) return true;
        }
        return false;
      };
      const expected = new Set<number>();
      for (const { record, insert } of sequence) {
        if (!insert) index.remove(hashOf[record] as number, record);
        else if (!expected.has(record)) index.insert(hashOf[record] as number, record);
        if (insert) expected.add(record);
        else expected.delete(record);
        for (let each = 0; each < 8; each++) expect(has(each)).toBe(expected.has(each));
      }
      index.clear();
      for (let each = 0; each < 8; each++) expect(has(each)).toBe(false);
    }),
  );
});

it('spreads the MACs of one vendor, counted up, over the slots: no slot of 256 gets more than three times its share', () => {
  const slots = new Int32Array(256);
  for (let low = 0; low < 16_384; low++) {
    const slot = hashWords(12_345, 7, 0x0200_0000, low) & 255;
    slots[slot] = (slots[slot] as number) + 1;
  }
  expect(Math.max(...slots)).toBeLessThan(3 * 64);
  expect(Math.min(...slots)).toBeGreaterThan(64 / 3);
});

it('hashes otherwise for another seed', () => {
  const hashes = new Set(Array.from({ length: 100 }, (_, seed) => hashWords(seed, 1, 2, 3)));
  expect(hashes.size).toBe(100);
});

it('hashes as the kernel’s hsiphash does on 32 bit (lib/tests/siphash_kunit.c)', () => {
  const hash = keyedHash(0x0302_0100, 0x0706_0504, 0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c);
  expect((hash >>> 0).toString(16)).toBe('8b31d501');
});

it('spreads addresses that were chosen to collide, under whatever key', () => {
  // What joins two words before the key comes in can be undone by who chooses both: a ^ b * constant is the same for all of these.
  const a = (b: number) => Math.imul(b, 0x9e37_79b1) ^ 0x2000_0000;
  for (const key of [1, 99, 0x7fff_ffff]) {
    const slots = new Int32Array(1 << 17);
    const records: number[] = [];
    const index = new RecordIndex(slots, (record) => keyedHash(key, 0, a(record), record, 0, 1), 512);
    for (let b = 0; b < 60_000; b++) if (index.insert(keyedHash(key, 0, a(b), b, 0, 1), b)) records.push(b);
    expect(records).toHaveLength(60_000);
  }
});

it('ends a search after the reach of the index, and refuses what has no place within it', () => {
  const index = new RecordIndex(new Int32Array(64), () => 5, 8);
  for (let record = 0; record < 8; record++) expect(index.insert(5, record)).toBe(true);
  expect(index.insert(5, 8)).toBe(false);
  const found: number[] = [];
  for (let slot = index.slot(5); slot !== index.end(5); slot = index.next(slot)) found.push(index.at(slot));
  expect(found).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  index.remove(5, 3);
  expect(index.insert(5, 8)).toBe(true);
});
