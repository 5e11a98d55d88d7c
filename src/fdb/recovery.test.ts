/**
 * A thread dies at the worst moment: in the middle of a change, with the lock held. Death is staged by letting the n-th atomic write of an
 * operation, and all after it, fail; then another thread recovers. This is done for every n that there is.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MAX_FDB_ENTRIES } from '../lib/limits.ts';
import { type EntryView, Fdb, LEARNED, LOCAL_SOURCE, type SourceAddress, UNKNOWN } from './fdb.ts';
import { createFdbMemory, ENTRY, GROUP, HEADER, mapFdb, REMOTE, SEGMENT } from './layout.ts';
import { LOCAL, NO_REMOTE } from './remotes.ts';

const DEAD = 2;
const NOW = 5_000;
const AGEING = 100;
const HIGH = 0x0200_0000;
const UNLIMITED = 100;

const vtep = (number: number): SourceAddress => ({ a: 0, b: 0, c: 0xffff, d: (198 << 24) | number });

/** Where each MAC of segment 0 is before the operation, by its number; 5 is static, and a control plane placed 7 and 8. */
const BEFORE = new Map([
  [1, vtep(1)],
  [2, vtep(1)],
  [3, vtep(2)],
  [4, LOCAL_SOURCE],
  [5, vtep(3)],
  [7, vtep(2)],
  [8, vtep(1)],
]);

const placed = (low: number, at: SourceAddress) => ({ high: HIGH, low, at, isSticky: low === 8 });

function newTable() {
  const memory = createFdbMemory(7, AGEING / 10);
  const fdb = new Fdb(memory, 1);
  for (const [low, source] of BEFORE) {
    if (low === 5) fdb.addStatic(0, HIGH, low, source, NOW);
    else if (low > 5) fdb.placeAll(0, [placed(low, source)], NOW);
    else fdb.learn(0, HIGH, low, source, UNLIMITED, NOW);
  }
  const flooded = fdb.retainRemote(vtep(8));
  fdb.setAnnouncer(0, flooded, true);
  // Known, but named by nothing any more.
  fdb.releaseRemote(fdb.retainRemote(vtep(9)), NOW - 200);
  return { fdb, dying: new Fdb(memory, DEAD), cells: mapFdb(memory), flooded };
}

type Table = ReturnType<typeof newTable>;

/** Runs `operation` on a thread that dies at its n-th atomic write. Whether it did. */
function dieAtWrite(n: number, operation: () => void): boolean {
  return hasFailed(operation, (write) => write >= n);
}

/** Runs `operation`, of which the n-th write of a number fails and nothing else. Whether it did. */
function failAtWrite(n: number, operation: () => void): boolean {
  return hasFailed(operation, (write) => write === n);
}

/** @param fails whether a write does, by its number from 1 on */
function hasFailed(operation: () => void, fails: (write: number) => boolean): boolean {
  let writes = 0;
  for (const name of ['add', 'sub', 'store'] as const) {
    const write = Atomics[name] as (cells: Int32Array, index: number, value: number) => number;
    vi.spyOn(Atomics, name as 'add').mockImplementation(((cells: Int32Array, index: number, value: number) => {
      if (fails(++writes)) throw new Error('failed');
      return write(cells, index, value);
    }) as typeof Atomics.add);
  }
  try {
    operation();
    return false;
  } catch (error) {
    if (error instanceof Error && error.message === 'failed') return true;
    throw error;
  } finally {
    vi.restoreAllMocks();
  }
}

afterEach(() => {
  vi.restoreAllMocks();
});

function entriesOf({ fdb }: Table): EntryView[] {
  const entries: EntryView[] = [];
  fdb.forEachSlice(0, MAX_FDB_ENTRIES, (entry) => entries.push(entry), NOW);
  return entries;
}

function addressOf({ fdb }: Table, remote: number): number | 'local' {
  return remote === LOCAL ? 'local' : fdb.remotes.word(remote, 3);
}

