import { MAX_SEGMENTS } from '../lib/limits.ts';
import { RX_REASONS, TX_REASONS } from './drop-reason.ts';

/**
 * The counters of one worker in shared memory: a row of doubles per segment, and in front one row for packets without a segment. Only the worker
 * writes; readers add up all workers. Packets are VXLAN datagrams, bytes are inner bytes.
 */

const RX_PACKETS = 0;
const RX_BYTES = 1;
const TX_PACKETS = 2;
const TX_BYTES = 3;
/** Datagrams of floods. Each copy counts. */
const FLOODED = 4;
const RX_DROPS = 5;
const TX_DROPS = RX_DROPS + RX_REASONS.length;
const ROW = TX_DROPS + TX_REASONS.length;

/** The "segment" of packets that were dropped before their segment was known. */
export const NO_SEGMENT = -1;

export interface Passages {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly flooded: number;
}

export class Counters {
  readonly #cells: Float64Array;

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer((MAX_SEGMENTS + 1) * ROW * Float64Array.BYTES_PER_ELEMENT);
  }

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Float64Array(memory);
  }

  /** @param bytes sum over all `packets` */
  received(segment: number, bytes: number, packets: number): void {
    const row = (segment + 1) * ROW;
    this.#add(row + RX_PACKETS, packets);
    this.#add(row + RX_BYTES, bytes);
  }

  /** @param bytes sum over all `packets` */
  sent(segment: number, bytes: number, packets: number): void {
    const row = (segment + 1) * ROW;
    this.#add(row + TX_PACKETS, packets);
    this.#add(row + TX_BYTES, bytes);
  }

  /** Flooded datagrams. Each copy, to the group and to each remote, counts as one. */
  flooded(segment: number, packets: number): void {
    this.#add((segment + 1) * ROW + FLOODED, packets);
  }

  /** @param reason one of RX_DROP */
  rxDropped(segment: number, reason: number, packets = 1): void {
    this.#add((segment + 1) * ROW + RX_DROPS + reason, packets);
  }

  /** @param reason one of TX_DROP */
  txDropped(segment: number, reason: number, packets = 1): void {
    this.#add((segment + 1) * ROW + TX_DROPS + reason, packets);
  }

  /** Traffic of one segment. */
  passages(segment: number): Passages {
    const row = (segment + 1) * ROW;
    return {
      rxPackets: this.#cells[row + RX_PACKETS] as number,
      rxBytes: this.#cells[row + RX_BYTES] as number,
      txPackets: this.#cells[row + TX_PACKETS] as number,
      txBytes: this.#cells[row + TX_BYTES] as number,
      flooded: this.#cells[row + FLOODED] as number,
    };
  }

  /** Drops of one segment, or of NO_SEGMENT, by reason number. */
  drops(segment: number): { rx: Float64Array; tx: Float64Array } {
    const row = (segment + 1) * ROW;
    return {
      rx: this.#cells.slice(row + RX_DROPS, row + TX_DROPS),
      tx: this.#cells.slice(row + TX_DROPS, row + ROW),
    };
  }

  /** Sets the row of a segment to zero, before its number is reused. */
  reset(segment: number): void {
    this.#cells.fill(0, (segment + 1) * ROW, (segment + 2) * ROW);
  }

  #add(cell: number, amount: number): void {
    this.#cells[cell] = (this.#cells[cell] as number) + amount;
  }
}
