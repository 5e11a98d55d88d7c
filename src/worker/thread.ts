import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Fdb } from '../fdb/fdb.ts';
import { ADDRESS_MARK } from '../forward/address-marks.ts';
import { FrameCapture } from '../forward/capture/frame-capture.ts';
import { Counters } from '../forward/counters.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { SourceCheck } from '../forward/source-check.ts';
import { SourceFilter } from '../forward/source-filter.ts';
import { StormControl } from '../forward/storm-control.ts';
import { WORKER_WAIT_MS } from '../lib/limits.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import { KernelTapPort } from '../overlay/kernel-tap-port.ts';
import { TAP_GONE } from '../overlay/tap-port.ts';
import { SegmentMap } from '../segment/segment-map.ts';
import { clearEventFd, Epoll } from '../sys/epoll.ts';
import { schedYield } from '../sys/libc.ts';
import { octetSums } from '../sys/simd-sums.ts';
import { Slab } from '../sys/slab.ts';
import { mergeReceived } from '../sys/socket/udp-socket.ts';
import { APART_WORDS, ApartSockets } from '../underlay/apart-sockets.ts';
import { KernelUdpPort } from '../underlay/kernel-udp-port.ts';
import { socketTos } from '../wire/ecn.ts';
import { BusyPoll } from './busy-poll.ts';
import { BusyTime } from './busy-time.ts';
import { createClock, createFineClock } from './clock.ts';
import { GroupWatch } from './group-watch.ts';
import { forwardDatagrams, forwardFrames } from './loop.ts';
import {
  type NumberedOrder,
  type Order,
  type Report,
  WORKER_CELL,
  type WorkerOffload,
  type WorkerSettings,
  type WorkerSetup,
} from './messages.ts';
import { newPorts } from './ports.ts';

/** The data-plane thread. It blocks until a fd is readable, forwards one batch, and repeats. Nothing here uses the event loop. */

/** Address space for buffers and message arrays. Pages take memory only when they are used. */
const SLAB_BYTES = 33_554_432;

const EVENT_BATCH = 64;

/** The kind of a fd in the epoll set, in the low bits of its token. The number is in the bits above. */
const WAKE = 0;
const SOCKET = 1;
const TAP = 2;
const KIND_BITS = 2;

const { setup, port } = workerData as { setup: WorkerSetup; port: MessagePort };

const slab = new Slab(SLAB_BYTES);
const fdb = new Fdb(setup.fdbMemory, setup.owner);
const counters = new Counters(setup.countersMemory);
const remoteCounters = new RemoteCounters(setup.remoteCountersMemory, fdb.remotes);
const segments = new SegmentMap();
const sums = octetSums(slab);
const taps = new KernelTapPort(slab, sums, { counters, merging: offloadSwitch('udpGro') });
const cells = new Int32Array(setup.stopMemory);
const apart = new ApartSockets(cells.subarray(WORKER_CELL.apart, WORKER_CELL.apart + APART_WORDS));
const underlay = new KernelUdpPort(
  slab,
  fdb.remotes,
  { counters, remoteCounters, apart },
  setup.port,
  offloadSwitch('udpGso'),
);
const epoll = new Epoll(slab, EVENT_BATCH);
const nowMs = () => performance.now();
const busyTime = new BusyTime(setup.busyTimeMemory, nowMs());
const busyPoll = new BusyPoll({ epoll, giveWay: schedYield, nowMs, busyTime });
const clock = createClock(setup.epochMs);
const wakeScratch = slab.address(slab.allocate(8));
const groupWatch = new GroupWatch(fdb, (segment, remote) => report({ kind: 'remote-in-group', segment, remote }));
const sources = new SourceCheck();
const frameCapture = new FrameCapture(fdb, createFineClock(setup.epochMs));
const ports = newPorts({
  slab,
  sums,
  fdb,
  taps,
  underlay,
  segments,
  counters,
  remoteCounters,
  groupWatch,
  pathLimits: underlay.pathLimits,
  sources,
  storm: new StormControl(setup.stormMemory),
  neighboursMemory: setup.neighboursMemory,
  worker: setup.worker,
});

