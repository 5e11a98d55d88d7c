import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MAX_SEGMENTS } from '../lib/limits.ts';
import { Announcers } from './announcers.ts';
import { Fdb, LEARNED, LOCAL_SOURCE, type SourceAddress } from './fdb.ts';
import { createFdbMemory, mapFdb } from './layout.ts';
import { LOCAL, NO_REMOTE } from './remotes.ts';

const NOW = 1_000;
const LIMIT = 10;
const HIGH = 0x0200_0000;
const [A, B, C] = [1, 2, 3].map((d) => ({ a: 0, b: 0, c: 0xffff, d })) as [SourceAddress, SourceAddress, SourceAddress];

function newFdb() {
  const memory = createFdbMemory(1, 300);
  const fdb = new Fdb(memory, 1);
  const learn = (low: number, source: SourceAddress, segment = 0, now = NOW) => {
    const foretold = fdb.wouldLearn(segment, HIGH, low, source, now);
    const learned = fdb.learn(segment, HIGH, low, source, LIMIT, now);
    expect(foretold).toBe(learned);
    return learned;
  };
  const announce = (source: SourceAddress, segment = 0) => {
    const remote = fdb.retainRemote(source);
    fdb.setAnnouncer(segment, remote, true);
    return remote;
  };
  return { memory, fdb, learn, announce };
}

it('nothing new is learned from a VTEP that announces its MACs, in its segments only', () => {
  const { fdb, learn, announce } = newFdb();
  announce(A, 5);
  expect(learn(1, A, 5)).toBe(LEARNED.announced);
  expect(learn(1, A, 4)).toBe(LEARNED.added);
  expect(learn(1, B, 5)).toBe(LEARNED.added);
  expect(fdb.counts.totalOf(5)).toBe(1);
});

it('a late frame from such a VTEP moves no MAC, wherever it was learned, and tells nobody', () => {
  const { fdb, learn, announce } = newFdb();
  learn(1, LOCAL_SOURCE);
  learn(2, B);
  announce(A);
  const events = fdb.nextEvent;
  for (const low of [1, 2]) expect(learn(low, A)).toBe(LEARNED.announced);
  expect(fdb.lookup(0, HIGH, 1, NOW)).toBe(LOCAL);
  expect(fdb.nextEvent).toBe(events);
  // The VM is here: its own frames are learned.
  expect(learn(2, LOCAL_SOURCE)).toBe(LEARNED.moved);
});

it('what was learned there before stays alive while it is heard, and is not learned anew', () => {
  const { fdb, learn, announce } = newFdb();
  learn(1, A);
  announce(A);
  expect(learn(1, A, 0, NOW + 2_000)).toBe(LEARNED.refreshed);
  expect(learn(1, A, 0, NOW + 4_000)).toBe(LEARNED.refreshed);
  expect(learn(1, A, 0, NOW + 9_000)).toBe(LEARNED.announced);
  fdb.sweep(0, 1_000, NOW + 9_000);
  expect(fdb.count).toBe(0);
});

it('static entries and placed ones come first', () => {
  const { fdb, learn, announce } = newFdb();
  announce(A);
  fdb.addStatic(0, HIGH, 1, B, NOW);
  fdb.placeAll(0, [{ high: HIGH, low: 2, at: B, isSticky: false }], NOW);
  expect([learn(1, A), learn(2, A)]).toEqual([LEARNED.conflict, LEARNED.outranked]);
});

it('the mark is gone once it is removed, also for the next VTEP with that id', () => {
  const { fdb, learn, announce } = newFdb();
  const remote = announce(A);
  fdb.setAnnouncer(0, remote, false);
  expect(learn(1, A)).toBe(LEARNED.added);
  fdb.delete(0, HIGH, 1, NOW);
  fdb.releaseRemote(remote, NOW);
  fdb.sweep(0, 1_000, NOW + 1_000);
  expect(fdb.retainRemote(C)).toBe(remote);
  expect(learn(2, C)).toBe(LEARNED.added);
});

it('is a set of pairs of segment and VTEP, also over the memory of another thread', () => {
  const segment = fc.constantFrom(0, 1, 31, 32, 33, 63, MAX_SEGMENTS - 1);
  const step = fc.record({ segment, vtep: fc.nat(20), announces: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { memory, fdb } = newFdb();
      const addresses = Array.from({ length: 21 }, (_, d) => ({ a: 0, b: 0, c: 0xffff, d: d + 1 }));
      const ids = addresses.map((address) => fdb.retainRemote(address));
      expect(ids).not.toContain(NO_REMOTE);
      const other = new Announcers(mapFdb(memory), new Fdb(memory, 2).remotes);
      const pairs = new Set<string>();
      for (const each of steps) {
        fdb.setAnnouncer(each.segment, ids[each.vtep] as number, each.announces);
        if (each.announces) pairs.add(`${each.segment} ${each.vtep}`);
        else pairs.delete(`${each.segment} ${each.vtep}`);
      }
      for (const { segment: index } of steps) {
        for (const [vtep, address] of addresses.entries())
          expect(other.has(index, address)).toBe(pairs.has(`${index} ${vtep}`));
      }
    }),
    { numRuns: 50 },
  );
});
