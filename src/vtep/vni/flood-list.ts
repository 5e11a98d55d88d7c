import { type ControlOrigin, ORIGINS, type Origin } from '../../control/origin.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import type { IpAddress } from '../../lib/addresses.ts';

/** A VTEP that receives the floods of a VNI by unicast. */
export interface FloodMember {
  readonly vtep: IpAddress;
  /** The origin of highest precedence, if several origins name the member. */
  readonly origin: Origin;
}

/**
 * The flood list of one VNI (head-end replication), with the origin of each member. The static members are in the configuration of the VNI. The
 * members of control planes are only here, so that they are in no file, and no reload takes them for a change.
 */
export class FloodList {
  /** Remote ids of the members that are sent to, by address. Own and broadcast addresses of this host are left out. */
  sent: ReadonlyMap<IpAddress, number> = new Map();
  /** Members that were also heard in the group of the VNI. They receive each flood twice. */
  readonly inGroup = new Set<IpAddress>();
  /** Ids of the members that are marked in the forwarding database. */
  #announcers: ReadonlySet<number> = new Set();
  readonly #said = new Map<ControlOrigin, Set<IpAddress>>();

  /** Remote ids of the members that are sent to. */
  get ids(): readonly number[] {
    return [...this.sent.values()];
  }

  /** The members that a control plane names, in its order. */
  saidBy(origin: ControlOrigin): ReadonlySet<IpAddress> {
    return this.#said.get(origin) ?? new Set();
  }

  /** Replaces the members that a control plane names. */
  put(origin: ControlOrigin, members: ReadonlySet<IpAddress>): void {
    if (members.size === 0) this.#said.delete(origin);
    else this.#said.set(origin, new Set(members));
  }

  /**
   * Marks the VTEPs that EVPN names in the forwarding database: they announce their MACs, so nothing new is learned from their frames. Call this after
   * each change, and before the ids of former members are released.
   *
   * @param index of the segment
   */
  markAnnouncers(fdb: Pick<Fdb, 'setAnnouncer'>, index: number): void {
    this.#setAnnouncers(fdb, index, new Set([...this.saidBy('evpn')].flatMap((vtep) => this.sent.get(vtep) ?? [])));
  }

  /** Removes all marks. The segment is deleted. */
  unmarkAnnouncers(fdb: Pick<Fdb, 'setAnnouncer'>, index: number): void {
    this.#setAnnouncers(fdb, index, new Set());
  }

  #setAnnouncers(fdb: Pick<Fdb, 'setAnnouncer'>, index: number, announcers: ReadonlySet<number>): void {
    for (const id of this.#announcers) if (!announcers.has(id)) fdb.setAnnouncer(index, id, false);
    for (const id of announcers) if (!this.#announcers.has(id)) fdb.setAnnouncer(index, id, true);
    this.#announcers = announcers;
  }

  /** The addresses of all requested members. @param statics the members in the configuration */
  addresses(statics: readonly IpAddress[]): IpAddress[] {
    return this.members(statics).map(({ vtep }) => vtep);
  }

  /** All requested members, each once, in the order of precedence. @param statics the members in the configuration */
  members(statics: readonly IpAddress[]): FloodMember[] {
    const found = new Map<IpAddress, Origin>();
    for (const origin of ORIGINS) {
      const said = origin === 'static' ? statics : origin === 'learned' ? [] : this.saidBy(origin);
      for (const vtep of said) if (!found.has(vtep)) found.set(vtep, origin);
    }
    return [...found].map(([vtep, origin]) => ({ vtep, origin }));
  }
}
