import { ENCAP, type Encap } from '../encap/encapsulation.ts';
import type { SourceAddress } from '../fdb/fdb.ts';
import type { RemoteTable } from '../fdb/remotes.ts';
import { PathLimits } from '../forward/answers/path-limits.ts';
import type { Counters } from '../forward/counters.ts';
import { TX_DROP } from '../forward/drop-reason.ts';
import type { RemoteCounters } from '../forward/remote-counters.ts';
import { MAX_DATAGRAM_BYTES, MAX_UDP_PAYLOAD_BYTES } from '../lib/limits.ts';
import type { OffloadSwitch } from '../offload/offload-switch.ts';
import { NO_GROUP, type Segment } from '../segment/segment.ts';
import { recvmmsg } from '../sys/libc.ts';
import type { Slab } from '../sys/slab.ts';
import { drainErrorQueue, type PathMtuListener } from '../sys/socket/error-queue.ts';
import { ReceiveArray, SendArray } from '../sys/socket/mmsg.ts';
import { hasQueued, mergeReceived } from '../sys/socket/udp-socket.ts';
import type { ApartSockets } from './apart-sockets.ts';
import { MergedReceiving } from './merged-receiving.ts';
import { QUEUE_MESSAGES, type QueueShared, SendQueue } from './send-queue.ts';
import { DATAGRAM_BATCH, DATAGRAM_HEADROOM, type UdpPort } from './udp-port.ts';

/** As for TAP slots: an odd number of extra cache lines. Buffers are 64 KB whatever the MTU, for a kernel peer's super-frames. */
const SLOT_BYTES = MAX_DATAGRAM_BYTES + 17 * 64;

/** Room for the datagrams of super-frames between two flushes: a few of them, so that they stay in the processor's cache. */
const SEGMENT_AREA_BYTES = 4 * MAX_UDP_PAYLOAD_BYTES;

const MSG_DONTWAIT = 0x40;

const NO_QUEUES: readonly SendQueue[] = [];

/** The send sockets of an underlay, one for each source port, and their common state. */
interface Pool extends QueueShared {
  queues: readonly SendQueue[];
  /** For datagrams that routers may fragment; the same unless both kinds are needed. */
  fragmentable: readonly SendQueue[];
  /** Each once, also those that an address of another family needed before. */
  readonly all: SendQueue[];
  /** The underlay has a source address. */
  isOpen: boolean;
}

interface Receiver {
  readonly fd: number;
  readonly group: number;
  readonly encap: Encap;
  readonly merging: MergedReceiving;
}

/** The kernel's UDP sockets: receives by recvmmsg, sends by one sendmmsg per source port and batch. */
export class KernelUdpPort implements UdpPort {
  /** What the kernel refused to send, by destination. */
  readonly pathLimits: PathLimits;
  readonly #onPathMtu: PathMtuListener;
  readonly #slab: Slab;
  readonly #remotes: RemoteTable;
  readonly #counters: Counters;
  readonly #remoteCounters: RemoteCounters;
  readonly #port: number;
  readonly #received: ReceiveArray;
  readonly #slotsAt: number;
  readonly #sockets = new Map<number, Receiver>();
  readonly #apart: ApartSockets;
  readonly #segmentation: OffloadSwitch;
  #socketTos = 0;
  readonly #pools: Pool[] = [];
  readonly #areaAt: number;
  #areaUsed = 0;
  #receivedCount = 0;

