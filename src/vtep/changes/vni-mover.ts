import type { Underlay } from '../../host/underlay/underlay.ts';
import type { Link } from '../../sys/netlink/links.ts';
import { closePool, releaseListeners } from '../../underlay/source.ts';
import type { HeldOnHost } from '../upkeep/held-on-host.ts';
import { MtuFollower } from '../upkeep/mtu-follower.ts';
import type { Underlays } from '../vni/underlays.ts';
import { reachOf, type Vni } from '../vni/vni.ts';
import { addGroupSocket, addListener, addPool, groupWorker, putSegment } from '../workers/worker-state.ts';

export interface MoverGround extends HeldOnHost {
  readonly opened: Underlays;
  /** The interface was named with `--dev`. It stays open for later VNIs, also while no VNI uses it. */
  readonly keepsUnused: boolean;
  /** Updates everything that depends on the addresses of the host. */
  readonly settle: () => void;
}

/** A group that a VNI has now or had before. */
export interface GroupUse extends Pick<Vni, 'group' | 'needsGroup' | 'underlay'> {
  readonly config: Pick<Vni['config'], 'group'>;
}

/** Announces underlays to workers, and moves VNIs from one underlay to another. TAPs, tables and lists stay. One change runs after the other. */
export class VniMover {
  readonly #ground: MoverGround;
  readonly #mtu: MtuFollower;
  #holds = 0;

  constructor(ground: MoverGround) {
    this.#ground = ground;
    this.#mtu = new MtuFollower(ground);
  }

  /** Announces an underlay that was opened. Resolves when all workers send and listen on it. */
  async tellUnderlay(underlay: Underlay): Promise<void> {
    const { workers } = this.#ground;
    const orders = [workers.orderAll(addPool(underlay))];
    for (let worker = 0; worker < workers.size; worker++) {
      for (const listener of underlay.source?.newListeners ?? []) {
        orders.push(workers.orderOne(worker, addListener(listener, worker)));
      }
    }
    // With `--listen local` the underlay adds an own address.
    this.#ground.settle();
    await Promise.all([...orders, ...this.#followReach()]);
  }

  /**
   * Moves a VNI to the underlays of another interface. They are opened if necessary. Underlays that no VNI uses any more are closed.
   *
   * @throws VtepError if they cannot be opened or the group cannot be joined there; the VNI is then as it was
   */
  async move(vni: Vni, link: Link): Promise<void> {
    const { underlays, workers, log } = this.#ground;
    const known = new Set(underlays);
    try {
      const target = this.#ground.opened.on(link, vni.config);
      const { group } = vni.config;
      const underlay = target.find(({ family }) => group?.includes(':') === (family === 6)) ?? target[0];
      for (const opened of underlays.filter((each) => !known.has(each))) await this.tellUnderlay(opened);
      // Between these two states, `join=lazy` does not change its decision.
      const before = { ...vni };
      const joined = group === undefined ? undefined : underlay.membership.join(group, vni.needsGroup);
      Object.assign(vni, { underlay, underlays: target, group: joined?.number ?? vni.group });
      vni.reach = reachOf(underlays, underlay);
      // Who was heard in the group of the other interface may not be in this one.
      vni.flood.leaveGroup();
      vni.flood.hold(vni.flood.held, vni.config.remotes);
      await workers.orderAll(putSegment(vni));
      if (joined?.opened !== undefined && group !== undefined) {
        const { number, opened: fd } = joined;
        await workers.orderOne(groupWorker(number, workers.size), addGroupSocket({ number, group, fd }));
      }
      await this.leaveGroup(before);
      this.#mtu.follow(underlay);
      log.warn({ event: 'underlay-moved', vni: vni.config.vni, from: before.underlay.name, dev: underlay.name });
    } finally {
      await this.closeUnused();
    }
  }

  /** Leaves a group that a VNI has or had. */
  async leaveGroup({ config, group, needsGroup, underlay }: GroupUse): Promise<void> {
    const { workers } = this.#ground;
    const fd = config.group === undefined ? undefined : underlay.membership.leave(config.group, needsGroup);
    if (fd === undefined) return;
    // The worker releases the socket before it is closed: the kernel could reuse the fd number at once.
    await workers.orderOne(groupWorker(group, workers.size), { kind: 'remove-socket', fd });
    underlay.membership.close(fd);
  }

  /** Keeps all underlays open until the returned function is called. A VNI that is created anew may leave an underlay unused for a moment. */
  hold(): () => Promise<void> {
    this.#holds++;
    return () => {
      this.#holds--;
      return this.closeUnused();
    };
  }

  /**
   * Closes the underlays that no VNI uses, unless they are held or were named. Their numbers may be reused when no worker and no segment knows them.
   * The caller that moves a VNI away from an underlay calls this after the groups are left.
   */
  async closeUnused(): Promise<void> {
    const { underlays, vnis, workers, opened, listeners, keepsUnused } = this.#ground;
    if (this.#holds > 0 || keepsUnused) return;
    for (const underlay of underlays.filter((each) => !vnis.some((vni) => vni.underlays.includes(each)))) {
      const { source, number, family, link } = underlay;
      const left = source ? releaseListeners(listeners, source) : [];
      opened.forget(underlay);
      const orders = [
        workers.orderAll({ kind: 'add-pool', underlay: number, family, scope: link.index, fds: [], fragmentable: 0 }),
        ...this.#followReach(),
      ];
      for (let worker = 0; worker < workers.size; worker++) {
        for (const { fds } of left) {
          orders.push(workers.orderOne(worker, { kind: 'remove-socket', fd: fds[worker] as number }));
        }
      }
      await Promise.all(orders);
      for (const listener of left) listeners.close(listener);
      if (source) closePool(source);
      this.#ground.settle();
    }
  }

  /** A VNI reaches VTEPs of every family for which its interface has an underlay. */
  #followReach(): Promise<void>[] {
    const { underlays, vnis, workers } = this.#ground;
    return vnis.flatMap((vni) => {
      const reach = reachOf(underlays, vni.underlay);
      if (reach.ipv4 === vni.reach.ipv4 && reach.ipv6 === vni.reach.ipv6) return [];
      vni.reach = reach;
      return workers.orderAll(putSegment(vni));
    });
  }
}
