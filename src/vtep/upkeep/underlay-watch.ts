import type { Underlay } from '../../host/underlay/underlay.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { findLink, type LinkEvent } from '../../sys/netlink/links.ts';
import type { Membership } from '../../underlay/group-membership.ts';
import type { Order } from '../../worker/messages.ts';
import type { Vni } from '../vni/vni.ts';
import { addGroupSocket, groupWorker } from '../workers/worker-state.ts';
import type { HeldOnHost } from './held-on-host.ts';
import { MtuFollower } from './mtu-follower.ts';
import { SourceWatch } from './source-watch.ts';

/** Keeps the underlays in step with the host: their interfaces, addresses, MTU and groups. */
export class UnderlayWatch {
  readonly sources: SourceWatch;
  readonly #held: HeldOnHost;
  readonly #mtu: MtuFollower;

  constructor(held: HeldOnHost) {
    this.#held = held;
    this.#mtu = new MtuFollower(held);
    this.sources = new SourceWatch(held);
  }

  /** A VNI with `join=lazy` needs its group joined from now on, or no longer. */
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

  onLink(event: LinkEvent): void {
    for (const underlay of this.#held.underlays) {
      if (!event.deleted) underlay.seeMaster(event.link);
      if (underlay.isOn(event.link)) this.#onLinkOf(underlay, event);
    }
  }

  /** Tries again what failed before: joins groups, opens sockets. */
  retry(): void {
    for (const underlay of this.#held.underlays) this.#openGroups(underlay.retry());
    this.sources.retry();
  }

  #onLinkOf(underlay: Underlay, { link, deleted }: LinkEvent): void {
    const { vrf, mtuBytes, status } = underlay;
    const before = { index: underlay.link.index, status, mtuBytes, vrf: vrf?.index };
    if (deleted) {
      this.#closeGroups(underlay, underlay.lose());
      // Another interface of that name may exist already: its event came before this one.
      const successor = findLink(this.#held.netlink, underlay.name);
      if (successor) this.#onLinkOf(underlay, { link: successor, deleted: false });
    } else {
      const { joined, errors } = underlay.see(link);
      if (link.index !== before.index) {
        this.#held.workers.tellAll({ kind: 'pool-scope', underlay: underlay.number, scope: link.index });
      }
      this.#openGroups(joined);
      for (const err of errors) this.#held.log.warn({ event: 'group-not-joined', dev: underlay.name, err });
    }
    if (underlay.status !== before.status) {
      this.#held.log.warn({ event: 'underlay-changed', dev: underlay.name, status: underlay.status });
    }
    if (underlay.link.index !== before.index || underlay.vrf?.index !== before.vrf) this.sources.follow(underlay);
    if (underlay.mtuBytes !== before.mtuBytes) this.#mtu.follow(underlay);
  }

  #openGroups(joined: readonly Membership[]): void {
    const { workers } = this.#held;
    for (const each of joined) workers.tellOne(groupWorker(each.number, workers.size), addGroupSocket(each));
  }

  /** The worker releases a socket before it is closed: the kernel could reuse the fd number at once. */
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
}
