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

/** How often what could not be done is tried again. */
const RETRY_INTERVAL_MS = 1_000;

/** Changes of addresses are gathered so long: thousands of them cost one look, and a renumbering of two steps is one. */
const SETTLE_MS = 50;

const TOO_MANY = `the host has more than ${MAX_HOST_ADDRESSES} addresses: vtepd does not know all of them`;

export interface WatchedHost extends HeldTaps {
  /** Something was heard of the host: the statuses of VNIs may be others. */
  readonly onHeard: () => void;
  readonly own: OwnAddresses;
  /** Flood lists and static entries leave out what has become own or a broadcast address, and take in what is so no more. */
  readonly ownChanged: (changed: ReadonlySet<IpAddress>) => Promise<void>;
  /** Routes may have changed with links and addresses. */
  readonly touchPaths: () => void;
}

/** Hears of the host's interfaces and addresses, and has what is held on the host kept in step with them. */
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

  /** Why links and addresses cannot be looked at now; undefined: they can. */
  get unseen(): string | undefined {
    return this.#unseen ?? (this.#held.addresses.isCut ? TOO_MANY : undefined);
  }

  /** A number that changes whenever the host's links may have. */
  get linkChanges(): number {
    return this.#linkChanges;
  }

  /** A VNI with `join=lazy` wants its group joined from now on, or no more. */
  needGroup(vni: Vni, group: IpAddress, isNeeded: boolean): void {
    this.underlays.needGroup(vni, group, isNeeded);
  }

  /** Follows the addresses as they are known now. */
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

  /** Without messages everything is to be looked at. */
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
