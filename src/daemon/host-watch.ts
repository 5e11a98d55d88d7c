import type { IpAddress } from '../lib/addresses.ts';
import type { Logger } from '../observe/log.ts';
import { changeLink, findLink, hostAddresses, type LinkEvent, linkEvents, listLinks } from '../sys/links.ts';
import { EVENT_GROUPS, type NetlinkSocket, watchNetlink } from '../sys/netlink-socket.ts';
import type { Membership } from '../underlay/group-membership.ts';
import type { Order } from '../worker/messages.ts';
import type { Underlay } from './underlay.ts';
import { mtuLimit, tapNumber, trunkMtuLimit, type Vni } from './vni.ts';
import type { WorkerPool } from './worker-pool.ts';
import { addGroupSocket, groupWorker, putSegment } from './worker-state.ts';

/** How often a group that could not be rejoined is tried again. */
const RETRY_INTERVAL_MS = 1_000;

/** What is kept in step with the host. The lists are the VTEP's own and change while it runs. */
export interface HeldOnHost {
  readonly netlink: NetlinkSocket;
  readonly log: Logger;
  readonly underlays: readonly Underlay[];
  readonly vnis: readonly Vni[];
  readonly workers: WorkerPool;
}

/** Follows the host's interfaces and addresses: what goes, comes back, or changes is told to the workers and the log. */
export class HostWatch {
  readonly #held: HeldOnHost;
  readonly #endings: (() => void)[] = [];
  #linkChanges = 0;

  constructor(held: HeldOnHost) {
    this.#held = held;
  }

  start(): void {
    this.#endings.push(
      watchNetlink(EVENT_GROUPS.link | EVENT_GROUPS.ipv4Address | EVENT_GROUPS.ipv6Address, (messages) => {
        this.#linkChanges++;
        // Without messages some were lost: look at everything.
        if (messages.length === 0) this.#lookAtAllLinks();
        for (const event of linkEvents(messages)) this.#onLink(event);
        this.#lookForLocals();
      }),
    );
    // What changed between the first look and the watch.
    this.#lookAtAllLinks();
    this.#lookForLocals();
    const retrying = setInterval(() => this.#retryMemberships(), RETRY_INTERVAL_MS);
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
    const { underlay } = vni;
    vni.needsGroup = isNeeded;
    if (isNeeded) {
      underlay.membership.need(group);
      this.#openGroups(underlay.retry());
    } else {
      this.#closeGroups(underlay, underlay.membership.release(group));
    }
  }

  /** A worker found a TAP gone; the others may have, and the kernel tells too. */
  tapGone(tap: number): void {
    const vni = this.#held.vnis.find((each) => tapNumber(each) === tap);
    if (vni?.link) this.#onTapLink({ link: vni.link, deleted: true });
  }