/** What must hold of any table that nobody is writing to. */
function expectConsistent(table: Table): void {
  const { fdb, cells, flooded } = table;
  const entries = entriesOf(table);
  expect(cells.header[HEADER.lock]).toBe(0);
  expect(new Set(entries.map(({ low }) => low)).size).toBe(entries.length);
  expect([fdb.count, fdb.counts.totalOf(0)]).toEqual([entries.length, entries.length]);
  const counted = [SEGMENT.learned, SEGMENT.statics, SEGMENT.controls].map((word) => cells.segments[word]);
  expect(counted).toEqual(
    (['learned', 'static', 'control'] as const).map((each) => entries.filter(({ kind }) => kind === each).length),
  );
  expect(fdb.counts.localsOf(0)).toBe(entries.filter(({ remote }) => remote === LOCAL).length);
  for (const { low, remote } of entries) expect(fdb.lookup(0, HIGH, low, NOW)).toBe(remote);
  for (let i = 0; i < 100 * ENTRY.words; i += ENTRY.words) {
    expect((cells.entries[i + ENTRY.version] as number) & 1).toBe(0);
  }
  expect(fdb.wouldLearn(0, HIGH, 99, vtep(8), NOW)).toBe(LEARNED.announced);
  // A remote counted too low is forgotten while entries name it, and its number goes to another VTEP.
  const named = [...entries.map(({ remote }) => remote), flooded].filter((remote) => remote !== LOCAL);
  for (let id = 1; id < fdb.remotes.end; id++) {
    const references = cells.remotes[id * REMOTE.words + REMOTE.references] as number;
    const expected = named.filter((remote) => remote === id).length;
    expect({ id, references: Math.max(references, 0) }).toEqual({ id, references: expected });
    if (references < 0) continue;
    const word = (index: number) => fdb.remotes.word(id, index);
    expect(fdb.remotes.find(word(0), word(1), word(2), word(3))).toBe(id);
  }
}

/** That the fairness lists hold too: fills the segment far beyond its limit, from several VTEPs, then empties it. */
function expectUsable(table: Table): void {
  const { fdb } = table;
  const sources = [vtep(21), vtep(22), LOCAL_SOURCE, vtep(1)];
  for (let low = 100; low < 160; low++) {
    expect(fdb.learn(0, HIGH, low, sources[low % 4] as SourceAddress, 12, NOW)).toBe(LEARNED.added);
  }
  expect(entriesOf(table).filter(({ kind }) => kind === 'learned')).toHaveLength(12);
  expectConsistent(table);
  fdb.flush(() => true, NOW);
  fdb.sweep(0, 1_000_000, NOW + 200);
  expect([fdb.count, fdb.remotes.count]).toEqual([0, 1]);
  expect([1, 2, 3, 9, 21, 22].map((n) => fdb.remotes.find(0, 0, 0xffff, vtep(n).d))).toEqual(
    new Array(6).fill(NO_REMOTE),
  );
  expectConsistent(table);
}

interface Change {
  readonly what: string;
  readonly run: (dying: Fdb) => void;
  /** MACs that the change may move, and where to; undefined: to nowhere. */
  readonly touched: ReadonlyMap<number, readonly (SourceAddress | undefined)[]>;
}

