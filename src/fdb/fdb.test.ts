import { describe, expect, it } from 'vitest';
import { MAX_REMOTES } from '../lib/limits.ts';
import { type EntryView, Fdb, LEARNED, LOCAL_SOURCE, type SourceAddress, UNKNOWN } from './fdb.ts';
import { createFdbMemory } from './layout.ts';
import { LOCAL, NO_REMOTE } from './remotes.ts';

const AGEING_SECONDS = 10;
const AGEING = AGEING_SECONDS * 10;
/** Tenths of a second: the daemon has run for a while. */
const NOW = 5_000;
const HIGH = 0x0200_0000;
const SEGMENT = 3;
const UNLIMITED = 65_536;

/** 198.18.x.y, IPv4-mapped. */
const vtep = (number: number): SourceAddress => ({ a: 0, b: 0, c: 0xffff, d: (198 << 24) | (18 << 16) | number });

function newFdb(ageingSeconds = AGEING_SECONDS) {
  const fdb = new Fdb(createFdbMemory(99, ageingSeconds), 1);
  const learn = (low: number, source: SourceAddress, { segment = SEGMENT, maxMacs = UNLIMITED, now = NOW } = {}) =>
    fdb.learn(segment, HIGH, low, source, maxMacs, now);
  const lookup = (low: number, { segment = SEGMENT, now = NOW } = {}) => fdb.lookup(segment, HIGH, low, now);
  const idOf = ({ a, b, c, d }: SourceAddress) => fdb.remotes.find(a, b, c, d);
  const entries = (now = NOW) => {
    const found: EntryView[] = [];
    fdb.forEach((entry) => {
      found.push(entry);
    }, now);
    return found.sort((x, y) => x.segment - y.segment || x.low - y.low);
  };
  /** Live entries of one segment by VTEP. */
  const perVtep = (sources: readonly SourceAddress[], segment = SEGMENT) =>
    sources.map((source) => {
      const id = source === LOCAL_SOURCE ? LOCAL : idOf(source);
      return entries().filter((entry) => entry.segment === segment && entry.remote === id).length;
    });
  return { fdb, learn, lookup, idOf, entries, perVtep };
}

describe('learning', () => {
  it('knows nothing at first', () => {
    const { fdb, lookup, entries } = newFdb();
    expect(lookup(1)).toBe(UNKNOWN);
    expect(fdb.conflicts(SEGMENT, HIGH, 1, vtep(1))).toBe(false);
    expect(entries()).toEqual([]);
    expect([fdb.count, fdb.countOf(SEGMENT), fdb.remotes.count]).toEqual([0, 0, 0]);
  });

  it('finds a learned MAC at its VTEP, and one of the own TAP at LOCAL', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    expect(learn(1, vtep(1))).toBe(LEARNED.added);
    expect(learn(2, LOCAL_SOURCE)).toBe(LEARNED.added);
    expect(lookup(1)).toBe(idOf(vtep(1)));
    expect(lookup(2)).toBe(LOCAL);
    expect([fdb.count, fdb.countOf(SEGMENT), fdb.remotes.count]).toEqual([2, 2, 1]);
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
    expect(fdb.movesOf(SEGMENT)).toBe(4);
  });

  it('moves a MAC to where it was heard last, at once, and counts the move in entry and segment (T8)', () => {
    const { fdb, learn, lookup, idOf, entries } = newFdb();
    learn(1, vtep(1));
    expect(learn(1, vtep(2), { now: NOW + 7 })).toBe(LEARNED.moved);
    expect(lookup(1)).toBe(idOf(vtep(2)));
    expect(learn(1, LOCAL_SOURCE, { now: NOW + 9 })).toBe(LEARNED.moved);
    expect(entries()).toEqual([
      { segment: SEGMENT, high: HIGH, low: 1, remote: LOCAL, isStatic: false, heard: NOW + 9, moves: 2 },
    ]);
    expect([fdb.count, fdb.movesOf(SEGMENT), fdb.movesOf(SEGMENT + 1)]).toEqual([1, 2, 0]);
  });

  it('keeps the same MAC of two segments apart (T15)', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    learn(1, vtep(1), { segment: 0 });
    learn(1, vtep(2), { segment: 1 });
    expect([0, 1, 2].map((segment) => lookup(1, { segment }))).toEqual([idOf(vtep(1)), idOf(vtep(2)), UNKNOWN]);
    fdb.delete(0, HIGH, 1, NOW);
    expect([0, 1].map((segment) => lookup(1, { segment }))).toEqual([UNKNOWN, idOf(vtep(2))]);
    expect([fdb.countOf(0), fdb.countOf(1), fdb.count]).toEqual([0, 1, 1]);
  });

  it('reaches the last segment there can be', () => {
    const { fdb, learn, lookup, idOf } = newFdb();
    learn(1, vtep(1), { segment: 16_383 });
    expect(lookup(1, { segment: 16_383 })).toBe(idOf(vtep(1)));
    expect(fdb.countOf(16_383)).toBe(1);
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
    expect([fdb.count, fdb.countOf(SEGMENT), fdb.movesOf(SEGMENT)]).toEqual([1, 1, 1]);
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
    expect([fdb.count, fdb.countOf(SEGMENT)]).toEqual([5, 5]);
  });
});

