import { describe, expect, it } from 'vitest';
import { MAX_FDB_ENTRIES, MAX_REMOTES, REMOTE_EVICTIONS_PER_TENTH } from '../lib/limits.ts';
import { LEARNED, LOCAL_SOURCE, type SourceAddress, UNKNOWN } from './fdb.ts';
import { HIGH, NOW, newFdb, SEGMENT, vtep } from './fdb-rig.ts';
import { LOCAL, NO_REMOTE } from './remotes.ts';

describe('limits', () => {
  it('T28: 8 of 16 MACs are learned, static entries beside them are neither refused nor counted', () => {
    const { fdb, learn, entries } = newFdb();
    for (let low = 1; low <= 16; low++) expect(learn(low, vtep(1), { maxMacs: 8 })).toBe(LEARNED.added);
    expect(fdb.counts.totalOf(SEGMENT)).toBe(8);
    expect(fdb.addStatic(SEGMENT, HIGH, 100, vtep(1), NOW)).toBe(LEARNED.added);
    expect(fdb.counts.totalOf(SEGMENT)).toBe(9);
    learn(17, vtep(1), { maxMacs: 8 });
    expect(entries().filter(({ kind }) => kind === 'learned')).toHaveLength(8);
    expect(entries().filter(({ kind }) => kind === 'static')).toHaveLength(1);
  });

  it('T29: five VTEPs with 2 MACs each; a sixth sends 16, ends with 3, and no other is below 1', () => {
    const { learn, perVtep } = newFdb();
    const others = [1, 2, 3, 4, 5].map(vtep);
    for (const [i, source] of others.entries()) for (const low of [10 * i, 10 * i + 1]) learn(low, source);
    for (let low = 100; low < 116; low++) expect(learn(low, vtep(6), { maxMacs: 10 })).toBe(LEARNED.added);
    expect(perVtep([vtep(6)])).toEqual([3]);
    const counts = perVtep(others);
    expect(Math.min(...counts)).toBe(1);
    expect(counts.reduce((sum, count) => sum + count)).toBe(7);
  });

  it('lets remotes displace one another and never a local MAC, though the local side has the most', () => {
    const { learn, lookup, perVtep } = newFdb();
    for (const low of [1, 2, 3]) learn(low, LOCAL_SOURCE);
    learn(4, vtep(1));
    for (let low = 10; low < 30; low++) expect(learn(low, vtep(2), { maxMacs: 4 })).toBe(LEARNED.added);
    expect(perVtep([LOCAL_SOURCE, vtep(1), vtep(2)])).toEqual([3, 0, 1]);
    for (const low of [1, 2, 3]) expect(lookup(low)).toBe(LOCAL);
  });

  it('refuses a remote’s MAC when all are local, and forgets nothing for it', () => {
    const { fdb, learn, lookup } = newFdb();
    for (const low of [1, 2, 3]) learn(low, LOCAL_SOURCE);
    expect(learn(4, vtep(1), { maxMacs: 3 })).toBe(LEARNED.full);
    expect([1, 2, 3, 4].map((low) => lookup(low))).toEqual([LOCAL, LOCAL, LOCAL, UNKNOWN]);
    expect(fdb.count).toBe(3);
  });

  it('counts the local side as one VTEP: at the top it loses one to its own new MAC', () => {
    const { learn, perVtep, lookup } = newFdb();
    for (const low of [1, 2, 3]) learn(low, LOCAL_SOURCE);
    learn(4, vtep(1));
    expect(learn(5, LOCAL_SOURCE, { maxMacs: 4 })).toBe(LEARNED.added);
    expect(perVtep([LOCAL_SOURCE, vtep(1)])).toEqual([3, 1]);
    expect(lookup(5)).toBe(LOCAL);
  });

  it('spares the learner where another VTEP has as many', () => {
    const { learn, perVtep } = newFdb();
    for (const low of [1, 2]) learn(low, vtep(1));
    for (const low of [3, 4]) learn(low, vtep(2));
    learn(5, vtep(2), { maxMacs: 4 });
    expect(perVtep([vtep(1), vtep(2)])).toEqual([1, 3]);
    learn(6, vtep(2), { maxMacs: 4 });
    expect(perVtep([vtep(1), vtep(2)])).toEqual([1, 3]);
  });

  it('prefers, among the oldest entries of the VTEP that loses one, the one silent for longest', () => {
    const { learn, lookup } = newFdb();
    for (const low of [1, 2, 3]) learn(low, vtep(1), { now: NOW + low });
    learn(1, vtep(1), { now: NOW + 10 });
    learn(4, vtep(1), { now: NOW + 11, maxMacs: 3 });
    expect([1, 2, 3, 4].map((low) => lookup(low) !== UNKNOWN)).toEqual([true, false, true, true]);
  });

  it('learns nothing with a limit of 0', () => {
    const { fdb, learn } = newFdb();
    expect(learn(1, vtep(1), { maxMacs: 0 })).toBe(LEARNED.full);
    expect(fdb.count).toBe(0);
  });

  it('lets a MAC move at the limit without evicting anybody', () => {
    const { learn, perVtep } = newFdb();
    learn(1, vtep(1));
    learn(2, vtep(2));
    expect(learn(1, vtep(2), { maxMacs: 2 })).toBe(LEARNED.moved);
    expect(perVtep([vtep(1), vtep(2)])).toEqual([0, 2]);
  });

  it('holds per segment: a full segment takes nothing from another', () => {
    const { fdb, learn } = newFdb();
    for (let low = 0; low < 5; low++) learn(low, vtep(1), { segment: 0 });
    for (let low = 0; low < 9; low++) learn(low, vtep(1), { segment: 1, maxMacs: 2 });
    expect([fdb.counts.totalOf(0), fdb.counts.totalOf(1), fdb.count]).toEqual([5, 2, 7]);
  });
});

