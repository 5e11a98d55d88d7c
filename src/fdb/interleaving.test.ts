/**
 * What takes no lock (lookup, conflicts, the refresh in learn) is interrupted by another thread's change, staged at each atomic read in turn:
 * after the n-th one, the other thread does its whole work. Every n is tried. The answer must be one that was right before or after the
 * change, or a miss; and the table must be whole afterwards.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MAX_FDB_ENTRIES } from '../lib/limits.ts';
import { Fdb, LEARNED, LOCAL_SOURCE, type SourceAddress, UNKNOWN } from './fdb.ts';
import { createFdbMemory, HEADER, mapFdb } from './layout.ts';
import { LOCAL } from './remotes.ts';

/** As a free record's link to the next it would name a record far outside of those in use. */
const NOW = 50_000;
const HIGH = 0x0200_0000;
const LIMIT = 100;

const vtep = (number: number): SourceAddress => ({ a: 0, b: 0, c: 0xffff, d: (198 << 24) | number });

/** The static one makes the test for conflict look at all. */
const [SUBJECT, OTHER, STATIC] = [1, 2, 3];
const [AT_FIRST, ELSEWHERE] = [vtep(1), vtep(2)];

/** Does `change` after the n-th atomic read of `work`. Whether there were so many outside of the lock. */
function interrupted(
  lock: () => boolean,
  n: number,
  { work, change }: { work: () => void; change: () => void },
): boolean {
  const load = Atomics.load.bind(Atomics) as (cells: Int32Array, index: number) => number;
  let reads = 0;
  let isDone = false;
  const spy = vi.spyOn(Atomics, 'load');
  spy.mockImplementation(((cells: Int32Array, index: number) => {
    const value = load(cells, index);
    // With the lock held, another thread would wait.
    if (++reads === n && !lock()) {
      isDone = true;
      change();
    }
    return value;
  }) as typeof Atomics.load);
  try {
    work();
  } finally {
    spy.mockRestore();
  }
  return isDone;
}

afterEach(() => {
  vi.restoreAllMocks();
});

const place = (fdb: Fdb, at: SourceAddress) =>
  fdb.placeAll(0, [{ high: HIGH, low: SUBJECT, at, isSticky: false }], NOW);
const withdraw = (fdb: Fdb) => fdb.withdrawAll(0, [{ high: HIGH, low: SUBJECT }], NOW);

const CHANGES: readonly [what: string, change: (fdb: Fdb) => unknown][] = [
  ['deleted', (fdb) => fdb.delete(0, HIGH, SUBJECT, NOW)],
  ['moved', (fdb) => fdb.learn(0, HIGH, SUBJECT, ELSEWHERE, LIMIT, NOW)],
  ['made static elsewhere', (fdb) => fdb.addStatic(0, HIGH, SUBJECT, ELSEWHERE, NOW)],
  ['placed elsewhere', (fdb) => place(fdb, ELSEWHERE)],
  ['placed elsewhere and withdrawn', (fdb) => [place(fdb, ELSEWHERE), withdraw(fdb)]],
  [
    'deleted, its record given to another MAC',
    (fdb) => {
      fdb.delete(0, HIGH, SUBJECT, NOW);
      fdb.learn(0, HIGH, 77, LOCAL_SOURCE, LIMIT, NOW);
    },
  ],
  [
    'deleted, its record given to the same MAC of another segment',
    (fdb) => {
      fdb.delete(0, HIGH, SUBJECT, NOW);
      fdb.learn(1, HIGH, SUBJECT, vtep(9), LIMIT, NOW);
    },
  ],
  [
    'deleted and learned elsewhere',
    (fdb) => {
      fdb.delete(0, HIGH, SUBJECT, NOW);
      fdb.learn(0, HIGH, SUBJECT, ELSEWHERE, LIMIT, NOW);
    },
  ],
];

const WORK: readonly [what: string, work: (fdb: Fdb) => unknown, allowed: readonly unknown[]][] = [
  [
    'a lookup',
    (fdb) => {
      const remote = fdb.lookup(0, HIGH, SUBJECT, NOW);
      return remote <= LOCAL ? remote : fdb.remotes.word(remote, 3);
    },
    [AT_FIRST.d, ELSEWHERE.d, UNKNOWN],
  ],
  ['a test for conflict', (fdb) => fdb.conflicts(0, HIGH, SUBJECT, AT_FIRST), [true, false]],
  [
    'a refresh',
    (fdb) => fdb.learn(0, HIGH, SUBJECT, AT_FIRST, LIMIT, NOW),
    [LEARNED.refreshed, LEARNED.added, LEARNED.moved, LEARNED.conflict, LEARNED.outranked],
  ],
];

