import { type IpAddress, ipBytes, isUnspecifiedIp } from '../../lib/addresses.ts';
import { MAX_QUERIER_PRESENT_MS } from '../../lib/limits.ts';
import { type MulticastQuery, QUERY_DEFAULTS } from '../../wire/queries/multicast-query.ts';

const QUERY_INTERVAL_MS = QUERY_DEFAULTS.intervalSeconds * 1_000;
/** A querier that starts sends this many queries at shorter intervals (RFC 3376 §8.6, §8.7; RFC 3810 §9.6, §9.7). */
const STARTUP_QUERIES = QUERY_DEFAULTS.robustness;
const STARTUP_INTERVAL_MS = QUERY_INTERVAL_MS / 4;

/** What is known of the querier of one interface and family. */
export interface QuerierView {
  /** Whole seconds that it has been listened for. */
  readonly since: number;
  /** The querier; null if none was heard recently enough to count as present. */
  readonly querier: IpAddress | null;
  /** Whole seconds since another querier was heard; null if never. */
  readonly lastHeard: number | null;
  /** It is this daemon. */
  readonly own: boolean;
}

/** Actions that are due. `changed` is present if the querier differs from the last reported one, or is gone. */
export interface QuerierActions {
  /** A general query from this address. */
  readonly send: IpAddress | undefined;
  readonly changed: Pick<QuerierView, 'querier' | 'own'> | undefined;
}

interface Heard {
  readonly address: IpAddress;
  readonly atMs: number;
  /** When it no longer counts as present (RFC 3376 §8.5, RFC 3810 §9.5). */
  readonly untilMs: number;
}

/**
 * Who is the querier of one interface and family (RFC 2236 §3, RFC 3376 §6.6.2, RFC 3810 §7.6.2): of all that are heard, the one with the lowest
 * address. A candidate takes part, and sends queries while no lower address is present. Times are milliseconds of any steady clock.
 */
export class QuerierElection {
  readonly #sinceMs: number;
  /** The lowest of those present, or the one heard last. */
  #heard: Heard | undefined;
  /** The source address of queries, while they can be sent. */
  #own: IpAddress | undefined;
  #startupQueries: number = STARTUP_QUERIES;
  /** When the next query is due; at once after becoming the querier. */
  #nextMs = -Infinity;
  #told: Pick<QuerierView, 'querier' | 'own'> = { querier: null, own: false };

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** The interface came up: the listeners may have lost their state, or may be others. A candidate starts again. */
  restart(): void {
    this.#startupQueries = STARTUP_QUERIES;
    this.#nextMs = -Infinity;
  }

  hear(query: MulticastQuery, nowMs: number): void {
    // The kernel also delivers own queries.
    if (query.source === this.#own) return;
    const { source: address } = query;
    if (this.#heard && nowMs < this.#heard.untilMs && isBefore(this.#heard.address, address)) return;
    this.#heard = { address, atMs: nowMs, untilMs: nowMs + presentMs(query) };
  }

  /**
   * Does what is due; call it about once a second.
   *
   * @param own address that queries can be sent from; undefined if there is none now, or this is no candidate
   */
  tick(own: IpAddress | undefined, nowMs: number): QuerierActions {
    this.#own = own;
    const { querier, own: isOwn } = this.view(nowMs);
    const isDue = isOwn && nowMs >= this.#nextMs;
    if (isDue) {
      this.#startupQueries = Math.max(0, this.#startupQueries - 1);
      this.#nextMs = nowMs + (this.#startupQueries > 0 ? STARTUP_INTERVAL_MS : QUERY_INTERVAL_MS);
    } else if (own !== undefined && !isOwn) {
      // A takeover sends one query, and continues at the usual interval.
      this.#startupQueries = 0;
      this.#nextMs = -Infinity;
    }
    const isTold = querier === this.#told.querier && isOwn === this.#told.own;
    this.#told = { querier, own: isOwn };
    return { send: isDue ? own : undefined, changed: isTold ? undefined : this.#told };
  }

  view(nowMs: number): QuerierView {
    const present = this.#heard && nowMs < this.#heard.untilMs ? this.#heard.address : undefined;
    const isOwn = this.#own !== undefined && !(present !== undefined && isElected(present, this.#own));
    return {
      since: seconds(nowMs - this.#sinceMs),
      querier: (isOwn ? this.#own : present) ?? null,
      lastHeard: this.#heard ? seconds(nowMs - this.#heard.atMs) : null,
      own: isOwn,
    };
  }
}

/** Other Querier Present Interval, by what the querier says of itself. */
function presentMs({ robustness, intervalSeconds, responseMs }: MulticastQuery): number {
  return Math.min(MAX_QUERIER_PRESENT_MS, robustness * intervalSeconds * 1_000 + responseMs / 2);
}

/** Whether another is the querier instead of this one. A switch that queries from 0.0.0.0 does not stand for election (RFC 4541 §2.1.1). */
function isElected(other: IpAddress, own: IpAddress): boolean {
  return !isUnspecifiedIp(other) && isBefore(other, own);
}

/** By address, the lowest first; those without an address last. */
function isBefore(a: IpAddress, b: IpAddress): boolean {
  if (isUnspecifiedIp(a) !== isUnspecifiedIp(b)) return isUnspecifiedIp(b);
  return Buffer.compare(ipBytes(a), ipBytes(b)) < 0;
}

function seconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1_000));
}