const CHANGES: readonly Change[] = [
  {
    what: 'learning a MAC of a new VTEP',
    run: (dying) => dying.learn(0, HIGH, 6, vtep(4), UNLIMITED, NOW),
    touched: new Map([[6, [vtep(4), undefined]]]),
  },
  {
    what: 'learning a MAC of a known VTEP',
    run: (dying) => dying.learn(0, HIGH, 6, vtep(2), UNLIMITED, NOW),
    touched: new Map([[6, [vtep(2), undefined]]]),
  },
  {
    what: 'learning at the limit, which evicts another',
    run: (dying) => dying.learn(0, HIGH, 6, vtep(2), 4, NOW),
    touched: new Map([
      [1, [vtep(1), undefined]],
      [2, [vtep(1), undefined]],
      [6, [vtep(2), undefined]],
    ]),
  },
  {
    what: 'moving a MAC',
    run: (dying) => dying.learn(0, HIGH, 3, vtep(1), UNLIMITED, NOW),
    touched: new Map([[3, [vtep(2), vtep(1), undefined]]]),
  },
  {
    what: 'making a learned entry static',
    run: (dying) => dying.addStatic(0, HIGH, 3, vtep(4), NOW),
    touched: new Map([[3, [vtep(2), vtep(4), undefined]]]),
  },
  {
    what: 'deleting a learned entry',
    run: (dying) => dying.delete(0, HIGH, 3, NOW),
    touched: new Map([[3, [vtep(2), undefined]]]),
  },
  {
    what: 'deleting a static entry',
    run: (dying) => dying.delete(0, HIGH, 5, NOW),
    touched: new Map([[5, [vtep(3), undefined]]]),
  },
  {
    what: 'placing MACs that are new, learned, placed elsewhere and static',
    run: (dying) =>
      dying.placeAll(0, [placed(6, vtep(4)), placed(3, vtep(4)), placed(7, vtep(1)), placed(5, vtep(1))], NOW),
    touched: new Map([
      [3, [vtep(2), vtep(4), undefined]],
      [6, [vtep(4), undefined]],
      [7, [vtep(2), vtep(1), undefined]],
    ]),
  },
  {
    what: 'withdrawing what was placed',
    run: (dying) => dying.withdrawAll(0, [placed(7, vtep(2)), placed(8, vtep(1))], NOW),
    touched: new Map([
      [7, [vtep(2), undefined]],
      [8, [vtep(1), undefined]],
    ]),
  },
  {
    what: 'learning behind the TAP what was placed, at the limit',
    run: (dying) => dying.learn(0, HIGH, 7, LOCAL_SOURCE, 4, NOW),
    touched: new Map([
      [1, [vtep(1), undefined]],
      [2, [vtep(1), undefined]],
      [7, [vtep(2), LOCAL_SOURCE, undefined]],
    ]),
  },
  {
    what: 'making static what was placed',
    run: (dying) => dying.addStatic(0, HIGH, 7, vtep(4), NOW),
    touched: new Map([[7, [vtep(2), vtep(4), undefined]]]),
  },
  {
    what: 'sweeping an idle VTEP away',
    run: (dying) => dying.sweep(0, 100, NOW),
    touched: new Map(),
  },
];

describe.each(CHANGES.map((change) => [change.what, change] as const))('a thread that dies while %s', (_, change) => {
  const { run, touched } = change;
  it('leaves a table that recovery makes whole, with every other entry in place, and that goes on working', () => {
    let deaths = 0;
    for (let n = 1; ; n++) {
      const table = newTable();
      if (!dieAtWrite(n, () => run(table.dying))) break;
      deaths++;
      expect(table.cells.header[HEADER.lock]).toBe(DEAD);
      expect(table.fdb.recover(DEAD)).toBe(true);
      expectConsistent(table);
      for (const [low, source] of new Map([...BEFORE, [6, undefined]])) {
        const allowed = touched.get(low) ?? [source];
        const found = table.fdb.lookup(0, HIGH, low, NOW);
        const where = found === UNKNOWN ? undefined : addressOf(table, found);
        expect(allowed.map((each) => (each === LOCAL_SOURCE ? 'local' : each?.d))).toContain(where);
      }
      expectUsable(table);
    }
    expect(deaths).toBeGreaterThanOrEqual(2);
  });
});

describe.each(CHANGES.map((change) => [change.what, change] as const))('a change that throws: %s', (_, { run }) => {
  it('is repaired by the next sweep or recovery, wherever it threw, though it freed the lock', () => {
    let failures = 0;
    for (let n = 1; ; n++) {
      const table = newTable();
      const { fdb, dying, cells } = table;
      if (!failAtWrite(n, () => run(dying))) break;
      // What failed before it had the lock has changed nothing.
      if (cells.header[HEADER.broken] === 0) continue;
      failures++;
      expect(cells.header[HEADER.lock]).toBe(0);
      // Of a thread that ended because of it, or of one that lives on.
      expect(n % 2 ? fdb.recover(DEAD) : fdb.repair()).toBe(true);
      expect(fdb.repair()).toBe(false);
      expectConsistent(table);
      expectUsable(table);
    }
    expect(failures).toBeGreaterThanOrEqual(1);
  });
});

