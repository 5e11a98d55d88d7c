import type { RemoteTable } from '../fdb/remotes.ts';
import { NO_GROUP, type Segment } from '../segment/segment.ts';
import type { Slab } from '../sys/slab.ts';
import { DATAGRAM_BATCH, DATAGRAM_HEADROOM, type UdpPort } from './udp-port.ts';

const SLOT_BYTES = 2_048;

interface SentDatagram {
  readonly vni: number;
  /** IPv4 address as a big-endian word, signed. */
  readonly destination: number;
  readonly flow: number;
  readonly payload: Uint8Array;
}

/** An underlay in memory: what `inject` puts in is received, what is sent is kept in `sent` once flushed. */
export class MemoryUdpPort implements UdpPort {
  readonly sent: SentDatagram[] = [];
  readonly #slab: Slab;
  readonly #remotes: RemoteTable;
  readonly #slotsAt: number;
  readonly #waiting = new Map<number, { source: number; payload: Uint8Array }[]>();
  readonly #groups = new Map<number, number>();
  #received: { source: number; payload: Uint8Array }[] = [];
  #queued: (Omit<SentDatagram, 'payload'> & { at: number; length: number })[] = [];

  constructor(slab: Slab, remotes: RemoteTable) {
    this.#slab = slab;
    this.#remotes = remotes;
    this.#slotsAt = slab.allocate(DATAGRAM_BATCH * SLOT_BYTES);
  }

  addSocket(socket: number, group: number): void {
    this.#groups.set(socket, group);
  }

  /** A datagram that arrives at a socket from an IPv4 address; at most SLOT_BYTES less the headroom. */
  inject(socket: number, source: number, payload: Uint8Array): void {
    this.#waiting.set(socket, [...(this.#waiting.get(socket) ?? []), { source, payload }]);
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

  source(i: number): number {
    return this.#received[i]?.source ?? 0;
  }

  groupOf(socket: number): number {
    return this.#groups.get(socket) ?? NO_GROUP;
  }

  toRemote(segment: Segment, remote: number, at: number, length: number, flow: number): void {
    this.#queued.push({ vni: segment.vni, destination: this.#remotes.word(remote, 3), flow, at, length });
  }

  toGroup(segment: Segment, at: number, length: number, flow: number): void {
    this.#queued.push({ vni: segment.vni, destination: segment.groupAddress, flow, at, length });
  }

  flush(): void {
    for (const { at, length, ...datagram } of this.#queued) {
      this.sent.push({ ...datagram, payload: this.#slab.bytes.slice(at, at + length) });
    }
    this.#queued = [];
  }
}
