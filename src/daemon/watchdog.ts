import { notifySystemd } from '../host/notify.ts';

/**
 * Tells systemd that the daemon lives, as often as it wants to hear it (sd_watchdog_enabled(3)), and only while the data plane answers: where
 * a thread hangs, or the main thread itself, systemd hears nothing and starts the daemon anew.
 */
export class Watchdog {
  readonly #answered: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #isAsking = false;

  /** @param answered resolves once every worker has answered */
  constructor(answered: () => Promise<void>) {
    this.#answered = answered;
  }

  /** Does nothing where nobody watches. */
  start(): void {
    const limitMs = watchdogLimitMs(process.env, process.pid);
    if (limitMs === undefined) return;
    // Three in a limit: one that is late is no harm.
    this.#timer = setInterval(() => void this.#ask(), limitMs / 3);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    // What was asked and not answered is not asked again.
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      await this.#answered();
      notifySystemd('WATCHDOG=1');
    } catch {
      // A worker that refuses or dies did not answer. Its successor is asked next time.
    } finally {
      this.#isAsking = false;
    }
  }
}

/** How long systemd waits between two signs of life of this process; undefined: it does not wait for any. */
export function watchdogLimitMs(env: NodeJS.ProcessEnv, pid: number): number | undefined {
  const { WATCHDOG_USEC = '', WATCHDOG_PID = `${pid}` } = env;
  if (WATCHDOG_PID !== `${pid}` || !/^[1-9]\d*$/.test(WATCHDOG_USEC)) return undefined;
  return Number(WATCHDOG_USEC) / 1000;
}
