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
  /** VNIs came, went or changed. */
  readonly vnisChanged: () => void;
}

/** What changes while the VTEP runs, one change after the other. Each resolves when all workers go by it. */
export class LiveChanges {
  /** Drops of the VNIs that are no more. */
  readonly removedDrops = new RemovedDrops();
  readonly #vtep: ChangedVtep;
  readonly #serial = new Serial();
  readonly #floodLists: FloodLists;
  readonly #mover: VniMover;
  readonly #said: SaidChanges;
  #isClosed = false;

  constructor(vtep: ChangedVtep) {
    this.#vtep = vtep;
    this.#floodLists = new FloodLists(vtep);
    this.#mover = new VniMover({ ...vtep, keepsUnused: vtep.settings.config.dev !== undefined });
    this.#said = new SaidChanges(vtep, this.#floodLists);
  }

  /** Refuses further changes; resolves when the one under way has ended. The workers have stopped: none waits for them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#serial.run(() => {});
  }

  /**
   * Adds a VNI. What fails leaves nothing of it.
   *
   * @param object what refusals of the entry begin with
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

  /** Deletes a VNI. @returns it as it was, with what was added while running @throws VtepError ERR_VTEP_NOT_FOUND */
  removeVni(number: number): Promise<VniConfig> {
    return this.#changeVnis(async () => {
      const { vnis, registry, workers, fdb, now, netlink, log } = this.#vtep;
      const vni = registry.need(number);
      // First from the list: a worker that is revived meanwhile must not learn of it.
      registry.remove(vni);
      const { index, tap, link, elsewhere } = vni;
      // The trunk goes with the last of its VNIs.
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
   * Makes a VNI another where it stands, but for its TAP and VLAN: TAP, table and flood list stay as far as nothing says otherwise. The new
   * group is joined before the old one is left.
   *
   * @returns as it was, which brings it back by the same call
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
      // All at once, so that what happens meanwhile is told to the workers behind it.
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
   * Keeps every group that is joined now joined, and every underlay open, whoever leaves it, until the returned function is called: what goes
   * from VNI to VNI is not given up in between.
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

  /** Puts what all VNIs have in common into force. @throws VtepError if the host refuses; all is then as it was */
  changeSettings(config: Config): Promise<void> {
    return this.#change(() => changeSettings(this.#vtep, config));
  }

  /** Adds a remote to a VNI's flood list; one that is in it is done. @throws VtepError NOT_FOUND (VNI), CONFLICT, LIMIT */
  addRemote(number: number, address: IpAddress): Promise<void> {
    return this.#changeVnis(async () => {
      if (!(await this.#floodLists.add(this.#vtep.registry.need(number), address))) return;
      this.#vtep.log.info({ event: 'remote-added', vni: number, remote: address });
    });
  }

  /** Takes a remote off a VNI's flood list. @throws VtepError ERR_VTEP_NOT_FOUND */
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

  /** A control plane says what changes in a VNI. @throws VtepError UNREACHABLE while vtepd stops */
  say(number: number, origin: ControlOrigin, batch: Batch): Promise<Refused> {
    return this.#change(async () => {
      const vni = this.#vtep.registry.find(number);
      return vni ? this.#said.say(vni, origin, batch) : refuseAll(batch);
    });
  }

  /** A control plane says all that it knows of a VNI. Of one that has gone nothing is kept. @throws VtepError as `say` */
  replaceSaid(number: number, origin: ControlOrigin, said: Said): Promise<void> {
    return this.#change(async () => {
      const vni = this.#vtep.registry.find(number);
      if (vni) await this.#said.replace(vni, origin, said);
    });
  }

  /** The route to a VNI's destination leads elsewhere now. @throws VtepError if the VNI cannot follow it */
  moveVni(vni: Vni, link: Link): Promise<void> {
    return this.#changeVnis(async () => {
      if (this.#vtep.vnis.includes(vni)) await this.#mover.move(vni, link);
    });
  }

  /** Addresses have become the host's own or a broadcast address, or are so no more. */
  followOwnAddresses(changed: ReadonlySet<IpAddress>): Promise<void> {
    return this.#serial.run(async () => {
      if (!this.#isClosed) await this.#floodLists.followOwnAddresses(changed);
    });
  }

  /** A worker heard a remote of a VNI's flood list in the VNI's group. */
  remoteInGroup(segment: number, remote: number): void {
    this.#floodLists.heardInGroup(segment, remote);
  }

  /** A change of the VNIs. */
  #changeVnis<Result>(change: () => Promise<Result>): Promise<Result> {
    return this.#change(() => change().finally(this.#vtep.vnisChanged));
  }

  #change<Result>(change: () => Promise<Result>): Promise<Result> {
    return this.#serial.run(() => {
      if (!this.#isClosed) return change();
      throw new VtepError('ERR_VTEP_UNREACHABLE', { object: 'vtepd', cause: 'it is stopping' });
    });
  }

  /** The segment first, so that no frame comes from a TAP or socket of a VNI that is not known. */
  async #tellVni(vni: Vni): Promise<void> {
    const { workers } = this.#vtep;
    const { underlay, group } = vni;
    const orders = [workers.orderAll(putSegment(vni))];
    // The trunk that other VNIs have is read already.
    const isTapShared = this.#vtep.vnis.some((other) => other !== vni && other.tap === vni.tap);
    for (let worker = 0; !isTapShared && worker < workers.size; worker++) {
      orders.push(workers.orderOne(worker, addTap(vni, worker)));
    }
    const membership = underlay.membership.joined.find(({ number }) => number === group);
    // Of a group that another VNI has joined, the worker has the socket already, and is told nothing new.
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
      // Smaller than it need be, or deleted by now: it serves as it did.
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

  /** Once all workers go by the new limit. */
  async #enforceLimit({ index, config }: Vni): Promise<void> {
    const { fdb, now } = this.#vtep;
    for (let isDone = false; !isDone; await setImmediate()) {
      await whenUnlocked(() => {
        isDone = fdb.enforceLimit(index, config.maxMacs, now());
      });
    }
  }
}
