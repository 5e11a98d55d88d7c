import { closePool, releaseListeners } from '../underlay/source.ts';
import type { HeldOnHost } from './held-on-host.ts';
import type { Underlay } from './underlay.ts';
import type { SourceChange } from './underlay-source.ts';
import { addListener, addPool } from './worker-state.ts';

/** Keeps what underlays send from in step with the host's addresses. */
export class SourceWatch {
  readonly #held: Pick<HeldOnHost, 'log' | 'workers' | 'listeners' | 'underlays'>;

  constructor(held: Pick<HeldOnHost, 'log' | 'workers' | 'listeners' | 'underlays'>) {
    this.#held = held;
  }

  /** The host's addresses may have changed. */
  followAll(): void {
    for (const underlay of this.#held.underlays) this.follow(underlay);
  }

  /** Sources that could not be opened are tried again. */
  retry(): void {
    for (const underlay of this.#held.underlays) if (underlay.sourceTrouble !== undefined) this.follow(underlay);
  }

  follow(underlay: Underlay): void {
    const before = underlay.status;
    const change = underlay.followAddresses();
    if (change) void this.exchange(underlay, change);
    this.#tell(underlay, { before, change });
  }

  /** Has the workers send and listen by what an underlay has become. What is new first, then what is to be closed: no flow waits. */
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
