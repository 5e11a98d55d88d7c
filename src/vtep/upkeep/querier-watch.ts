import type { Querier } from '../../api/schemas.ts';
import { LinkQuerier, type LinkQuerierOptions } from '../../host/querier/link-querier.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { VtepError } from '../../lib/errors.ts';
import { rawSocketRefusal } from '../../sys/socket/query-socket.ts';
import { ERRNO, SysError } from '../../sys/sys-error.ts';
import { monotonicMs } from '../../worker/clock.ts';
import type { Vni } from '../vni/vni.ts';

/** Maximum delay of a query, of the reaction to a change of the interface, and of the report of a new querier. */
const LOOK_INTERVAL_MS = 1_000;

export interface QuerierWatchOptions extends LinkQuerierOptions {
  readonly underlays: readonly Underlay[];
  readonly vnis: readonly Vni[];
}

/**
 * Watches for IGMP and MLD queriers on every underlay where a VNI has a group. Without a querier, snooping switches stop forwarding the group. The
 * watch reads underlays and VNIs every second, so code that changes them need not call it.
 */
export class QuerierWatch {
  readonly #options: QuerierWatchOptions;
  readonly #links = new Map<Underlay, LinkQuerier>();
  /** Why a socket could not be opened. Each failure is logged once. */
  readonly #failures = new Map<Underlay, string>();
  #canHear = true;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: QuerierWatchOptions) {
    this.#options = options;
  }

  /** Tests whether queries can be received. @throws VtepError if not, and the configuration asks vtepd to be the querier */
  prepare(): void {
    const { isCandidate, log } = this.#options;
    const refusal = rawSocketRefusal();
    this.#canHear = refusal === 0;
    if (this.#canHear) return;
    if (isCandidate()) throw notQuerier(refusal);
    const err = new SysError('IGMP and MLD queries', refusal, { remedy: 'give vtepd CAP_NET_RAW to hear them' });
    log.info({ event: 'querier-unknown', err });
  }

  /** @throws VtepError if this VTEP cannot be the querier */
  checkCandidate(): void {
    const refusal = rawSocketRefusal();
    if (refusal !== 0) throw notQuerier(refusal);
    if (this.#canHear) return;
    // The permission was given later.
    this.#canHear = true;
    this.start();
  }

  start(): void {
    if (!this.#canHear) return;
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  /** One for each interface and family where a VNI has a group. */
  status(): Querier[] {
    // VNIs may have been added since the last look.
    if (this.#timer) this.#look();
    const now = monotonicMs();
    return this.#underlaysWithGroups().map((underlay) => {
      const { name: dev, family } = underlay;
      const link = this.#links.get(underlay);
      if (link) return { dev, family, watching: true, ...link.view(now) };
      return { dev, family, watching: false, since: null, querier: null, lastHeard: null, own: false };
    });
  }

  #look(): void {
    const underlays = this.#underlaysWithGroups();
    for (const [underlay, link] of this.#links) {
      if (underlays.includes(underlay)) continue;
      link.close();
      this.#links.delete(underlay);
    }
    for (const underlay of underlays) {
      try {
        let link = this.#links.get(underlay);
        if (!link) {
          link = new LinkQuerier(underlay, this.#options);
          this.#links.set(underlay, link);
        }
        link.look(monotonicMs());
        this.#failures.delete(underlay);
      } catch (err) {
        this.#tellFailure(underlay, err as Error);
      }
    }
  }

  #underlaysWithGroups(): Underlay[] {
    const { underlays, vnis } = this.#options;
    const used = new Set(vnis.flatMap(({ config, underlay }) => (config.group === undefined ? [] : underlay)));
    return underlays.filter((underlay) => used.has(underlay));
  }

  /** Every look tries again. */
  #tellFailure(underlay: Underlay, err: Error): void {
    if (this.#failures.get(underlay) === err.message) return;
    this.#failures.set(underlay, err.message);
    this.#options.log.warn({ event: 'querier-not-watched', dev: underlay.name, family: underlay.family, err });
  }
}

function notQuerier(refusal: number): VtepError {
  if (refusal !== ERRNO.EPERM) return new SysError('--querier', refusal);
  return new VtepError('ERR_VTEP_SYSTEM', {
    object: '--querier',
    cause: 'sending queries needs CAP_NET_RAW, which vtepd lacks',
    remedy: 'give it (in the unit: CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW), or leave out --querier',
  });
}
