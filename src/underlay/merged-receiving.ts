import { CUT_APART_SECONDS } from '../lib/limits.ts';

const APART_TENTHS = 10 * CUT_APART_SECONDS;

/** How long a socket that never empties may go on before: what is queued then is lost. */
const PATIENCE_TENTHS = 2;

/** What the kernel is asked of a socket. */
export interface MergingSocket {
  /** Whether a datagram waits to be received. */
  readonly hasQueued: () => boolean;
  /** Has the kernel merge datagrams from now on, or not (UDP_GRO). */
  readonly merge: (isOn: boolean) => void;
}

/**
 * Whether a socket's datagrams come merged. They do, until a message has datagrams of several VNIs in it; then they come one by one for
 * CUT_APART_SECONDS. What waits at the socket by then was merged already, and would come without the size of its pieces, which the kernel
 * tells while the option is on. So the option goes off once the socket is empty, or after PATIENCE_TENTHS.
 *
 *     merged ──cutApart, something waits──► cutting soon ──emptied, or patience is over──┐
 *       ▲ └────cutApart, nothing waits──────────────────────────────────────────────► apart
 *       └───────────────────────CUT_APART_SECONDS after the last cutApart────────────────┘
 */
export class MergedReceiving {
  readonly #socket: MergingSocket;
  /** When, in tenths of a second, datagrams may come merged again; 0: they do, or never shall. */
  #mergesAgain = 0;
  /** When they are to come apart at the latest; 0: they do, or need not. */
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

  /** Once the time is over. Whether datagrams come merged. */
  mergeAgain(now: number): boolean {
    if (this.#mergesAgain === 0) return true;
    if (now < this.#mergesAgain) return false;
    this.#mergesAgain = 0;
    this.#cutsFrom = 0;
    this.#socket.merge(true);
    return true;
  }

  /** After a batch was received. @param isEmptied whether that was all that waited */
  afterBatch(isEmptied: boolean, now: number): void {
    if (this.#cutsFrom !== 0 && (isEmptied || now >= this.#cutsFrom)) this.#cut();
  }

  #cut(): void {
    this.#cutsFrom = 0;
    this.#socket.merge(false);
  }
}
