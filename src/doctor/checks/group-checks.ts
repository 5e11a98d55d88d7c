import type { Finding } from '../../api/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { failed, faultsOr, ok, unknown, warning } from './finding.ts';

/** A group that VNIs of an underlay have. */
export interface GroupFacts {
  readonly group: IpAddress;
  readonly dev: string;
  readonly vnis: readonly number[];
  /** `join=` asks for it now. */
  readonly isNeeded: boolean;
  /** The kernel has it among the memberships of the interface; undefined: that could not be read. */
  readonly isJoined: boolean | undefined;
  /** Interface that the route to it leaves by; undefined: there is no route. */
  readonly routeDev: string | undefined;
  /** Why the kernel did not say that. */
  readonly routeUnseen?: string | undefined;
}

/** What to do, as it is done here. */
export interface GroupRemedies {
  /** Raises igmp_max_memberships. */
  readonly raise: string;
  /** Starts vtepd anew; null: nothing that can be seen would. */
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

/** Without a daemon: whether it could join at all. */
export function checkMembershipLimit(maxMemberships: number | undefined, raise: string): Finding {
  const object = 'igmp_max_memberships';
  if (maxMemberships === undefined) return unknown('groups', object, 'it cannot be read');
  if (maxMemberships > 0)
    return ok('groups', object, `${maxMemberships} for each socket, and vtepd has one for each group`);
  return failed('groups', object, 'no socket can join a group', raise);
}

/** Never more than a warning: vtepd sends by `--dev`, whatever the routes say; other programs do not. */
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
    // Every interface has a route to ff00::/8, and which of them is first says nothing.
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
