/**
 * One FDB shared by several threads, as the daemon's workers share it:
 *
 *     thread 11 ─┐
 *     thread 12 ─┼─ SharedArrayBuffer ── this thread: the supervisor, which recovers what a dead thread left
 *     thread 13 ─┤
 *     thread 14 ─┘
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type EntryView, Fdb, LEARNED, type SourceAddress, UNKNOWN } from '../../src/fdb/fdb.ts';
import { createFdbMemory, ENTRY, HEADER, mapFdb, REMOTE, SEGMENT } from '../../src/fdb/layout.ts';
import { LOCAL } from '../../src/fdb/remotes.ts';
import { MAX_FDB_ENTRIES } from '../../src/lib/limits.ts';
import { sleep, waitUntil } from '../support/wait.ts';

const COMPILED_FDB = fileURLToPath(new URL('../../dist/fdb/fdb.js', import.meta.url));
const THREAD = new URL('./fdb-thread.mjs', import.meta.url);

const AGEING_SECONDS = 1.5;
const PLAN = {
  segments: 4,
  macs: 64,
  /** Below the number of MACs: evictions all the time. */
  maxMacs: 40,
  ownMacs: 50,
  high: 0x0200_0000,
  firstAddress: (198 << 24) | (18 << 16),
  ageingTenths: AGEING_SECONDS * 10,
  records: MAX_FDB_ENTRIES,
} as const;
const OWNERS = [11, 12, 13, 14];
const SUPERVISOR = 1;
const RUN_MS = 2_000;

type Task = 'churn' | 'fill' | 'die-with-lock';

interface Churned {
  readonly learned: number;
  readonly moved: number;
  readonly refreshed: number;
  readonly hits: number;
  readonly misses: number;
  readonly deleted: number;
  readonly placed: number;
  readonly withdrawn: number;
  readonly faults: readonly string[];
}

function newShared(ageingSeconds: number) {
  const memory = createFdbMemory(31, ageingSeconds);
  const epochMs = performance.timeOrigin + performance.now() - 100_000;
  return {
    memory,
    epochMs,
    stop: new Int32Array(new SharedArrayBuffer(4)),
    fdb: new Fdb(memory, SUPERVISOR),
    cells: mapFdb(memory),
    now: () => Math.floor((performance.timeOrigin + performance.now() - epochMs) / 100),
  };
}

type Shared = ReturnType<typeof newShared>;

const running = new Set<TestThread>();

/** A thread of fdb-thread.mjs. */
class TestThread {
  readonly owner: number;
  readonly #worker: Worker;
  readonly #started: Promise<void>;
  readonly #result: Promise<unknown>;
  readonly exited: Promise<void>;