describe('static entries', () => {
  it('replace a learned entry, and are not counted among the learned', () => {
    const { fdb, learn, lookup, idOf, entries } = newFdb();
    learn(1, vtep(1));
    expect(fdb.addStatic(SEGMENT, HIGH, 1, vtep(2), NOW)).toBe(LEARNED.added);
    expect(lookup(1)).toBe(idOf(vtep(2)));
    expect(entries()).toMatchObject([{ isStatic: true, moves: 0 }]);
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
    expect([fdb.count, fdb.countOf(SEGMENT)]).toEqual([0, 0]);
  });

  it('flushes what matches, with what it says of each entry, and counts the live ones (T30)', () => {
    const { fdb, learn, entries, idOf } = newFdb();
    learn(1, vtep(1), { segment: 0 });
    learn(2, vtep(2), { segment: 0 });
    learn(1, vtep(1), { segment: 1 });
    learn(3, vtep(1), { segment: 0, now: NOW - AGEING });
    fdb.addStatic(0, HIGH, 4, vtep(1), NOW);
    const matches = (entry: EntryView) => entry.segment === 0 && entry.remote === idOf(vtep(1)) && !entry.isStatic;
    expect(fdb.flush(matches, NOW)).toBe(1);
    expect(entries().map(({ segment, low }) => [segment, low])).toEqual([
      [0, 2],
      [0, 4],
      [1, 1],
    ]);
    expect(fdb.flush(() => true, NOW)).toBe(3);
    expect([fdb.count, fdb.countOf(0), fdb.countOf(1)]).toEqual([0, 0, 0]);
  });

  it('starts a segment’s counters at zero for the next user of its number', () => {
    const { fdb, learn } = newFdb();
    learn(1, vtep(1));
    learn(1, vtep(2));
    fdb.flush(() => true, NOW);
    fdb.resetSegment(SEGMENT);
    expect(fdb.movesOf(SEGMENT)).toBe(0);
    expect(learn(1, vtep(1), { maxMacs: 1 })).toBe(LEARNED.added);
  });
});

describe('local MACs', () => {
  const station = (low: number) => ({ high: HIGH, low });

  it('are counted by segment, learned and static ones, until they go, move away or are evicted', () => {
    const { fdb, learn } = newFdb();
    learn(1, LOCAL_SOURCE);
    learn(2, LOCAL_SOURCE);
    learn(3, vtep(1));
    learn(4, LOCAL_SOURCE, { segment: 1 });
    fdb.addStatic(SEGMENT, HIGH, 5, LOCAL_SOURCE, NOW);
    expect([fdb.localsOf(SEGMENT), fdb.localsOf(1), fdb.localsOf(0)]).toEqual([3, 1, 0]);
    learn(1, vtep(1));
    expect(fdb.localsOf(SEGMENT)).toBe(2);
    learn(3, LOCAL_SOURCE);
    expect(fdb.localsOf(SEGMENT)).toBe(3);
    // The local side has the most.
    learn(6, LOCAL_SOURCE, { maxMacs: 3 });
    expect(fdb.localsOf(SEGMENT)).toBe(3);
    fdb.delete(SEGMENT, HIGH, 5, NOW);
    expect(fdb.localsOf(SEGMENT)).toBe(2);
    fdb.sweep(0, 1_000, NOW + AGEING + 1);
    expect([fdb.localsOf(SEGMENT), fdb.localsOf(1)]).toEqual([0, 0]);
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
    expect(changes(() => fdb.flush(() => true, NOW))).toBe(1);
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
