/** Entries of a control plane beside learned and static ones: who comes before whom, and how long each stays. */
import { describe, expect, it } from 'vitest';
import { MAX_FDB_ENTRIES, MAX_REMOTES } from '../lib/limits.ts';
import { type EntryKind, LEARNED, LOCAL_SOURCE, PLACED, PLACED_AT_ONCE, type SourceAddress, UNKNOWN } from './fdb.ts';
import { AGEING, HIGH, NOW, newFdb, SEGMENT, vtep } from './fdb-rig.ts';

const [A, B] = [vtep(1), vtep(2)];
const MAC = { high: HIGH, low: 1 };

function newPlacing() {
  const table = newFdb();
  const { fdb, learn, lookup, idOf, entries } = table;
  const place = (low: number, at: SourceAddress, { isSticky = false, now = NOW } = {}) =>
    fdb.placeAll(SEGMENT, [{ high: HIGH, low, at, isSticky }], now)[0];
  const withdraw = (low: number, now = NOW) => fdb.withdrawAll(SEGMENT, [{ high: HIGH, low }], now);
  const addStatic = (low: number, at: SourceAddress) => fdb.addStatic(SEGMENT, HIGH, low, at, NOW);
  /** Makes an entry of a kind for MAC 1. */
  const make = (kind: EntryKind, at: SourceAddress, isSticky = false) => {
    if (kind === 'learned') learn(1, at);
    if (kind === 'static') addStatic(1, at);
    if (kind === 'control') place(1, at, { isSticky });
  };
  /** Kind and place of MAC 1. */
  const found = (now = NOW) => {
    const [entry] = entries(now);
    if (!entry) return undefined;
    const source = [LOCAL_SOURCE, A, B].find((each) => fdb.remotes.isAt(entry.remote, each));
    return [entry.kind, source];
  };
  return { ...table, fdb, learn, lookup, idOf, entries, place, withdraw, addStatic, make, found };
}

describe('a frame at an entry', () => {
  type Row = [
    kind: EntryKind,
    at: SourceAddress,
    from: SourceAddress,
    answer: number,
    after: [EntryKind, SourceAddress],
  ];
  const rows: Row[] = [
    ['learned', A, A, LEARNED.refreshed, ['learned', A]],
    ['learned', A, B, LEARNED.moved, ['learned', B]],
    ['learned', A, LOCAL_SOURCE, LEARNED.moved, ['learned', LOCAL_SOURCE]],
    ['learned', LOCAL_SOURCE, A, LEARNED.moved, ['learned', A]],
    ['static', A, A, LEARNED.refreshed, ['static', A]],
    ['static', A, B, LEARNED.conflict, ['static', A]],
    ['static', A, LOCAL_SOURCE, LEARNED.conflict, ['static', A]],
    ['static', LOCAL_SOURCE, A, LEARNED.conflict, ['static', LOCAL_SOURCE]],
    ['control', A, A, LEARNED.refreshed, ['control', A]],
    ['control', A, B, LEARNED.outranked, ['control', A]],
    ['control', A, LOCAL_SOURCE, LEARNED.moved, ['learned', LOCAL_SOURCE]],
  ];
  const name = (source: SourceAddress) => (source === LOCAL_SOURCE ? 'the TAP' : source === A ? 'A' : 'B');

  it.each(rows.map((row) => [row[0], name(row[1]), name(row[2]), row] as const))(
    '%s at %s, from %s',
    (_k, _a, _f, row) => {
      const [kind, at, from, answer, after] = row;
      const { fdb, make, learn, found } = newPlacing();
      make(kind, at);
      expect(fdb.wouldLearn(SEGMENT, HIGH, 1, from, NOW)).toBe(answer);
      expect(fdb.conflicts(SEGMENT, HIGH, 1, from)).toBe(answer === LEARNED.conflict);
      expect(learn(1, from)).toBe(answer);
      expect(found()).toEqual(after);
    },
  );

  it('that is sticky changes nothing, from the TAP neither', () => {
    const { fdb, make, learn, entries } = newPlacing();
    make('control', A, true);
    for (const from of [B, LOCAL_SOURCE]) {
      expect(fdb.wouldLearn(SEGMENT, HIGH, 1, from, NOW)).toBe(LEARNED.outranked);
      expect(learn(1, from)).toBe(LEARNED.outranked);
    }
    expect(learn(1, A)).toBe(LEARNED.refreshed);
    expect(entries()).toMatchObject([{ kind: 'control', isSticky: true }]);
  });

  it('of a control plane from another VTEP takes no lock and makes no VTEP known', () => {
    const { fdb, place, learn, idOf } = newPlacing();
    place(1, A);
    const before = fdb.nextEvent;
    expect(learn(1, B)).toBe(LEARNED.outranked);
    expect([idOf(B), fdb.nextEvent]).toEqual([-1, before]);
  });
});

