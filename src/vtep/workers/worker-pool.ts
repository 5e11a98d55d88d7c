import type { Status } from '../../api/schemas.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import { Counters } from '../../forward/counters.ts';
import { RemoteCounters } from '../../forward/remote-counters.ts';
import type { Logger } from '../../observe/log.ts';
import { BusyTime } from '../../worker/busy-time.ts';
import type { Order, WorkerSetup } from '../../worker/messages.ts';
import { newWorkerMemories, type WorkerMemories } from '../../worker/worker-memories.ts';
import { formatSource } from '../vni/vtep-address.ts';
import type { Hang } from './worker-patience.ts';
import { addressOrder } from './worker-state.ts';
import { type WorkerState, WorkerSupervisor } from './worker-supervisor.ts';

export interface WorkerPoolOptions {
  /** Owner number of the first thread in the lock of the FDB. Every further thread, also a successor, gets the next number. */
  readonly firstOwner: number;
  readonly fdb: Fdb;
  readonly log: Logger;
  /** The orders that bring a new thread to the present state. @param worker the worker whose fds it takes over, from 0 on */
  readonly state: (worker: number) => Order[];
  /** A worker has released a TAP that was deleted. Each worker reports it. */
  readonly tapGone: (tap: number) => void;
  /** A remote of the flood list of a segment was also heard in the group of the segment. Each thread reports it once, a successor too. */
  readonly remoteInGroup: (segment: number, remote: number) => void;
  /** Called when a worker died too often. */
  readonly died: (error: Error) => void;
}

/** Interval of the checks whether each worker runs. */
const LOOK_INTERVAL_MS = 250;

type OwnOfWorker = keyof WorkerMemories | 'worker' | 'owner' | 'wakeFd' | 'stopMemory';

/** The data plane: workers that share the FDB and the source ports. Each has its own sockets and TAP queues. */
export class WorkerPool {
  /** One for each worker. Readers add them up. */
  readonly counters: readonly Counters[];
  readonly remoteCounters: readonly RemoteCounters[];
  /** One for each worker. */
  readonly busyTimes: readonly BusyTime[];
  readonly #supervisors: readonly WorkerSupervisor[];
  #looking: NodeJS.Timeout | undefined;

  constructor(
    count: number,
    setup: Omit<WorkerSetup, OwnOfWorker>,
    { firstOwner, log, state, ...options }: WorkerPoolOptions,
  ) {
    let owner = firstOwner;
    const memories = Array.from({ length: count }, newWorkerMemories);
    const { remotes } = options.fdb;
    this.counters = memories.map((memory) => new Counters(memory.countersMemory));
    this.remoteCounters = memories.map((memory) => new RemoteCounters(memory.remoteCountersMemory, remotes));
    this.busyTimes = memories.map((memory) => new BusyTime(memory.busyTimeMemory));
    this.#supervisors = memories.map(
      (memory, worker) =>
        new WorkerSupervisor(
          { ...setup, ...memory, worker },
          {
            ...options,
            nextOwner: () => owner++,
            worker,
            log,
            state: () => state(worker),
          },
        ),
    );
  }

  get size(): number {
    return this.#supervisors.length;
  }

  /** Resolves to true when all workers forward, to false if one died before. */
  async start(): Promise<boolean> {
    this.#looking = setInterval(() => {
      for (const supervisor of this.#supervisors) supervisor.look();
    }, LOOK_INTERVAL_MS);
    this.#looking.unref();
    const started = await Promise.all(this.#supervisors.map((supervisor) => supervisor.start()));
    return started.every((forwards) => forwards);
  }

  /** Resolves once the order is in force everywhere. */
  async orderAll(order: Order): Promise<void> {
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.order(order)));
  }

  /** As `orderAll`, without waiting. For a worker that hangs, no growing state is kept. */
  tellAll(order: Order): void {
    for (const supervisor of this.#supervisors) supervisor.tell(order);
  }

  /** As `orderOne`, without waiting. */
  tellOne(worker: number, order: Order): void {
    this.#supervisors[worker]?.tell(order);
  }

  /** Resolves once every worker has answered. All earlier orders are then in force. */
  answered(): Promise<void> {
    return this.orderAll(addressOrder('own-addresses', { added: [], removed: [] }));
  }

  /** Resolves once the order is in force at that worker. */
  async orderOne(worker: number, order: Order): Promise<void> {
    await this.#supervisors[worker]?.order(order);
  }

  /** The offloads in force with all workers. */
  get offload(): WorkerSetup['offload'] {
    const offloads = this.#supervisors.map(({ offload }) => offload);
    return { udpGso: offloads.every(({ udpGso }) => udpGso), udpGro: offloads.every(({ udpGro }) => udpGro) };
  }

  /** Number of VTEPs that a worker knows to be behind a smaller path MTU. The largest number of all workers. */
  get pathLimits(): number {
    return Math.max(...this.#supervisors.map(({ pathLimits }) => pathLimits));
  }

  /** Sockets that receive without merging for a while, for each worker, with the source of the last message that caused this. */
  get unmerged(): Status['unmerged'] {
    const apart = this.#supervisors.map((supervisor) => supervisor.apart);
    const vteps = apart.flatMap(({ source }) => (source ? formatSource(source) : []));
    return { sockets: apart.reduce((sum, { sockets }) => sum + sockets, 0), vteps: [...new Set(vteps)] };
  }

  get states(): readonly WorkerState[] {
    return this.#supervisors.map(({ state }) => state);
  }

  /** The first worker that hangs, if there is one. */
  get hang(): Hang | undefined {
    const worker = this.states.findIndex(({ state }) => state === 'hung');
    const supervisor = this.#supervisors[worker];
    return supervisor && { worker, seconds: (supervisor.looksWithoutTurn * LOOK_INTERVAL_MS) / 1_000 };
  }

  /** Returns whether all threads have ended. */
  async stop(): Promise<boolean> {
    clearInterval(this.#looking);
    for (const supervisor of this.#supervisors) supervisor.announceStop();
    const gone = await Promise.all(this.#supervisors.map((supervisor) => supervisor.stop()));
    return gone.every((isGone) => isGone);
  }
}
