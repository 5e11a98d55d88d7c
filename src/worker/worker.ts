import { setTimeout } from 'node:timers/promises';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { MAX_UNANSWERED_ORDERS } from '../lib/limits.ts';
import { openEventFd, signalEventFd } from '../sys/epoll.ts';
import { close } from '../sys/libc.ts';
import { startRefusal } from '../sys/start-refusal.ts';
import { type ApartState, readApart } from '../underlay/apart-sockets.ts';
import {
  type NumberedOrder,
  type Order,
  type Report,
  WORKER_CELL,
  type WorkerOffload,
  type WorkerSetup,
} from './messages.ts';

/** A worker ends within 25 ms unless it hangs. */
const STOP_PATIENCE_MS = 500;

/** Reports of a worker to the main thread. */
export interface WorkerEvents {
  readonly tapGone: (tap: number) => void;
  /** A remote of the flood list of a segment was also heard in the group of the segment. Each thread reports it once. */
  readonly remoteInGroup: (segment: number, remote: number) => void;
  /** The worker does not use an offload from now on. @param error errno of the refusal */
  readonly offloadOff: (offload: WorkerOffload, error: number) => void;
  /** The thread ended without an order to stop. */
  readonly died: (error: Error) => void;
}

/** The main thread's side of one data-plane thread. */
export class DataPlaneWorker {
  readonly #thread: Worker;
  readonly #port: MessagePort;
  readonly #wakeFd: number;
  readonly #cells: Int32Array;
  readonly #waiting = new Map<number, (inForce: boolean) => void>();
  readonly #exited: Promise<void>;
  /** The error for orders beyond MAX_UNANSWERED_ORDERS. */
  readonly #gone: Promise<boolean>;
  #failure: Error | undefined;
  #unanswered = 0;
  #isRetired = false;
  #nextNumber = 0;
  #isStopping = false;
  /** The thread has ended. The number of its eventfd may belong to another file. */
  #isGone = false;

  /**
   * Starts the thread. It accepts orders from the first moment on.
   *
   * @throws SysError if the host has no fd or no thread for it; nothing is left open then
   */
  constructor(setup: Omit<WorkerSetup, 'wakeFd' | 'stopMemory'>, events: WorkerEvents) {
    const stopMemory = new SharedArrayBuffer(WORKER_CELL.cells * Int32Array.BYTES_PER_ELEMENT);
    this.#cells = new Int32Array(stopMemory);
    this.#wakeFd = openEventFd();
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#port.on('message', (report: Report) => this.#onReport(report, events));
    // The thread keeps the process alive, so the port need not.
    this.#port.unref();
    try {
      this.#thread = startThread({ ...setup, stopMemory, wakeFd: this.#wakeFd }, port2);
    } catch (error) {
      this.#port.close();
      close(this.#wakeFd);
      throw error;
    }
    this.#thread.on('error', (error) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    });
    this.#exited = new Promise((resolve) => {
      this.#thread.on('exit', (code) => {
        this.#release();
        resolve();
        if (!this.#isStopping) events.died(this.#failure ?? new Error(`worker ended with code ${code}`));
      });
    });
    this.#gone = this.#exited.then(() => false);
  }

  /** Sends an order. Resolves to true once it is in force, to false if the thread has ended. */
  order(order: Order): Promise<boolean> {
    if (this.#isGone) return Promise.resolve(false);
    const number = this.#send(order);
    if (number === undefined) return this.#gone;
    return new Promise<boolean>((resolve) => this.#waiting.set(number, resolve));
  }

  /** Sends an order without waiting for the answer. */
  tell(order: Order): void {
    if (!this.#isGone) this.#send(order);
  }

  /** The number of the order. undefined: the thread is going to end, and its successor gets the present state. */
  #send(order: Order): number | undefined {
    if (this.#unanswered >= MAX_UNANSWERED_ORDERS) this.#retire();
    if (this.#isRetired) return undefined;
    this.#unanswered++;
    const number = this.#nextNumber++;
    this.#port.postMessage({ number, order } satisfies NumberedOrder);
    signalEventFd(this.#wakeFd);
    return number;
  }

  /** The worker hangs, and waiting orders must not fill the memory. It ends as soon as it runs again. */
  #retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#failure = new Error(`it hung, with ${this.#unanswered} orders waiting for it`);
    Atomics.store(this.#cells, WORKER_CELL.stop, 1);
  }

  /**
   * Makes the thread end at its next wake-up, which `stop` causes. The two are separate so that all threads are told before the first one wakes: they
   * then end together.
   */
  announceStop(): void {
    this.#isStopping = true;
    Atomics.store(this.#cells, WORKER_CELL.stop, 1);
  }

  /** Number of loop turns, modulo 2^32. 0 until the first turn. */
  get turns(): number {
    return Atomics.load(this.#cells, WORKER_CELL.turns);
  }

  /** Number of VTEPs that it knows to be behind a smaller path MTU. */
  get pathLimits(): number {
    return Atomics.load(this.#cells, WORKER_CELL.pathLimits);
  }

  /** Its sockets that receive without merging for a while. */
  get apart(): ApartState {
    return readApart(this.#cells.subarray(WORKER_CELL.apart));
  }

  /**
   * Ends the loop of the thread. Resolves when the thread has ended, or after STOP_PATIENCE_MS. A thread that waits in a system call cannot be
   * terminated from outside, and neither the stop of the daemon nor a waiting order may hang on it. Returns whether the thread has ended.
   */
  async stop(): Promise<boolean> {
    this.announceStop();
    if (!this.#isGone) signalEventFd(this.#wakeFd);
    await Promise.race([this.#exited, setTimeout(STOP_PATIENCE_MS, undefined, { ref: false })]);
    this.#answerAll();
    return this.#isGone;
  }

  #onReport(report: Report, events: WorkerEvents): void {
    if (report.kind === 'tap-gone') events.tapGone(report.tap);
    if (report.kind === 'remote-in-group') events.remoteInGroup(report.segment, report.remote);
    if (report.kind === 'offload-off') events.offloadOff(report.offload, report.error);
    if (report.kind !== 'done') return;
    this.#unanswered--;
    this.#waiting.get(report.number)?.(true);
    this.#waiting.delete(report.number);
  }

  #release(): void {
    this.#isGone = true;
    this.#port.close();
    close(this.#wakeFd);
    this.#answerAll();
  }

  #answerAll(): void {
    for (const resolve of this.#waiting.values()) resolve(false);
    this.#waiting.clear();
  }
}

function startThread(setup: WorkerSetup, port: MessagePort): Worker {
  try {
    return new Worker(new URL('./thread.js', import.meta.url), { workerData: { setup, port }, transferList: [port] });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_WORKER_INIT_FAILED') throw error;
    throw startRefusal('data-plane thread', error as Error);
  }
}
