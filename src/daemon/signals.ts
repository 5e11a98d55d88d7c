import type { Logger } from '../observe/log.ts';

/**
 * Signals without an action. Without a listener SIGUSR1 would open the debugger of Node to all users of the host, and the others would end the
 * process.
 */
const IGNORED = ['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGIO', 'SIGPWR', 'SIGSTKFLT', 'SIGPIPE'] as const;

export function ignoreSignals(log: Logger): void {
  for (const signal of IGNORED) {
    process.on(signal, () => log.info({ event: 'signal-ignored', signal }, 'vtepd has no action for this signal'));
  }
}

/** SIGHUP: kept from the start of the process until the daemon can act on it. */
export class HangUps {
  #isKept = false;
  #act: (() => void) | undefined;

  constructor() {
    process.on('SIGHUP', () => {
      if (this.#act) this.#act();
      else this.#isKept = true;
    });
  }

  /** From now on `act` is called on each, at once if one was kept. */
  heard(act: () => void): void {
    this.#act = act;
    if (this.#isKept) act();
    this.#isKept = false;
  }
}
