import { describe, expect, it } from 'vitest';
import { MAX_FDB_ENTRIES } from '../lib/limits.ts';
import { EVENT_KIND } from './event-ring.ts';
import { type EntryView, Fdb, LEARNED, LOCAL_SOURCE, type SourceAddress } from './fdb.ts';
import { createFdbMemory, EVENT, FLAP, mapFdb } from './layout.ts';
import { LOCAL, NO_REMOTE } from './remotes.ts';

const NOW = 5_000;
const HIGH = 0x0200_0000;
const [MAC, OTHER] = [1, 2];
const UNLIMITED = 100;
/** RFC 7432 §15.1, in tenths of a second. */
const [MOVES, WINDOW, HOLD] = [5, 1_800, 300];

const vtep = (number: number): SourceAddress => ({ a: 0, b: 0, c: 0xffff, d: (198 << 24) | number });
const [A, B] = [vtep(1), vtep(2)];

function newFdb(ageingSeconds = 0) {
  const memory = createFdbMemory(3, ageingSeconds);
  const fdb = new Fdb(memory, 1);
  const learn = (source: SourceAddress, now = NOW, low = MAC) => fdb.learn(0, HIGH, low, source, UNLIMITED, now);
  const place = (now = NOW, low = MAC) => {
    const found = fdb.lookup(0, HIGH, low, now);
    return found <= LOCAL ? found : fdb.remotes.word(found, 3);
  };
  const entries = (now = NOW) => {
    const found: EntryView[] = [];
    fdb.forEachSlice(0, MAX_FDB_ENTRIES, (entry) => found.push(entry), now);
    return found;
  };
  /** Kinds of the events from a number on. */
  const eventsSince = (from: number) => {
    const words = new Int32Array(100 * EVENT.words);
    const { count } = fdb.copyEvents(from, words);
    return Array.from({ length: count }, (_, i) => (words[i * EVENT.words] as number) & 0xff);
  };
  /** The MAC is heard at B, at A, at B …, once a tenth. Where it was heard last. */
  const flap = (times: number, now = NOW) => {
    const results: number[] = [];
    for (let i = 0; i < times; i++) results.push(learn(i % 2 ? A : B, now + i));
    return results;
  };
  learn(A);
  return { memory, fdb, learn, place, entries, eventsSince, flap };
}

