import type { RemoteTable } from '../fdb/remotes.ts';
import type { Counters } from '../forward/counters.ts';
import { PathLimits } from '../forward/path-limits.ts';
import { MAX_DATAGRAM_BYTES, MAX_UDP_PAYLOAD_BYTES } from '../lib/limits.ts';
import type { OffloadSwitch } from '../offload/offload-switch.ts';
import { NO_GROUP, type Segment } from '../segment/segment.ts';
import { recvmmsg } from '../sys/libc.ts';
import { ReceiveArray, SendArray } from '../sys/mmsg.ts';
import type { Slab } from '../sys/slab.ts';
import { QUEUE_MESSAGES, SendQueue } from './send-queue.ts';
import { DATAGRAM_BATCH, DATAGRAM_HEADROOM, type UdpPort } from './udp-port.ts';

/** As for TAP slots: an odd number of extra cache lines. Buffers are 64 KB whatever the MTU, for a kernel peer's super-frames. */
const SLOT_BYTES = MAX_DATAGRAM_BYTES + 17 * 64;

/** Room for the datagrams of super-frames between two flushes: a few of them, so that they stay in the processor's cache. */
const SEGMENT_AREA_BYTES = 4 * MAX_UDP_PAYLOAD_BYTES;

const MSG_DONTWAIT = 0x40;

/** The fourth word of an IPv4-mapped address: the IPv4 address. */
const IPV4_WORD = 3;

/** The kernel's UDP sockets: receives by recvmmsg, sends by one sendmmsg per source port and batch. */
export class KernelUdpPort implements UdpPort {
  /** What the kernel refused to send whereto. */
  readonly pathLimits: PathLimits;
  readonly #slab: Slab;
  readonly #remotes: RemoteTable;
  readonly #counters: Counters;
  readonly #port: number;
  readonly #received: ReceiveArray;
  readonly #slotsAt: number;
  readonly #sockets = new Map<number, { fd: number; group: number }>();
  readonly #segmentation: OffloadSwitch;
  readonly #singles: SendArray;
  readonly #pools: SendQueue[][] = [];
  readonly #areaAt: number;
  #areaUsed = 0;
  #receivedCount = 0;

  /**
   * @param port destination UDP port of everything sent
   * @param segmentation whether the kernel cuts runs into datagrams; without it they leave one by one
   */
  constructor(slab: Slab, remotes: RemoteTable, counters: Counters, port: number, segmentation: OffloadSwitch) {
    this.#slab = slab;
    this.#remotes = remotes;
    this.pathLimits = new PathLimits(remotes);
    this.#counters = counters;
    this.#port = port;
    this.#segmentation = segmentation;
    this.#singles = new SendArray(slab, QUEUE_MESSAGES, port);
    this.#slotsAt = slab.allocate(DATAGRAM_BATCH * SLOT_BYTES);
    this.#areaAt = slab.allocate(SEGMENT_AREA_BYTES);
    this.#received = new ReceiveArray(slab, DATAGRAM_BATCH, {
      buffersAt: this.#slotsAt + DATAGRAM_HEADROOM,
      bufferBytes: MAX_DATAGRAM_BYTES,
      strideBytes: SLOT_BYTES,
    });
  }

  /** @param group number of the group that the socket is bound to, or NO_GROUP */
  addSocket(socket: number, fd: number, group: number): void {
    this.#sockets.set(socket, { fd, group });
  }

  removeSocket(fd: number): void {
    for (const [socket, entry] of this.#sockets) if (entry.fd === fd) this.#sockets.delete(socket);
  }

  /** The send sockets of an underlay, one for each source port. */
  addPool(underlay: number, fds: readonly number[]): void {
    const { pathLimits } = this;
    const shared = {
      counters: this.#counters,
      segmentation: this.#segmentation,
      singles: this.#singles,
      onPathMtu: pathLimits.learn.bind(pathLimits),
    };
    this.#pools[underlay] = fds.map((fd) => new SendQueue(this.#slab, fd, this.#port, shared));
  }

  receive(socket: number): number {
    const entry = this.#sockets.get(socket);
    if (entry === undefined) return 0;
    this.#received.rearm(this.#receivedCount);
    const count = recvmmsg(entry.fd, this.#received.headers.at(0), DATAGRAM_BATCH, MSG_DONTWAIT, 0);
    // Nothing there, or an error that the next call will not have: either way there is nothing to forward.
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

  source(i: number): number {
    return this.#received.source(i);
  }

  groupOf(socket: number): number {
    return this.#sockets.get(socket)?.group ?? NO_GROUP;
  }

  toRemote(segment: Segment, remote: number, at: number, length: number, datagramBytes: number, flow: number): void {
    this.#queue(segment, flow)?.push(segment, this.#remotes.word(remote, IPV4_WORD), at, length, datagramBytes);
  }

  toGroup(segment: Segment, at: number, length: number, datagramBytes: number, flow: number): void {
    this.#queue(segment, flow)?.push(segment, segment.groupAddress, at, length, datagramBytes);
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
      const pool = this.#pools[underlay] as SendQueue[];
      for (let i = 0; i < pool.length; i++) {
        const queue = pool[i] as SendQueue;
        if (!queue.isEmpty) queue.flush();
      }
    }
  }

  #queue(segment: Segment, flow: number): SendQueue | undefined {
    const pool = this.#pools[segment.underlay];
    return pool?.[flow % pool.length];
  }
}
