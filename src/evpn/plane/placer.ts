import { setImmediate } from 'node:timers/promises';
import type { Batch, Forwarding } from '../../control/control-plane.ts';
import { VtepError } from '../../lib/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { RemoteRoutes } from '../routes/remote-routes.ts';

/** Entries of one batch: the forwarding database applies them in slices of its own. */
const BATCH = 1_024;

/** Brings the forwarding state of the VTEP in step with the routes that were received. */
export class Placer {
  readonly #remote: RemoteRoutes;
  readonly #log: Logger;
  #forwarding: Forwarding | undefined;
  #isRunning = false;

  constructor(remote: RemoteRoutes, log: Logger) {
    this.#remote = remote;
    this.#log = log;
  }

  use(forwarding: Forwarding | undefined): void {
    this.#forwarding = forwarding;
    this.place();
  }

  /** Received routes may have changed. */
  place(): void {
    if (this.#isRunning || !this.#forwarding) return;
    this.#isRunning = true;
    void this.#run(this.#forwarding);
  }

  async #run(forwarding: Forwarding): Promise<void> {
    try {
      // Changes that arrive together are one batch.
      await setImmediate();
      for (let next = this.#remote.take(BATCH); next; next = this.#remote.take(BATCH)) {
        if (!(await this.#say(forwarding, next))) break;
        await setImmediate();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** @returns false: the host refuses the change, or vtepd stops. It is tried again at the next call of `place` */
  async #say(
    forwarding: Forwarding,
    { vni, batch }: { readonly vni: number; readonly batch: Batch },
  ): Promise<boolean> {
    try {
      this.#remote.refused(vni, await forwarding.say(vni, batch));
      return true;
    } catch (err) {
      if (!(err instanceof VtepError)) throw err;
      this.#log.warn({ event: 'control-refused', vni, origin: 'evpn', err });
      // A part of the batch may be in force.
      this.#remote.saidAgain(vni);
      return false;
    }
  }
}
