import { describe, expect, it } from 'vitest';
import { LOCAL_SOURCE } from './fdb.ts';
import { AGEING, HIGH, NOW, newFdb, SEGMENT, vtep } from './fdb-rig.ts';

describe('local MACs', () => {
  const station = (low: number) => ({ high: HIGH, low });

  it('are counted by segment, learned and static ones, until they go, move away or are evicted', () => {
    const { fdb, learn } = newFdb();
    learn(1, LOCAL_SOURCE);
    learn(2, LOCAL_SOURCE);
    learn(3, vtep(1));
    learn(4, LOCAL_SOURCE, { segment: 1 });
    fdb.addStatic(SEGMENT, HIGH, 5, LOCAL_SOURCE, NOW);
    expect([fdb.counts.localsOf(SEGMENT), fdb.counts.localsOf(1), fdb.counts.localsOf(0)]).toEqual([3, 1, 0]);
    learn(1, vtep(1));
    expect(fdb.counts.localsOf(SEGMENT)).toBe(2);
    learn(3, LOCAL_SOURCE);
    expect(fdb.counts.localsOf(SEGMENT)).toBe(3);
    // The local side has the most.
    learn(6, LOCAL_SOURCE, { maxMacs: 3 });
    expect(fdb.counts.localsOf(SEGMENT)).toBe(3);
    fdb.delete(SEGMENT, HIGH, 5, NOW);
    expect(fdb.counts.localsOf(SEGMENT)).toBe(2);
    fdb.sweep(0, 1_000, NOW + AGEING + 1);
    expect([fdb.counts.localsOf(SEGMENT), fdb.counts.localsOf(1)]).toEqual([0, 0]);
  });

  it('are counted without those that are named and local, expired ones too', () => {
    const { fdb, learn } = newFdb();
    learn(1, LOCAL_SOURCE);
    learn(2, LOCAL_SOURCE);
    learn(3, vtep(1));
    expect(fdb.localsBeside(SEGMENT, [])).toBe(2);
    expect(fdb.localsBeside(SEGMENT, [1, 3, 4].map(station))).toBe(1);
    expect(fdb.localsBeside(SEGMENT, [1, 2].map(station))).toBe(0);
    expect(fdb.localsBeside(1, [1, 2].map(station))).toBe(0);
  });

  it('tell each of their changes, and no other', async () => {
    const { fdb, learn } = newFdb();
    const changes = (act: () => void) => {
      const before = fdb.localChanges;
      act();
      return fdb.localChanges - before;
    };
    expect(changes(() => learn(1, LOCAL_SOURCE))).toBe(1);
    expect(changes(() => learn(1, LOCAL_SOURCE, { now: NOW + 1 }))).toBe(0);
    expect(changes(() => learn(1, LOCAL_SOURCE, { now: NOW + AGEING + 50 }))).toBe(0);
    expect(changes(() => learn(2, vtep(1)))).toBe(0);
    expect(changes(() => learn(2, vtep(2)))).toBe(0);
    expect(changes(() => learn(2, LOCAL_SOURCE))).toBe(1);
    expect(changes(() => learn(2, vtep(1)))).toBe(1);
    const place = (low: number, number: number) =>
      fdb.placeAll(SEGMENT, [{ high: HIGH, low, at: vtep(number), isSticky: false }], NOW);
    expect(changes(() => place(3, 1))).toBe(0);
    expect(changes(() => place(3, 2))).toBe(0);
    expect(changes(() => learn(3, LOCAL_SOURCE))).toBe(1);
    expect(changes(() => place(3, 2))).toBe(1);
    expect(changes(() => fdb.withdrawAll(SEGMENT, [{ high: HIGH, low: 3 }], NOW))).toBe(0);
    expect(changes(() => fdb.flush(() => true, NOW))).toBe(1);
  });

  it('tell of a static entry that goes too, wherever it says: a control plane may place its own again', () => {
    const { fdb } = newFdb();
    for (const [low, source] of [vtep(1), LOCAL_SOURCE].entries()) {
      const before = fdb.localChanges;
      fdb.addStatic(SEGMENT, HIGH, low, source, NOW);
      const added = fdb.localChanges;
      expect(added - before).toBe(source === LOCAL_SOURCE ? 1 : 0);
      fdb.delete(SEGMENT, HIGH, low, NOW);
      expect(fdb.localChanges - added).toBe(1);
    }
  });

  it('wake who waits for a change, and let nobody wait who has not seen the last', async () => {
    const { fdb, learn } = newFdb();
    const seen = fdb.localChanges;
    let isWoken = false;
    const waiting = fdb.localChange(seen, 60_000).then(() => {
      isWoken = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isWoken).toBe(false);
    learn(1, LOCAL_SOURCE);
    await waiting;
    await fdb.localChange(seen, 60_000);
    await fdb.localChange(fdb.localChanges, 10);
  });
});
