/**
 * The supervisor with real threads of dist/: one that dies is replaced, and its successor is told everything anew.
 *
 *     supervisor ──► thread 2 ✝ ──► thread 3 ✝ ──► …      the numbers that mark the FDB's lock
 */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import { ENCAP } from '../../src/encap/encapsulation.ts';
import { Fdb } from '../../src/fdb/fdb.ts';
import { HEADER, mapFdb } from '../../src/fdb/layout.ts';
import { createLog } from '../../src/observe/log.ts';
import { NO_GROUP } from '../../src/segment/segment.ts';
import { SharedTables } from '../../src/vtep/workers/shared-tables.ts';
import type { WorkerSupervisor } from '../../src/vtep/workers/worker-supervisor.ts';
import type { Order } from '../../src/worker/messages.ts';
import { newWorkerMemories } from '../../src/worker/worker-memories.ts';
import { sleep, waitUntil } from '../support/wait.ts';

const log = await createLog('silent', 'json');

const COMPILED = fileURLToPath(new URL('../../dist/vtep/workers/worker-supervisor.js', import.meta.url));

const FIRST_OWNER = 2;
const MAX_DEATHS = 5;
const [MAX_REVIVE_TRIES, REVIVE_PAUSE_MS] = [60, 1_000];

const HARMLESS: Order = { kind: 'own-addresses', added: new Int32Array(0), removed: new Int32Array(0) };
/** An fd that is none: the thread ends by the kernel's refusal. */
const FATAL: Order = { kind: 'add-socket', socket: 1, fd: 1_000_000, group: NO_GROUP, encap: ENCAP.vxlan };

let compiled: typeof import('../../src/vtep/workers/worker-supervisor.ts');
const started: WorkerSupervisor[] = [];

beforeAll(async () => {
  if (!existsSync(COMPILED)) throw new Error(`${COMPILED} is missing: run npm run build first`);
  compiled = (await import(COMPILED)) as typeof import('../../src/vtep/workers/worker-supervisor.ts');
});

afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(started.splice(0).map((supervisor) => supervisor.stop()));
});

/** @param stateOf the orders that the n-th thread starts with, from 1 on */
function newSupervisor(stateOf: (thread: number) => Order[]) {
  const { setup } = new SharedTables({ workers: 1, ageingSeconds: 300 });
  const deaths: Error[] = [];
  let threads = 0;
  let owner = FIRST_OWNER;
  const supervisor = new compiled.WorkerSupervisor(
    {
      ...setup,
      ...newWorkerMemories(),
      worker: 0,
      port: 4_789,
      offload: { udpGso: true, udpGro: false },
    },
    {
      worker: 0,
      nextOwner: () => owner++,
      fdb: new Fdb(setup.fdbMemory, 1),
      log,
      state: () => stateOf(++threads),
      tapGone: () => {},
      remoteInGroup: () => {},
      died: (error) => deaths.push(error),
    },
  );
  started.push(supervisor);
  return { supervisor, deaths, threads: () => threads, header: mapFdb(setup.fdbMemory).header };
}

test('a thread that dies is replaced by one that is told the state anew and takes orders', async () => {
  const { supervisor, threads, deaths } = newSupervisor(() => [HARMLESS]);
  await supervisor.start();
  expect(threads()).toBe(1);
  await supervisor.order(FATAL);
  await waitUntil('a second thread', () => threads() === 2);
  await supervisor.order(HARMLESS);
  expect(deaths).toEqual([]);
});

test('what a dead thread held of the FDB is freed, also by a successor that has another number', async () => {
  const { supervisor, threads, header } = newSupervisor(() => [HARMLESS]);
  await supervisor.start();
  for (const [dead, successors] of [
    [FIRST_OWNER, 2],
    [FIRST_OWNER + 1, 3],
  ] as const) {
    header[HEADER.lock] = dead;
    await supervisor.order(FATAL);
    await waitUntil('a successor', () => threads() === successors);
    expect(header[HEADER.lock]).toBe(0);
  }
});

test(`the ${MAX_DEATHS}th death within a minute is the last, and is reported with its error`, async () => {
  const { supervisor, threads, deaths } = newSupervisor(() => [FATAL]);
  await supervisor.start();
  await waitUntil('the end', () => deaths.length > 0);
  expect(threads()).toBe(MAX_DEATHS);
  expect(deaths.map(({ message }) => message)).toEqual([expect.stringContaining('EBADF')]);
  // Nobody is left to obey, and nobody waits for that.
  await supervisor.order(HARMLESS);
});

test('a thread that is asked to stop is not replaced', async () => {
  const { supervisor, threads, deaths } = newSupervisor(() => [HARMLESS]);
  await supervisor.start();
  await supervisor.stop();
  await sleep(50);
  expect([threads(), deaths]).toEqual([1, []]);
});

/** A supervisor whose first thread is dead, and whose further ones the host refuses: the first `refusals` of them. */
async function newRefused(refusals: number) {
  const held = newSupervisor((thread) => {
    if (thread > 1 && thread <= 1 + refusals) throw new Error(`refused ${thread - 1}`);
    return [HARMLESS];
  });
  await held.supervisor.start();
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  await held.supervisor.order(FATAL);
  await vi.waitFor(() => expect(held.threads()).toBe(2), { interval: 10 });
  return held;
}

test('a successor that cannot be started is tried again each second, more often than a thread may die', async () => {
  const { supervisor, threads, deaths } = await newRefused(2 * MAX_DEATHS);
  for (let tries = 1; tries <= 2 * MAX_DEATHS; tries++) {
    expect([threads(), supervisor.state.state]).toEqual([1 + tries, 'dead']);
    // Nobody is there to obey, and nobody waits for that.
    await supervisor.order(HARMLESS);
    await vi.advanceTimersByTimeAsync(REVIVE_PAUSE_MS);
  }
  await supervisor.order(HARMLESS);
  expect([supervisor.state, deaths]).toEqual([{ worker: 0, state: 'ok', deaths: 1 }, []]);
});

test(`the ${MAX_REVIVE_TRIES}th try in a row is the last, and is reported with its error`, async () => {
  const { threads, deaths } = await newRefused(Number.POSITIVE_INFINITY);
  await vi.advanceTimersByTimeAsync((MAX_REVIVE_TRIES - 2) * REVIVE_PAUSE_MS);
  expect(deaths).toEqual([]);
  await vi.advanceTimersByTimeAsync(10 * REVIVE_PAUSE_MS);
  expect(deaths.map(({ message }) => message)).toEqual([`refused ${MAX_REVIVE_TRIES}`]);
  expect(threads()).toBe(1 + MAX_REVIVE_TRIES);
});

test('a successor that cannot be started is not tried again once the supervisor is stopped', async () => {
  const { supervisor, threads } = await newRefused(Number.POSITIVE_INFINITY);
  await supervisor.stop();
  await vi.advanceTimersByTimeAsync(3 * REVIVE_PAUSE_MS);
  expect(threads()).toBe(2);
});
