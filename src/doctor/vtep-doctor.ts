import type { Finding } from '../api/schemas.ts';
import type { Config } from '../config/config.ts';
import { DEFAULT_SOCKET_PATH } from '../config/flags.ts';
import type { EvpnSource } from '../evpn/evpn-status.ts';
import type { Underlay } from '../host/underlay/underlay.ts';
import { ipFamily } from '../lib/addresses.ts';
import { findLink, listLinks } from '../sys/netlink/links.ts';
import { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import { dependsOnInterface } from '../vtep/vni/vni.ts';
import { checkCapabilities, checkTun } from './checks/device-checks.ts';
import { checkDrops } from './checks/drops-check.ts';
import { checkEvpn } from './checks/evpn-checks.ts';
import { unknown } from './checks/finding.ts';
import { checkGroups, checkMulticastRoute } from './checks/group-checks.ts';
import { checkLoops, gatherBridges } from './checks/loop-check.ts';
import { checkMerging } from './checks/merging-check.ts';
import { checkMtu } from './checks/mtu-check.ts';
import { checkPeerPorts } from './checks/peer-port-check.ts';
import { checkOwnPort } from './checks/port-check.ts';
import { checkQuerier, type QuerierFacts } from './checks/querier-check.ts';
import { checkAddress, checkInterface } from './checks/underlay-checks.ts';
import { checkRemotesInGroup, checkVnis } from './checks/vni-checks.ts';
import { checkBarred, checkReversePath, checkTtl } from './checks/vtep-checks.ts';
import { checkWorkers } from './checks/worker-check.ts';
import { gatherEvpn } from './evpn-facts.ts';
import { checkFirewall } from './firewall/firewall-check.ts';
import { gatherFirewall } from './firewall-facts.ts';
import {
  gatherAddresses,
  gatherCapabilities,
  gatherTun,
  MAX_MEMBERSHIPS,
  readSysctl,
  restartCommand,
  sysctlCommand,
  vxlanDevices,
} from './host-facts.ts';
import { hearOtherPorts } from './peer-port-facts.ts';
import { type ExaminedParts, gatherGroups, gatherTaps, gatherVnis, gatherVteps } from './vtep-facts.ts';

/** The checks of the running daemon and its host, in the order in which an outgoing frame passes them. */
export async function examineVtep(
  parts: ExaminedParts,
  queriers: readonly QuerierFacts[],
  evpn?: EvpnSource | undefined,
): Promise<Finding[]> {
  const netlink = new NetlinkSocket();
  try {
    const links = listLinks(netlink);
    const { settings, own, workers } = parts;
    const { config } = settings;
    const underlays = parts.underlays.list;
    const { port, sourcePortRange, mcastTtl, socketPath } = config;
    const addresses = gatherAddresses(netlink, links);
    const vnis = await gatherVnis(parts, links);
    const taps = gatherTaps(parts.vnis.list, links);
    const groups = await gatherGroups(parts.vnis.list, netlink, links);
    const { vteps, paths, unseenPaths, silentVnis, silentRemotes, barred } = await gatherVteps(parts, netlink, links);
    const traffic = underlays.map(({ link, family, local }) => ({
      ...{ dev: link.name, family, local, port, sourcePorts: sourcePortRange },
      ownAddresses: addresses.filter(({ address }) => ipFamily(address) === family),
      groups: groups
        .filter((each) => each.dev === link.name && each.group.includes(':') === (family === 6))
        .map(({ group }) => group),
      vteps: vteps
        .filter((each) => each.dev === link.name && each.vtep.includes(':') === (family === 6))
        .map(({ vtep: address }) => address),
    }));
    // If every VTEP was heard, nothing is listened for.
    const isSomebodySilent = vnis.length > 0 && (silentVnis.length > 0 || silentRemotes.length > 0);
    const [otherPorts, tun, firewall, maxMemberships, rpFilterOfAll] = await Promise.all([
      isSomebodySilent ? hearOtherPorts(port, traffic) : [],
      gatherTun(),
      gatherFirewall(
        netlink,
        links,
        links.filter(({ index }) => underlays.some(({ link }) => link.index === index)),
        true,
      ),
      readSysctl(MAX_MEMBERSHIPS),
      readSysctl('net/ipv4/conf/all/rp_filter'),
    ]);
    const evpnFacts = evpn && config.evpn && (await gatherEvpn(evpn, config.evpn));
    const rpFilters = await Promise.all(
      underlays.map(({ link }) => readSysctl(`net/ipv4/conf/${link.name}/rp_filter`)),
    );
    const interfaces = new Map(
      underlays.map(({ link }) => {
        // The list may have missed it.
        const now = links.find(({ index }) => index === link.index) ?? findLink(netlink, link.index);
        const master = links.find(({ index }) => index === now?.master);
        const isInVrf = now?.masterKind === 'vrf';
        const users = parts.vnis.list.filter((vni) => vni.underlays.some((each) => each.link.index === link.index));
        const facts = {
          ...{ name: link.name, isGone: !now, up: now?.up ?? false, carrier: now?.carrier ?? false },
          ...{
            portOf: isInVrf ? undefined : master?.name,
            downVrf: isInVrf && master?.up === false ? master.name : undefined,
          },
          ...{ isNeeded: users.length === 0 || users.some(dependsOnInterface) },
        };
        return [link.name, facts];
      }),
    );
    // An interface of both families is one.
    const devs = new Map(
      underlays.map(({ link: { name }, mtuBytes, firstMtuBytes }) => [name, { dev: name, mtuBytes, firstMtuBytes }]),
    );
    const locals = underlays.map(({ local }) => local);
    const vtepctl = socketPath === DEFAULT_SOCKET_PATH ? 'vtepctl' : `vtepctl --socket ${socketPath}`;
    return [
      checkTun(tun),
      checkCapabilities(gatherCapabilities('vtepd')),
      ...checkWorkers(workers.states),
      ...checkMerging(workers.unmerged),
      ...[...interfaces.values()].map(checkInterface),
      ...underlays.map(({ link, local, prefixBits, keeper }) =>
        checkAddress(link.name, { address: local, prefixBits, ...(keeper && { keeper }) }, addresses),
      ),
      ...checkMtu([...devs.values()], taps, paths, config.df),
      ...unseenPaths
        .slice(0, 1)
        .map((to) =>
          unknown(
            'mtu',
            to,
            `the kernel does not say the path to it${unseenPaths.length > 1 ? ` and to ${unseenPaths.length - 1} more` : ''}`,
          ),
        ),
      ...checkOwnPort(port, heardOn(config, underlays), vxlanDevices(links, port, locals)),
      ...checkPeerPorts(
        port,
        otherPorts,
        vnis.map(({ vni }) => vni),
        (address) => own.has(address),
      ),
      ...checkFirewall(firewall, traffic),
      ...checkGroups(groups, maxMemberships, {
        raise: sysctlCommand(MAX_MEMBERSHIPS, 20),
        restart: restartCommand(),
      }),
      ...checkMulticastRoute(groups),
      ...underlays.flatMap(({ family, link }, i) => {
        const own = rpFilters[i];
        // The larger of the two is in force, so 2 needs no other value.
        const isKnown = own !== undefined && (rpFilterOfAll !== undefined || own === 2);
        const inForce = isKnown ? Math.max(own, rpFilterOfAll ?? 0) : undefined;
        return family === 4
          ? checkReversePath(link.name, inForce, vteps, sysctlCommand(`net/ipv4/conf/${link.name}/rp_filter`, 2))
          : [];
      }),
      ...(groups.length > 0 ? checkTtl(mcastTtl, vteps, silentVnis) : []),
      ...queriers.map(checkQuerier),
      ...checkVnis(vnis, vtepctl),
      ...(evpnFacts ? checkEvpn(evpnFacts, vtepctl) : []),
      ...checkRemotesInGroup(vnis, vtepctl),
      ...checkBarred(barred, vtepctl),
      ...checkLoops(gatherBridges(parts.vnis.list, links)),
      ...checkDrops(await parts.drops.recent(), vtepctl, config),
    ];
  } finally {
    netlink.close();
  }
}

/** Addresses that unicast is received on now: none in a family without a source address. */
function heardOn(config: Config, underlays: readonly Underlay[]): string[] {
  const open = underlays.filter(({ source }) => source !== undefined);
  if (config.listen === 'local') return [...new Set(open.map(({ local }) => local))];
  const families = [...new Set(open.map(({ family }) => family))];
  const isAll = families.length === new Set(underlays.map(({ family }) => family)).size;
  return isAll && families.length > 0 ? ['every address'] : families.map((family) => `every IPv${family} address`);
}
