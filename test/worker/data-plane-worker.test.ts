/**
 * The main thread's end of a data-plane thread, with the real thread of dist/ behind it:
 *
 *     test ── orders, eventfd ──► thread ── epoll_wait ── 127.7.0.1:port   a UDP socket it is told of
 *          ◄── reports ──────────
 */

import { createSocket } from 'node:dgram';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ENCAP } from '../../src/encap/encapsulation.ts';
import { Counters, NO_SEGMENT } from '../../src/forward/counters.ts';
import { RX_DROP } from '../../src/forward/drop-reason.ts';
import { StormControl } from '../../src/forward/storm-control.ts';
import { type IpAddress, parseIp } from '../../src/lib/addresses.ts';
import { NO_GROUP } from '../../src/segment/segment.ts';
import { plainSegment } from '../../src/segment/segment-rig.ts';
import { close, getsockname } from '../../src/sys/libc.ts';
import { openUnicastSocket } from '../../src/sys/socket/udp-socket.ts';
import { SharedTables } from '../../src/vtep/workers/shared-tables.ts';
import { addressOrder } from '../../src/vtep/workers/worker-state.ts';
import type { Order } from '../../src/worker/messages.ts';
import type { DataPlaneWorker } from '../../src/worker/worker.ts';
import { newWorkerMemories } from '../../src/worker/worker-memories.ts';
import { vxlan } from '../support/traffic/frames.ts';
import { sleep, waitUntil } from '../support/wait.ts';

const COMPILED = fileURLToPath(new URL('../../dist/worker/worker.js', import.meta.url));

const LOCAL = parseIp('127.7.0.1') as IpAddress;
const SENDER = '127.7.0.2';
const VNI = 100;
const STOP_MS = 300;

const SEGMENT = plainSegment({ index: 3, vni: VNI, tap: 3, tapUp: false });

let compiled: typeof import('../../src/worker/worker.ts');
const started: DataPlaneWorker[] = [];
const fds: number[] = [];

beforeAll(async () => {
  if (!existsSync(COMPILED)) throw new Error(`${COMPILED} is missing: run npm run build first`);
  // The compiled one, since it starts the thread beside itself.
  compiled = (await import(COMPILED)) as typeof import('../../src/worker/worker.ts');
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((worker) => worker.stop()));
  for (const fd of fds.splice(0)) close(fd);
});

function start(stormMemory = StormControl.createMemory()) {
  const memories = newWorkerMemories();
  const deaths: Error[] = [];
  const gone: number[] = [];
  const worker = new compiled.DataPlaneWorker(
    {
      owner: 2,
      ...new SharedTables({ workers: 1, ageingSeconds: 300 }).setup,
      worker: 0,
      stormMemory,
      ...memories,
      port: 4_789,
      offload: { udpGso: true, udpGro: false },
    },
    {
      offloadOff: () => {},
      tapGone: (tap) => gone.push(tap),
      remoteInGroup: () => {},
      died: (error) => deaths.push(error),
    },
  );
  started.push(worker);
  return { worker, deaths, gone, counters: new Counters(memories.countersMemory) };
}

function openSocket(): { fd: number; port: number } {
  const fd = openUnicastSocket(LOCAL, 0);
  fds.push(fd);
  const [name, length] = [Buffer.alloc(16), Buffer.from([16, 0, 0, 0])];
  getsockname(fd, name, length);
  return { fd, port: name.readUInt16BE(2) };
}

async function sendTo(port: number, ...payloads: readonly Buffer[]): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, SENDER, resolve));
  for (const payload of payloads) {
    await new Promise<void>((resolve, reject) => {
      socket.send(payload, port, LOCAL, (error) => (error ? reject(error) : resolve()));
    });
  }
  socket.close();
}

/** A frame for the segment, whose TAP is down: it is counted there. */
const FRAME = vxlan({ vni: VNI, inner: Buffer.from('02000000000202000000000188b5', 'hex') });

const putSegment: Order = { kind: 'segment', update: { kind: 'put', segment: SEGMENT } };

const addSocket = (fd: number): Order => ({ kind: 'add-socket', socket: 8, fd, group: NO_GROUP, encap: ENCAP.vxlan });