describe.each(WORK)('%s of a MAC', (_, work, allowed) => {
  it.each(CHANGES)('that another thread has meanwhile %s is answered rightly and harms nothing', (_what, change) => {
    let interruptions = 0;
    for (let n = 1; n < 40; n++) {
      const memory = createFdbMemory(5, 0);
      const { header } = mapFdb(memory);
      const [fdb, another] = [new Fdb(memory, 1), new Fdb(memory, 2)];
      fdb.learn(0, HIGH, SUBJECT, AT_FIRST, LIMIT, NOW - 1);
      fdb.learn(0, HIGH, OTHER, LOCAL_SOURCE, LIMIT, NOW - 1);
      fdb.addStatic(0, HIGH, STATIC, LOCAL_SOURCE, NOW - 1);
      const isLocked = () => header[HEADER.lock] !== 0;
      let answer: unknown;
      const staged = {
        work: () => {
          answer = work(fdb);
        },
        change: () => change(another),
      };
      if (!interrupted(isLocked, n, staged)) continue;
      interruptions++;
      expect(allowed).toContain(answer);

      // Records that are free are handed out once each, and those in use to nobody.
      for (let low = 100; low < 110; low++) expect(fdb.learn(0, HIGH, low, vtep(3), LIMIT, NOW)).toBe(LEARNED.added);
      const found: string[] = [];
      fdb.forEachSlice(
        0,
        MAX_FDB_ENTRIES,
        ({ segment, low }) => {
          found.push(`${segment} ${low}`);
        },
        NOW,
      );
      expect(new Set(found).size).toBe(found.length);
      expect(fdb.count).toBe(found.length);
      expect(header[HEADER.entriesUsed]).toBeLessThanOrEqual(14);
      expect(fdb.lookup(0, HIGH, OTHER, NOW)).toBe(LOCAL);
      for (let low = 100; low < 110; low++) {
        expect(fdb.remotes.word(fdb.lookup(0, HIGH, low, NOW), 3)).toBe(vtep(3).d);
      }
    }
    expect(interruptions).toBeGreaterThan(3);
  });
});

describe('a test for conflict of a MAC that is static elsewhere', () => {
  it.each<[what: string, change: (fdb: Fdb) => void]>([
    ['learns another', (fdb) => fdb.learn(0, HIGH, 50, AT_FIRST, LIMIT, NOW)],
    ['deletes another', (fdb) => fdb.delete(0, HIGH, OTHER, NOW)],
    ['makes another static', (fdb) => fdb.addStatic(0, HIGH, OTHER, ELSEWHERE, NOW)],
  ])('is answered with yes while another thread %s', (_, change) => {
    for (let n = 1; n < 20; n++) {
      const memory = createFdbMemory(5, 0);
      const { header } = mapFdb(memory);
      const [fdb, another] = [new Fdb(memory, 1), new Fdb(memory, 2)];
      fdb.learn(0, HIGH, OTHER, LOCAL_SOURCE, LIMIT, NOW - 1);
      fdb.addStatic(0, HIGH, STATIC, ELSEWHERE, NOW - 1);
      let answer = false;
      const staged = {
        work: () => {
          answer = fdb.conflicts(0, HIGH, STATIC, AT_FIRST);
        },
        change: () => change(another),
      };
      interrupted(() => header[HEADER.lock] !== 0, n, staged);
      expect({ n, answer }).toEqual({ n, answer: true });
    }
  });
});

describe('a frame at a MAC that a control plane placed', () => {
  /** Where the MAC may be in the end, by where it was heard. */
  type AtEnd = (heard: number) => readonly number[];

  it.each<[what: string, change: (fdb: Fdb) => unknown, atEnd: AtEnd]>([
    ['withdraws it', withdraw, (heard) => [UNKNOWN, heard]],
    ['moves it', (fdb) => place(fdb, ELSEWHERE), (heard) => (heard === LOCAL ? [ELSEWHERE.d, LOCAL] : [ELSEWHERE.d])],
    ['makes it static', (fdb) => fdb.addStatic(0, HIGH, SUBJECT, ELSEWHERE, NOW), () => [ELSEWHERE.d]],
    [
      'learns it behind the TAP',
      (fdb) => fdb.learn(0, HIGH, SUBJECT, LOCAL_SOURCE, LIMIT, NOW),
      (heard) => [LOCAL, heard],
    ],
  ])('does what it does before or after another thread %s', (_, change, atEnd) => {
    let interruptions = 0;
    for (const source of [AT_FIRST, ELSEWHERE, LOCAL_SOURCE]) {
      for (let n = 1; n < 20; n++) {
        const memory = createFdbMemory(5, 1);
        const { header } = mapFdb(memory);
        const [fdb, another] = [new Fdb(memory, 1), new Fdb(memory, 2)];
        // Long ago: it does not age.
        fdb.placeAll(0, [{ high: HIGH, low: SUBJECT, at: AT_FIRST, isSticky: false }], NOW - 1_000);
        const staged = {
          work: () => fdb.learn(0, HIGH, SUBJECT, source, LIMIT, NOW),
          change: () => change(another),
        };
        if (!interrupted(() => header[HEADER.lock] !== 0, n, staged)) continue;
        interruptions++;
        const remote = fdb.lookup(0, HIGH, SUBJECT, NOW);
        const found = remote <= LOCAL ? remote : fdb.remotes.word(remote, 3);
        expect(atEnd(source === LOCAL_SOURCE ? LOCAL : source.d)).toContain(found);
        expect([fdb.count, fdb.counts.totalOf(0)]).toEqual(found === UNKNOWN ? [0, 0] : [1, 1]);
        expect(fdb.repair()).toBe(false);
      }
    }
    expect(interruptions).toBeGreaterThan(10);
  });
});
