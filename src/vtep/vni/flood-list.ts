import { type ControlOrigin, ORIGINS, type Origin } from '../../control/origin.ts';
import type { IpAddress } from '../../lib/addresses.ts';

/** A VTEP that is to get the floods of a VNI by unicast. */
export interface FloodMember {
  readonly vtep: IpAddress;
  /** The one of highest precedence, if several name it. */
  readonly origin: Origin;
}

/**
 * Who gets the floods of one VNI by unicast (head-end replication), and who says so. The static members are in the VNI's configuration; what
 * control planes say is here alone, so that it is in no file and no reload takes it for a change.
 */
export class FloodList {
  /** Remote ids of the members that are sent to, by address: own and broadcast addresses of this host are left out. */
  sent: ReadonlyMap<IpAddress, number> = new Map();
  /** Members that were heard in the VNI's group too, and so get each flood twice. */
  readonly inGroup = new Set<IpAddress>();
  readonly #said = new Map<ControlOrigin, Set<IpAddress>>();

  /** Remote ids of those that are sent to. */
  get ids(): readonly number[] {
    return [...this.sent.values()];
  }

  /** What a control plane says, in the order said. */
  saidBy(origin: ControlOrigin): ReadonlySet<IpAddress> {
    return this.#said.get(origin) ?? new Set();
  }

  /** Replaces what a control plane says. */
  put(origin: ControlOrigin, members: ReadonlySet<IpAddress>): void {
    if (members.size === 0) this.#said.delete(origin);
    else this.#said.set(origin, new Set(members));
  }

  /** The addresses of those that are asked for. @param statics those of the configuration */
  addresses(statics: readonly IpAddress[]): IpAddress[] {
    return this.members(statics).map(({ vtep }) => vtep);
  }

  /** All that are asked for, each once, in the order of precedence. @param statics those of the configuration */
  members(statics: readonly IpAddress[]): FloodMember[] {
    const found = new Map<IpAddress, Origin>();
    for (const origin of ORIGINS) {
      const said = origin === 'static' ? statics : origin === 'learned' ? [] : this.saidBy(origin);
      for (const vtep of said) if (!found.has(vtep)) found.set(vtep, origin);
    }
    return [...found].map(([vtep, origin]) => ({ vtep, origin }));
  }
}
