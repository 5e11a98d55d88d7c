/**
 * Several data-plane threads of dist/ on one FDB:
 *
 *                    ┌─ thread 0   counters 0 ─┐
 *     pool ── orders ┼─ thread 1 ✝ counters 1 ─┼── one socket each on 127.7.0.3:port, SO_REUSEPORT
 *                    └─ thread 1'  counters 1 ─┘
 */

import { createSocket } from 'node:dgram';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { ENCAP } from '../../src/encap/encapsulation.ts';
import { Fdb } from '../../src/fdb/fdb.ts';
import { HEADER, mapFdb } from '../../src/fdb/layout.ts';
import { NO_SEGMENT } from '../../src/forward/counters.ts';
import { RX_DROP } from '../../src/forward/drop-reason.ts';
import { type IpAddress, parseIp } from '../../src/lib/addresses.ts';
import { createLog } from '../../src/observe/log.ts';
import { NO_GROUP } from '../../src/segment/segment.ts';
import { close } from '../../src/sys/libc.ts';
import { openUnicastSockets } from '../../src/sys/socket/udp-socket.ts';
import { SharedTables } from '../../src/vtep/workers/shared-tables.ts';
import type { WorkerPool } from '../../src/vtep/workers/worker-pool.ts';
import { addressOrder } from '../../src/vtep/workers/worker-state.ts';
import type { Order } from '../../src/worker/messages.ts';
import { vxlan } from '../support/traffic/frames.ts';
import { waitUntil } from '../support/wait.ts';

const log = await createLog('silent', 'json');

const COMPILED = fileURLToPath(new URL('../../dist/vtep/workers/worker-pool.js', import.meta.url));

const LOCAL = parseIp('127.7.0.3') as IpAddress;
const SENDER = '127.7.0.4';
const FLOWS = 64;
const FIRST_OWNER = 2;

const HARMLESS: Order = { kind: 'own-addresses', added: new Int32Array(0), removed: new Int32Array(0) };
/** An fd that is none: the thread ends by the kernel's refusal. */
const FATAL: Order = { kind: 'add-socket', socket: 1, fd: 1_000_000, group: NO_GROUP, encap: ENCAP.vxlan };

let compiled: typeof import('../../src/vtep/workers/worker-pool.ts');
const started: WorkerPool[] = [];
const fds: number[] = [];

beforeAll(async () => {
  if (!existsSync(COMPILED)) throw new Error(`${COMPILED} is missing: run npm run build first`);
  compiled = (await import(COMPILED)) as typeof import('../../src/vtep/workers/worker-pool.ts');
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((pool) => pool.stop()));
  for (const fd of fds.splice(0)) close(fd);
});

function newPool(count: number, state: (worker: number) => Order[] = () => [HARMLESS]) {
  const { setup } = new SharedTables({ workers: count, ageingSeconds: 300 });
  const deaths: Error[] = [];
  /** Which worker each thread was started as. */
  const threads: number[] = [];
  const pool = new compiled.WorkerPool(
    count,
    { ...setup, port: 4_789, offload: { udpGso: true, udpGro: false } },
    {
      firstOwner: FIRST_OWNER,
      fdb: new Fdb(setup.fdbMemory, 1),
      log,
      state: (worker) => {
        threads.push(worker);
        return state(worker);
      },
      tapGone: () => {},
      remoteInGroup: () => {},
      died: (error) => deaths.push(error),
    },
  );
  started.push(pool);
  return { pool, deaths, threads, header: mapFdb(setup.fdbMemory).header };
}

/** A pool whose threads share one port. `counts`: datagrams that each has read, all of them for a VNI that is unknown. */
async function newReceivers(count: number) {
  const port = await freePort();
  const sockets = openUnicastSockets(LOCAL, port, count);
  fds.push(...sockets);
  const held = newPool(count, (worker) => [
    { kind: 'add-socket', socket: 0, fd: sockets[worker] as number, group: NO_GROUP, encap: ENCAP.vxlan },
  ]);
  const counts = () =>
    held.pool.counters.map((counters) => counters.drops(NO_SEGMENT).rx[RX_DROP['unknown-vni']] as number);
  expect(await held.pool.start()).toBe(true);
  return { ...held, port, counts, total: () => counts().reduce((sum, each) => sum + each) };
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, LOCAL, resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

/** One datagram of each of FLOWS source ports. */
async function sendFlows(port: number): Promise<void> {
  const payload = vxlan({ vni: 100, inner: Buffer.from('02000000000202000000000188b5', 'hex') });
  for (let flow = 0; flow < FLOWS; flow++) {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, SENDER, resolve));
    await new Promise<void>((resolve, reject) => {
      socket.send(payload, port, LOCAL, (error) => (error ? reject(error) : resolve()));
    });
    socket.close();
  }
}

