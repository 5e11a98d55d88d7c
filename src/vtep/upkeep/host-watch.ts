import type { AddressChanges, OwnAddresses } from '../../host/underlay/own-addresses.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { MAX_HOST_ADDRESSES } from '../../lib/limits.ts';
import { addressEvents } from '../../sys/netlink/addresses.ts';
import { findLink, type LinkEvent, linkEvents, listLinks, portEvents } from '../../sys/netlink/links.ts';
import type { NetlinkMessage } from '../../sys/netlink/netlink-message.ts';
import { EVENT_GROUPS, NetlinkWatch } from '../../sys/netlink/netlink-watch.ts';
import type { Vni } from '../vni/vni.ts';
import { addressOrder } from '../workers/worker-state.ts';
import type { HeldTaps } from './held-on-host.ts';
import { TapWatch } from './tap-watch.ts';
import { UnderlayWatch } from './underlay-watch.ts';

/** Interval between two attempts of what failed. */
const RETRY_INTERVAL_MS = 1_000;

/** Changes of addresses are collected for this time. Thousands of changes then cause one look, and a renumbering of two steps counts as one. */
const SETTLE_MS = 50;

const TOO_MANY = `the host has more than ${MAX_HOST_ADDRESSES} addresses: vtepd does not know all of them`;

export interface WatchedHost extends HeldTaps {
  /** Called when an event of the host arrived: the status of VNIs may have changed. */
  readonly onHeard: () => void;
  readonly own: OwnAddresses;
  /** Flood lists and static entries leave out new own and broadcast addresses of this host, and include addresses that no longer are. */
  readonly ownChanged: (changed: ReadonlySet<IpAddress>) => Promise<void>;
  /** Routes may have changed with links and addresses. */
  readonly touchPaths: () => void;
}

/** Receives events of the interfaces and addresses of the host, and keeps the resources on the host in step with them. */
export class HostWatch {
  readonly underlays: UnderlayWatch;
  readonly taps: TapWatch;
  readonly #held: WatchedHost;
  readonly #endings: (() => void)[] = [];
  readonly #watch: NetlinkWatch;
  #linkChanges = 0;
  #unseen: string | undefined;
  #wasCut = false;
  #settling: NodeJS.Timeout | undefined;

  constructor(held: WatchedHost) {
    this.#held = held;
    this.underlays = new UnderlayWatch(held);
    this.taps = new TapWatch(held);
    const { link, ipv4Address, ipv6Address } = EVENT_GROUPS;
    const { log } = held;
    this.#watch = new NetlinkWatch(link | ipv4Address | ipv6Address, {
      onEvents: (messages) => this.#onEvents(messages),
      onFailing: (err) => {
        this.#unseen = err.reason;
        log.warn({ event: 'host-unseen', err }, 'vtepd tries again until it succeeds');
        held.onHeard();
      },
      onWell: () => {
        this.#unseen = undefined;
        log.info({ event: 'host-seen' }, 'the host can be read again');
        held.onHeard();
      },
    });
  }

  start(): void {
    this.#watch.start();
    this.#watch.attempt(() => this.settle());
    this.taps.start();
    const retrying = setInterval(() => this.#watch.attempt(() => this.underlays.retry()), RETRY_INTERVAL_MS);
    this.#endings.push(() => {
      this.#watch.stop();
      clearInterval(retrying);
      clearTimeout(this.#settling);
      this.taps.stop();
    });
  }

  stop(): void {
    for (const end of this.#endings.splice(0)) end();
  }

  /** Why links and addresses cannot be read now. undefined: they can. */
  get unseen(): string | undefined {
    return this.#unseen ?? (this.#held.addresses.isCut ? TOO_MANY : undefined);
  }

  /** A number that changes whenever the links of the host may have changed. */
  get linkChanges(): number {
    return this.#linkChanges;
  }

  /** A VNI with `join=lazy` needs its group joined from now on, or no longer. */
  needGroup(vni: Vni, group: IpAddress, isNeeded: boolean): void {
    this.underlays.needGroup(vni, group, isNeeded);
  }

  /** Updates everything that depends on addresses, from the addresses known now. */
  settle(): void {
    const { own, workers, ownChanged } = this.#held;
    this.#tellCut();
    this.underlays.sources.followAll();
    const changes = own.takeChanges();
    if (hasChanged(changes.broadcasts)) workers.tellAll(addressOrder('broadcast-addresses', changes.broadcasts));
    if (hasChanged(changes.own)) workers.tellAll(addressOrder('own-addresses', changes.own));
    const changed = Object.values(changes).flatMap(({ added, removed }) => [...added, ...removed]);
    if (changed.length > 0) void ownChanged(new Set(changed));
  }

  #tellCut(): void {
    const { addresses, log } = this.#held;
    if (addresses.isCut && !this.#wasCut) log.warn({ event: 'host-addresses-full', known: addresses.count }, TOO_MANY);
    this.#wasCut = addresses.isCut;
  }

  #settleSoon(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined;
      this.#watch.attempt(() => this.settle());
    }, SETTLE_MS);
  }

  /** If there are no messages, everything is examined. */
  #onEvents(messages: readonly NetlinkMessage[]): void {
    const { addresses } = this.#held;
    if (messages.length === 0) this.#lookAtAll();
    for (const event of addressEvents(messages)) addresses.take(event);
    if (addresses.hasRoomAgain) addresses.list(listLinks(this.#held.netlink));
    const links = linkEvents(messages);
    if (links.length > 0) this.#linkChanges++;
    for (const event of links) this.#onLink(event);
    for (const event of portEvents(messages)) this.taps.onPort(event);
    this.#settleSoon();
    this.#held.touchPaths();
    this.#held.onHeard();
  }

  #lookAtAll(): void {
    const { netlink, addresses, underlays, vnis } = this.#held;
    this.#linkChanges++;
    const links = listLinks(netlink);
    addresses.list(links);
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
    this.#held.addresses.takeLink(event);
    this.underlays.onLink(event);
    this.taps.onLink(event);
  }
}

function hasChanged({ added, removed }: AddressChanges): boolean {
  return added.length + removed.length > 0;
}
