/** `wouldLearn` beside `learn`: over any history it foretells what that answers, and changes nothing itself. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MAC_HOLD_SECONDS, MAC_MOVE_WINDOW_SECONDS } from '../lib/limits.ts';
import { LEARNED, LOCAL_SOURCE } from './fdb.ts';
import { HIGH, NOW, newFdb, SEGMENT, vtep } from './fdb-rig.ts';

const SOURCES = [LOCAL_SOURCE, vtep(1), vtep(2)] as const;
const WAITS = [0, 1, 50, MAC_HOLD_SECONDS * 10, MAC_MOVE_WINDOW_SECONDS * 10];

const steps = fc.array(
  fc.record({
    wait: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 1) }, fc.constantFrom(...WAITS)),
    low: fc.nat({ max: 2 }),
    source: fc.constantFrom(...SOURCES),
    change: fc.oneof(
      { weight: 15, arbitrary: fc.constant('learn') },
      fc.constantFrom('addStatic', 'place', 'withdraw', 'delete'),
    ),
  }),
  { minLength: 30, maxLength: 120, size: 'max' },
);

it('foretells what `learn` answers', () => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(steps, (history) => {
      const { fdb, learn, entries } = newFdb();
      let now = NOW;
      for (const { wait, low, source, change } of history) {
        now += wait;
        if (change === 'addStatic') fdb.addStatic(SEGMENT, HIGH, low, source, now);
        if (change === 'place' && source !== LOCAL_SOURCE) {
          fdb.placeAll(SEGMENT, [{ high: HIGH, low, at: source, isSticky: wait === 0 }], now);
        }
        if (change === 'withdraw') fdb.withdrawAll(SEGMENT, [{ high: HIGH, low }], now);
        if (change === 'delete') fdb.delete(SEGMENT, HIGH, low, now);
        if (change !== 'learn') continue;
        const before = [entries(now), fdb.nextEvent];
        const foretold = fdb.wouldLearn(SEGMENT, HIGH, low, source, now);
        expect([entries(now), fdb.nextEvent]).toEqual(before);
        expect(learn(low, source, { now })).toBe(foretold);
        seen.add(foretold);
      }
    }),
    { numRuns: 60, seed: 7_348 },
  );
  const { refreshed, added, moved, conflict, held, outranked } = LEARNED;
  expect([...seen].sort()).toEqual([refreshed, added, moved, conflict, held, outranked]);
});