describe('a placement at an entry', () => {
  type Row = [
    kind: EntryKind | 'none',
    at: SourceAddress,
    to: SourceAddress,
    answer: number,
    after: [EntryKind, SourceAddress],
  ];
  const rows: Row[] = [
    ['none', A, A, PLACED.added, ['control', A]],
    ['learned', A, A, PLACED.added, ['control', A]],
    ['learned', A, B, PLACED.moved, ['control', B]],
    ['learned', LOCAL_SOURCE, A, PLACED.moved, ['control', A]],
    ['static', A, A, PLACED.outranked, ['static', A]],
    ['static', A, B, PLACED.outranked, ['static', A]],
    ['static', LOCAL_SOURCE, A, PLACED.outranked, ['static', LOCAL_SOURCE]],
    ['control', A, A, PLACED.same, ['control', A]],
    ['control', A, B, PLACED.moved, ['control', B]],
  ];
  const name = (source: SourceAddress) => (source === LOCAL_SOURCE ? 'the TAP' : source === A ? 'A' : 'B');

  it.each(rows.map((row) => [row[0], name(row[1]), name(row[2]), row] as const))(
    '%s at %s, to %s',
    (_k, _a, _t, row) => {
      const [kind, at, to, answer, after] = row;
      const { make, place, found } = newPlacing();
      if (kind !== 'none') make(kind, at);
      expect(place(1, to)).toBe(answer);
      expect(found()).toEqual(after);
    },
  );

  it('that has expired makes a new one', () => {
    const { learn, place, entries } = newPlacing();
    learn(1, A);
    learn(1, B);
    expect(place(1, B, { now: NOW + AGEING })).toBe(PLACED.added);
    expect(entries(NOW + AGEING)).toMatchObject([{ kind: 'control', moves: 0 }]);
  });

  it('says anew whether it is sticky', () => {
    const { place, entries } = newPlacing();
    place(1, A, { isSticky: true });
    expect(place(1, A)).toBe(PLACED.same);
    expect(entries()).toMatchObject([{ isSticky: false }]);
    expect(place(1, A, { isSticky: true })).toBe(PLACED.same);
    expect(entries()).toMatchObject([{ isSticky: true }]);
  });
});

describe('a static entry', () => {
  it('replaces one of a control plane, wherever that says, and stays when it is placed or withdrawn', () => {
    const { fdb, place, withdraw, addStatic, found } = newPlacing();
    place(1, A, { isSticky: true });
    expect(addStatic(1, B)).toBe(LEARNED.added);
    expect([place(1, A), withdraw(1), found()]).toEqual([PLACED.outranked, 0, ['static', B]]);
    expect([fdb.counts.controlsOf(SEGMENT), fdb.counts.staticsOf(SEGMENT), fdb.counts.totalOf(SEGMENT)]).toEqual([
      0, 1, 1,
    ]);
  });
});

describe('an entry of a control plane', () => {
  it('stays until it is withdrawn: it does not age, and neither a deletion nor a withdrawal of others takes it', () => {
    const { fdb, place, withdraw, found, lookup, idOf } = newPlacing();
    place(1, A);
    const later = NOW + 10 * AGEING;
    fdb.sweep(0, 100, later);
    expect(fdb.delete(SEGMENT, HIGH, 1, later)).toBe(false);
    expect([found(later), lookup(1, { now: later })]).toEqual([['control', A], idOf(A)]);
    expect(withdraw(2)).toBe(0);
    expect(withdraw(1)).toBe(1);
    expect([found(), lookup(1), withdraw(1)]).toEqual([undefined, UNKNOWN, 0]);
  });

  it('is not what a withdrawal takes if it was learned behind the TAP since', () => {
    const { place, learn, withdraw, found } = newPlacing();
    place(1, A);
    learn(1, LOCAL_SOURCE);
    expect(withdraw(1)).toBe(0);
    expect(found()).toEqual(['learned', LOCAL_SOURCE]);
  });

  it('is neither counted in max-macs nor evicted', () => {
    const { fdb, place, learn, entries } = newPlacing();
    for (let low = 100; low < 120; low++) place(low, A);
    for (let low = 1; low <= 20; low++) expect(learn(low, B, { maxMacs: 8 })).toBe(LEARNED.added);
    expect(fdb.enforceLimit(SEGMENT, 0, NOW)).toBe(true);
    expect(entries().map(({ kind }) => kind)).toEqual(new Array(20).fill('control'));
    expect([fdb.counts.totalOf(SEGMENT), fdb.counts.controlsOf(SEGMENT), fdb.counts.staticsOf(SEGMENT)]).toEqual([
      20, 20, 0,
    ]);
  });

  it('takes a place in max-macs when it is heard behind the TAP, and stays if there is none', () => {
    const { fdb, place, learn, lookup, found } = newPlacing();
    place(1, A);
    expect(learn(1, LOCAL_SOURCE, { maxMacs: 0 })).toBe(LEARNED.full);
    expect([found(), fdb.counts.fullOf(SEGMENT)]).toEqual([['control', A], 1]);
    learn(2, B);
    expect(learn(1, LOCAL_SOURCE, { maxMacs: 1 })).toBe(LEARNED.moved);
    expect([lookup(2), fdb.counts.evictionsOf(SEGMENT), fdb.counts.movesOf(SEGMENT)]).toEqual([UNKNOWN, 1, 1]);
  });

  it('is moved by what is heard behind the TAP a few times, and then held where it is placed', () => {
    const { place, learn, found } = newPlacing();
    place(1, A);
    for (let i = 0; i < 5; i++) {
      expect(learn(1, LOCAL_SOURCE)).toBe(LEARNED.moved);
      expect(place(1, i % 2 ? A : B)).toBe(PLACED.moved);
    }
    expect(learn(1, LOCAL_SOURCE)).toBe(LEARNED.held);
    expect(found()).toEqual(['control', B]);
    // A control plane moves it all the same.
    expect([place(1, A), found()]).toEqual([PLACED.moved, ['control', A]]);
  });

  it('keeps its VTEP known', () => {
    const { fdb, place, withdraw, idOf } = newPlacing();
    place(1, A);
    fdb.sweep(0, 100, NOW + 1_000);
    expect([fdb.remotes.count, fdb.remotes.entriesAt(idOf(A))]).toEqual([1, 1]);
    withdraw(1, NOW + 1_000);
    fdb.sweep(0, 100, NOW + 2_000);
    expect(idOf(A)).toBe(-1);
  });
});

