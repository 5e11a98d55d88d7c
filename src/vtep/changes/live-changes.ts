import { setImmediate } from 'node:timers/promises';
import type { Config, StaticEntry, VniConfig } from '../../config/config.ts';
import { checkVniSet, type NamedVni } from '../../config/vni-set.ts';
import type { Batch, Refused, Said } from '../../control/control-plane.ts';
import type { ControlOrigin } from '../../control/origin.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import { notifySystemd, statusLine } from '../../host/notify.ts';
import { deleteTap } from '../../host/tap/tap.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { Serial } from '../../lib/serial.ts';
import { findLink, type Link } from '../../sys/netlink/links.ts';
import { listStatics } from '../entries/fdb-listing.ts';
import { whenUnlocked } from '../entries/when-unlocked.ts';
import type { HeldOnHost } from '../upkeep/held-on-host.ts';
import type { LazyJoin } from '../upkeep/lazy-join.ts';
import { leaveTrunk } from '../vni/trunk-tap.ts';
import { tapNumber, tapOverrun, type Vni } from '../vni/vni.ts';
import type { Vnis } from '../vni/vnis.ts';
import { addGroupSocket, addTap, groupWorker, putSegment } from '../workers/worker-state.ts';
import { type FloodGround, FloodLists } from './flood-lists.ts';
import { GroupReach } from './group-reach.ts';
import { RemovedDrops } from './removed-drops.ts';
import { refuseAll, SaidChanges, type SaidGround } from './said-changes.ts';
import { changeSettings, type SettingsGround } from './settings-change.ts';
import { type ChangedVni, changeInPlace } from './vni-change.ts';
import { type MoverGround, VniMover } from './vni-mover.ts';
import type { VniOpener } from './vni-opener.ts';
import { forgetVni } from './vni-setup.ts';

/** The running VTEP, as far as changes need it. */
export interface ChangedVtep extends HeldOnHost, SettingsGround, FloodGround, Pick<MoverGround, 'opened' | 'settle'> {
  readonly fdb: Fdb;
  readonly workers: HeldOnHost['workers'];
  readonly registry: Vnis;
  readonly opener: Pick<VniOpener, 'open'>;
  readonly neighbours: SaidGround['neighbours'];
  readonly lazyJoin: Pick<LazyJoin, 'look'>;
  /** Called when VNIs were added, removed or changed. */
  readonly vnisChanged: () => void;
}

/** Changes of the running VTEP, one after the other. Each promise resolves when all workers use the new state. */
export class LiveChanges {
  /** Drops of the VNIs that were deleted. */
  readonly removedDrops = new RemovedDrops();
  readonly #vtep: ChangedVtep;
  readonly #serial = new Serial();
  readonly #floodLists: FloodLists;
  readonly #groupReach: GroupReach;
  readonly #mover: VniMover;
  readonly #said: SaidChanges;
  #isClosed = false;

  constructor(vtep: ChangedVtep) {
    this.#vtep = vtep;
    this.#floodLists = new FloodLists(vtep);
    this.#groupReach = new GroupReach(() => this.#followGroups(), vtep.log);
    this.#mover = new VniMover({ ...vtep, keepsUnused: vtep.settings.config.dev !== undefined });
    this.#said = new SaidChanges(vtep, this.#floodLists);
  }

