import type { Finding } from '../api/schemas.ts';
import { VXLAN } from '../encap/vxlan.ts';
import { findHolders } from '../host/port/port-holders.ts';
import type { IpAddress } from '../lib/addresses.ts';
import { type Link, listLinks } from '../sys/netlink/links.ts';
import { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import { findRoute } from '../sys/netlink/routes.ts';
import { SysError } from '../sys/sys-error.ts';
import { checkCapabilities, checkTun } from './checks/device-checks.ts';
import { failed, ok, someOf, unknown, warning } from './checks/finding.ts';
import { checkMembershipLimit } from './checks/group-checks.ts';
import { checkFreePort } from './checks/port-check.ts';
import type { AddressFacts } from './checks/underlay-checks.ts';
import { checkFirewall } from './firewall/firewall-check.ts';
import { gatherFirewall } from './firewall-facts.ts';
import {
  gatherAddresses,
  gatherCapabilities,
  gatherTun,
  MAX_MEMBERSHIPS,
  readSysctl,
  sysctlCommand,
} from './host-facts.ts';

/** The group to check if no daemon names one, from the range for use within one site (RFC 2365). */
const SOME_GROUP = '239.0.0.1' as IpAddress;

const INNER_ETHERNET_BYTES = 14;

/** Checks of a host without a daemon: whether a daemon would find what it needs. @param port the port that it would have */
export async function examineHost(port: number): Promise<Finding[]> {
  const netlink = new NetlinkSocket();
  try {
    const links = listLinks(netlink);
    const addresses = gatherAddresses(netlink, links).filter(isFit);
    const candidates = links.filter(({ name, up }) => up && addresses.some(({ dev }) => dev === name));
    const [tun, firewall, maxMemberships] = await Promise.all([
      gatherTun(),
      gatherFirewall(netlink, links, candidates, false),
      readSysctl(MAX_MEMBERSHIPS),
    ]);
    const families = ([4, 6] as const).filter((family) =>
      addresses.some(({ address }) => address.includes(':') === (family === 6)),
    );
    const anyTraffic = {
      dev: undefined,
      local: undefined,
      groups: [],
      vteps: [],
      port,
      sourcePorts: { first: 1, last: 65_535 },
    };
    return [
      checkTun(tun),
      checkCapabilities(gatherCapabilities(`user ${process.geteuid?.() ?? '?'}`)),
      checkCandidates(candidates, addresses),
      ...candidates.map(describeMtu),
      ...checkFreePort(port, findHolders(links, { port, families: [4, 6] })),
      ...checkFirewall(
        firewall,
        (families.length > 0 ? families : [4 as const]).map((family) => ({ ...anyTraffic, family })),
      ),
      checkMembershipLimit(maxMemberships, sysctlCommand(MAX_MEMBERSHIPS, 20)),
      checkSomeRoute(netlink, links, candidates[0]?.name),
    ];
  } finally {
    netlink.close();
  }
}

function isFit({ dev, isGlobal, isTentative, isDeprecated }: AddressFacts): boolean {
  return dev !== 'lo' && isGlobal && !isTentative && !isDeprecated;
}

function checkCandidates(candidates: readonly Link[], addresses: readonly AddressFacts[]): Finding {
  if (candidates.length === 0) {
    const message = 'no interface that is up has an address of global scope, so none can be the underlay';
    return failed('address', 'any interface', message);
  }
  const named = candidates.map(({ name }) => `${name} ${addresses.find(({ dev }) => dev === name)?.address}`);
  return ok('address', 'any interface', someOf(named));
}

function describeMtu({ name, mtuBytes }: Link): Finding {
  const tapMtu = (family: 4 | 6) => mtuBytes - VXLAN.outerBytes[family] - INNER_ETHERNET_BYTES;
  return ok('mtu', name, `${mtuBytes}: TAPs get ${tapMtu(4)}, over IPv6 ${tapMtu(6)}`);
}

function checkSomeRoute(netlink: NetlinkSocket, links: readonly Link[], candidate: string | undefined): Finding {
  let routeIndex: number | undefined;
  try {
    routeIndex = findRoute(netlink, SOME_GROUP)?.interfaceIndex;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return unknown('multicast-route', SOME_GROUP, `its route cannot be read from the kernel: ${error.reason}`);
  }
  const dev = links.find(({ index }) => index === routeIndex)?.name;
  if (dev !== undefined) return ok('multicast-route', dev, `${SOME_GROUP} is routed by it, unless --dev names another`);
  const message = 'there is no route to multicast groups: vtepd needs --dev';
  return warning(
    'multicast-route',
    SOME_GROUP,
    message,
    candidate === undefined ? null : `ip route add 224.0.0.0/4 dev ${candidate}`,
  );
}
