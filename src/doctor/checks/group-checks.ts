import type { Finding } from '../../api/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { failed, faultsOr, ok, unknown, warning } from './finding.ts';

/** A group of VNIs on an underlay. */
export interface GroupFacts {
  readonly group: IpAddress;
  readonly dev: string;
  readonly vnis: readonly number[];
  /** `join=` requires it now. */
  readonly isNeeded: boolean;
  /** The kernel has it among the memberships of the interface; undefined: that could not be read. */
  readonly isJoined: boolean | undefined;
  /** Interface of the route to it; undefined: there is no route. */
  readonly routeDev: string | undefined;
  /** Why the kernel did not say that. */
  readonly routeUnseen?: string | undefined;
}

/** Remedies that fit this host. */
export interface GroupRemedies {
  /** Raises igmp_max_memberships. */
  readonly raise: string;
  /** Restarts vtepd; null: no such command is known. */
  readonly restart: string | null;
}

/** @param maxMemberships groups that one socket may join (igmp_max_memberships); undefined: not known. vtepd has a socket for each. */
export function checkGroups(
  groups: readonly GroupFacts[],
  maxMemberships: number | undefined,
  { raise, restart }: GroupRemedies,
): Finding[] {
  const needed = groups.filter(({ isNeeded }) => isNeeded);
  const faults = needed.flatMap(({ group, dev, vnis, isJoined }) => {
    if (isJoined) return [];
    if (isJoined === undefined) return unknown('groups', group, `memberships of ${dev} cannot be read`);
    const message = `not joined on ${dev}: floods of VNI ${vnis.join(', ')} do not arrive`;
    return failed('groups', group, message, maxMemberships === 0 && !group.includes(':') ? raise : restart);
  });
  const healthy = needed.length === 0 ? 'none is asked for' : `${needed.length} joined`;
  return faultsOr(faults, ok('groups', [...new Set(groups.map(({ dev }) => dev))].join(', ') || '-', healthy));
}

/** Without a daemon: whether vtepd could join groups. */
export function checkMembershipLimit(maxMemberships: number | undefined, raise: string): Finding {
  const object = 'igmp_max_memberships';
  if (maxMemberships === undefined) return unknown('groups', object, 'it cannot be read');
  if (maxMemberships > 0)
    return ok('groups', object, `${maxMemberships} for each socket, and vtepd has one for each group`);
  return failed('groups', object, 'no socket can join a group', raise);
}

/** Never more than a warning: vtepd sends on `--dev`, whatever the routes say. Other programs follow the routes. */
export function checkMulticastRoute(
  groups: readonly Pick<GroupFacts, 'group' | 'dev' | 'routeDev' | 'routeUnseen'>[],
): Finding[] {
  const faults = new Map<string, Finding>();
  for (const { group, dev, routeDev, routeUnseen } of groups) {
    if (routeUnseen !== undefined) {
      faults.set('', unknown('multicast-route', group, `its route cannot be read from the kernel: ${routeUnseen}`));
      continue;
    }
    const isIpv6 = group.includes(':');
    // Every interface has a route to ff00::/8, and their order has no meaning.
    if (routeDev === dev || (isIpv6 && routeDev !== undefined)) continue;
    const where = routeDev === undefined ? 'there is no route to it' : `the route to it uses ${routeDev}`;
    const remedy = isIpv6
      ? `ip -6 route add multicast ff00::/8 dev ${dev} table local`
      : `ip route add ${routeDev === undefined ? '224.0.0.0/4' : `${group}/32`} dev ${dev}`;
    faults.set(remedy, warning('multicast-route', group, `${where}; vtepd still sends on ${dev}`, remedy));
  }
  const devs = [...new Set(groups.map(({ dev }) => dev))];
  return faultsOr(
    [...faults.values()],
    ok('multicast-route', devs.join(', ') || '-', groups.length === 0 ? 'no groups' : 'ok'),
  );
}
