import { describe, expect, it } from 'vitest';
import { type EntryView, LEARNED, LOCAL_SOURCE, UNKNOWN } from './fdb.ts';
import { AGEING, HIGH, NOW, newFdb, SEGMENT, UNLIMITED, vtep } from './fdb-rig.ts';
import { LOCAL } from './remotes.ts';

describe('learning', () => {
  it('knows nothing at first', () => {
    const { fdb, lookup, entries } = newFdb();
    expect(lookup(1)).toBe(UNKNOWN);
    expect(fdb.conflicts(SEGMENT, HIGH, 1, vtep(1))).toBe(false);
    expect(entries()).toEqual([]);
    expect([fdb.count, fdb.counts.totalOf(SEGMENT), fdb.remotes.count]).toEqual([0, 0, 0]);
  });

  it('finds a learned MAC at its VTEP, and one of the own TAP at LOCAL', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    expect(learn(1, vtep(1))).toBe(LEARNED.added);
    expect(learn(2, LOCAL_SOURCE)).toBe(LEARNED.added);
    expect(lookup(1)).toBe(idOf(vtep(1)));
    expect(lookup(2)).toBe(LOCAL);
    expect([fdb.count, fdb.counts.totalOf(SEGMENT), fdb.remotes.count]).toEqual([2, 2, 1]);
  });

  it('tells MACs apart in each of their six octets, to the last bit', () => {
    const { fdb } = newFdb();
    const macs = Array.from({ length: 48 }, (_, bit) =>
      bit < 16 ? { high: HIGH, low: 1 << bit } : { high: (HIGH ^ (1 << (bit - 16))) >>> 0, low: 0 },
    );
    for (const [i, { high, low }] of macs.entries()) fdb.learn(SEGMENT, high, low, vtep(i + 1), UNLIMITED, NOW);
    const found = macs.map(({ high, low }) => fdb.remotes.word(fdb.lookup(SEGMENT, high, low, NOW), 3));
    expect(found).toEqual(macs.map((_, i) => vtep(i + 1).d));
  });

  it('tells VTEPs apart in each of their four words', () => {
    const { fdb, learn, lookup } = newFdb();
    const sources = [
      { a: 0x2001_0db8, b: 0, c: 0, d: 1 },
      { a: 0x2001_0db9, b: 0, c: 0, d: 1 },
      { a: 0x2001_0db8, b: 1, c: 0, d: 1 },
      { a: 0x2001_0db8, b: 0, c: 1, d: 1 },
      { a: 0x2001_0db8, b: 0, c: 0, d: 2 },
    ];
    for (const [low, source] of sources.entries()) learn(low, source);
    expect(new Set(sources.map((_, low) => lookup(low))).size).toBe(5);
    // The same MAC from an address that differs in one word only has moved.
    expect(sources.map((source) => learn(0, source))).toEqual([
      LEARNED.refreshed,
      LEARNED.moved,
      LEARNED.moved,
      LEARNED.moved,
      LEARNED.moved,
    ]);
    expect(fdb.counts.movesOf(SEGMENT)).toBe(4);
  });

  it('moves a MAC to where it was heard last, at once, and counts the move in entry and segment (T8)', () => {
    const { fdb, learn, lookup, idOf, entries } = newFdb();
    learn(1, vtep(1));
    expect(learn(1, vtep(2), { now: NOW + 7 })).toBe(LEARNED.moved);
    expect(lookup(1)).toBe(idOf(vtep(2)));
    expect(learn(1, LOCAL_SOURCE, { now: NOW + 9 })).toBe(LEARNED.moved);
    expect(entries()).toEqual([
      {
        ...{ segment: SEGMENT, high: HIGH, low: 1, remote: LOCAL },
        ...{ kind: 'learned', isSticky: false, heard: NOW + 9, moves: 2 },
      },
    ]);
    expect([fdb.count, fdb.counts.movesOf(SEGMENT), fdb.counts.movesOf(SEGMENT + 1)]).toEqual([1, 2, 0]);
  });

  it('keeps the same MAC of two segments apart (T15)', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    learn(1, vtep(1), { segment: 0 });
    learn(1, vtep(2), { segment: 1 });
    expect([0, 1, 2].map((segment) => lookup(1, { segment }))).toEqual([idOf(vtep(1)), idOf(vtep(2)), UNKNOWN]);
    fdb.delete(0, HIGH, 1, NOW);
    expect([0, 1].map((segment) => lookup(1, { segment }))).toEqual([UNKNOWN, idOf(vtep(2))]);
    expect([fdb.counts.totalOf(0), fdb.counts.totalOf(1), fdb.count]).toEqual([0, 1, 1]);
  });

  it('reaches the last segment there can be', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    learn(1, vtep(1), { segment: 16_383 });
    expect(lookup(1, { segment: 16_383 })).toBe(idOf(vtep(1)));
    expect(fdb.counts.totalOf(16_383)).toBe(1);
  });
});

