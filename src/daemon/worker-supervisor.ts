import type { Fdb } from '../fdb/fdb.ts';
import type { Logger } from '../observe/log.ts';
import { errnoName } from '../sys/sys-error.ts';
import type { Order, WorkerOffload, WorkerSetup } from '../worker/messages.ts';
import { DataPlaneWorker } from '../worker/worker.ts';

/** A worker that dies more often than this within the window is not revived: something is wrong that a restart does not mend. */
const MAX_DEATHS = 5;
const DEATH_WINDOW_MS = 60_000;

export interface SupervisorOptions {
  /** Gives each thread, successors included, a number in the FDB's lock that no other has had. */
  readonly nextOwner: () => number;
  readonly fdb: Fdb;
  readonly log: Logger;
  /** The orders that bring a new worker to the present state. */
  readonly state: () => Order[];
  readonly tapGone: (tap: number) => void;
  readonly remoteInGroup: (segment: number, remote: number) => void;
  /** Too many deaths. */
  readonly died: (error: Error) => void;
}

/** Keeps a data-plane worker running: one that dies is replaced, and its successor takes the same fds over. */
export class WorkerSupervisor {
  readonly #setup: Omit<WorkerSetup, 'owner' | 'wakeFd' | 'stopMemory'>;
  readonly #options: SupervisorOptions;
  readonly #deaths: number[] = [];
  #worker: DataPlaneWorker | undefined;
  #offload: WorkerSetup['offload'];

  constructor(setup: Omit<WorkerSetup, 'owner' | 'wakeFd' | 'stopMemory'>, options: SupervisorOptions) {
    this.#setup = setup;
    this.#offload = setup.offload;
    this.#options = options;
  }

  /** Resolves to true when the worker forwards, to false if it died before. */
  async start(): Promise<boolean> {
    const owner = this.#options.nextOwner();
    // Each worker finds out by itself.
    this.#offload = this.#setup.offload;
    const worker = new DataPlaneWorker(
      { ...this.#setup, owner },
      {
        tapGone: this.#options.tapGone,
        remoteInGroup: this.#options.remoteInGroup,
        offloadOff: (offload, error) => this.#onOffloadOff(offload, error),
        died: (error) => this.#onDeath(owner, error),
      },
    );
    this.#worker = worker;
    const answers = await Promise.all(this.#options.state().map((order) => worker.order(order)));
    return answers.every((inForce) => inForce);
  }

  /** Resolves once the order is in force, or there is no worker: then the next one learns it from the state. */
  async order(order: Order): Promise<void> {
    await this.#worker?.order(order);
  }

  /** The offloads in force: those that the worker was allowed and no path has refused. */
  get offload(): WorkerSetup['offload'] {
    return this.#offload;
  }

  announceStop(): void {
    this.#worker?.announceStop();
  }

  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.stop();
  }

  #onOffloadOff(offload: WorkerOffload, error: number): void {
    this.#offload = { ...this.#offload, [offload]: false };
    this.#options.log.warn({ event: 'offload-off', offload, errno: errnoName(error) });
  }

  #onDeath(owner: number, error: Error): void {
    const { fdb, log } = this.#options;
    this.#worker = undefined;
    const repaired = fdb.recover(owner);
    log.error({ event: 'worker-died', err: error, fdbRepaired: repaired });
    const now = Date.now();
    this.#deaths.push(now);
    while ((this.#deaths[0] as number) < now - DEATH_WINDOW_MS) this.#deaths.shift();
    if (this.#deaths.length >= MAX_DEATHS) this.#options.died(error);
    else void this.start();
  }
}
