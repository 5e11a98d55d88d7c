import type { Fdb } from '../../fdb/fdb.ts';
import { LockTimeout } from '../../fdb/lock.ts';
import type { Logger } from '../../observe/log.ts';
import { startRefusal } from '../../sys/start-refusal.ts';
import { errnoName } from '../../sys/sys-error.ts';
import type { ApartState } from '../../underlay/apart-sockets.ts';
import type { Order, WorkerOffload, WorkerSetup } from '../../worker/messages.ts';
import { DataPlaneWorker } from '../../worker/worker.ts';

/** A worker that dies more often than this within the window is not restarted: a restart does not solve such a problem. */
const MAX_DEATHS = 5;
const DEATH_WINDOW_MS = 60_000;

/** Pause between two attempts to start a successor. */
const REVIVE_PAUSE_MS = 1_000;
/** Maximum number of consecutive attempts: one minute. After that a restart of the daemon is more likely to help. */
const MAX_REVIVE_TRIES = 60;

/** Consecutive looks without a loop turn of the worker after which it counts as hanging: one second. An idle worker turns every WORKER_WAIT_MS. */
const HANG_LOOKS = 4;
/** The same until its first turn: the thread is still loading its code. */
const START_LOOKS = 80;

/** A data-plane thread as the main thread sees it. `dead`: its successor does not run yet. */
export interface WorkerState {
  readonly worker: number;
  readonly state: 'ok' | 'hung' | 'dead';
  /** Deaths of its predecessors since the start of the daemon. */
  readonly deaths: number;
}

export interface SupervisorOptions {
  /** Number of the worker, for the log. */
  readonly worker: number;
  /** Gives each thread, also a successor, a unique owner number in the lock of the FDB. */
  readonly nextOwner: () => number;
  readonly fdb: Fdb;
  readonly log: Logger;
  /** The orders that bring a new worker to the present state. */
  readonly state: () => Order[];
  readonly tapGone: (tap: number) => void;
  readonly remoteInGroup: (segment: number, remote: number) => void;
  /** Called after too many deaths. */
  readonly died: (error: Error) => void;
}

/** Keeps a data-plane worker running. A worker that dies is replaced, and its successor takes over the same fds. */
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
  /** For this worker, the start of the daemon has ended. */
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
    // Each worker tests the offloads itself.
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

  /** Resolves once the order is in force, or if there is no worker. A later worker learns it from the state. */
  async order(order: Order): Promise<void> {
    await this.#worker?.order(order);
  }

  tell(order: Order): void {
    this.#worker?.tell(order);
  }

  /** The offloads in force: those that the worker may use and that no path has refused. */
  get offload(): WorkerSetup['offload'] {
    return this.#offload;
  }

  /** Number of VTEPs that it knows to be behind a smaller path MTU. */
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
   * Checks whether the worker has turned since the last look. This counts looks, not time: a process that was stopped, or a host that slept, did not
   * look either.
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

  /** Consecutive looks that saw no turn. */
  get looksWithoutTurn(): number {
    return this.#looksWithoutTurn;
  }

  announceStop(): void {
    this.#worker?.announceStop();
  }

  /** Returns whether the thread has ended. */
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

  /** @param hasTurned whether it has run; if not, it could not be started */
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
   * At any stage, fds, memory or threads may be unavailable for a while. The start is tried again until the host allows it. At the start of the
   * daemon this is a refusal.
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

/** If another thread holds the lock now, the sweep repairs the table later. */
function recovered(fdb: Fdb, owner: number): boolean {
  try {
    return fdb.recover(owner);
  } catch (error) {
    if (!(error instanceof LockTimeout)) throw error;
    return false;
  }
}