// The first: threads of other tests may be ending still.
test('stopping ends 8 threads that are idle, and is no death', async () => {
  const before = eventFds();
  const { pool, threads, deaths } = newPool(8);
  await pool.start();
  // Each thread has some of its own, beside the one that wakes it.
  expect(eventFds()).toBeGreaterThanOrEqual(before + 8);
  await pool.stop();
  await waitUntil('the threads to be gone', () => eventFds() <= before);
  expect([threads.length, deaths]).toEqual([8, []]);
});

test('flows spread over the threads, each of which counts for itself', async () => {
  const { port, counts, total } = await newReceivers(3);
  await sendFlows(port);
  await waitUntil('all datagrams', () => total() === FLOWS);
  for (const count of counts()) expect(count).toBeGreaterThan(3);
});

test('a thread that dies is replaced, alone; what comes meanwhile waits for its successor', async () => {
  const { pool, port, counts, total, threads, deaths } = await newReceivers(2);
  expect(threads).toEqual([0, 1]);
  void pool.orderOne(1, FATAL);
  await sendFlows(port);
  await waitUntil('a successor', () => threads.length === 3);
  expect(threads).toEqual([0, 1, 1]);
  await waitUntil('all datagrams', () => total() === FLOWS);
  const before = counts();
  await sendFlows(port);
  await waitUntil('as many again', () => total() === 2 * FLOWS);
  for (const [worker, count] of counts().entries()) expect(count).toBeGreaterThan(before[worker] as number);
  expect(deaths).toEqual([]);
});

test('no two threads, successors included, have one number in the FDB’s lock', async () => {
  const { pool, threads, header } = newPool(2);
  await pool.start();
  // Numbers in order of birth: 2 and 3 at the start.
  for (const [worker, owner] of [
    [1, 3],
    [0, 2],
    [1, 4],
    [0, 5],
    [0, 7],
  ] as const) {
    const count = threads.length;
    header[HEADER.lock] = owner;
    await pool.orderOne(worker, FATAL);
    await waitUntil('a successor', () => threads.length > count);
    expect(header[HEADER.lock]).toBe(0);
  }
});

test('the death of one thread leaves to the others what they hold of the FDB', async () => {
  const { pool, threads, header } = newPool(2);
  await pool.start();
  header[HEADER.lock] = FIRST_OWNER;
  await pool.orderOne(1, FATAL);
  await waitUntil('a successor', () => threads.length === 3);
  expect(header[HEADER.lock]).toBe(FIRST_OWNER);
  header[HEADER.lock] = 0;
});

test('an order to all is in force everywhere when it is answered, also while one of them dies', async () => {
  const { pool, port, counts, total } = await newReceivers(2);
  await pool.orderAll(addressOrder('own-addresses', { added: [SENDER as IpAddress], removed: [] }));
  await sendFlows(port);
  const own = () => pool.counters.map((counters) => counters.drops(NO_SEGMENT).rx[RX_DROP['own-packet']] as number);
  await waitUntil('all datagrams', () => own().reduce((sum, each) => sum + each) === FLOWS);
  for (const count of own()) expect(count).toBeGreaterThan(3);
  expect([total(), counts()]).toEqual([0, [0, 0]]);
  await Promise.all([pool.orderOne(0, FATAL), pool.orderAll(HARMLESS)]);
});

test('the pool has not started if one of its threads dies at once', async () => {
  const { pool } = newPool(2, (worker) => [worker === 1 ? FATAL : HARMLESS]);
  expect(await pool.start()).toBe(false);
});

/** How many eventfds this process has. */
function eventFds(): number {
  const isEventFd = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]';
    } catch {
      // The one that the folder was read with.
      return false;
    }
  };
  return readdirSync('/proc/self/fd').filter(isEventFd).length;
}