  #lookAtAllLinks(): void {
    const links = listLinks(this.#held.netlink);
    const known = [...this.#held.underlays, ...this.#held.vnis].flatMap(({ link }) => link ?? []);
    for (const link of known) {
      if (!links.some(({ index }) => index === link.index)) this.#onLink({ link, deleted: true });
    }
    for (const link of links) this.#onLink({ link, deleted: false });
  }

  #onLink(event: LinkEvent): void {
    for (const underlay of this.#held.underlays) if (underlay.isOn(event.link)) this.#onUnderlayLink(underlay, event);
    this.#onTapLink(event);
  }

  /** An address may go without its interface changing: then every send fails, and nothing else tells. */
  #lookForLocals(): void {
    const addresses = hostAddresses(this.#held.netlink);
    for (const underlay of this.#held.underlays) {
      const hasLocal = addresses.includes(underlay.local);
      if (hasLocal === underlay.hasLocal) continue;
      underlay.hasLocal = hasLocal;
      this.#held.log.warn({ event: 'underlay-changed', dev: underlay.name, status: underlay.status });
    }
  }

  #onUnderlayLink(underlay: Underlay, { link, deleted }: LinkEvent): void {
    const before = { index: underlay.link.index, status: underlay.status, mtuBytes: underlay.mtuBytes };
    if (deleted) {
      this.#closeGroups(underlay, underlay.lose());
      // Another of that name may be there already: its own event was before this one.
      const successor = findLink(this.#held.netlink, underlay.name);
      if (successor) this.#onUnderlayLink(underlay, { link: successor, deleted: false });
    } else {
      const { joined, errors } = underlay.see(link);
      if (link.index !== before.index) {
        void this.#held.workers.orderAll({ kind: 'pool-scope', underlay: underlay.number, scope: link.index });
      }
      this.#openGroups(joined);
      for (const err of errors) this.#held.log.warn({ event: 'group-not-joined', dev: underlay.name, err });
    }
    if (underlay.status !== before.status) {
      this.#held.log.warn({ event: 'underlay-changed', dev: underlay.name, status: underlay.status });
    }
    if (underlay.mtuBytes !== before.mtuBytes) this.#followMtu(underlay);
  }

  /** TAPs without `mtu=` follow the underlay; all learn the new bound. */
  #followMtu(underlay: Underlay): void {
    const vnis = this.#held.vnis.filter((vni) => vni.underlays.includes(underlay));
    for (const vni of vnis) {
      this.#tellSegment(vni);
      const { mtuBytes, vlan } = vni.config;
      if (mtuBytes === undefined && vlan === undefined) this.#setMtu(vni, mtuLimit(vni.config, vni.underlays));
    }
    const onTrunk = vnis.find(({ config }) => config.vlan !== undefined);
    if (onTrunk) this.#setMtu(onTrunk, trunkMtuLimit(this.#held.vnis));
  }

  #setMtu({ config, link }: Vni, mtuBytes: number): void {
    if (!link) return;
    try {
      changeLink(this.#held.netlink, link.index, { mtuBytes }, `TAP "${config.tap}"`);
    } catch (err) {
      this.#held.log.warn({ event: 'mtu-not-followed', tap: config.tap, mtu: mtuBytes, err });
    }
  }

  /** A trunk is the TAP of several VNIs. */
  #onTapLink({ link, deleted }: LinkEvent): void {
    const vnis = this.#held.vnis.filter((vni) => vni.link && vni.tap.link.index === link.index);
    const [first] = vnis;
    if (!first) return;
    if (deleted) {
      const { tap, vni, vlan } = first.config;
      this.#held.log.error({ event: 'tap-gone', tap, ...(vlan === undefined && { vni }) });
      void this.#held.workers.orderAll({ kind: 'remove-tap', tap: tapNumber(first) });
    }
    for (const vni of vnis) {
      const before = vni.link;
      vni.link = deleted ? undefined : link;
      const isSame = link.up === before?.up && link.mtuBytes === before.mtuBytes && link.mac === before.mac;
      if (deleted || !isSame) this.#tellSegment(vni);
    }
  }

  #tellSegment(vni: Vni): void {
    void this.#held.workers.orderAll(putSegment(vni));
  }

  #openGroups(joined: readonly Membership[]): void {
    for (const membership of joined) void this.#orderOwner(membership, addGroupSocket(membership));
  }

  /** Its worker lets a socket go before it is closed: its number could be another's at once. */
  #closeGroups(underlay: Underlay, left: readonly Membership[]): void {
    for (const membership of left) {
      const { fd } = membership;
      void this.#orderOwner(membership, { kind: 'remove-socket', fd }).then(() => underlay.membership.close(fd));
    }
  }

  #orderOwner({ number }: Membership, order: Order): Promise<void> {
    const { workers } = this.#held;
    return workers.orderOne(groupWorker(number, workers.size), order);
  }

  #retryMemberships(): void {
    for (const underlay of this.#held.underlays) this.#openGroups(underlay.retry());
  }
}