function run(): void {
  epoll.add(setup.wakeFd, WAKE);
  while (Atomics.load(cells, WORKER_CELL.stop) === 0) {
    Atomics.add(cells, WORKER_CELL.turns, 1);
    cells[WORKER_CELL.pathLimits] = underlay.pathLimits.count;
    const count = busyPoll.wait(WORKER_WAIT_MS);
    const now = clock();
    if (!apart.isEmpty) underlay.mergeAgain(now);
    for (let event = 0; event < count; event++) {
      const token = epoll.token(event);
      const number = token >>> KIND_BITS;
      const kind = token & ((1 << KIND_BITS) - 1);
      if (kind === SOCKET) busyPoll.moved(forwardDatagrams(ports, number, now));
      else if (kind === TAP) serveTap(number, now);
      else obeyOrders();
    }
  }
}

function serveTap(tap: number, now: number): void {
  const load = forwardFrames(ports, tap, now);
  if (load !== TAP_GONE) {
    busyPoll.moved(load);
    return;
  }
  // A deleted TAP stays readable. The epoll set drops it when the main thread closes the fd; until then it is removed here. If an order of the same
  // wake-up removed the TAP, nothing is reported: another TAP may have its number by now.
  if (removeTap(tap)) report({ kind: 'tap-gone', tap });
}

function obeyOrders(): void {
  clearEventFd(setup.wakeFd, wakeScratch);
  for (let envelope = receiveMessageOnPort(port); envelope; envelope = receiveMessageOnPort(port)) {
    const { number, order } = envelope.message as NumberedOrder;
    obey(order);
    report({ kind: 'done', number });
  }
}

function obey(order: Order): void {
  switch (order.kind) {
    case 'settings':
      goBy(order.settings);
      break;
    case 'segment':
      segments.apply(order.update);
      groupWatch.apply(order.update);
      break;
    case 'add-tap':
      taps.attach(order.tap, order.fd, order.mergesUdp);
      watch(order.fd, (order.tap << KIND_BITS) | TAP);
      break;
    case 'remove-tap':
      removeTap(order.tap);
      break;
    case 'add-socket':
      // A worker that died may have switched the socket to unmerged datagrams.
      if (setup.offload.udpGro) mergeReceived(order.fd);
      underlay.addSocket(order.socket, order.fd, order.group, order.encap);
      watch(order.fd, (order.socket << KIND_BITS) | SOCKET);
      break;
    case 'remove-socket':
      underlay.removeSocket(order.fd);
      epoll.remove(order.fd);
      break;
    case 'add-pool':
      underlay.addPool(order.underlay, order.family, order.scope, order.fds, order.fragmentable);
      break;
    case 'pool-scope':
      underlay.setScope(order.underlay, order.scope);
      break;
    case 'own-addresses':
      sources.mark(ADDRESS_MARK.own, order);
      break;
    case 'broadcast-addresses':
      sources.mark(ADDRESS_MARK.broadcast, order);
      break;
    case 'start-capture':
      frameCapture.start(order.capture, order.ring, order.filter);
      ports.capture = frameCapture;
      break;
    case 'stop-capture':
      frameCapture.stop(order.capture);
      if (frameCapture.isEmpty) ports.capture = undefined;
      break;
  }
}

function goBy({ dropReservedBits, tos, inheritsDf, allowedVteps, busyPoll: looks }: WorkerSettings): void {
  ports.receivePath.dropReservedBits = dropReservedBits;
  sources.allow(allowedVteps.length === 0 ? undefined : new SourceFilter(allowedVteps));
  ports.sendPath.tos = tos;
  ports.sendPath.inheritsDf = inheritsDf;
  underlay.setSocketTos(socketTos(tos));
  busyPoll.isOn = looks;
}

/** An order may name a fd that is watched already: a thread that is restarted during a change learns of the fd from the state and from the change. */
function watch(fd: number, token: number): void {
  epoll.remove(fd);
  epoll.add(fd, token);
}

/** Returns whether it was present. */
function removeTap(tap: number): boolean {
  const fd = taps.detach(tap);
  if (fd !== undefined) epoll.remove(fd);
  return fd !== undefined;
}

function offloadSwitch(offload: WorkerOffload): OffloadSwitch {
  return new OffloadSwitch(setup.offload[offload], (error) => report({ kind: 'offload-off', offload, error }));
}

function report(message: Report): void {
  port.postMessage(message);
}

try {
  run();
} finally {
  epoll.close();
  port.close();
}
