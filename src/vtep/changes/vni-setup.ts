import type { VniConfig } from '../../config/config.ts';
import { saidByConfiguration } from '../../control/configured.ts';
import type { StaticPlacement } from '../../control/control-plane.ts';
import { type Fdb, LEARNED } from '../../fdb/fdb.ts';
import { NO_REMOTE } from '../../fdb/remotes.ts';
import { defaultTapMac, deleteTap, type Tap } from '../../host/tap/tap.ts';
import type { Bar } from '../../host/underlay/own-addresses.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { type IpAddress, ipFamily, type MacAddress, macWords } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { NO_GROUP } from '../../segment/segment.ts';
import { findLink, findMaster } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { FloodList } from '../vni/flood-list.ts';
import { tapMtu } from '../vni/tap-mtu.ts';
import type { Taps } from '../vni/taps.ts';
import { joinTrunk } from '../vni/trunk-tap.ts';
import { seenTap, type Vni } from '../vni/vni.ts';
import { sourceOf } from '../vni/vtep-address.ts';

/** The resources that VNIs are created with. */
export interface VniGround {
  readonly netlink: NetlinkSocket;
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  readonly taps: Pick<Taps, 'make' | 'existing'>;
  readonly barOf: (address: IpAddress) => Bar | undefined;
  /** The existing VNIs. One with `vlan=` has the trunk. */
  readonly vnis: readonly Vni[];
}

export interface VniPlace {
  readonly config: VniConfig;
  /** A number that no other VNI has. Its rows in FDB and counters are empty. */
  readonly index: number;
  readonly underlays: Vni['underlays'];
  readonly reach: Vni['reach'];
  /** Upper limit for the MTU of the trunk, if the VNI is its first. */
  readonly trunkMtuBytes: number;
}

/**
 * Creates everything that a VNI has on the host and in the FDB: flood list, static entries, group, TAP. No worker is told.
 *
 * @throws VtepError naming the VNI or its TAP; nothing of the VNI remains then
 */
export function setUpVni(ground: VniGround, place: VniPlace): Vni {
  const { config, index, underlays, reach, trunkMtuBytes } = place;
  const { netlink, fdb, now, taps } = ground;
  const { group: address, floods, macs } = saidByConfiguration(config);
  const underlay = groupUnderlay(underlays, config);
  refuseUnderlayAsBridge(netlink, config, underlay);
  const ownMtuBytes = tapMtu(config, underlays);
  const mtuBytes = config.vlan === undefined ? ownMtuBytes : Math.min(ownMtuBytes, trunkMtuBytes);
  const flood = new FloodList();
  const held = new Map<IpAddress, number>();
  flood.hold(held, floods);
  const needsGroup = address !== undefined && config.join === 'always';
  let group = NO_GROUP;
  let groupRemote = NO_REMOTE;
  let made: Tap | undefined;
  const makeOwn = () => {
    made = taps.make(config, { local: underlay.local, mtuBytes });
    return { tap: made, link: made.link, elsewhere: undefined };
  };
  try {
    for (const remote of floods) {
      const bar = ground.barOf(remote);
      if (bar === 'broadcast') throw broadcastAddress(`--vni ${config.vni},remote=${remote}`);
      if (bar === undefined) held.set(remote, retainRemote(fdb, remote, config));
    }
    addStatics(ground, macs, { config, index, ownMac: ownMacOf(ground, { config, local: underlay.local }) });
    if (address !== undefined) {
      groupRemote = retainRemote(fdb, address, config);
      group = underlay.membership.join(address, needsGroup).number;
    }
    const { tap, link, elsewhere } = joinTrunk(netlink, ground.vnis, place) ?? makeOwn();
    const flooding = { group, groupRemote, needsGroup, flood, paths: undefined };
    const seen = { link, elsewhere, master: link && findMaster(netlink, link) };
    return { config, index, underlay, underlays, reach, ...flooding, tap, ...seen };
  } catch (error) {
    if (made) deleteTap(made);
    if (group !== NO_GROUP && address !== undefined) {
      const fd = underlay.membership.leave(address, needsGroup);
      // No worker reads it yet.
      if (fd !== undefined) underlay.membership.close(fd);
    }
    forgetVni(fdb, { index, groupRemote, flood }, now());
    throw error;
  }
}

/** Removes everything that the FDB has for a VNI that no worker knows: all entries, also static ones, and its references to remotes. */
export function forgetVni(
  fdb: Fdb,
  { index, groupRemote, flood }: Pick<Vni, 'index' | 'groupRemote' | 'flood'>,
  now: number,
): void {
  // The search covers the entries of all VNIs.
  if (fdb.counts.totalOf(index) > 0) fdb.flush(({ segment }) => segment === index, now);
  fdb.resetSegment(index);
  flood.unmarkAnnouncers(fdb, index);
  for (const remote of flood.held.values()) fdb.releaseRemote(remote, now);
  if (groupRemote !== NO_REMOTE) fdb.releaseRemote(groupRemote, now);
}

