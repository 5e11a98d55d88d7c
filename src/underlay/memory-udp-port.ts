import { ENCAP, type Encap } from '../encap/encapsulation.ts';
import type { SourceAddress } from '../fdb/fdb.ts';
import type { RemoteTable } from '../fdb/remotes.ts';
import { MAX_UDP_PAYLOAD_BYTES } from '../lib/limits.ts';
import { NO_GROUP, type Segment } from '../segment/segment.ts';
import type { Slab } from '../sys/slab.ts';
import { DATAGRAM_BATCH, DATAGRAM_HEADROOM, type UdpPort } from './udp-port.ts';

const SLOT_BYTES = 66_048;

/** As the kernel's port: room for the datagrams of super-frames between two flushes. */
const SEGMENT_AREA_BYTES = 4 * MAX_UDP_PAYLOAD_BYTES;

/** The source port of all datagrams that arrive. */
export const MEMORY_SOURCE_PORT = 50_001;

interface SentDatagram {
  readonly vni: number;
  /** IPv4 address, or the last word of an IPv6 address, signed. */
  readonly destination: number;
  readonly flow: number;
  /** Outer TOS octet. */
  readonly tos: number;
  /** Routers may. */
  readonly mayFragment: boolean;
  readonly payload: Uint8Array;
}

interface Arrival {
  readonly source: number;
  readonly payload: Uint8Array;
  readonly segmentBytes: number;
  readonly tos: number;
}

/** An underlay in memory: what `inject` puts in is received, what is sent is kept in `sent` once flushed. */
export class MemoryUdpPort implements UdpPort {
  readonly sent: SentDatagram[] = [];
  /** Sockets whose datagrams were to come one by one. */
  readonly cut: number[] = [];
  readonly #slab: Slab;
  readonly #remotes: RemoteTable;
  readonly #slotsAt: number;
  readonly #areaAt: number;
  readonly #waiting = new Map<number, Arrival[]>();
  readonly #sockets = new Map<number, { readonly group: number; readonly encap: Encap }>();
  #received: Arrival[] = [];
  #queued: (Omit<SentDatagram, 'payload'> & { at: number; length: number })[] = [];
  #areaUsed = 0;

  constructor(slab: Slab, remotes: RemoteTable) {
    this.#slab = slab;
    this.#remotes = remotes;
    this.#slotsAt = slab.allocate(DATAGRAM_BATCH * SLOT_BYTES);
    this.#areaAt = slab.allocate(SEGMENT_AREA_BYTES);
  }

  addSocket(socket: number, group: number, encap: Encap): void {
    this.#sockets.set(socket, { group, encap });
  }

  /**
   * A datagram that arrives at a socket from an IPv4 address.
   *
   * @param segmentBytes what UDP_GRO would say of it
   * @param tos its outer TOS octet
   */
  inject(socket: number, source: number, payload: Uint8Array, segmentBytes = payload.length, tos = 0): void {
    this.#waiting.set(socket, [...(this.#waiting.get(socket) ?? []), { source, payload, segmentBytes, tos }]);
  }

  /** Datagrams arrive as they were injected, since there is no kernel that merges them. */
  cutApart(socket: number): void {
    this.cut.push(socket);
  }

  receive(socket: number): number {
    this.#received = this.#waiting.get(socket)?.splice(0, DATAGRAM_BATCH) ?? [];
    for (const [i, { payload }] of this.#received.entries()) this.#slab.bytes.set(payload, this.datagramAt(i));
    return this.#received.length;
  }

  datagramAt(i: number): number {
    return this.#slotsAt + i * SLOT_BYTES + DATAGRAM_HEADROOM;
  }

  datagramBytes(i: number): number {
    return this.#received[i]?.payload.length ?? 0;
  }

  segmentBytes(i: number): number {
    return this.#received[i]?.segmentBytes ?? 0;
  }

  readSource(i: number, source: SourceAddress): void {
    source.a = 0;
    source.b = 0;
    source.c = 0xffff;
    source.d = this.#received[i]?.source ?? 0;
  }

  sourcePort(): number {
    return MEMORY_SOURCE_PORT;
  }

  tos(i: number): number {
    return this.#received[i]?.tos ?? 0;
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
    const to = { vni: segment.vni, destination: this.#remotes.word(remote, 3), flow, tos, mayFragment };
    this.#queue(to, at, length, datagramBytes);
  }

  #queue(to: Omit<SentDatagram, 'payload'>, at: number, length: number, datagramBytes: number): void {
    for (let offset = 0; offset < length; offset += datagramBytes) {
      this.#queued.push({ ...to, at: at + offset, length: Math.min(datagramBytes, length - offset) });
    }
  }

  reserve(bytes: number): number {
    if (this.#areaUsed + bytes > SEGMENT_AREA_BYTES) this.flush();
    const at = this.#areaAt + this.#areaUsed;
    this.#areaUsed += bytes;
    return at;
  }

  flush(): void {
    this.#areaUsed = 0;
    for (const { at, length, ...datagram } of this.#queued) {
      this.sent.push({ ...datagram, payload: this.#slab.bytes.slice(at, at + length) });
    }
    this.#queued = [];
  }
}
