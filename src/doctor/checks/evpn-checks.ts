import type { Finding } from '../../api/schemas.ts';
import type { EvpnRouteRow, EvpnSession, EvpnStatus } from '../../evpn/evpn-status.ts';
import { type IpAddress, isUnspecifiedIp } from '../../lib/addresses.ts';
import { parseRouteNumber } from '../../lib/route-numbers.ts';
import { failed, faultsOr, ok, someOf, unknown, warning } from './finding.ts';

export interface EvpnFacts {
  readonly status: EvpnStatus;
  /** Addresses by which other hosts reach the API of the BGP speaker. */
  readonly exposed: readonly IpAddress[];
  /** Routes whose targets no VNI imports. */
  readonly unimported: { readonly count: number; readonly example: EvpnRouteRow | undefined };
  /** Of the GoBGP that is installed on this host; undefined: there is none, or the speaker is on another host. */
  readonly version: { readonly major: number; readonly minor: number } | undefined;
}

/** The first GoBGP whose work for a MAC does not grow with their number. */
const FIRST_FAST = { major: 3, minor: 28 };

/** @param vtepctl how to call it, with its `--socket` */
export function checkEvpn({ status, exposed, unimported, version }: EvpnFacts, vtepctl: string): Finding[] {
  const { session } = status;
  const isConnected = session.dialect !== undefined;
  return [
    checkSession(session),
    checkApi(session.address, exposed),
    ...checkVersion(version),
    ...(isConnected ? [checkPeers(session)] : []),
    ...(session.state === 'up' ? checkAnnounced(status, vtepctl) : []),
    ...(isConnected ? [checkTargets(status, unimported, vtepctl)] : []),
  ];
}

function checkSession({ address, state, error, dialect, asn, peers }: EvpnSession): Finding {
  const remedy = 'systemctl status gobgpd';
  if (state === 'up') return ok('evpn', address, `connected to the BGP speaker (API ${dialect}, AS ${asn})`);
  if (state === 'syncing') {
    const late = peers.filter(({ hasEvpn, isEstablished, isEndOfRib }) => hasEvpn && isEstablished && !isEndOfRib);
    const from = late.length > 0 ? ` by ${someOf(late.map((peer) => peer.address))}` : '';
    return unknown('evpn', address, `connected to the BGP speaker, and not all routes were sent yet${from}`);
  }
  if (state === 'stale') {
    const message = `the connection to the BGP speaker was lost, and its routes are kept for the hold time: ${error}`;
    return failed('evpn', address, message, remedy);
  }
  if (error === undefined) return unknown('evpn', address, 'vtepd connects to the BGP speaker for the first time');
  return failed('evpn', address, `vtepd is not connected to the BGP speaker: ${error}`, remedy);
}

/** The API has no authentication. */
function checkApi(address: string, exposed: readonly IpAddress[]): Finding {
  if (exposed.length === 0) return ok('evpn-api', address, 'other hosts do not reach the API of the BGP speaker');
  const where = exposed.some(isUnspecifiedIp) ? 'every address' : someOf(exposed);
  const message = `the API of the BGP speaker is open to the network on ${where}: whoever reaches it controls the routes of all hosts`;
  return failed('evpn-api', address, message, 'gobgpd --api-hosts 127.0.0.1:50051');
}

/** A finding only for an old version. */
function checkVersion(version: EvpnFacts['version']): Finding[] {
  if (version === undefined) return [];
  const { major, minor } = version;
  if (major > FIRST_FAST.major || (major === FIRST_FAST.major && minor >= FIRST_FAST.minor)) return [];
  const message =
    'it is too slow for more than some hundred MACs, raises the sequence numbers of a MAC that is in two VNIs, and may end with a peer that has graceful restart: install 3.28 or later';
  return [warning('evpn-version', `gobgpd ${major}.${minor}`, message)];
}

function checkPeers({ address, peers }: EvpnSession): Finding {
  const withEvpn = peers.filter(({ hasEvpn }) => hasEvpn);
  const established = withEvpn.filter(({ isEstablished }) => isEstablished);
  if (established.length > 0) {
    return ok('evpn-peers', address, `established with l2vpn-evpn: ${someOf(established.map((peer) => peer.address))}`);
  }
  const cause =
    withEvpn.length > 0
      ? `no BGP peer with l2vpn-evpn is established: ${someOf(withEvpn.map((peer) => peer.address))}`
      : 'no BGP peer of the speaker has l2vpn-evpn';
  return failed('evpn-peers', address, `${cause}; other hosts do not learn of this one`, 'gobgp neighbor');
}

function checkAnnounced({ session, vnis, refused }: EvpnStatus, vtepctl: string): Finding[] {
  const faults = vnis
    .filter(({ isAnnounced }) => !isAnnounced)
    .map(({ vni }) => {
      const message = 'the BGP speaker does not have its type 3 route: other VTEPs send it no floods by EVPN';
      return failed('evpn-vni', `VNI ${vni}`, message, `${vtepctl} vni show ${vni}`);
    });
  if (refused > 0) {
    const message = `the BGP speaker refuses ${refused} routes of vtepd: the log has the reason`;
    faults.push(warning('evpn-vni', session.address, message, `${vtepctl} evpn show`));
  }
  return faultsOr(faults, ok('evpn-vni', session.address, 'every VNI with EVPN is announced'));
}

function checkTargets(
  { session, vnis }: EvpnStatus,
  { count, example }: EvpnFacts['unimported'],
  vtepctl: string,
): Finding {
  if (example === undefined) return ok('evpn-routes', session.address, 'a VNI imports each received route');
  const { type, rd, vtep, targets } = example;
  const from = vtep === undefined ? '' : ` from ${vtep}`;
  const which = `such as one of type ${type} (${rd ?? 'no RD'})${from} with ${someOf(targets)}`;
  const message = `no VNI imports ${count} received ${count === 1 ? 'route' : 'routes'}, ${which}`;
  // Without rt= a VNI imports them. With it, they need one more.
  const meant = targets.find((target) => vnis.some(({ vni }) => vni === vniOfRfc8365(target)));
  if (meant === undefined) return warning('evpn-routes', session.address, message, `${vtepctl} evpn routes --unused`);
  const hint = `${message}, which is VNI ${vniOfRfc8365(meant)} in the form of RFC 8365`;
  return warning('evpn-routes', session.address, hint, `--vni ${vniOfRfc8365(meant)},rt=${meant}`);
}

/** The VNI of a target that was computed by RFC 8365 §5.1.2.1 for VXLAN: one bit 0, three bits 1 for VXLAN, four bits of a domain, the VNI. */
function vniOfRfc8365(text: string): number | undefined {
  const target = parseRouteNumber(text);
  return target?.form === 'as2' && target.value >>> 28 === 1 ? target.value & 0xff_ffff : undefined;
}
