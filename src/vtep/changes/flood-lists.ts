import { deepFreeze } from '../../config/config.ts';
import type { RefusalCause, Refused } from '../../control/control-plane.ts';
import type { ControlOrigin } from '../../control/origin.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import { NO_REMOTE } from '../../fdb/remotes.ts';
import type { Bar } from '../../host/underlay/own-addresses.ts';
import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { MAX_FLOOD_MEMBERS, MAX_FLOOD_REMOTES } from '../../lib/limits.ts';
import type { Logger } from '../../observe/log.ts';
import { whenUnlocked } from '../entries/when-unlocked.ts';
import type { Vni } from '../vni/vni.ts';
import { addressOf, sourceOf } from '../vni/vtep-address.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';
import { broadcastAddress, fdbFull } from './vni-setup.ts';

export interface FloodGround {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  readonly log: Logger;
  readonly vnis: readonly Vni[];
  readonly workers: WorkerPool;
  /** Why nothing is sent to an address. undefined: it can be sent to. */
  readonly barOf: (address: IpAddress) => Bar | undefined;
  /** Called when a VNI is new or when its list has changed. */
  readonly lookAtPaths: (vni: Vni) => void;
}

/**
 * Changes the flood list of each VNI (head-end replication). The requested members come from the configuration of the VNI and from control planes.
 * The members that are sent to are the same without the own and broadcast addresses of this host.
 */
export class FloodLists {
  readonly #vtep: FloodGround;

  constructor(vtep: FloodGround) {
    this.#vtep = vtep;
  }