describe('a MAC that moves too often', () => {
  it('moves five times, then stays where it is, whoever speaks', () => {
    const { flap, learn, place, entries } = newFdb();
    expect(flap(5)).toEqual(new Array(MOVES).fill(LEARNED.moved));
    expect(place()).toBe(B.d);
    expect(learn(A, NOW + 6)).toBe(LEARNED.held);
    expect(learn(LOCAL_SOURCE, NOW + 7)).toBe(LEARNED.held);
    expect(learn(vtep(9), NOW + 8)).toBe(LEARNED.held);
    expect(place()).toBe(B.d);
    expect(entries()).toMatchObject([{ moves: MOVES }]);
  });

  it('is heard where it stays: its age starts again', () => {
    const { flap, learn, entries } = newFdb();
    flap(6);
    expect(learn(B, NOW + 100)).toBe(LEARNED.refreshed);
    expect(entries()).toMatchObject([{ heard: NOW + 100 }]);
  });

  it('is one event for each time it is held, and moves are none meanwhile', () => {
    const { fdb, flap, learn, eventsSince } = newFdb();
    const start = fdb.nextEvent;
    flap(40);
    expect(eventsSince(start)).toEqual([...new Array(MOVES).fill(EVENT_KIND.moved), EVENT_KIND.held]);
    const again = NOW + MOVES + HOLD;
    const next = fdb.nextEvent;
    for (let i = 0; i < 40; i++) learn(i % 2 ? B : A, again + i);
    expect(eventsSince(next)).toEqual([...new Array(MOVES).fill(EVENT_KIND.moved), EVENT_KIND.held]);
  });

  it('moves again 30 s after the move that was one too many, and is then counted anew', () => {
    const { flap, learn, place } = newFdb();
    flap(6);
    const end = NOW + 5 + HOLD;
    expect(learn(A, end - 1)).toBe(LEARNED.held);
    expect(learn(A, end)).toBe(LEARNED.moved);
    expect(place(end)).toBe(A.d);
    for (let i = 1; i < MOVES; i++) expect(learn(i % 2 ? B : A, end + i)).toBe(LEARNED.moved);
    expect(learn(B, end + MOVES)).toBe(LEARNED.held);
  });

  it.each([
    [WINDOW - 1, LEARNED.held],
    [WINDOW, LEARNED.moved],
  ])('is counted from its first move on for 180 s: %i tenths later a sixth is %i', (later, result) => {
    const { flap, learn } = newFdb();
    flap(5);
    expect(learn(A, NOW + later)).toBe(result);
  });

  it('is not what moves slowly for ever', () => {
    const { learn } = newFdb();
    for (let i = 0; i < 50; i++) expect(learn(i % 2 ? A : B, NOW + i * (WINDOW / MOVES))).toBe(LEARNED.moved);
  });

  it('is held alone: neither another MAC nor the same one of another segment', () => {
    const { fdb, flap, learn } = newFdb();
    flap(6);
    learn(A, NOW, OTHER);
    expect(learn(B, NOW, OTHER)).toBe(LEARNED.moved);
    fdb.learn(1, HIGH, MAC, A, UNLIMITED, NOW);
    expect(fdb.learn(1, HIGH, MAC, B, UNLIMITED, NOW)).toBe(LEARNED.moved);
  });

  it('goes where it is heard once the place that holds it has been silent for the ageing time', () => {
    const { flap, learn, entries, fdb, eventsSince } = newFdb(10);
    flap(6);
    const last = NOW + 4;
    expect(learn(A, last + 99)).toBe(LEARNED.held);
    const start = fdb.nextEvent;
    expect(learn(A, last + 100)).toBe(LEARNED.added);
    expect(eventsSince(start)).toEqual([EVENT_KIND.aged, EVENT_KIND.added]);
    expect(entries(last + 100)).toMatchObject([{ moves: 0 }]);
    expect(learn(B, last + 101)).toBe(LEARNED.moved);
  });

  it.each<[string, (fdb: Fdb) => void]>([
    ['deleted', (fdb) => fdb.delete(0, HIGH, MAC, NOW)],
    ['flushed', (fdb) => fdb.flush(() => true, NOW)],
  ])('is counted anew after it was %s, and so is the next user of its record', (_, remove) => {
    for (const next of [MAC, OTHER]) {
      const { fdb, flap, learn } = newFdb();
      flap(6);
      remove(fdb);
      expect(learn(A, NOW, next)).toBe(LEARNED.added);
      for (let i = 0; i < MOVES; i++) expect(learn(i % 2 ? A : B, NOW, next)).toBe(LEARNED.moved);
      expect(learn(A, NOW, next)).toBe(LEARNED.held);
    }
  });

  it('may be made static, and conflicts then', () => {
    const { fdb, flap, learn } = newFdb();
    flap(6);
    expect(fdb.addStatic(0, HIGH, MAC, A, NOW)).toBe(LEARNED.added);
    expect(learn(B)).toBe(LEARNED.conflict);
  });

  it('makes no VTEP known that has nothing else, nor takes the lock, while it is held', () => {
    const { memory, fdb, flap, learn } = newFdb();
    flap(6);
    const { header } = mapFdb(memory);
    header[0] = 99;
    expect(learn(vtep(50))).toBe(LEARNED.held);
    header[0] = 0;
    const { a, b, c, d } = vtep(50);
    expect(fdb.remotes.find(a, b, c, d)).toBe(NO_REMOTE);
  });

  it('costs a MAC that stays where it is no memory', () => {
    const { memory, learn } = newFdb();
    for (let low = 10; low < 1_000; low++) learn(A, NOW, low);
    expect(
      mapFdb(memory)
        .flaps.subarray(0, 1_000 * FLAP.words)
        .every((word) => word === 0),
    ).toBe(true);
  });
});
