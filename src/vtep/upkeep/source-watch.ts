import type { Underlay } from '../../host/underlay/underlay.ts';
import type { SourceChange } from '../../host/underlay/underlay-source.ts';
import { closePool, releaseListeners } from '../../underlay/source.ts';
import { addListener, addPool } from '../workers/worker-state.ts';
import type { HeldOnHost } from './held-on-host.ts';

/** Maximum number of simultaneous exchanges of an underlay. While a worker hangs, each exchange keeps the previous sockets open. */
const MAX_EXCHANGES = 4;

/** Keeps the sources of underlays in step with the addresses of the host. */
export class SourceWatch {
  readonly #held: Pick<HeldOnHost, 'log' | 'workers' | 'listeners' | 'underlays'>;
  /** Number of unfinished exchanges of each underlay. */
  readonly #exchanges = new Map<Underlay, number>();
  /** Underlays whose addresses are followed only when an exchange ends. The addresses at that time count. */
  readonly #postponed = new Set<Underlay>();

  constructor(held: Pick<HeldOnHost, 'log' | 'workers' | 'listeners' | 'underlays'>) {
    this.#held = held;
  }

  /** The host's addresses may have changed. */
  followAll(): void {
    for (const underlay of this.#held.underlays) this.follow(underlay);
  }

  /** Tries again to open sources that failed. */
  retry(): void {
    for (const underlay of this.#held.underlays) if (underlay.sourceTrouble !== undefined) this.follow(underlay);
  }

  follow(underlay: Underlay): void {
    if (this.#exchangesOf(underlay) >= MAX_EXCHANGES) {
      this.#postponed.add(underlay);
      return;
    }
    const before = underlay.status;
    const change = underlay.followAddresses();
    if (change) void this.#counted(underlay, () => this.exchange(underlay, change));
    this.#tell(underlay, { before, change });
  }

  #exchangesOf(underlay: Underlay): number {
    return this.#exchanges.get(underlay) ?? 0;
  }

  async #counted(underlay: Underlay, exchange: () => Promise<void>): Promise<void> {
    this.#exchanges.set(underlay, this.#exchangesOf(underlay) + 1);
    try {
      await exchange();
    } finally {
      const left = this.#exchangesOf(underlay) - 1;
      if (left > 0) this.#exchanges.set(underlay, left);
      else this.#exchanges.delete(underlay);
      if (this.#postponed.delete(underlay) && this.#held.underlays.includes(underlay)) this.follow(underlay);
    }
  }

  /**
   * Makes the workers send and listen with the new sources of an underlay. New sockets are added before old ones are closed, so that no flow is
   * interrupted.
   */
  async exchange(underlay: Underlay, { retired }: SourceChange): Promise<void> {
    const { workers, listeners } = this.#held;
    const { source } = underlay;
    const left = retired ? releaseListeners(listeners, retired) : [];
    const orders = [workers.orderAll(addPool(underlay))];
    for (let worker = 0; worker < workers.size; worker++) {
      for (const listener of source?.newListeners ?? []) {
        orders.push(workers.orderOne(worker, addListener(listener, worker)));
      }
    }
    await Promise.all([...orders, ...left.map((listener) => listeners.emptied(listener))]);
    const removals = left.flatMap(({ fds }) =>
      fds.map((fd, worker) => workers.orderOne(worker, { kind: 'remove-socket', fd })),
    );
    await Promise.all(removals);
    for (const listener of left) listeners.close(listener);
    if (retired) closePool(retired, source);
  }

  #tell(underlay: Underlay, { before, change }: { before: string; change: SourceChange | undefined }): void {
    const { log } = this.#held;
    const { name: dev, family, status } = underlay;
    if (change && change.from !== change.to) {
      log.warn({ event: 'underlay-address', dev, family, from: change.from, to: change.to, status });
    } else if (status !== before) {
      log.warn({ event: 'underlay-changed', dev, status });
    }
  }
}