describe('ageing', () => {
  it.each([
    [AGEING - 1, true],
    [AGEING, false],
    [AGEING + 1, false],
  ])('%i tenths after it was last heard, a MAC is known: %s, though nothing was swept', (silence, isKnown) => {
    const { fdb, learn, lookup, entries } = newFdb();
    learn(1, vtep(1));
    const now = NOW + silence;
    expect(lookup(1, { now }) !== UNKNOWN).toBe(isKnown);
    expect(entries(now)).toHaveLength(isKnown ? 1 : 0);
    expect(fdb.delete(SEGMENT, HIGH, 1, now)).toBe(isKnown);
  });

  it('starts anew with each frame heard, and not with lookups (T6)', () => {
    const { learn, lookup } = newFdb();
    learn(1, vtep(1));
    expect(learn(1, vtep(1), { now: NOW + AGEING - 1 })).toBe(LEARNED.refreshed);
    for (let now = NOW + AGEING; now < NOW + 2 * AGEING - 1; now += 10) expect(lookup(1, { now })).not.toBe(UNKNOWN);
    expect(lookup(1, { now: NOW + 2 * AGEING - 1 })).toBe(UNKNOWN);
  });

  it('never ends an entry when it is 0', () => {
    const { fdb, learn, lookup } = newFdb(0);
    learn(1, vtep(1));
    const now = NOW + 2_000_000_000;
    expect(fdb.sweep(0, 10, now)).toBe(0);
    expect(lookup(1, { now })).not.toBe(UNKNOWN);
  });

  it('never ends a static entry', () => {
    const { fdb, lookup, idOf } = newFdb();
    fdb.addStatic(SEGMENT, HIGH, 1, vtep(1), NOW);
    const now = NOW + 100 * AGEING;
    fdb.sweep(0, 10, now);
    expect(lookup(1, { now })).toBe(idOf(vtep(1)));
  });

  it.each([1, 2])('makes a new entry of a MAC heard again after it expired, not a move: from VTEP %i', (again) => {
    const { fdb, learn, entries } = newFdb();
    learn(1, vtep(2));
    learn(1, vtep(1));
    const now = NOW + AGEING;
    expect(learn(1, vtep(again), { now })).toBe(LEARNED.added);
    expect(entries(now)).toMatchObject([{ moves: 0, heard: now }]);
    expect([fdb.count, fdb.counts.totalOf(SEGMENT), fdb.counts.movesOf(SEGMENT)]).toEqual([1, 1, 1]);
  });

  it('is swept in pieces of the size asked for, and takes the expired entries alone', () => {
    const { fdb, learn } = newFdb();
    for (let low = 0; low < 10; low++) learn(low, vtep(1), { now: low % 2 ? NOW : NOW + 50 });
    const now = NOW + AGEING;
    expect(fdb.sweep(0, 4, now)).toBe(4);
    expect(fdb.count).toBe(8);
    expect(fdb.sweep(4, 4, now)).toBe(8);
    expect(fdb.count).toBe(6);
    expect(fdb.sweep(8, 4, now)).toBe(0);
    expect([fdb.count, fdb.counts.totalOf(SEGMENT)]).toEqual([5, 5]);
  });
});