describe('many at once', () => {
  it('are answered in their order', () => {
    const { fdb, learn, addStatic, place } = newPlacing();
    addStatic(1, B);
    learn(2, B);
    place(3, A);
    const placements = [1, 2, 3, 4, 4].map((low) => ({ high: HIGH, low, at: A, isSticky: false }));
    expect(fdb.placeAll(SEGMENT, placements, NOW)).toEqual([
      ...[PLACED.outranked, PLACED.moved, PLACED.same, PLACED.added, PLACED.same],
    ]);
    expect(fdb.withdrawAll(SEGMENT, placements, NOW)).toBe(3);
    expect(fdb.placeAll(SEGMENT, [], NOW)).toEqual([]);
  });

  it('are refused above the bound of one call, and so is a place behind the TAP: nothing changes', () => {
    const { fdb } = newPlacing();
    const placements = Array.from({ length: PLACED_AT_ONCE + 1 }, (_, low) => ({
      high: HIGH,
      low,
      at: A,
      isSticky: false,
    }));
    expect(() => fdb.placeAll(SEGMENT, placements, NOW)).toThrow(RangeError);
    const local = [placements[0] as never, { ...MAC, at: LOCAL_SOURCE, isSticky: false }];
    expect(() => fdb.placeAll(SEGMENT, local, NOW)).toThrow('a control plane places nothing locally');
    expect([fdb.count, fdb.repair()]).toEqual([0, false]);
    expect(fdb.placeAll(SEGMENT, placements.slice(1), NOW)).toHaveLength(PLACED_AT_ONCE);
    expect(() => fdb.withdrawAll(SEGMENT, placements, NOW)).toThrow(RangeError);
    expect(fdb.count).toBe(PLACED_AT_ONCE);
  });
});

describe('no room', () => {
  it('for a further VTEP: what was known of the MAC is forgotten, and room is made for later', () => {
    const { fdb, place, learn, addStatic, entries } = newPlacing();
    learn(1, A);
    place(2, A);
    addStatic(3, A);
    for (let n = 2; n <= MAX_REMOTES; n++) fdb.retainRemote(vtep(n));
    const further = vtep(MAX_REMOTES + 1);
    expect([1, 2, 3, 4].map((low) => place(low, further))).toEqual([
      ...[PLACED.full, PLACED.full, PLACED.outranked, PLACED.full],
    ]);
    expect(entries().map(({ low }) => low)).toEqual([3]);
  });

  it('in the table: nothing is evicted for it', () => {
    const { fdb, place } = newPlacing();
    for (let i = 0; i < MAX_FDB_ENTRIES; i++) fdb.learn(0, HIGH + (i >>> 16), i & 0xffff, B, MAX_FDB_ENTRIES, NOW);
    expect(place(1, A)).toBe(PLACED.full);
    expect([fdb.count, fdb.counts.totalOf(SEGMENT), fdb.remotes.count]).toEqual([MAX_FDB_ENTRIES, 0, 1]);
  });
});
