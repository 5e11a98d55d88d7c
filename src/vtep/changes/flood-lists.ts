import { deepFreeze } from '../../config/config.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import { NO_REMOTE } from '../../fdb/remotes.ts';
import type { Bar } from '../../host/own-addresses.ts';
import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { MAX_FLOOD_REMOTES } from '../../lib/limits.ts';
import type { Logger } from '../../observe/log.ts';
import { whenUnlocked } from '../entries/when-unlocked.ts';
import type { Vni } from '../vni/vni.ts';
import { addressOf, sourceOf } from '../vni/vtep-address.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';
import { putSegment } from '../workers/worker-state.ts';
import { broadcastAddress, retainRemote } from './vni-setup.ts';

export interface FloodGround {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  readonly log: Logger;
  readonly vnis: readonly Vni[];
  readonly workers: WorkerPool;
  /** Why nothing is sent to an address; undefined: it can be sent to. */
  readonly barOf: (address: IpAddress) => Bar | undefined;
  /** A VNI is new, or its list is another. */
  readonly lookAtPaths: (vni: Vni) => void;
}

/**
 * Who gets the floods of each VNI by unicast (head-end replication). What is asked for is in the VNI's configuration; what is sent to leaves out the
 * addresses that are this host's own.
 */
export class FloodLists {
  readonly #vtep: FloodGround;

  constructor(vtep: FloodGround) {
    this.#vtep = vtep;
  }

  /**
   * Adds an address to what is asked for, and has floods sent to it unless it is the host's own.
   *
   * @returns whether it was not there
   * @throws VtepError CONFLICT, LIMIT
   */
  async add(vni: Vni, address: IpAddress): Promise<boolean> {
    const { remotes } = vni.config;
    if (remotes.includes(address)) return false;
    refuseRemote(vni, address);
    const bar = this.#vtep.barOf(address);
    if (bar === 'broadcast') throw broadcastAddress(`remote ${address} of VNI ${vni.config.vni}`);
    if (bar === undefined) await this.#flood(vni, address);
    vni.config = deepFreeze({ ...vni.config, remotes: [...remotes, address] });
    this.#vtep.lookAtPaths(vni);
    return true;
  }

  /** Takes an address out of what is asked for, and out of what is sent to. */
  async remove(vni: Vni, address: IpAddress): Promise<void> {
    const remotes = vni.config.remotes.filter((remote) => remote !== address);
    vni.config = deepFreeze({ ...vni.config, remotes });
    this.#vtep.lookAtPaths(vni);
    vni.remotesInGroup.delete(address);
    await this.#stopFlooding(vni, address);
  }

  /**
   * Addresses have become the host's own or a broadcast address, or are so no more: one list serves all hosts, and each skips itself. Static
   * entries stay and are not sent to meanwhile; what was learned behind one is forgotten, since nobody is there any more.
   */
  async followOwnAddresses(changed: ReadonlySet<IpAddress>): Promise<void> {
    const { barOf, vnis, log } = this.#vtep;
    try {
      for (const address of changed) await this.#bar(address, barOf(address) !== undefined);
      for (const vni of vnis) {
        for (const address of vni.config.remotes.filter((remote) => changed.has(remote))) {
          if (barOf(address) !== undefined) await this.#stopFlooding(vni, address);
          else await this.#flood(vni, address);
        }
      }
    } catch (err) {
      // The table of remotes is full, or its lock is not to be had.
      log.error({ event: 'own-addresses-not-followed', err });
    }
  }

  /** A worker heard a remote of a VNI's flood list in the VNI's group. */
  heardInGroup(segment: number, remote: number): void {
    const { vnis, fdb, log } = this.#vtep;
    const vni = vnis.find(({ index }) => index === segment);
    if (!vni?.floodRemotes.includes(remote)) return;
    const address = addressOf(fdb, remote);
    if (address === 'local' || vni.remotesInGroup.has(address)) return;
    vni.remotesInGroup.add(address);
    const { vni: number, group } = vni.config;
    log.warn({ event: 'remote-in-group', vni: number, remote: address, group }, 'each flood reaches it twice');
  }

  /** Has floods sent to an address; the list that was asked for is the caller's. @throws VtepError ERR_VTEP_LIMIT */
  async #flood(vni: Vni, address: IpAddress): Promise<void> {
    const { workers, fdb } = this.#vtep;
    if (vni.floodRemotes.some((id) => addressOf(fdb, id) === address)) return;
    vni.floodRemotes = [...vni.floodRemotes, retainRemote(fdb, address, vni.config)];
    await workers.orderAll(putSegment(vni));
  }

  async #bar(address: IpAddress, isBarred: boolean): Promise<void> {
    const { fdb, now } = this.#vtep;
    const { a, b, c, d } = sourceOf(address);
    const remote = fdb.remotes.find(a, b, c, d);
    if (remote === NO_REMOTE) return;
    fdb.remotes.bar(remote, isBarred);
    // The search goes through all entries of all VNIs.
    if (!isBarred || fdb.remotes.entriesAt(remote) === 0) return;
    await whenUnlocked(() => void fdb.flush((entry) => entry.remote === remote && !entry.isStatic, now()));
  }

  /** Takes an address out of what is sent to; the list that was asked for is the caller's. */
  async #stopFlooding(vni: Vni, address: IpAddress): Promise<void> {
    const { workers, fdb, now } = this.#vtep;
    const remote = vni.floodRemotes.find((id) => addressOf(fdb, id) === address);
    if (remote === undefined) return;
    vni.floodRemotes = vni.floodRemotes.filter((id) => id !== remote);
    await workers.orderAll(putSegment(vni));
    await whenUnlocked(() => fdb.releaseRemote(remote, now()));
  }
}

function refuseRemote({ config, underlay, underlays }: Vni, address: IpAddress): void {
  const object = `remote ${address} of VNI ${config.vni}`;
  // A further family may need a smaller MTU than the TAP was made with.
  if (!underlays.some(({ family }) => family === ipFamily(address))) {
    const { family } = underlay;
    throw new VtepError('ERR_VTEP_CONFLICT', {
      object,
      cause: `it is IPv${ipFamily(address)}, and the VNI was made for IPv${family} alone`,
      remedy: `name an IPv${family} VTEP, or make the VNI anew with remote=${address}`,
    });
  }
  if (config.remotes.length < MAX_FLOOD_REMOTES) return;
  throw new VtepError('ERR_VTEP_LIMIT', {
    object,
    cause: `the flood list has ${MAX_FLOOD_REMOTES} remotes already`,
    remedy: 'use a group',
  });
}
