import type { Fdb } from '../../fdb/fdb.ts';
import { LockTimeout } from '../../fdb/lock.ts';
import type { Logger } from '../../observe/log.ts';
import { startRefusal } from '../../sys/start-refusal.ts';
import { errnoName } from '../../sys/sys-error.ts';
import type { ApartState } from '../../underlay/apart-sockets.ts';
import type { Order, WorkerOffload, WorkerSetup } from '../../worker/messages.ts';
import { DataPlaneWorker } from '../../worker/worker.ts';

/** A worker that dies more often than this within the window is not revived: something is wrong that a restart does not mend. */
const MAX_DEATHS = 5;
const DEATH_WINDOW_MS = 60_000;

/** Between two tries to start a successor. */
const REVIVE_PAUSE_MS = 1_000;
/** Tries in a row, a minute of them; then a restart of the daemon is the better chance. */
const MAX_REVIVE_TRIES = 60;

/** Looks in a row at a worker that has not turned, after which it hangs: a second. One with nothing to do turns every WORKER_WAIT_MS. */
const HANG_LOOKS = 4;
/** Likewise until its first turn: it is still being loaded. */
const START_LOOKS = 80;

/** A data-plane thread as the main thread sees it; `dead`: its successor is not there yet. */
export interface WorkerState {
  readonly worker: number;
  readonly state: 'ok' | 'hung' | 'dead';
  /** Of its predecessors, since the daemon's start. */
  readonly deaths: number;
}

export interface SupervisorOptions {
  /** Which worker it is, for the log. */
  readonly worker: number;
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
  #turns = 0;
  #looksWithoutTurn = 0;
  #isHung = false;
  #deathCount = 0;
  #failedTries = 0;
  /** The daemon's start is over, as far as this worker is concerned. */
  #isUp = false;
  /** Why the first thread could not be started. */
  #refusal: Error | undefined;
  #isStopped = false;

  constructor(setup: Omit<WorkerSetup, 'owner' | 'wakeFd' | 'stopMemory'>, options: SupervisorOptions) {
    this.#setup = setup;
    this.#offload = setup.offload;
    this.#options = options;
  }