describe('recovery', () => {
  it('does nothing if the dead thread did not hold the lock', () => {
    const { fdb, cells } = newTable();
    const before = Buffer.from(cells.entryIndex.slice().buffer);
    cells.header[HEADER.lock] = DEAD + 1;
    expect(fdb.recover(DEAD)).toBe(false);
    expect(cells.header[HEADER.lock]).toBe(DEAD + 1);
    expect(before.compare(Buffer.from(cells.entryIndex.slice().buffer))).toBe(0);
  });

  it('takes out an entry that was half-written, so that it is learned anew', () => {
    const table = newTable();
    const { fdb, cells } = table;
    cells.header[HEADER.lock] = DEAD;
    // Record 2 is MAC 3: the third one made.
    const at = 2 * ENTRY.words + ENTRY.version;
    cells.entries[at] = (cells.entries[at] as number) + 1;
    expect(fdb.lookup(0, HIGH, 3, NOW)).toBe(UNKNOWN);
    expect(fdb.recover(DEAD)).toBe(true);
    expectConsistent(table);
    expect(entriesOf(table).map(({ low }) => low)).not.toContain(3);
    expect(fdb.learn(0, HIGH, 3, vtep(2), UNLIMITED, NOW)).toBe(LEARNED.added);
    expectConsistent(table);
  });

  it('makes an index anew that lost records, has one twice, or names free ones', () => {
    const table = newTable();
    const { fdb, cells } = table;
    cells.header[HEADER.lock] = DEAD;
    const used: number[] = [];
    for (let slot = 0; slot < cells.entryIndex.length; slot++) if (cells.entryIndex[slot] !== 0) used.push(slot);
    cells.entryIndex[used[0] as number] = 0;
    cells.entryIndex[used[1] as number] = cells.entryIndex[used[2] as number] as number;
    cells.entryIndex[((used[3] as number) + 1) % cells.entryIndex.length] = 4_000;
    cells.header[HEADER.entries] = 77;
    cells.header[HEADER.entriesFree] = 1;
    expect(fdb.recover(DEAD)).toBe(true);
    expectConsistent(table);
    expect(entriesOf(table)).toHaveLength(BEFORE.size);
    expectUsable(table);
  });

  it('keeps one of two records that say the same MAC', () => {
    const table = newTable();
    const { fdb, cells } = table;
    cells.header[HEADER.lock] = DEAD;
    const [one, another] = [0, 1 * ENTRY.words];
    for (const word of [ENTRY.segment, ENTRY.macHigh, ENTRY.macLow] as const) {
      cells.entries[another + word] = cells.entries[one + word] as number;
    }
    expect(fdb.recover(DEAD)).toBe(true);
    expect(fdb.count).toBe(BEFORE.size - 1);
    expectConsistent(table);
  });

  it('counts the moves of a MAC anew, at whichever write the thread died that would have held it', () => {
    let deaths = 0;
    for (let n = 1; ; n++) {
      const table = newTable();
      const { fdb, dying } = table;
      const move = (writer: Fdb, i: number) => writer.learn(0, HIGH, 3, vtep(i % 2 ? 2 : 1), UNLIMITED, NOW);
      for (let i = 0; i < 5; i++) expect(move(fdb, i)).toBe(LEARNED.moved);
      if (!dieAtWrite(n, () => move(dying, 5))) break;
      deaths++;
      expect(fdb.recover(DEAD)).toBe(true);
      expectConsistent(table);
      for (let i = 5; i < 10; i++) expect(move(fdb, i)).toBe(LEARNED.moved);
      expect(move(fdb, 10)).toBe(LEARNED.held);
    }
    expect(deaths).toBeGreaterThanOrEqual(1);
  });

  it('makes the fairness lists anew from the entries', () => {
    const table = newTable();
    const { fdb, cells } = table;
    cells.header[HEADER.lock] = DEAD;
    cells.groups.fill(3, 0, 5 * GROUP.words);
    cells.groupIndex.fill(1);
    cells.buckets.fill(2, 0, 20);
    expect(fdb.recover(DEAD)).toBe(true);
    expectUsable(table);
  });
});