  /**
   * Adds a static member. Floods are sent to it unless it is an address of this host.
   *
   * @returns whether it is new in the list
   * @throws VtepError CONFLICT, LIMIT
   */
  async add(vni: Vni, address: IpAddress): Promise<boolean> {
    const { config } = vni;
    if (config.remotes.includes(address)) return false;
    refuseRemote(vni, address);
    if (this.#vtep.barOf(address) === 'broadcast') throw broadcastAddress(`remote ${address} of VNI ${config.vni}`);
    vni.config = deepFreeze({ ...config, remotes: [...config.remotes, address] });
    try {
      if ((await this.#follow(vni)).includes(address)) throw fdbFull(config);
    } catch (error) {
      vni.config = config;
      throw error;
    }
    this.#vtep.lookAtPaths(vni);
    return true;
  }

  /** Removes a static member. Floods are still sent to it if a control plane names it too. */
  async remove(vni: Vni, address: IpAddress): Promise<void> {
    const remotes = vni.config.remotes.filter((remote) => remote !== address);
    vni.config = deepFreeze({ ...vni.config, remotes });
    this.#vtep.lookAtPaths(vni);
    await this.#follow(vni);
  }

  /** Replaces the members that a control plane names. @returns the members that are refused */
  async put(vni: Vni, origin: ControlOrigin, members: ReadonlySet<IpAddress>): Promise<Refused['floods']> {
    const { flood, underlays } = vni;
    const refused: Refused['floods'][number][] = [];
    const taken = new Set<IpAddress>();
    for (const vtep of members) {
      const cause = refusalOf(vtep, {
        underlays,
        bar: this.#vtep.barOf(vtep),
        isFull: taken.size >= MAX_FLOOD_MEMBERS,
      });
      if (cause === undefined) taken.add(vtep);
      else refused.push({ vtep, cause });
    }
    flood.put(origin, taken);
    for (const vtep of await this.#follow(vni)) {
      if (taken.delete(vtep)) refused.push({ vtep, cause: 'full' });
    }
    flood.put(origin, taken);
    this.#vtep.lookAtPaths(vni);
    return refused;
  }

  /**
   * Addresses have become own or broadcast addresses of this host, or are no longer such addresses. One flood list can serve all hosts: each host
   * skips itself. Static entries and entries of a control plane stay, but nothing is sent to them meanwhile. Entries that were learned from such an
   * address are forgotten, since no remote VTEP has it any more.
   */
  async followOwnAddresses(changed: ReadonlySet<IpAddress>): Promise<void> {
    const { barOf, vnis, log } = this.#vtep;
    try {
      for (const address of changed) await this.#bar(address, barOf(address) !== undefined);
      for (const vni of vnis) {
        if (!vni.flood.members(vni.config.remotes).some(({ vtep }) => changed.has(vtep))) continue;
        const [unsent] = await this.#follow(vni);
        if (unsent !== undefined) throw fdbFull(vni.config);
      }
    } catch (err) {
      // The table of remotes is full, or its lock is not available.
      log.error({ event: 'own-addresses-not-followed', err });
    }
  }

  /** A worker heard a member of a VNI's flood list in the VNI's group. Unless it is static, the group is enough for it. */
  heardInGroup(segment: number, remote: number): void {
    const { vnis, fdb, log } = this.#vtep;
    const vni = vnis.find(({ index }) => index === segment);
    if (!vni) return;
    const { flood, config } = vni;
    const address = addressOf(fdb, remote);
    if (address === 'local' || flood.held.get(address) !== remote || flood.inGroup.has(address)) return;
    if (!config.remotes.includes(address)) {
      flood.hear(address, this.#vtep.now());
      return;
    }
    flood.inGroup.add(address);
    log.warn(
      { event: 'remote-in-group', vni: config.vni, remote: address, group: config.group },
      'each flood reaches it twice',
    );
  }

  /** Sends unicast copies to the members that the groups do not reach now. @returns whether groups reach any, which may fall silent */
  async followGroups(): Promise<boolean> {
    const { vnis, now } = this.#vtep;
    for (const vni of vnis.filter(({ flood }) => flood.forgetSilent(now()))) await this.#follow(vni);
    return vnis.some(({ flood }) => flood.usesGroup);
  }

  /** Sends floods to exactly the requested members. @returns the members for which the table of remotes has no room */
  async #follow(vni: Vni): Promise<readonly IpAddress[]> {
    const { workers, fdb, now, barOf } = this.#vtep;
    const { flood, config, index } = vni;
    const { held: before, sent: sentBefore } = flood;
    const [held, unsent] = [new Map<IpAddress, number>(), [] as IpAddress[]];
    for (const { vtep } of flood.members(config.remotes)) {
      if (barOf(vtep) !== undefined) continue;
      const known = before.get(vtep);
      let id = known ?? NO_REMOTE;
      if (known === undefined) {
        await whenUnlocked(() => {
          id = fdb.retainRemote(sourceOf(vtep));
        });
      }
      if (id === NO_REMOTE) {
        unsent.push(vtep);
        continue;
      }
      held.set(vtep, id);
    }
    flood.hold(held, config.remotes);
    flood.markAnnouncers(fdb, index);
    const added = idsBeside(flood.sent, sentBefore);
    const removed = idsBeside(sentBefore, flood.sent);
    const released = idsBeside(before, held);
    if (added.length + removed.length + released.length > 0) {
      // Workers forget that they heard a member which is not held any more.
      const update = { kind: 'flood-list', index, added, removed: [...new Set([...removed, ...released])] } as const;
      await workers.orderAll({ kind: 'segment', update });
      for (const id of released) await whenUnlocked(() => fdb.releaseRemote(id, now()));
    }
    return unsent;
  }

  async #bar(address: IpAddress, isBarred: boolean): Promise<void> {
    const { fdb, now } = this.#vtep;
    const { a, b, c, d } = sourceOf(address);
    const remote = fdb.remotes.find(a, b, c, d);
    if (remote === NO_REMOTE) return;
    fdb.remotes.bar(remote, isBarred);
    // The search goes through all entries of all VNIs.
    if (!isBarred || fdb.remotes.entriesAt(remote) === 0) return;
    await whenUnlocked(() => void fdb.flush((entry) => entry.remote === remote && entry.kind === 'learned', now()));
  }
}

/** The ids in `list` of members that are not in `other`. */
function idsBeside(list: ReadonlyMap<IpAddress, number>, other: ReadonlyMap<IpAddress, number>): number[] {
  return [...list].filter(([vtep]) => !other.has(vtep)).map(([, id]) => id);
}

/** Why a member that a control plane names is refused. An own address is accepted: it may move to another host later. */
function refusalOf(
  vtep: IpAddress,
  { underlays, bar, isFull }: { underlays: Vni['underlays']; bar: Bar | undefined; isFull: boolean },
): RefusalCause | undefined {
  if (bar === 'broadcast') return bar;
  if (!underlays.some(({ family }) => family === ipFamily(vtep))) return 'family';
  return isFull ? 'full' : undefined;
}

function refuseRemote({ config, underlay, underlays }: Vni, address: IpAddress): void {
  const object = `remote ${address} of VNI ${config.vni}`;
  // A second address family may need a smaller MTU than the TAP was created with.
  if (!underlays.some(({ family }) => family === ipFamily(address))) {
    const { family } = underlay;
    throw new VtepError('ERR_VTEP_CONFLICT', {
      object,
      cause: `it is IPv${ipFamily(address)}, and the VNI was made for IPv${family} only`,
      remedy: `name an IPv${family} VTEP, or make the VNI again with remote=${address}`,
    });
  }
  if (config.control === 'evpn') {
    const remedy = 'give the VNI control=both in the file and reload, or make it again so';
    throw new VtepError('ERR_VTEP_CONFLICT', { object, cause: 'with control=evpn only EVPN names remotes', remedy });
  }
  if (config.remotes.length < MAX_FLOOD_REMOTES) return;
  throw new VtepError('ERR_VTEP_LIMIT', {
    object,
    cause: `the flood list has ${MAX_FLOOD_REMOTES} remotes already`,
    remedy: 'use a group',
  });
}
