import { describe, expect, it } from 'vitest';
import { MAX_REMOTES } from '../lib/limits.ts';
import { LEARNED, LOCAL_SOURCE, UNKNOWN } from './fdb.ts';
import { HIGH, NOW, newFdb, SEGMENT, vtep } from './fdb-rig.ts';
import { LOCAL, NO_REMOTE } from './remotes.ts';

describe('limits', () => {
  it('T28: 8 of 16 MACs are learned, static entries beside them are neither refused nor counted', () => {
    const { fdb, learn, entries } = newFdb();
    for (let low = 1; low <= 16; low++) expect(learn(low, vtep(1), { maxMacs: 8 })).toBe(LEARNED.added);
    expect(fdb.countOf(SEGMENT)).toBe(8);
    expect(fdb.addStatic(SEGMENT, HIGH, 100, vtep(1), NOW)).toBe(LEARNED.added);
    expect(fdb.countOf(SEGMENT)).toBe(9);
    learn(17, vtep(1), { maxMacs: 8 });
    expect(entries().filter(({ isStatic }) => !isStatic)).toHaveLength(8);
    expect(entries().filter(({ isStatic }) => isStatic)).toHaveLength(1);
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
    expect([fdb.countOf(0), fdb.countOf(1), fdb.count]).toEqual([5, 2, 7]);
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

  it('are at most 65,535: MACs of a further one are not learned, nor do known MACs move there', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    let refused = 0;
    for (let n = 1; n <= MAX_REMOTES; n++) if (fdb.retainRemote(vtep(n)) === NO_REMOTE) refused++;
    expect(refused).toBe(0);
    const further = vtep(MAX_REMOTES + 1);
    expect(fdb.retainRemote(further)).toBe(NO_REMOTE);
    learn(1, vtep(MAX_REMOTES));
    expect(learn(1, further)).toBe(LEARNED.full);
    expect(learn(2, further)).toBe(LEARNED.full);
    expect(fdb.addStatic(SEGMENT, HIGH, 3, further, NOW)).toBe(LEARNED.full);
    expect(lookup(1)).toBe(idOf(vtep(MAX_REMOTES)));
    expect([lookup(2), lookup(3), fdb.count]).toEqual([UNKNOWN, UNKNOWN, 1]);

    fdb.releaseRemote(idOf(vtep(7)), NOW);
    fdb.sweep(0, 10, NOW + 100);
    expect(learn(2, further)).toBe(LEARNED.added);
    expect(fdb.remotes.word(lookup(2), 3)).toBe(further.d);
  });
});