describe('orders', () => {
  test('are in force when they are acknowledged, in the order given', async () => {
    const { worker, counters } = start();
    const { fd, port } = openSocket();
    const done: string[] = [];
    await Promise.all([
      worker.order(addSocket(fd)).then(() => done.push('socket')),
      worker.order(putSegment).then(() => done.push('segment')),
      worker
        .order({ kind: 'own-addresses', added: new Int32Array(0), removed: new Int32Array(0) })
        .then(() => done.push('addresses')),
    ]);
    expect(done).toEqual(['socket', 'segment', 'addresses']);
    await sendTo(port, FRAME, FRAME);
    await waitUntil('both frames are counted', () => counters.drops(SEGMENT.index).rx[RX_DROP['tap-down']] === 2);

    await worker.order({ kind: 'segment', update: { kind: 'remove', index: SEGMENT.index } });
    await sendTo(port, FRAME);
    await waitUntil('the VNI is unknown', () => counters.drops(NO_SEGMENT).rx[RX_DROP['unknown-vni']] === 1);

    await worker.order(addressOrder('own-addresses', { added: ['127.7.0.2' as IpAddress], removed: [] }));
    await sendTo(port, FRAME);
    await waitUntil('its sender is ourselves', () => counters.drops(NO_SEGMENT).rx[RX_DROP['own-packet']] === 1);
  });

  test('may say the same twice, as when a thread is revived in the midst of a change', async () => {
    const { worker, counters, deaths } = start();
    const { fd, port } = openSocket();
    const orders = [putSegment, addSocket(fd), addSocket(fd), putSegment, addSocket(fd)];
    expect(await Promise.all(orders.map((order) => worker.order(order)))).toEqual(Array(5).fill(true));
    await sendTo(port, FRAME);
    await waitUntil('the frame is counted', () => counters.drops(SEGMENT.index).rx[RX_DROP['tap-down']] === 1);
    expect(deaths).toEqual([]);
  });

  test('wake a thread that waits, long before its wait would end', async () => {
    const { worker } = start();
    await worker.order(putSegment);
    let slowest = 0;
    for (let round = 0; round < 5; round++) {
      await sleep(20);
      const before = performance.now();
      await worker.order(putSegment);
      slowest = Math.max(slowest, performance.now() - before);
    }
    expect(slowest).toBeLessThan(200);
  });

  test('to let a socket go end its reading: what comes then is left to others', async () => {
    const { worker, counters } = start();
    const { fd, port } = openSocket();
    await worker.order(putSegment);
    await worker.order(addSocket(fd));
    await sendTo(port, FRAME);
    await waitUntil('the frame is counted', () => counters.drops(SEGMENT.index).rx[RX_DROP['tap-down']] === 1);
    await worker.order({ kind: 'remove-socket', fd });
    await sendTo(port, FRAME);
    // The thread has been through its loop once more when it answers.
    await worker.order(putSegment);
    await worker.order(putSegment);
    expect(counters.drops(SEGMENT.index).rx[RX_DROP['tap-down']]).toBe(1);
    await worker.order(addSocket(fd));
    await waitUntil('the second frame is counted', () => counters.drops(SEGMENT.index).rx[RX_DROP['tap-down']] === 2);
  });

  test('are obeyed from the first moment on, before the thread is up', async () => {
    const { worker } = start();
    await Promise.all(Array.from({ length: 50 }, () => worker.order(putSegment)));
  });
});

describe('stopping', () => {
  test(`takes less than ${STOP_MS} ms of a thread that is idle, and is no death`, async () => {
    const { worker, deaths } = start();
    await worker.order(putSegment);
    await sleep(20);
    const before = performance.now();
    await worker.stop();
    expect(performance.now() - before).toBeLessThan(STOP_MS);
    expect(deaths).toEqual([]);
  });

  test('works before the thread has come up, and twice', async () => {
    const { worker, deaths } = start();
    await Promise.all([worker.stop(), worker.stop()]);
    await worker.stop();
    expect(deaths).toEqual([]);
  });

  test('answers the orders that were never obeyed, and those that come later', async () => {
    const { worker } = start();
    await worker.order(putSegment);
    const stopped = worker.stop();
    await Promise.all([worker.order(putSegment), worker.order(putSegment), stopped]);
    await worker.order(putSegment);
  });

  test('leaves no fd open', async () => {
    const countFds = () => readdirSync('/proc/self/fd').length;
    // The first thread opens what the process keeps.
    await start().worker.stop();
    const before = countFds();
    for (let round = 0; round < 3; round++) {
      const { worker } = start();
      await worker.order(putSegment);
      await worker.stop();
    }
    expect(countFds()).toBe(before);
  });
});

test('a thread that cannot be made leaves no fd open', () => {
  const countFds = () => readdirSync('/proc/self/fd').length;
  // A function cannot be handed to a thread, which is refused where the lack of a thread is.
  const refused = () => start((() => {}) as never);
  expect(refused).toThrow(/could not be cloned/);
  const before = countFds();
  for (let tries = 0; tries < 5; tries++) expect(refused).toThrow();
  expect(countFds()).toBe(before);
});

describe('a thread that throws', () => {
  /** An fd that is none: the kernel refuses it, and the thread ends by the error. */
  const fatal: Order = { kind: 'add-socket', socket: 1, fd: 1_000_000, group: NO_GROUP, encap: ENCAP.vxlan };

  test('is reported dead, once, with its error', async () => {
    const { worker, deaths } = start();
    await worker.order(fatal);
    await waitUntil('the death is reported', () => deaths.length > 0);
    expect(deaths.map(({ message }) => message)).toEqual([expect.stringContaining('EBADF')]);
    await worker.stop();
    expect(deaths).toHaveLength(1);
  });

  test('answers the orders before and after it', async () => {
    const { worker, deaths } = start();
    await Promise.all([worker.order(putSegment), worker.order(fatal), worker.order(putSegment)]);
    await waitUntil('the death is reported', () => deaths.length > 0);
    await worker.order(putSegment);
  });

  test('writes to none of the fds that have its eventfd’s number afterwards', async () => {
    const { worker, deaths } = start();
    await worker.order(fatal);
    await waitUntil('the death is reported', () => deaths.length > 0);
    // Takes the numbers that have become free; an eventfd's 8 octets would be a datagram to itself.
    const sockets = Array.from({ length: 5 }, () => createSocket('udp4'));
    const received: Buffer[] = [];
    for (const socket of sockets) {
      await new Promise<void>((resolve) => socket.bind(0, LOCAL, resolve));
      await new Promise<void>((resolve) => socket.connect(socket.address().port, LOCAL, resolve));
      socket.on('message', (message) => received.push(message));
    }
    await worker.order(putSegment);
    await worker.stop();
    await sleep(50);
    expect(received).toEqual([]);
    for (const socket of sockets) socket.close();
  });
});
