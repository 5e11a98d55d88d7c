import { type ControlOrigin, ORIGINS, type Origin } from '../../control/origin.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { GROUP_MEMBER_SILENT_SECONDS } from '../../lib/limits.ts';

const SILENT_TENTHS = GROUP_MEMBER_SILENT_SECONDS * 10;

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
  /** Remote ids of the members, by address. Own and broadcast addresses of this host are left out. Change it with `hold`. */
  held: ReadonlyMap<IpAddress, number> = new Map();
  /** Those of them that are sent to by unicast: all that the group does not reach. */
  sent: ReadonlyMap<IpAddress, number> = new Map();
  /** Static members that were also heard in the group of the VNI. They receive each flood twice. */
  readonly inGroup = new Set<IpAddress>();
  /** Other members that are heard in the group of the VNI, and when they were last, in tenths of a second. The group reaches them. */
  readonly #byGroup = new Map<IpAddress, number>();
  /** Whether `sent` is not what it should be. */
  #isStale = false;
  /** Ids of the members that are marked in the forwarding database. */
  #announcers: ReadonlySet<number> = new Set();
  readonly #said = new Map<ControlOrigin, Set<IpAddress>>();

  /** Remote ids of the members that are sent to by unicast. */
  get ids(): readonly number[] {
    return [...this.sent.values()];
  }

  /** Whether floods reach a member by the group, so that it is not sent to by unicast. */
  isByGroup(vtep: IpAddress): boolean {
    return this.#byGroup.has(vtep);
  }

  /** Whether some member is reached by the group alone. */
  get usesGroup(): boolean {
    return this.#byGroup.size > 0;
  }

  /** A member that is not static was heard in the group of the VNI. `hold` takes it out of `sent`. @param now tenths of a second */
  hear(vtep: IpAddress, now: number): void {
    if (!this.#byGroup.has(vtep)) this.#isStale = true;
    this.#byGroup.set(vtep, now);
  }

  /** Forgets who was not heard in the group for a while. @returns whether `hold` must be called: `sent` is not what it should be */
  forgetSilent(now: number): boolean {
    for (const [vtep, heard] of this.#byGroup) {
      if (now - heard < SILENT_TENTHS) continue;
      this.#byGroup.delete(vtep);
      this.#isStale = true;
    }
    return this.#isStale;
  }

  /** Forgets who was heard in the group: the VNI gets another one. Call `hold` next. */
  leaveGroup(): void {
    this.inGroup.clear();
    this.#byGroup.clear();
  }

  /**
   * Replaces `held` and `sent`.
   *
   * @param held remote ids of the members
   * @param statics the members in the configuration: unicast copies go to them in any case
   */
  hold(held: ReadonlyMap<IpAddress, number>, statics: readonly IpAddress[]): void {
    const fixed = new Set(statics);
    for (const vtep of this.inGroup) if (!held.has(vtep) || !fixed.has(vtep)) this.inGroup.delete(vtep);
    for (const vtep of this.#byGroup.keys()) if (!held.has(vtep) || fixed.has(vtep)) this.#byGroup.delete(vtep);
    this.held = held;
    this.sent = this.usesGroup ? new Map([...held].filter(([vtep]) => !this.#byGroup.has(vtep))) : held;
    this.#isStale = false;
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
    this.#setAnnouncers(fdb, index, new Set([...this.saidBy('evpn')].flatMap((vtep) => this.held.get(vtep) ?? [])));
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
