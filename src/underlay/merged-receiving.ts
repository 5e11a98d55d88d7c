import { CUT_APART_SECONDS } from '../lib/limits.ts';

const APART_TENTHS = 10 * CUT_APART_SECONDS;

/** How long to wait for a socket that is never empty. Datagrams that are still queued then are lost. */
const PATIENCE_TENTHS = 2;

/** The operations on a socket. */
export interface MergingSocket {
  /** Whether a datagram waits to be received. */
  readonly hasQueued: () => boolean;
  /** Has the kernel merge datagrams from now on, or not (UDP_GRO). */
  readonly merge: (isOn: boolean) => void;
}

/**
 * Whether the datagrams of a socket come merged. They do, until a message has datagrams of several VNIs. Then they come one by one for
 * CUT_APART_SECONDS. Queued datagrams were merged before, and would come without their segment size, which the kernel delivers only while the option
 * is on. So the option goes off once the socket is empty, or after PATIENCE_TENTHS.
 *
 *     merged ──cutApart, something waits──► cutting soon ──emptied, or patience is over──┐
 *       ▲ └────cutApart, nothing waits──────────────────────────────────────────────► apart
 *       └───────────────────────CUT_APART_SECONDS after the last cutApart────────────────┘
 */
export class MergedReceiving {
  readonly #socket: MergingSocket;
  /** When, in tenths of a second, datagrams may come merged again; 0: they do, or never will. */
  #mergesAgain = 0;
  /** When the option goes off at the latest; 0: it is off, or need not be. */
  #cutsFrom = 0;

  constructor(socket: MergingSocket) {
    this.#socket = socket;
  }

  /** A message had datagrams of several VNIs. @param now tenths of a second */
  cutApart(now: number): void {
    this.#mergesAgain = now + APART_TENTHS;
    if (this.#socket.hasQueued()) this.#cutsFrom ||= now + PATIENCE_TENTHS;
    else this.#cut();
  }

  /** Call it once the time is over. Returns whether datagrams come merged. */
  mergeAgain(now: number): boolean {
    if (this.#mergesAgain === 0) return true;
    if (now < this.#mergesAgain) return false;
    this.#mergesAgain = 0;
    this.#cutsFrom = 0;
    this.#socket.merge(true);
    return true;
  }

  /** Call it after a batch was received. @param isEmptied whether the socket is empty */
  afterBatch(isEmptied: boolean, now: number): void {
    if (this.#cutsFrom !== 0 && (isEmptied || now >= this.#cutsFrom)) this.#cut();
  }

  #cut(): void {
    this.#cutsFrom = 0;
    this.#socket.merge(false);
  }
}
