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
  /** Number of the first thread in the FDB's lock; every further one, successors included, gets the next. */
  readonly firstOwner: number;
  readonly fdb: Fdb;
  readonly log: Logger;
  /** The orders that bring a new thread to the present state. @param worker whose fds it takes over, from 0 on */
  readonly state: (worker: number) => Order[];
  /** A worker has let a TAP go that is no more; each of them tells. */
  readonly tapGone: (tap: number) => void;
  /** A remote of a segment's flood list was heard in the segment's group too. Each thread tells once, successors too. */
  readonly remoteInGroup: (segment: number, remote: number) => void;
  /** One of them died too often. */
  readonly died: (error: Error) => void;
}

/** How often it is looked whether each worker turns. */
const LOOK_INTERVAL_MS = 250;

type OwnOfWorker = keyof WorkerMemories | 'worker' | 'owner' | 'wakeFd' | 'stopMemory';

/** The data plane: workers that share the FDB and the source ports, each with sockets and TAP queues of its own. */
export class WorkerPool {
  /** One for each worker: whoever reads adds them up. */
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

  /** As `orderAll`, where nobody waits for it: of a worker that hangs, nothing is kept that grows. */
  tellAll(order: Order): void {
    for (const supervisor of this.#supervisors) supervisor.tell(order);
  }

  /** As `orderOne`, where nobody waits for it. */
  tellOne(worker: number, order: Order): void {
    this.#supervisors[worker]?.tell(order);
  }

  /** Resolves once every worker has answered. What it is told, it knows. */
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

  /** VTEPs that a worker knows to be behind a smaller MTU: of the one that knows most. */
  get pathLimits(): number {
    return Math.max(...this.#supervisors.map(({ pathLimits }) => pathLimits));
  }

  /** Sockets that receive without merging for a while, and where the last message that had it so came from, at each worker. */
  get unmerged(): Status['unmerged'] {
    const apart = this.#supervisors.map((supervisor) => supervisor.apart);
    const vteps = apart.flatMap(({ source }) => (source ? formatSource(source) : []));
    return { sockets: apart.reduce((sum, { sockets }) => sum + sockets, 0), vteps: [...new Set(vteps)] };
  }

  get states(): readonly WorkerState[] {
    return this.#supervisors.map(({ state }) => state);
  }

  /** The first worker that hangs, if one does. */
  get hang(): Hang | undefined {
    const worker = this.states.findIndex(({ state }) => state === 'hung');
    const supervisor = this.#supervisors[worker];
    return supervisor && { worker, seconds: (supervisor.looksWithoutTurn * LOOK_INTERVAL_MS) / 1_000 };
  }

  /** Whether all threads are no more. */
  async stop(): Promise<boolean> {
    clearInterval(this.#looking);
    for (const supervisor of this.#supervisors) supervisor.announceStop();
    const gone = await Promise.all(this.#supervisors.map((supervisor) => supervisor.stop()));
    return gone.every((isGone) => isGone);
  }
}