  /**
   * Resolves to true when the worker forwards, to false if it died before.
   *
   * @throws VtepError if it could not be started; it is not tried again then
   */
  async start(): Promise<boolean> {
    const forwards = await this.#launch();
    if (this.#refusal) throw this.#refusal;
    this.#isUp = true;
    return forwards;
  }

  /** Starts a thread. Resolves as `start` does. */
  async #launch(): Promise<boolean> {
    const owner = this.#options.nextOwner();
    const orders = this.#options.state();
    // Each worker finds out by itself.
    this.#offload = this.#setup.offload;
    const worker = new DataPlaneWorker(
      { ...this.#setup, owner },
      {
        tapGone: this.#options.tapGone,
        remoteInGroup: this.#options.remoteInGroup,
        offloadOff: (offload, error) => this.#onOffloadOff(offload, error),
        died: (error) => this.#onEnd(owner, worker.turns !== 0, error),
      },
    );
    this.#worker = worker;
    const answers = await Promise.all(orders.map((order) => worker.order(order)));
    return answers.every((inForce) => inForce);
  }

  /** Resolves once the order is in force, or there is no worker: then the next one learns it from the state. */
  async order(order: Order): Promise<void> {
    await this.#worker?.order(order);
  }

  tell(order: Order): void {
    this.#worker?.tell(order);
  }

  /** The offloads in force: those that the worker was allowed and no path has refused. */
  get offload(): WorkerSetup['offload'] {
    return this.#offload;
  }

  /** VTEPs that it knows to be behind a smaller MTU. */
  get pathLimits(): number {
    return this.#worker?.pathLimits ?? 0;
  }

  /** Its sockets that receive without merging for a while. */
  get apart(): ApartState {
    return this.#worker?.apart ?? { sockets: 0, source: undefined };
  }

  get state(): WorkerState {
    const state = this.#worker ? (this.#isHung ? 'hung' : 'ok') : 'dead';
    return { worker: this.#options.worker, state, deaths: this.#deathCount };
  }

  /**
   * Sees whether the worker has turned since the last look. Looks are counted, not time: a process that was stopped, or a host that slept,
   * did not look either.
   */
  look(): void {
    if (!this.#worker) return;
    const { turns } = this.#worker;
    const hasTurned = turns !== this.#turns;
    this.#turns = turns;
    this.#looksWithoutTurn = hasTurned ? 0 : this.#looksWithoutTurn + 1;
    const isHung = this.#looksWithoutTurn >= (turns === 0 ? START_LOOKS : HANG_LOOKS);
    if (isHung === this.#isHung) return;
    this.#isHung = isHung;
    const { log, worker } = this.#options;
    if (isHung)
      log.error(
        { event: 'worker-hangs', worker },
        'its share of the packets waits; restart vtepd if it does not continue',
      );
    else log.warn({ event: 'worker-turns', worker }, 'it runs again, and carries out the orders that waited');
  }

  /** Looks in a row at it that saw no turn. */
  get looksWithoutTurn(): number {
    return this.#looksWithoutTurn;
  }

  announceStop(): void {
    this.#worker?.announceStop();
  }

  /** Whether the thread is no more. */
  async stop(): Promise<boolean> {
    const worker = this.#worker;
    this.#isStopped = true;
    this.#worker = undefined;
    return (await worker?.stop()) ?? true;
  }

  #onOffloadOff(offload: WorkerOffload, error: number): void {
    this.#offload = { ...this.#offload, [offload]: false };
    const { log, worker } = this.#options;
    log.warn({ event: 'offload-off', worker, offload, errno: errnoName(error) });
  }

  /** @param hasTurned whether it was at work; else it could not be started */
  #onEnd(owner: number, hasTurned: boolean, error: Error): void {
    this.#worker = undefined;
    this.#isHung = false;
    this.#looksWithoutTurn = 0;
    this.#turns = 0;
    const fdbRepaired = recovered(this.#options.fdb, owner);
    if (hasTurned) this.#onDeath(error, fdbRepaired);
    else this.#onFailedStart(error);
  }

  #onDeath(error: Error, fdbRepaired: boolean): void {
    const { log, worker } = this.#options;
    this.#failedTries = 0;
    this.#deathCount++;
    log.error({ event: 'worker-died', worker, err: error, fdbRepaired });
    const now = Date.now();
    this.#deaths.push(now);
    while ((this.#deaths[0] as number) < now - DEATH_WINDOW_MS) this.#deaths.shift();
    if (this.#deaths.length >= MAX_DEATHS) this.#options.died(error);
    else this.#revive();
  }

  #revive(): void {
    if (this.#isStopped) return;
    this.#launch().catch((error: Error) => this.#onFailedStart(error));
  }

  /**
   * No fd, no memory, no thread may be to be had just now, at whatever stage: tried again until the host allows it. At the daemon's start it
   * is a refusal.
   */
  #onFailedStart(error: Error): void {
    if (this.#isStopped) return;
    if (!this.#isUp) {
      this.#refusal = startRefusal('data-plane thread', error);
      return;
    }
    const { log, worker } = this.#options;
    this.#failedTries++;
    log.error({ event: 'worker-not-revived', worker, err: error, tries: this.#failedTries });
    if (this.#failedTries >= MAX_REVIVE_TRIES) this.#options.died(error);
    else setTimeout(() => this.#revive(), REVIVE_PAUSE_MS).unref();
  }
}

/** What another thread keeps locked now the sweep repairs. */
function recovered(fdb: Fdb, owner: number): boolean {
  try {
    return fdb.recover(owner);
  } catch (error) {
    if (!(error instanceof LockTimeout)) throw error;
    return false;
  }
}
