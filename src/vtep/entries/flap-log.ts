import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import { MAC_HOLD_SECONDS, MAX_FLAP_LINES_PER_SECOND } from '../../lib/limits.ts';
import type { Logger } from '../../observe/log.ts';

export interface Flap {
  readonly vni: number;
  readonly mac: MacAddress;
  /** First where the MAC stays, then where else it was heard. */
  readonly vteps: readonly (IpAddress | 'local')[];
}

/** Logs MACs that flap, one line each. If there are many, it logs only some, and the number of the others. */
export class FlapLog {
  readonly #log: Logger;
  /** Tenths of a second. */
  readonly #now: () => number;
  #second = 0;
  #lines = 0;
  #more = 0;

  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  add(flap: Flap): void {
    this.flush();
    if (this.#lines === MAX_FLAP_LINES_PER_SECOND) {
      this.#more++;
      return;
    }
    this.#lines++;
    const text = `heard at two VTEPs in turns, stays at the first for ${MAC_HOLD_SECONDS} s: two machines with one address, or a loop`;
    this.#log.warn({ event: 'mac-flapping', ...flap }, text);
  }

  /** Logs how many lines were left out, once their second has ended. */
  flush(): void {
    const second = Math.floor(this.#now() / 10);
    if (second === this.#second) return;
    if (this.#more > 0)
      this.#log.warn({ event: 'mac-flapping-more', macs: this.#more }, 'more MACs flap than are logged');
    this.#second = second;
    this.#lines = 0;
    this.#more = 0;
  }
}
