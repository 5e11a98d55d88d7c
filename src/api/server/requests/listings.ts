import { VtepError } from '../../../lib/errors.ts';
import { LISTING_PATIENCE_MS, LISTING_SHARE_MS, MAX_LISTINGS } from '../../../lib/limits.ts';

/** A listing that is being sent. */
interface Listing {
  readonly sinceMs: number;
  /** Ends it unfinished. */
  readonly cut: () => void;
}

/** One that waits for its turn. */
interface Waiting {
  readonly start: () => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * Listings of one table under way on one server: of the forwarding table, or of the VTEPs. Each keeps the MACs, or a number for each VTEP, until its
 * client has read the last of them, so their number bounds the memory, however slowly clients read. One that has used up its time is ended as soon as
 * another waits.
 */
export class Listings {
  readonly #path: string;
  readonly #nowMs: () => number;
  readonly #underWay = new Set<Listing>();
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param path what is listed, for the refusal */
  constructor(path: string, nowMs: () => number = () => performance.now()) {
    this.#path = path;
    this.#nowMs = nowMs;
  }

  /**
   * Waits for its turn.
   *
   * @param cut ends the listing where it is, when it has had its time and others wait
   * @returns a function to call when the listing has ended
   * @throws VtepError ERR_VTEP_LIMIT after LISTING_PATIENCE_MS
   */
  async begin(cut: () => void): Promise<() => void> {
    if (this.#underWay.size >= MAX_LISTINGS) await this.#turn();
    const listing = { sinceMs: this.#nowMs(), cut };
    this.#underWay.add(listing);
    return () => {
      if (!this.#underWay.delete(listing)) return;
      const next = this.#waiting.shift();
      clearTimeout(next?.timer);
      next?.start();
    };
  }

  #turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        start: resolve,
        timer: setTimeout(() => {
          this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
          reject(refusal(this.#path));
        }, LISTING_PATIENCE_MS),
      };
      this.#waiting.push(waiting);
      this.#cutOverdue();
    });
  }

  /** Ends the oldest listing once it has used up its time, and checks again when the next one will have. */
  #cutOverdue(): void {
    clearTimeout(this.#timer);
    const [oldest] = this.#underWay;
    if (this.#waiting.length === 0 || !oldest) return;
    const leftMs = oldest.sinceMs + LISTING_SHARE_MS - this.#nowMs();
    if (leftMs <= 0) oldest.cut();
    this.#timer = setTimeout(() => this.#cutOverdue(), Math.max(leftMs, 100));
    this.#timer.unref();
  }
}

function refusal(path: string): VtepError {
  return new VtepError('ERR_VTEP_LIMIT', {
    object: `GET ${path}`,
    cause: `${MAX_LISTINGS} such listings are being sent already`,
    remedy: 'ask again later, or end one of them',
  });
}