describe('static entries', () => {
  it('replace a learned entry, and are not counted among the learned', () => {
    const { fdb, learn, lookup, idOf, entries } = newFdb();
    learn(1, vtep(1));
    expect(fdb.addStatic(SEGMENT, HIGH, 1, vtep(2), NOW)).toBe(LEARNED.added);
    expect(lookup(1)).toBe(idOf(vtep(2)));
    expect(entries()).toMatchObject([{ kind: 'static', moves: 0 }]);
    expect(fdb.count).toBe(1);
    expect(learn(2, vtep(1), { maxMacs: 1 })).toBe(LEARNED.added);
    expect(fdb.count).toBe(2);
  });

  it('are done if they are there already, and refused for another VTEP', () => {
    const { fdb, lookup, idOf } = newFdb();
    expect(fdb.addStatic(SEGMENT, HIGH, 1, vtep(1), NOW)).toBe(LEARNED.added);
    expect(fdb.addStatic(SEGMENT, HIGH, 1, vtep(1), NOW)).toBe(LEARNED.refreshed);
    expect(fdb.addStatic(SEGMENT, HIGH, 1, vtep(2), NOW)).toBe(LEARNED.conflict);
    expect(fdb.addStatic(SEGMENT, HIGH, 1, LOCAL_SOURCE, NOW)).toBe(LEARNED.conflict);
    expect(lookup(1)).toBe(idOf(vtep(1)));
    expect(fdb.count).toBe(1);
  });

  it('never move: a frame from elsewhere conflicts, one from there does not (T9)', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    fdb.addStatic(SEGMENT, HIGH, 1, vtep(1), NOW);
    fdb.addStatic(SEGMENT, HIGH, 2, LOCAL_SOURCE, NOW);
    expect(learn(1, vtep(1))).toBe(LEARNED.refreshed);
    expect(learn(2, LOCAL_SOURCE)).toBe(LEARNED.refreshed);
    for (const source of [vtep(2), LOCAL_SOURCE]) {
      expect(fdb.conflicts(SEGMENT, HIGH, 1, source)).toBe(true);
      expect(learn(1, source)).toBe(LEARNED.conflict);
    }
    expect(learn(2, vtep(2))).toBe(LEARNED.conflict);
    expect(fdb.conflicts(SEGMENT, HIGH, 1, vtep(1))).toBe(false);
    expect(fdb.conflicts(SEGMENT, HIGH, 2, LOCAL_SOURCE)).toBe(false);
    expect(fdb.conflicts(SEGMENT, HIGH, 2, vtep(2))).toBe(true);
    expect([lookup(1), lookup(2)]).toEqual([idOf(vtep(1)), LOCAL]);
  });

  it('are what conflicts: a learned entry elsewhere is none', () => {
    const { fdb, learn } = newFdb();
    learn(1, vtep(1));
    expect(fdb.conflicts(SEGMENT, HIGH, 1, vtep(2))).toBe(false);
  });
});

describe('removal', () => {
  it('deletes one entry, static or learned, and says whether there was one', () => {
    const { fdb, learn, lookup } = newFdb();
    learn(1, vtep(1));
    fdb.addStatic(SEGMENT, HIGH, 2, vtep(1), NOW);
    expect([1, 2, 3].map((low) => fdb.delete(SEGMENT, HIGH, low, NOW))).toEqual([true, true, false]);
    expect([lookup(1), lookup(2)]).toEqual([UNKNOWN, UNKNOWN]);
    expect([fdb.count, fdb.counts.totalOf(SEGMENT)]).toEqual([0, 0]);
  });

  it('flushes what matches, with what it says of each entry, and counts the live ones (T30)', () => {
    const { fdb, learn, entries, idOf } = newFdb();
    learn(1, vtep(1), { segment: 0 });
    learn(2, vtep(2), { segment: 0 });
    learn(1, vtep(1), { segment: 1 });
    learn(3, vtep(1), { segment: 0, now: NOW - AGEING });
    fdb.addStatic(0, HIGH, 4, vtep(1), NOW);
    const matches = ({ segment, remote, kind }: EntryView) =>
      segment === 0 && remote === idOf(vtep(1)) && kind === 'learned';
    expect(fdb.flush(matches, NOW)).toBe(1);
    expect(entries().map(({ segment, low }) => [segment, low])).toEqual([
      [0, 2],
      [0, 4],
      [1, 1],
    ]);
    expect(fdb.flush(() => true, NOW)).toBe(3);
    expect([fdb.count, fdb.counts.totalOf(0), fdb.counts.totalOf(1)]).toEqual([0, 0, 0]);
  });

  it('starts a segment’s counters at zero for the next user of its number', () => {
    const { fdb, learn } = newFdb();
    learn(1, vtep(1));
    learn(1, vtep(2));
    fdb.flush(() => true, NOW);
    fdb.resetSegment(SEGMENT);
    expect(fdb.counts.movesOf(SEGMENT)).toBe(0);
    expect(learn(1, vtep(1), { maxMacs: 1 })).toBe(LEARNED.added);
  });
});