describe('remotes', () => {
  it('have one id for as long as an entry or a flood list names them', () => {
    const { fdb, learn, lookup } = newFdb();
    const flooded = fdb.retainRemote(vtep(1));
    learn(1, vtep(1));
    expect(lookup(1)).toBe(flooded);
    expect(fdb.remotes.count).toBe(1);
    fdb.delete(SEGMENT, HIGH, 1, NOW);
    expect(fdb.remotes.count).toBe(1);
    fdb.sweep(0, 10, NOW + 1_000);
    expect(fdb.retainRemote(vtep(1))).toBe(flooded);
    fdb.releaseRemote(flooded, NOW);
    fdb.releaseRemote(flooded, NOW);
    expect(fdb.remotes.count).toBe(0);
  });

  it.each([
    [99, true],
    [100, false],
  ])('are known for %i tenths after nothing names them: %s, and are then forgotten by the sweep', (idle, isKnown) => {
    const { fdb, learn, idOf } = newFdb();
    learn(1, vtep(1));
    fdb.delete(SEGMENT, HIGH, 1, NOW);
    fdb.sweep(0, 10, NOW + idle);
    expect(idOf(vtep(1)) !== NO_REMOTE).toBe(isKnown);
  });

  it('that are forgotten leave their id to others, and the address may come back', () => {
    const { fdb, learn, lookup } = newFdb();
    learn(1, vtep(1));
    fdb.delete(SEGMENT, HIGH, 1, NOW);
    fdb.sweep(0, 10, NOW + 100);
    learn(2, vtep(2));
    learn(3, vtep(1));
    expect(fdb.remotes.word(lookup(2), 3)).toBe(vtep(2).d);
    expect(fdb.remotes.word(lookup(3), 3)).toBe(vtep(1).d);
    expect(fdb.remotes.count).toBe(2);
    expect(fdb.remotes.end).toBe(3);
  });

  it('are at most 65,535: MACs of a further one are not learned, and one that moves there is flooded from then on', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    let refused = 0;
    for (let n = 1; n <= MAX_REMOTES; n++) if (fdb.retainRemote(vtep(n)) === NO_REMOTE) refused++;
    expect(refused).toBe(0);
    const further = vtep(MAX_REMOTES + 1);
    expect(fdb.retainRemote(further)).toBe(NO_REMOTE);
    learn(1, vtep(MAX_REMOTES));
    learn(4, LOCAL_SOURCE);
    expect([1, 2, 4].map((low) => learn(low, further))).toEqual(Array(3).fill(LEARNED.full));
    expect(fdb.addStatic(SEGMENT, HIGH, 3, further, NOW)).toBe(LEARNED.full);
    expect([[1, 2, 3, 4].map((low) => lookup(low)), fdb.count]).toEqual([Array(4).fill(UNKNOWN), 0]);
    expect(fdb.counts.fullOf(SEGMENT)).toBe(3);

    fdb.releaseRemote(idOf(vtep(7)), NOW);
    fdb.sweep(0, 10, NOW + 100);
    expect(learn(2, further)).toBe(LEARNED.added);
    expect(fdb.remotes.word(lookup(2), 3)).toBe(further.d);
  });

  it('of a full table keep what is static, and a MAC that is held for moving too often', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    fdb.addStatic(SEGMENT, HIGH, 2, vtep(1), NOW);
    learn(1, vtep(1));
    for (let i = 0; i < 6; i++) learn(1, vtep(i % 2 ? 1 : 2));
    for (let n = 3; n <= MAX_REMOTES; n++) fdb.retainRemote(vtep(n));
    const further = vtep(MAX_REMOTES + 1);
    expect([learn(1, further), learn(2, further)]).toEqual([LEARNED.held, LEARNED.conflict]);
    expect([lookup(1), lookup(2)]).toEqual([idOf(vtep(2)), idOf(vtep(1))]);
    expect([fdb.counts.heldOf(SEGMENT), fdb.counts.fullOf(SEGMENT)]).toEqual([2, 0]);
  });

  describe('that somebody invents by the thousand', () => {
    /** Honest VTEPs of two MACs each, of which one was just heard, then sources with a MAC each until the table is full. */
    function attacked() {
      const table = newFdb();
      const honest = Array.from({ length: 20 }, (_, i) => vtep(i + 1));
      for (const [i, source] of honest.entries()) for (const low of [2 * i, 2 * i + 1]) table.learn(low, source);
      for (let n = 21; n <= MAX_REMOTES; n++) table.learn(n, vtep(n), { maxMacs: 1_000_000 });
      return { ...table, honest };
    }
    const SPOOFED = (n: number) => ({ ...vtep(n), b: 7 });

    it('make room for who comes, the longest silent first, and those that are heard stay', () => {
      const { fdb, learn, lookup, honest } = attacked();
      const later = NOW + 10;
      for (const [i, source] of honest.entries()) learn(2 * i, source, { now: later });
      for (let second = 0; second < 20; second++) {
        const now = later + 10 * second;
        for (const [i, source] of honest.entries()) learn(2 * i, source, { now });
        for (let i = 0; i < 300; i++) learn(i, SPOOFED(second * 300 + i), { segment: 4, maxMacs: 1_000_000, now });
        for (let from = fdb.sweep(0, 50_000, now); from !== 0; ) from = fdb.sweep(from, 50_000, now);
      }
      const end = later + 199;
      expect(learn(60_000, SPOOFED(1 << 20), { now: end })).toBe(LEARNED.added);
      expect(honest.map((_, i) => fdb.remotes.isAt(lookup(2 * i, { now: end }), honest[i] as never))).toEqual(
        Array(20).fill(true),
      );
    });

    it('are forgotten no faster than a few a tenth of a second', () => {
      const { fdb, learn } = attacked();
      for (let i = 0; i < 10_000; i++) learn(i, SPOOFED(i), { segment: 4 });
      expect(fdb.counts.evictionsOf(SEGMENT)).toBeGreaterThan(0);
      expect(fdb.counts.evictionsOf(SEGMENT)).toBeLessThanOrEqual(2 * REMOTE_EVICTIONS_PER_TENTH);
    });
  });
});