  /** Refuses further changes. Resolves when the current change has ended. The workers have stopped, so no change waits for them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#groupReach.stop();
    await this.#serial.run(() => {});
  }

  /**
   * Adds a VNI. If it fails, nothing of the VNI remains.
   *
   * @param object the object with which refusals of the entry begin
   * @throws VtepError as at the start
   */
  addVni(config: VniConfig, object: string): Promise<Vni> {
    return this.#changeVnis(async () => {
      const { vnis, underlays, opened, log } = this.#vtep;
      const running = vnis.map(
        (vni): NamedVni => ({ object: `VNI ${vni.config.vni}`, config: vni.config, isRunning: true }),
      );
      checkVniSet([...running, { object, config }], this.#vtep.settings.config);
      const open = underlays.length;
      let vni: Vni;
      try {
        vni = this.#vtep.opener.open(config, opened.forVni(config));
        this.#vtep.lookAtPaths(vni);
      } catch (error) {
        for (const underlay of underlays.slice(open)) opened.close(underlay);
        throw error;
      }
      for (const underlay of underlays.slice(open)) await this.#mover.tellUnderlay(underlay);
      await this.#tellVni(vni);
      log.info({ event: 'vni-added', vni: config.vni, tap: config.tap, dev: vni.underlay.name });
      notifySystemd(statusLine(this.#vtep));
      return vni;
    });
  }

  /** Deletes a VNI. @returns its configuration, with everything added at run time @throws VtepError ERR_VTEP_NOT_FOUND */
  removeVni(number: number): Promise<VniConfig> {
    return this.#changeVnis(async () => {
      const { vnis, registry, workers, fdb, now, netlink, log } = this.#vtep;
      const vni = registry.need(number);
      // The list comes first: a worker that is restarted meanwhile must not learn of this VNI.
      registry.remove(vni);
      const { index, tap, link, elsewhere } = vni;
      // The trunk is deleted with the last of its VNIs.
      const isTapShared = vnis.some((other) => other.tap === tap);
      const orders = [workers.orderAll({ kind: 'segment', update: { kind: 'remove', index } })];
      if (!isTapShared) orders.push(workers.orderAll({ kind: 'remove-tap', tap: tapNumber(vni) }));
      await Promise.all(orders);
      await this.#mover.leaveGroup(vni);
      const statics = await this.#staticsOf(vni);
      await this.#said.forgetNeighbours(vni);
      await whenUnlocked(() => forgetVni(fdb, vni, now()));
      if (!isTapShared)
        this.removedDrops.tapOverrun += tapOverrun(tap, link ? findLink(netlink, link.index) : elsewhere?.link);
      this.removedDrops.take(workers.counters, index);
      registry.release(vni);
      if (isTapShared) this.#raiseTrunkMtu(vni);
      else deleteTap(tap);
      await this.#mover.closeUnused();
      log.info({ event: 'vni-deleted', vni: number, tap: vni.config.tap });
      notifySystemd(statusLine(this.#vtep));
      return { ...vni.config, statics };
    });
  }

  /**
   * Changes a VNI in place. Its TAP and VLAN cannot change. TAP, table and flood list stay unless the target says otherwise. The new group is joined
   * before the old one is left.
   *
   * @returns the old configuration; the same call with it restores the VNI
   * @throws VtepError NOT_FOUND (VNI), CONFLICT, LIMIT, or as at the start; the VNI is then as it was
   */
  changeVni(target: VniConfig): Promise<VniConfig> {
    return this.#changeVnis(async () => {
      const { underlays, registry, opened, workers, fdb, now, log } = this.#vtep;
      const vni = registry.need(target.vni);
      const before = vni.config;
      const open = underlays.length;
      let changed: ChangedVni;
      try {
        changed = changeInPlace(this.#vtep, vni, { target, underlays: opened.forVni(target) });
      } catch (error) {
        for (const underlay of underlays.slice(open)) opened.close(underlay);
        throw error;
      }
      const { joined, left } = changed;
      // All orders are sent in one step, so that later events reach the workers after them.
      const orders = underlays.slice(open).map((underlay) => this.#mover.tellUnderlay(underlay));
      orders.push(workers.orderAll(putSegment(vni)));
      for (const each of joined) {
        orders.push(workers.orderOne(groupWorker(each.number, workers.size), addGroupSocket(each)));
      }
      await Promise.all(orders);
      if (left.group) await this.#mover.leaveGroup(left.group);
      await this.#mover.closeUnused();
      for (const remote of left.remotes) await whenUnlocked(() => fdb.releaseRemote(remote, now()));
      if (target.maxMacs < before.maxMacs) await this.#enforceLimit(vni);
      this.#vtep.lookAtPaths(vni);
      this.#vtep.lazyJoin.look();
      log.info({ event: 'vni-changed', vni: target.vni });
      return before;
    });
  }

  /**
   * Keeps every joined group joined and every underlay open until the returned function is called. So a group that passes from one VNI to another is
   * not left in between.
   */
  holdGroups(): Promise<() => Promise<void>> {
    return this.#change(async () => {
      const { underlays } = this.#vtep;
      const release = this.#mover.hold();
      const held = underlays.flatMap((underlay) =>
        underlay.membership.joined.map(({ group, number }) => {
          underlay.membership.join(group);
          return { underlay, config: { group }, group: number, needsGroup: true };
        }),
      );
      return () =>
        this.#serial.run(async () => {
          for (const group of held) await this.#mover.leaveGroup(group);
          await release();
        });
    });
  }

  /** Applies the settings that all VNIs share. @throws VtepError if the host refuses them; all settings are then as they were */
  changeSettings(config: Config): Promise<void> {
    return this.#change(() => changeSettings(this.#vtep, config));
  }

  /**
   * Adds a remote to the flood list of a VNI. A remote that is in the list already is no error. @throws VtepError NOT_FOUND (VNI), CONFLICT, LIMIT
   */
  addRemote(number: number, address: IpAddress): Promise<void> {
    return this.#changeVnis(async () => {
      if (!(await this.#floodLists.add(this.#vtep.registry.need(number), address))) return;
      this.#vtep.log.info({ event: 'remote-added', vni: number, remote: address });
    });
  }

  /** Removes a remote from the flood list of a VNI. @throws VtepError ERR_VTEP_NOT_FOUND */
  removeRemote(number: number, address: IpAddress): Promise<void> {
    return this.#changeVnis(async () => {
      const vni = this.#vtep.registry.need(number);
      if (!vni.config.remotes.includes(address)) {
        throw new VtepError('ERR_VTEP_NOT_FOUND', {
          object: `remote ${address} of VNI ${number}`,
          cause: 'it is not in the flood list',
          remedy: `\`vtepctl vni show ${number}\` lists its remotes`,
        });
      }
      await this.#floodLists.remove(vni, address);
      this.#vtep.log.info({ event: 'remote-deleted', vni: number, remote: address });
    });
  }

  /** Applies the changes that a control plane announces for a VNI. @throws VtepError UNREACHABLE while vtepd stops */
  say(number: number, origin: ControlOrigin, batch: Batch): Promise<Refused> {
    return this.#change(async () => {
      const vni = this.#vtep.registry.find(number);
      return vni ? this.#said.say(vni, origin, batch) : refuseAll(batch);
    });
  }

  /** Applies the full state that a control plane announces for a VNI. Nothing is kept for a VNI that was deleted. @throws VtepError as `say` */
  replaceSaid(number: number, origin: ControlOrigin, said: Said): Promise<void> {
    return this.#change(async () => {
      const vni = this.#vtep.registry.find(number);
      if (vni) await this.#said.replace(vni, origin, said);
    });
  }

  /** The route to the destination of a VNI uses another interface now. @throws VtepError if the VNI cannot follow it */
  moveVni(vni: Vni, link: Link): Promise<void> {
    return this.#changeVnis(async () => {
      if (this.#vtep.vnis.includes(vni)) await this.#mover.move(vni, link);
    });
  }

  /** Addresses have become own or broadcast addresses of this host, or are no longer such addresses. */
  followOwnAddresses(changed: ReadonlySet<IpAddress>): Promise<void> {
    return this.#serial.run(async () => {
      if (!this.#isClosed) await this.#floodLists.followOwnAddresses(changed);
    });
  }

  /** A worker heard a remote of a VNI's flood list in the VNI's group. */
  remoteInGroup(segment: number, remote: number): void {
    this.#floodLists.heardInGroup(segment, remote);
    this.#groupReach.heard();
  }

  #followGroups(): Promise<boolean> {
    return this.#serial.run(async () => !this.#isClosed && (await this.#floodLists.followGroups()));
  }

  /** Runs a change of the VNIs. */
  #changeVnis<Result>(change: () => Promise<Result>): Promise<Result> {
    return this.#change(() => change().finally(this.#vtep.vnisChanged));
  }

  #change<Result>(change: () => Promise<Result>): Promise<Result> {
    return this.#serial.run(() => {
      if (!this.#isClosed) return change();
      throw new VtepError('ERR_VTEP_UNREACHABLE', { object: 'vtepd', cause: 'it is stopping' });
    });
  }

  /** The segment comes first, so that no frame arrives from a TAP or socket of an unknown VNI. */
  async #tellVni(vni: Vni): Promise<void> {
    const { workers } = this.#vtep;
    const { underlay, group } = vni;
    const orders = [workers.orderAll(putSegment(vni))];
    // If other VNIs share the trunk, the workers read it already.
    const isTapShared = this.#vtep.vnis.some((other) => other !== vni && other.tap === vni.tap);
    for (let worker = 0; !isTapShared && worker < workers.size; worker++) {
      orders.push(workers.orderOne(worker, addTap(vni, worker)));
    }
    const membership = underlay.membership.joined.find(({ number }) => number === group);
    // If another VNI has joined this group, the worker has the socket already and ignores the order.
    if (membership) {
      orders.push(workers.orderOne(groupWorker(group, workers.size), addGroupSocket(membership)));
    }
    await Promise.all(orders);
  }

  #raiseTrunkMtu(left: Vni): void {
    const { netlink, vnis, log } = this.#vtep;
    try {
      leaveTrunk(netlink, vnis, left);
    } catch (err) {
      // The MTU is smaller than necessary, or the TAP was deleted. The TAP works as before.
      log.warn({ event: 'mtu-not-followed', tap: left.config.tap, err });
    }
  }

  async #staticsOf({ index, config: { vni } }: Vni): Promise<readonly StaticEntry[]> {
    const { fdb, now } = this.#vtep;
    // The search goes through all entries of all VNIs.
    if (fdb.counts.totalOf(index) === 0) return [];
    const numbers = new Map([[index, vni]]);
    return (await listStatics({ fdb, now, numbers: () => numbers })).get(vni) ?? [];
  }

  /** Called when all workers use the new limit. */
  async #enforceLimit({ index, config }: Vni): Promise<void> {
    const { fdb, now } = this.#vtep;
    for (let isDone = false; !isDone; await setImmediate()) {
      await whenUnlocked(() => {
        isDone = fdb.enforceLimit(index, config.maxMacs, now());
      });
    }
  }
}
