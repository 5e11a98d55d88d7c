import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_SEGMENTS, MAX_STORM_PPS } from '../lib/limits.ts';
import { STORM_RX, STORM_TX, StormControl } from './storm-control.ts';

const START = 1_000;

function newBucket({ segment = 3, direction = STORM_RX as number, memory = StormControl.createMemory() } = {}) {
  const control = new StormControl(memory);
  return {
    memory,
    /** How many of `count` single frames pass. */
    passes(count: number, rate: number, now: number): number {
      let passed = 0;
      for (let i = 0; i < count; i++) if (control.take(segment, direction, rate, 1, now)) passed++;
      return passed;
    },
    take: (frames: number, rate: number, now: number) => control.take(segment, direction, rate, frames, now),
  };
}

describe('a bucket', () => {
  it('is full at first, and holds what one second brings', () => {
    for (const now of [0, 1, START]) {
      expect(newBucket().passes(100, 7, now)).toBe(7);
    }
  });

  it('fills by the tenth of a second, up to one second’s worth', () => {
    const bucket = newBucket();
    expect(bucket.passes(200, 100, START)).toBe(100);
    expect(bucket.passes(200, 100, START)).toBe(0);
    expect(bucket.passes(200, 100, START + 1)).toBe(10);
    expect(bucket.passes(200, 100, START + 4)).toBe(30);
    expect(bucket.passes(200, 100, START + 1_000)).toBe(100);
  });

  it('keeps fractions of a frame: one a second is one a second', () => {
    const bucket = newBucket();
    const times = Array.from({ length: 35 }, (_, i) => START + i);
    expect(times.filter((now) => bucket.passes(5, 1, now) === 1)).toEqual([START, START + 10, START + 20, START + 30]);
  });

  it('gives all of what is asked for or nothing', () => {
    const bucket = newBucket();
    expect(bucket.take(11, 10, START)).toBe(false);
    expect(bucket.take(7, 10, START)).toBe(true);
    expect(bucket.take(4, 10, START)).toBe(false);
    expect(bucket.take(3, 10, START)).toBe(true);
    expect(bucket.take(1, 10, START)).toBe(false);
  });

  it('is not filled by a clock that is behind, as another worker’s may be', () => {
    const bucket = newBucket();
    bucket.passes(10, 10, START);
    expect(bucket.passes(10, 10, START - 1)).toBe(0);
    expect(bucket.passes(10, 10, START + 1)).toBe(1);
    expect(bucket.passes(10, 10, START)).toBe(0);
  });

  it('takes a rate that was lowered from the next tenth on', () => {
    const bucket = newBucket();
    expect(bucket.take(1, 1_000, START)).toBe(true);
    expect(bucket.passes(100, 5, START + 1)).toBe(5);
  });

  it.each([1, MAX_STORM_PPS])('holds exactly its rate of %i', (rate) => {
    const bucket = newBucket();
    expect(bucket.take(rate, rate, START)).toBe(true);
    expect(bucket.take(1, rate, START)).toBe(false);
    expect(bucket.take(rate, rate, START + 9)).toBe(false);
    expect(bucket.take(rate, rate, START + 20)).toBe(true);
    expect(bucket.take(1, rate, START + 20)).toBe(false);
  });

  it('is one for each segment and direction, and the same for all workers', () => {
    const { memory, passes } = newBucket();
    expect(passes(10, 4, START)).toBe(4);
    for (const place of [{ direction: STORM_TX }, { segment: 2 }, { segment: 4 }, { segment: MAX_SEGMENTS - 1 }]) {
      expect(newBucket({ memory, ...place }).passes(10, 4, START)).toBe(4);
    }
    expect(newBucket({ memory }).passes(10, 4, START)).toBe(0);
  });
});

it('lets through, in any stretch of time, at most one second’s worth and what the stretch brings', () => {
  const demands = fc.array(fc.tuple(fc.nat({ max: 12 }), fc.integer({ min: 1, max: 30 })), {
    minLength: 1,
    maxLength: 60,
    size: 'max',
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), demands, (rate, steps) => {
      const bucket = newBucket();
      const passed: { now: number; frames: number }[] = [];
      let now = START;
      for (const [wait, frames] of steps) {
        now += wait;
        if (bucket.take(frames, rate, now)) passed.push({ now, frames });
      }
      for (const [first, { now: from }] of passed.entries()) {
        let sum = 0;
        for (const { now: to, frames } of passed.slice(first)) {
          sum += frames;
          expect(sum * 10).toBeLessThanOrEqual(rate * 10 + (to - from) * rate);
        }
      }
    }),
  );
});

it('is told what it would give, as often as one asks, without losing any of it', () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 12 }), fc.integer({ min: 1, max: 30 })), {
    maxLength: 60,
    size: 'max',
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), steps, (rate, asked) => {
      const control = new StormControl(StormControl.createMemory());
      let now = 0;
      for (const [wait, frames] of asked) {
        now += wait;
        const foretold = [1, 2, 3].map(() => control.has(3, STORM_RX, rate, frames, now));
        expect(foretold).toEqual(new Array(3).fill(control.take(3, STORM_RX, rate, frames, now)));
      }
    }),
  );
});

it('gives those who ask one by one without pause all that the rate allows', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 100 }), (rate, tenths) => {
      const bucket = newBucket();
      let passed = 0;
      for (let i = 0; i <= tenths; i++) passed += bucket.passes(300, rate, START + i);
      expect(passed).toBe(rate + Math.floor((tenths * rate) / 10));
    }),
  );
});
