import type { SourceAddress } from '../fdb/fdb.ts';
import { NO_REMOTE, type RemoteTable } from '../fdb/remotes.ts';
import { MAX_REMOTES } from '../lib/limits.ts';

/** Words of a row: the remote that the row is about, then the counters. */
const GENERATION = 0;
const RX_PACKETS = 1;
const RX_BYTES = 2;
const TX_PACKETS = 3;
const TX_BYTES = 4;
const DROPS = 5;
/** Tenths of a second, plus 1. 0 means never. */
const HEARD = 6;
const ROW = 7;

/** The counters of one remote, for one worker or for all. */
export interface RemoteCount {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly drops: number;
  /** Tenths of a second. undefined: never. */
  readonly heard: number | undefined;
}

/**
 * The counters of one worker for each remote VTEP, in shared memory: a row of doubles per remote id. Only the worker writes; readers add up all
 * workers. Packets are VXLAN datagrams, bytes are inner bytes. Received datagrams are those that the ladder accepted, sent datagrams those that the
 * kernel accepted. Only remotes with an id are counted: those that an entry or a flood list names.
 *
 * When an id is given to another remote, its generation changes. A row with an old generation is stale, so rows need not be cleared.
 */
export class RemoteCounters {
  readonly #cells: Float64Array;
  readonly #remotes: RemoteTable;
  /** Counters of the present message. */
  #packets = 0;
  #bytes = 0;
  #drops = 0;
  /** Source of the previous message. Most often the next message has the same one. */
  readonly #source: SourceAddress = { a: 0, b: 0, c: 0, d: 0 };
  #remote = NO_REMOTE;
  #generation = 0;

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer((MAX_REMOTES + 1) * ROW * Float64Array.BYTES_PER_ELEMENT);
  }

  constructor(memory: SharedArrayBuffer, remotes: RemoteTable) {
    this.#cells = new Float64Array(memory);
    this.#remotes = remotes;
  }

  /** One datagram of the present message was forwarded. @param bytes of its inner frame */
  forwarded(bytes: number): void {
    this.#packets++;
    this.#bytes += bytes;
  }

  /** One datagram of the present message was dropped. */
  dropped(): void {
    this.#drops++;
  }

  /** Ends the present message and adds its counters. @param now tenths of a second */
  settle(source: SourceAddress, now: number): void {
    const remote = this.#find(source);
    if (remote !== NO_REMOTE) {
      const row = this.#row(remote);
      if (this.#packets !== 0) {
        this.#add(row + RX_PACKETS, this.#packets);
        this.#add(row + RX_BYTES, this.#bytes);
        this.#cells[row + HEARD] = now + 1;
      }
      if (this.#drops !== 0) this.#add(row + DROPS, this.#drops);
    }
    this.#packets = 0;
    this.#bytes = 0;
    this.#drops = 0;
  }

  /** @param bytes sum over all `packets` */
  sent(remote: number, bytes: number, packets: number): void {
    const row = this.#row(remote);
    this.#add(row + TX_PACKETS, packets);
    this.#add(row + TX_BYTES, bytes);
  }

  /** The kernel refused datagrams to a remote. */
  notSent(remote: number, packets: number): void {
    this.#add(this.#row(remote) + DROPS, packets);
  }

  /** The sum of all workers for one remote. */
  static total(workers: readonly RemoteCounters[], remote: number): RemoteCount {
    const sum = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, drops: 0, heard: 0 };
    for (const worker of workers) {
      const cells = worker.#cells;
      const row = remote * ROW;
      if (cells[row + GENERATION] !== worker.#remotes.generation(remote)) continue;
      sum.rxPackets += cells[row + RX_PACKETS] as number;
      sum.rxBytes += cells[row + RX_BYTES] as number;
      sum.txPackets += cells[row + TX_PACKETS] as number;
      sum.txBytes += cells[row + TX_BYTES] as number;
      sum.drops += cells[row + DROPS] as number;
      sum.heard = Math.max(sum.heard, cells[row + HEARD] as number);
    }
    return { ...sum, heard: sum.heard === 0 ? undefined : sum.heard - 1 };
  }

  #find({ a, b, c, d }: SourceAddress): number {
    const last = this.#source;
    const isSame = last.d === d && last.c === c && last.b === b && last.a === a;
    if (isSame && this.#remote !== NO_REMOTE && this.#remotes.generation(this.#remote) === this.#generation) {
      return this.#remote;
    }
    const remote = this.#remotes.find(a, b, c, d);
    last.a = a;
    last.b = b;
    last.c = c;
    last.d = d;
    this.#remote = remote;
    if (remote !== NO_REMOTE) this.#generation = this.#remotes.generation(remote);
    return remote;
  }

  /** The cells of the remote. They are set to zero if the row belonged to another remote. */
  #row(remote: number): number {
    const row = remote * ROW;
    const generation = this.#remotes.generation(remote);
    if (this.#cells[row + GENERATION] !== generation) {
      this.#cells.fill(0, row, row + ROW);
      this.#cells[row + GENERATION] = generation;
    }
    return row;
  }

  #add(cell: number, amount: number): void {
    this.#cells[cell] = (this.#cells[cell] as number) + amount;
  }
}