  constructor(shared: Shared, task: Task, owner: number) {
    this.owner = owner;
    const { memory, epochMs, stop } = shared;
    const workerData = { task, owner, memory, epochMs, stopMemory: stop.buffer, plan: PLAN };
    this.#worker = new Worker(THREAD, { workerData });
    this.#started = new Promise((resolve) => {
      this.#worker.on('message', ({ kind }: { kind: string }) => kind === 'started' && resolve());
    });
    this.#result = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: { kind: string; value: unknown }) => {
        if (message.kind === 'result') resolve(message.value);
      });
      this.#worker.on('error', reject);
    });
    // A thread that is terminated has no result, and nobody waits for one.
    this.#result.catch(() => {});
    this.exited = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        running.delete(this);
        resolve();
      });
    });
    running.add(this);
  }

  async started(): Promise<void> {
    await Promise.race([this.#started, this.#result]);
  }

  async result<Value>(): Promise<Value> {
    const value = (await this.#result) as Value;
    await this.exited;
    return value;
  }

  async kill(): Promise<void> {
    await this.#worker.terminate();
    await this.exited;
  }
}

beforeAll(() => {
  if (!existsSync(COMPILED_FDB)) throw new Error(`${COMPILED_FDB} is missing: run npm run build first`);
});

afterEach(async () => {
  for (const thread of [...running]) await thread.kill();
});

/** All records, expired ones too. */
function walk({ fdb, now }: Shared): EntryView[] {
  const entries: EntryView[] = [];
  fdb.flush((entry) => {
    entries.push(entry);
    return false;
  }, now());
  return entries;
}

/** What must hold once all threads are at rest. */
function expectConsistent(shared: Shared): void {
  const { fdb, cells, now } = shared;
  const entries = walk(shared);
  expect(cells.header[HEADER.lock]).toBe(0);
  expect(entries.length).toBeGreaterThan(0);
  const keys = entries.map(({ segment, low }) => `${segment} ${low}`);
  expect(new Set(keys).size).toBe(keys.length);
  expect(fdb.count).toBe(entries.length);

  const versions = Array.from({ length: cells.header[HEADER.entriesUsed] as number }, (_, record) =>
    Number(cells.entries[record * ENTRY.words + ENTRY.version]),
  );
  expect(versions.filter((version) => version & 1)).toEqual([]);

  const segments = [...new Set(entries.map(({ segment }) => segment))];
  for (const segment of segments) {
    const mine = entries.filter((entry) => entry.segment === segment);
    expect(fdb.counts.totalOf(segment)).toBe(mine.length);
    const learned = mine.filter(({ kind }) => kind === 'learned').length;
    expect(cells.segments[segment * SEGMENT.words + SEGMENT.learned]).toBe(learned);
    expect(fdb.counts.controlsOf(segment)).toBe(mine.filter(({ kind }) => kind === 'control').length);
    expect(learned).toBeLessThanOrEqual(segment < PLAN.segments ? PLAN.maxMacs : PLAN.ownMacs);
  }

  const at = now();
  let alive = 0;
  const lost: string[] = [];
  const misplaced: string[] = [];
  for (const { segment, low, remote, kind, heard } of entries) {
    const found = fdb.lookup(segment, PLAN.high, low, at);
    const isAlive = kind !== 'learned' || at - heard < PLAN.ageingTenths;
    if (isAlive) alive++;
    if (found !== (isAlive ? remote : UNKNOWN)) lost.push(`${segment} ${low}`);
    if (!isValid(fdb, remote, segment, low)) misplaced.push(`${segment} ${low}`);
  }
  expect({ lost, misplaced }).toEqual({ lost: [], misplaced: [] });
  expect(alive).toBeGreaterThan(0);

  const named = new Int32Array(fdb.remotes.end);
  for (const { remote } of entries) named[remote] = (named[remote] as number) + 1;
  const wrong: number[] = [];
  for (let id = LOCAL + 1; id < fdb.remotes.end; id++) {
    const references = Math.max(cells.remotes[id * REMOTE.words + REMOTE.references] as number, 0);
    if (references !== named[id]) wrong.push(id);
  }
  expect(wrong).toEqual([]);
  // The lists behind eviction hold every entry once: emptied by evictions and deletions, nothing is left.
  const rest: SourceAddress = { a: 0, b: 0, c: 0xffff, d: 1 };
  for (let low = 1_000; low < 1_100; low++) expect(fdb.learn(0, PLAN.high, low, rest, 5, at)).toBe(LEARNED.added);
  expect(fdb.flush(() => true, at)).toBeGreaterThan(0);
  expect([fdb.count, fdb.remotes.count]).toEqual([0, 0]);
}

function isValid(fdb: Fdb, remote: number, segment: number, mac: number): boolean {
  const first = PLAN.firstAddress + 2 * (segment * PLAN.macs + mac);
  const address = fdb.remotes.word(remote, 3);
  return remote !== LOCAL && (address === first || address === first + 1);
}

function expectOwnMacs({ fdb, now }: Shared, owners: readonly number[]): void {
  const missing: string[] = [];
  for (const owner of owners) {
    for (let mac = 0; mac < PLAN.ownMacs; mac++) {
      const found = fdb.lookup(PLAN.segments + owner, PLAN.high, mac, now());
      if (found === UNKNOWN) missing.push(`${owner} ${mac}`);
    }
  }
  expect(missing).toEqual([]);
}

describe('four threads that learn, move, place, look up and delete the same MACs', () => {
  test('never see a VTEP that the MAC was never at, lose nothing, and leave a whole table', async () => {
    const shared = newShared(AGEING_SECONDS);
    const threads = OWNERS.map((owner) => new TestThread(shared, 'churn', owner));
    await Promise.all(threads.map((thread) => thread.started()));
    await sleep(RUN_MS);
    Atomics.store(shared.stop, 0, 1);
    const results = await Promise.all(threads.map((thread) => thread.result<Churned>()));
    expectOwnMacs(shared, OWNERS);
    expect(results.flatMap(({ faults }) => faults)).toEqual([]);
    // Otherwise nothing was put to the test.
    for (const { faults, ...counts } of results) {
      for (const count of Object.values(counts)) expect(count).toBeGreaterThan(100);
    }
    expectConsistent(shared);
  });
});

describe('a thread that dies', () => {
  test('with the lock held and half-written entries holds the others up only until recovery', async () => {
    const shared = newShared(AGEING_SECONDS);
    const { fdb, cells, stop } = shared;
    const [one, other] = [new TestThread(shared, 'churn', 11), new TestThread(shared, 'churn', 12)];
    await Promise.all([one.started(), other.started()]);
    for (const owner of [21, 22, 23]) {
      const dead = new TestThread(shared, 'die-with-lock', owner);
      expect(await dead.result()).toEqual({ emptied: 10 });
      expect(cells.header[HEADER.lock]).toBe(owner);
      expect(fdb.recover(owner + 1)).toBe(false);
      expect(fdb.recover(owner)).toBe(true);
      // Others get the lock again: entries are made, which takes it.
      const moves = () => [0, 1, 2, 3].reduce((sum, segment) => sum + fdb.counts.movesOf(segment), 0);
      const before = moves();
      await waitUntil('the other threads go on', () => moves() > before + 100);
    }
    Atomics.store(stop, 0, 1);
    const results = await Promise.all([one.result<Churned>(), other.result<Churned>()]);
    // An entry that was half-written is lost and learned anew; a wrong VTEP would be another matter.
    expect(results.flatMap(({ faults }) => faults.filter((text) => !text.startsWith('own MAC')))).toEqual([]);
    expectConsistent(shared);
  });

  test('at any moment of its work leaves what recovery can make whole', async () => {
    const shared = newShared(AGEING_SECONDS);
    const steady = new TestThread(shared, 'churn', 11);
    await steady.started();
    for (let owner = 31; owner < 43; owner++) {
      const victim = new TestThread(shared, 'churn', owner);
      await victim.started();
      await sleep(owner % 7);
      await victim.kill();
      shared.fdb.recover(owner);
    }
    Atomics.store(shared.stop, 0, 1);
    const { faults } = await steady.result<Churned>();
    expect(faults.filter((text) => !text.startsWith('own MAC'))).toEqual([]);
    expectConsistent(shared);
  });
});

describe('the limit of all entries together', () => {
  test('costs the fullest segment one for a learned entry, and refuses a static one', async () => {
    const shared = newShared(0);
    const { fdb, now } = shared;
    expect(await new TestThread(shared, 'fill', 11).result()).toEqual({ count: MAX_FDB_ENTRIES - 1 });
    const source = (number: number): SourceAddress => ({ a: 0, b: 0, c: 0xffff, d: number });
    // One entry more for segment 0, of another VTEP: 65,537; segment 15 has 65,535.
    expect(fdb.learn(0, PLAN.high + 1, 0, source(2), MAX_FDB_ENTRIES, now())).toBe(LEARNED.added);
    expect(fdb.count).toBe(MAX_FDB_ENTRIES);

    expect(fdb.addStatic(20, PLAN.high, 1, source(3), now())).toBe(LEARNED.full);
    expect([fdb.count, fdb.counts.totalOf(20)]).toEqual([MAX_FDB_ENTRIES, 0]);

    expect(fdb.learn(20, PLAN.high, 1, source(3), 1, now())).toBe(LEARNED.added);
    expect(fdb.remotes.word(fdb.lookup(20, PLAN.high, 1, now()), 3)).toBe(3);
    const counts = [0, 1, 15, 20].map((segment) => fdb.counts.totalOf(segment));
    expect(counts).toEqual([65_536, 65_536, 65_535, 1]);
    expect(fdb.count).toBe(MAX_FDB_ENTRIES);
    // The VTEP with the most of that segment lost one, not the one with a single MAC.
    expect(fdb.lookup(0, PLAN.high + 1, 0, now())).not.toBe(UNKNOWN);
    // A learned entry that becomes static needs no room.
    expect(fdb.addStatic(20, PLAN.high, 1, source(3), now())).toBe(LEARNED.added);
    expect(fdb.count).toBe(MAX_FDB_ENTRIES);
  });
});