describe('an exhausted table', () => {
  const MANY = 1 << 21;

  it('takes from the fullest segment in which the learner may displace somebody', () => {
    const { fdb, learn, entries } = newFdb();
    const third = Math.floor(MAX_FDB_ENTRIES / 3);
    const fill = (segment: number, count: number, source: SourceAddress) => {
      for (let i = 0; i < count; i++) fdb.learn(segment, HIGH + (i >>> 16), i & 0xffff, source, MANY, NOW);
    };
    fill(1, MAX_FDB_ENTRIES - third, LOCAL_SOURCE);
    fill(2, third - 10, vtep(1));
    fill(3, 10, vtep(2));
    expect([fdb.count, learn(20_000, vtep(3), { segment: 4, maxMacs: MANY })]).toEqual([
      MAX_FDB_ENTRIES,
      LEARNED.added,
    ]);
    expect([1, 2, 3, 4].map((segment) => fdb.counts.totalOf(segment))).toEqual([
      MAX_FDB_ENTRIES - third,
      third - 11,
      10,
      1,
    ]);
    expect(learn(20_001, LOCAL_SOURCE, { segment: 4, maxMacs: MANY })).toBe(LEARNED.added);
    expect(fdb.counts.totalOf(1)).toBe(MAX_FDB_ENTRIES - third - 1);
    expect(entries().length).toBe(MAX_FDB_ENTRIES);
  });
});

describe('a limit that was lowered', () => {
  it('is enforced some hundred entries at a time, from whoever has most; static entries stay', () => {
    const { fdb, learn, perVtep } = newFdb();
    for (let low = 0; low < 900; low++) learn(low, vtep(1));
    for (let low = 900; low < 1_000; low++) learn(low, vtep(2));
    for (let low = 1_000; low < 1_010; low++) learn(low, LOCAL_SOURCE);
    fdb.addStatic(SEGMENT, HIGH, 2_000, vtep(1), NOW);
    let calls = 1;
    while (!fdb.enforceLimit(SEGMENT, 40, NOW)) calls++;
    expect([calls, fdb.counts.totalOf(SEGMENT), fdb.counts.staticsOf(SEGMENT)]).toEqual([4, 41, 1]);
    expect(perVtep([vtep(1), vtep(2), LOCAL_SOURCE])).toEqual([16, 15, 10]);
    expect(fdb.enforceLimit(SEGMENT, 0, NOW)).toBe(true);
    expect([fdb.counts.totalOf(SEGMENT), fdb.enforceLimit(SEGMENT, 0, NOW)]).toEqual([1, true]);
  });
});
