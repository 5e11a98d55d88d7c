import type { IpAddress } from '../lib/addresses.ts';
import { findLink, type LinkEvent, linkEvents, listLinks } from '../sys/links.ts';
import type { NetlinkMessage } from '../sys/netlink-message.ts';
import { EVENT_GROUPS, NetlinkWatch } from '../sys/netlink-watch.ts';
import type { HeldOnHost } from './held-on-host.ts';
import { TapWatch } from './tap-watch.ts';
import { UnderlayWatch } from './underlay-watch.ts';
import type { Vni } from './vni.ts';

/** How often a group that could not be rejoined is tried again. */
const RETRY_INTERVAL_MS = 1_000;

/** Hears of the host's interfaces and addresses, and has what is held on the host kept in step with them. */
export class HostWatch {
  readonly underlays: UnderlayWatch;
  readonly taps: TapWatch;
  readonly #held: HeldOnHost;
  readonly #endings: (() => void)[] = [];
  #linkChanges = 0;

  constructor(held: HeldOnHost) {
    this.#held = held;
    this.underlays = new UnderlayWatch(held);
    this.taps = new TapWatch(held);
  }

  start(): void {
    const { link, ipv4Address, ipv6Address } = EVENT_GROUPS;
    const { log } = this.#held;
    const watch = new NetlinkWatch(link | ipv4Address | ipv6Address, {
      onEvents: (messages) => this.#onEvents(messages),
      onFailing: (err) => log.warn({ event: 'host-unseen', err }, 'looks again until it succeeds'),
      onWell: () => log.info({ event: 'host-seen' }, 'sees the host again'),
    });
    watch.start();
    this.#endings.push(() => watch.stop());
    const retrying = setInterval(() => this.underlays.retryMemberships(), RETRY_INTERVAL_MS);
    this.#endings.push(() => clearInterval(retrying));
  }

  stop(): void {
    for (const end of this.#endings.splice(0)) end();
  }

  /** A number that changes whenever the host's links may have. */
  get linkChanges(): number {
    return this.#linkChanges;
  }

  /** A VNI with `join=lazy` wants its group joined from now on, or no more. */
  needGroup(vni: Vni, group: IpAddress, isNeeded: boolean): void {
    this.underlays.needGroup(vni, group, isNeeded);
  }

  /** Without messages everything is to be looked at. */
  #onEvents(messages: readonly NetlinkMessage[]): void {
    this.#linkChanges++;
    if (messages.length === 0) this.#lookAtAllLinks();
    for (const event of linkEvents(messages)) this.#onLink(event);
    this.underlays.lookForLocals();
  }

  #lookAtAllLinks(): void {
    const { netlink, underlays, vnis } = this.#held;
    const links = listLinks(netlink);
    const seen = new Set(links.map(({ index }) => index));
    const known = [...underlays, ...vnis].flatMap(({ link }) => link ?? []);
    for (const link of known) {
      if (seen.has(link.index)) continue;
      const missed = findLink(netlink, link.index);
      this.#onLink(missed ? { link: missed, deleted: false } : { link, deleted: true });
    }
    for (const link of links) this.#onLink({ link, deleted: false });
  }

  #onLink(event: LinkEvent): void {
    this.underlays.onLink(event);
    this.taps.onLink(event);
  }
}