  /**
   * @param port destination UDP port of everything sent
   * @param segmentation whether the kernel segments runs into datagrams; without it they leave one by one
   */
  constructor(
    slab: Slab,
    remotes: RemoteTable,
    { counters, remoteCounters, apart }: { counters: Counters; remoteCounters: RemoteCounters; apart: ApartSockets },
    port: number,
    segmentation: OffloadSwitch,
  ) {
    this.#slab = slab;
    this.#remotes = remotes;
    this.pathLimits = new PathLimits(remotes);
    this.#onPathMtu = this.pathLimits.learn.bind(this.pathLimits);
    this.#counters = counters;
    this.#remoteCounters = remoteCounters;
    this.#apart = apart;
    this.#port = port;
    this.#segmentation = segmentation;
    this.#slotsAt = slab.allocate(DATAGRAM_BATCH * SLOT_BYTES);
    this.#areaAt = slab.allocate(SEGMENT_AREA_BYTES);
    this.#received = new ReceiveArray(slab, DATAGRAM_BATCH, {
      buffersAt: this.#slotsAt + DATAGRAM_HEADROOM,
      bufferBytes: MAX_DATAGRAM_BYTES,
      strideBytes: SLOT_BYTES,
    });
  }

  /** @param group number of the group that the socket is bound to, or NO_GROUP */
  addSocket(socket: number, fd: number, group: number, encap: Encap): void {
    const kernel = { hasQueued: () => hasQueued(fd), merge: (isOn: boolean) => mergeReceived(fd, isOn) };
    this.#apart.delete(socket);
    this.#sockets.set(socket, { fd, group, encap, merging: new MergedReceiving(kernel) });
  }

  removeSocket(fd: number): void {
    for (const [socket, entry] of this.#sockets) {
      if (entry.fd !== fd) continue;
      this.#sockets.delete(socket);
      this.#apart.delete(socket);
    }
  }

  /**
   * Replaces the send sockets of an underlay, one for each source port.
   *
   * @param scope index of its interface
   * @param fds none while the underlay has no source address
   * @param fragmentable how many of them, the last ones, are for datagrams that routers may fragment
   */
  addPool(underlay: number, family: 4 | 6, scope: number, fds: readonly number[], fragmentable = 0): void {
    const present = this.#pools[underlay];
    if (present !== undefined) present.isOpen = fds.length > 0;
    if (fds.length === 0) return;
    const pool = present ?? this.#newPool(family);
    this.#pools[underlay] = pool;
    pool.singles.setFamily(family);
    for (const [i, fd] of fds.entries()) {
      const queue = pool.all[i];
      if (queue === undefined)
        pool.all.push(new SendQueue(fd, this.#newArray(family), { ...pool, socketTos: this.#socketTos }));
      else queue.useSocket(fd, family);
    }
    const count = fds.length - fragmentable;
    pool.queues = pool.all.slice(0, count);
    pool.fragmentable = fragmentable > 0 ? pool.all.slice(count, fds.length) : pool.queues;
    this.setScope(underlay, scope);
  }

  #newArray(family: 4 | 6): SendArray {
    return new SendArray(this.#slab, QUEUE_MESSAGES, this.#port, family);
  }

  #newPool(family: 4 | 6): Pool {
    const { pathLimits } = this;
    return {
      remotes: this.#remotes,
      counters: this.#counters,
      remoteCounters: this.#remoteCounters,
      segmentation: this.#segmentation,
      socketTos: this.#socketTos,
      singles: this.#newArray(family),
      onPathMtu: pathLimits.learn.bind(pathLimits),
      ...{ all: [], queues: NO_QUEUES, fragmentable: NO_QUEUES, isOpen: true },
    };
  }

  /** The interface of an underlay has a new index: link-local addresses are there now. */
  setScope(underlay: number, scope: number): void {
    const pool = this.#pools[underlay];
    pool?.singles.setScope(scope);
    for (const queue of pool?.all ?? []) queue.setScope(scope);
  }

  /** The TOS octet that is set on the sockets of the pools. */
  setSocketTos(tos: number): void {
    this.#socketTos = tos;
    for (const { all } of this.#pools) for (const queue of all) queue.socketTos = tos;
  }

  cutApart(socket: number, source: SourceAddress, now: number): void {
    this.#sockets.get(socket)?.merging.cutApart(now);
    this.#apart.add(socket, source);
  }

  /** Lets the kernel merge datagrams again when the time is over, also for a socket that receives nothing. @param now tenths of a second */
  mergeAgain(now: number): void {
    for (const socket of this.#apart) {
      if (this.#sockets.get(socket)?.merging.mergeAgain(now) ?? true) this.#apart.delete(socket);
    }
  }

  receive(socket: number, now: number): number {
    const entry = this.#sockets.get(socket);
    if (entry === undefined) return 0;
    this.#received.rearm(this.#receivedCount);
    const count = recvmmsg(entry.fd, this.#received.headers.at(0), DATAGRAM_BATCH, MSG_DONTWAIT, 0);
    entry.merging.afterBatch(count < DATAGRAM_BATCH, now);
    // Nothing is queued, or there is an error that the next call will not have. Either way there is nothing to forward. For a socket that sends too,
    // it may be an ICMP error, which keeps the socket readable until it is read.
    if (count <= 0) drainErrorQueue(entry.fd, this.#onPathMtu);
    this.#receivedCount = Math.max(count, 0);
    return this.#receivedCount;
  }

  datagramAt(i: number): number {
    return this.#slotsAt + i * SLOT_BYTES + DATAGRAM_HEADROOM;
  }

  datagramBytes(i: number): number {
    return this.#received.length(i);
  }

  segmentBytes(i: number): number {
    return this.#received.segmentBytes(i);
  }

  readSource(i: number, source: SourceAddress): void {
    this.#received.readSource(i, source);
  }

  sourcePort(i: number): number {
    return this.#received.sourcePort(i);
  }

  tos(i: number): number {
    return this.#received.tos(i);
  }

  groupOf(socket: number): number {
    return this.#sockets.get(socket)?.group ?? NO_GROUP;
  }

  encapOf(socket: number): Encap {
    return this.#sockets.get(socket)?.encap ?? ENCAP.vxlan;
  }

  toRemote(
    segment: Segment,
    remote: number,
    at: number,
    length: number,
    datagramBytes: number,
    flow: number,
    tos: number,
    mayFragment: boolean,
  ): void {
    const pool = this.#pools[this.#remotes.isIpv4(remote) ? segment.ipv4Underlay : segment.ipv6Underlay];
    if (pool === undefined || !pool.isOpen) {
      // There is no source address of that family, or none now.
      const packets = Math.ceil(length / datagramBytes);
      this.#counters.txDropped(segment.index, TX_DROP['send-error'], packets);
      this.#remoteCounters.notSent(remote, packets);
      return;
    }
    const queues = mayFragment ? pool.fragmentable : pool.queues;
    (queues[flow % queues.length] as SendQueue).push(segment, remote, at, length, datagramBytes, tos);
  }

  reserve(bytes: number): number {
    if (this.#areaUsed + bytes > SEGMENT_AREA_BYTES) this.flush();
    const at = this.#areaAt + this.#areaUsed;
    this.#areaUsed += bytes;
    return at;
  }

  flush(): void {
    this.#areaUsed = 0;
    for (let underlay = 0; underlay < this.#pools.length; underlay++) {
      const queues = this.#pools[underlay]?.all ?? NO_QUEUES;
      for (let i = 0; i < queues.length; i++) {
        const queue = queues[i] as SendQueue;
        if (!queue.isEmpty) queue.flush();
      }
    }
  }
}
