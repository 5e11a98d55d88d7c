import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CaptureRing, UNIT_WORDS } from './capture-ring.ts';

const RING_BYTES = 256;
const UNITS = RING_BYTES / 8;

/** Both ends of one ring, each with objects of its own, as threads have them. */
function newRing() {
  const memory = CaptureRing.createMemory(RING_BYTES);
  const [writer, reader] = [new CaptureRing(memory), new CaptureRing(memory)];
  let number = 0;
  return {
    writer,
    reader,
    /** Writes a record of a number of its own into the units' second words; undefined if there is no room. */
    write(units: number, committed = units): number | undefined {
      const at = writer.reserve(units);
      if (at < 0) return undefined;
      number++;
      for (let i = 0; i < committed; i++) writer.words[(at + i) * UNIT_WORDS + 1] = number;
      writer.commit(committed);
      return number;
    },
    /** The oldest record: the numbers in its units. */
    read(): number[] | undefined {
      const at = reader.next();
      if (at < 0) return undefined;
      const units = reader.words[at * UNIT_WORDS] as number;
      const found = Array.from({ length: units }, (_, i) => reader.words[(at + i) * UNIT_WORDS + 1] as number);
      reader.release();
      return found;
    },
  };
}

describe('records', () => {
  it('come out as they went in, each in one piece, however often the ring goes round', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: UNITS / 2 }), fc.nat(UNITS)), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(steps, (list) => {
        const ring = newRing();
        const waiting: number[][] = [];
        for (const [isWrite, units, fewer] of list) {
          if (isWrite) {
            const committed = Math.max(1, units - fewer);
            const written = ring.write(units, committed);
            if (written !== undefined) waiting.push(Array(committed).fill(written));
            // Nothing is refused that an empty ring has room for.
            else expect(waiting.length).toBeGreaterThan(0);
          } else {
            expect(ring.read()).toEqual(waiting.shift());
          }
        }
        for (const record of waiting) expect(ring.read()).toEqual(record);
        expect(ring.read()).toBeUndefined();
      }),
    );
  });

  it('fill it to the last unit, and one more finds no room until one is read', () => {
    const ring = newRing();
    for (let i = 0; i < 4; i++) expect(ring.write(UNITS / 4)).toBe(i + 1);
    expect(ring.write(1)).toBeUndefined();
    expect(ring.read()).toEqual(Array(UNITS / 4).fill(1));
    expect(ring.write(UNITS / 4)).toBe(5);
    expect(ring.write(1)).toBeUndefined();
  });

  it('that are given up leave nothing', () => {
    const ring = newRing();
    expect(ring.writer.reserve(4)).toBe(0);
    expect(ring.reader.next()).toBe(-1);
    expect(ring.write(2)).toBe(1);
    expect(ring.read()).toEqual([1, 1]);
  });

  it('are counted on beyond 32 bits', () => {
    const memory = CaptureRing.createMemory(RING_BYTES);
    new Int32Array(memory).set([-3, -3]);
    const ring = new CaptureRing(memory);
    for (let i = 0; i < 10; i++) {
      expect(ring.reserve(2)).toBeGreaterThanOrEqual(0);
      ring.commit(2);
      expect(ring.next()).toBeGreaterThanOrEqual(0);
      ring.release();
    }
    expect(ring.next()).toBe(-1);
  });
});

it('a successor of the writer goes on where it was', () => {
  const memory = CaptureRing.createMemory(RING_BYTES);
  const first = new CaptureRing(memory);
  first.reserve(3);
  first.commit(3);
  first.reserve(5);
  const second = new CaptureRing(memory);
  expect(second.reserve(2)).toBe(3);
});

it('counts what is lost for both ends', () => {
  const { writer, reader } = newRing();
  writer.countLost();
  writer.countLost();
  expect([writer.lost, reader.lost]).toEqual([2, 2]);
});
