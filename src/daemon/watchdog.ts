import { notifySystemd } from '../host/notify.ts';

/**
 * Tells systemd that the daemon runs, as often as it requires (sd_watchdog_enabled(3)), and only while the data plane answers. If a worker or the
 * main thread hangs, systemd is not told, and restarts the daemon.
 */
export class Watchdog {
  readonly #answered: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #isAsking = false;

  /** @param answered resolves once every worker has answered */
  constructor(answered: () => Promise<void>) {
    this.#answered = answered;
  }

  /** Does nothing if systemd does not watch. */
  start(): void {
    const limitMs = watchdogLimitMs(process.env, process.pid);
    if (limitMs === undefined) return;
    // Three within the limit, so that one may be late.
    this.#timer = setInterval(() => void this.#ask(), limitMs / 3);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    // An unanswered order is not sent again.
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

/** How long systemd waits between two notifications of this process; undefined: it does not watch. */
export function watchdogLimitMs(env: NodeJS.ProcessEnv, pid: number): number | undefined {
  const { WATCHDOG_USEC = '', WATCHDOG_PID = `${pid}` } = env;
  if (WATCHDOG_PID !== `${pid}` || !/^[1-9]\d*$/.test(WATCHDOG_USEC)) return undefined;
  return Number(WATCHDOG_USEC) / 1000;
}