/** The id of a group or of a remote of a flood list. Release it with `fdb.releaseRemote`. @throws VtepError ERR_VTEP_LIMIT */
export function retainRemote(fdb: Fdb, address: IpAddress, config: VniConfig): number {
  const remote = fdb.retainRemote(sourceOf(address));
  if (remote === NO_REMOTE) throw fdbFull(config);
  return remote;
}

/** The underlay where the group of a VNI is joined. Without a group: the first underlay of the VNI. */
export function groupUnderlay(underlays: Vni['underlays'], { group }: VniConfig): Underlay {
  return underlays.find(({ family }) => group && family === ipFamily(group)) ?? underlays[0];
}

/** @throws VtepError */
export function refuseUnderlayAsBridge(netlink: NetlinkSocket, config: VniConfig, underlay: Underlay): void {
  if (config.bridge === undefined || findLink(netlink, config.bridge)?.index !== underlay.link.index) return;
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: `--vni ${config.vni},bridge=${config.bridge}`,
    cause: `${config.bridge} is the underlay itself: its packets would loop`,
    remedy: 'name another bridge',
  });
}

/** The MAC that the TAP of a VNI will have. An existing TAP keeps its MAC. */
function ownMacOf(
  { taps, vnis }: VniGround,
  { config, local }: { config: VniConfig; local: IpAddress },
): string | undefined {
  if (config.mac !== undefined || config.statics.length === 0) return config.mac;
  const trunk = config.vlan === undefined ? undefined : vnis.find((each) => each.config.vlan !== undefined);
  const present = trunk ? (seenTap(trunk) ?? trunk.tap.link) : taps.existing(config, local);
  return present?.mac ?? defaultTapMac(local, config);
}

/**
 * Adds static entries to a VNI.
 *
 * @param ownMac the MAC of its TAP
 * @throws VtepError CONFLICT, LIMIT; the entries before the refused one are added then
 */
export function addStatics(
  { fdb, now, barOf }: Pick<VniGround, 'fdb' | 'now' | 'barOf'>,
  statics: readonly StaticPlacement[],
  { config, index, ownMac }: Pick<VniPlace, 'config' | 'index'> & { ownMac: string | undefined },
): void {
  for (const { mac, vtep } of statics) {
    if (mac === ownMac) throw ownStatic(config, `${mac}@${vtep}`, 'the MAC is the TAP’s own');
    const bar = vtep === 'local' ? undefined : barOf(vtep);
    if (bar === 'own') throw ownStatic(config, `${mac}@${vtep}`, 'the address is this host’s own');
    if (bar === 'broadcast') throw broadcastAddress(`--vni ${config.vni},static=${mac}@${vtep}`);
    const { high, low } = macWords(mac);
    const result = fdb.addStatic(index, high, low, sourceOf(vtep), now());
    if (result === LEARNED.full) throw fdbFull(config);
    if (result === LEARNED.conflict) throw staticElsewhere(config, `${mac}@${vtep}`, mac);
  }
}

/** Refuses an address that is the broadcast address of a prefix of this host. */
export function broadcastAddress(object: string): VtepError {
  return new VtepError('ERR_VTEP_CONFLICT', {
    object,
    cause: 'the address is the broadcast address of a network that this host is in',
    remedy: 'name the address of one VTEP',
  });
}

function ownStatic(config: VniConfig, entry: string, cause: string): VtepError {
  return new VtepError('ERR_VTEP_CONFLICT', {
    object: `--vni ${config.vni},static=${entry}`,
    cause,
    remedy: 'leave the entry out: MACs behind the own TAP are learned',
  });
}

function staticElsewhere({ vni }: VniConfig, entry: string, mac: MacAddress): VtepError {
  return new VtepError('ERR_VTEP_CONFLICT', {
    object: `--vni ${vni},static=${entry}`,
    cause: 'the MAC already has a static entry at another VTEP',
    remedy: `vtepctl fdb del ${mac} --vni ${vni}`,
  });
}

/** Refuses an entry for which the forwarding database has no room. */
export function fdbFull(config: VniConfig): VtepError {
  return new VtepError('ERR_VTEP_LIMIT', {
    object: `--vni ${config.vni}`,
    cause: 'the forwarding database or its table of remote VTEPs is full',
    remedy: 'name fewer remote= and static=',
  });
}
