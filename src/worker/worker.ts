import { setTimeout } from 'node:timers/promises';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { openEventFd, signalEventFd } from '../sys/epoll.ts';
import { close } from '../sys/libc.ts';
import {
  type NumberedOrder,
  type Order,
  type Report,
  WORKER_CELL,
  type WorkerOffload,
  type WorkerSetup,
} from './messages.ts';

/** A worker ends within 25 ms unless something is badly wrong. */
const STOP_PATIENCE_MS = 500;

/** What the main thread is told of a worker. */
export interface WorkerEvents {
  readonly tapGone: (tap: number) => void;
  /** A remote of a segment's flood list was heard in the segment's group too. Told once by each thread. */
  readonly remoteInGroup: (segment: number, remote: number) => void;
  /** The worker does without an offload from now on. @param error errno of the refusal */
  readonly offloadOff: (offload: WorkerOffload, error: number) => void;
  /** The thread ended without being told to. */
  readonly died: (error: Error) => void;
}

/** The main thread's end of one data-plane thread. */
export class DataPlaneWorker {
  readonly #thread: Worker;
  readonly #port: MessagePort;
  readonly #wakeFd: number;
  readonly #cells: Int32Array;
  readonly #waiting = new Map<number, (inForce: boolean) => void>();
  readonly #exited: Promise<void>;
  #nextNumber = 0;
  #isStopping = false;
  /** The thread is no more, and the number of its eventfd may be another file's. */
  #isGone = false;

  /** Starts the thread. It obeys orders from the first moment on. */
  constructor(setup: Omit<WorkerSetup, 'wakeFd' | 'stopMemory'>, events: WorkerEvents) {
    const stopMemory = new SharedArrayBuffer(WORKER_CELL.cells * Int32Array.BYTES_PER_ELEMENT);
    this.#cells = new Int32Array(stopMemory);
    this.#wakeFd = openEventFd();
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#port.on('message', (report: Report) => this.#onReport(report, events));
    // The port alone does not keep the process alive; the thread does.
    this.#port.unref();
    this.#thread = new Worker(new URL('./thread.js', import.meta.url), {
      workerData: { setup: { ...setup, stopMemory, wakeFd: this.#wakeFd } satisfies WorkerSetup, port: port2 },
      transferList: [port2],
    });
    let failure: Error | undefined;
    this.#thread.on('error', (error) => {
      failure = error instanceof Error ? error : new Error(String(error));
    });
    this.#exited = new Promise((resolve) => {
      this.#thread.on('exit', (code) => {
        this.#release();
        resolve();
        if (!this.#isStopping) events.died(failure ?? new Error(`worker ended with code ${code}`));
      });
    });
  }

  /** Sends an order; resolves to true once it is in force, to false if the thread is no more. */
  order(order: Order): Promise<boolean> {
    if (this.#isGone) return Promise.resolve(false);
    const number = this.#nextNumber++;
    const done = new Promise<boolean>((resolve) => this.#waiting.set(number, resolve));
    this.#port.postMessage({ number, order } satisfies NumberedOrder);
    signalEventFd(this.#wakeFd);
    return done;
  }

  /**
   * Has the thread end when it next wakes, which `stop` sees to. Apart from it, so that all threads are told before the first is woken:
   * they then end together.
   */
  announceStop(): void {
    this.#isStopping = true;
    Atomics.store(this.#cells, WORKER_CELL.stop, 1);
  }

  /** How often it has turned, modulo 2^32; 0 until it does. */
  get turns(): number {
    return Atomics.load(this.#cells, WORKER_CELL.turns);
  }

  /** VTEPs that it knows to be behind a smaller MTU. */
  get pathLimits(): number {
    return Atomics.load(this.#cells, WORKER_CELL.pathLimits);
  }

  /**
   * Ends the thread's loop; resolves when the thread is gone, or after STOP_PATIENCE_MS: it cannot be terminated from outside while it waits
   * in a system call, and the daemon's stop must not hang on it, nor must whoever waits for an order. Whether it is gone.
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
