import type { VniConfig } from '../config/config.ts';
import { type Fdb, LEARNED } from '../fdb/fdb.ts';
import { NO_REMOTE } from '../fdb/remotes.ts';
import { type IpAddress, macWords } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { NO_GROUP } from '../segment/segment.ts';
import { findLink } from '../sys/links.ts';
import type { NetlinkSocket } from '../sys/netlink-socket.ts';
import type { TapOptions } from '../sys/tun.ts';
import { defaultMac, setUpTap } from './tap.ts';
import type { Underlay } from './underlay.ts';
import { tapMtu, type Vni } from './vni.ts';
import { sourceOf } from './vtep-address.ts';

/** What VNIs are made with and on. */
export interface VniGround {
  readonly netlink: NetlinkSocket;
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  /** Link group of the TAPs that vtepd makes. */
  readonly linkGroup: number;
  readonly tapOptions: TapOptions;
  readonly isOwnAddress: (address: IpAddress) => boolean;
}

export interface VniPlace {
  readonly config: VniConfig;
  /** A number that no other VNI has; its rows in FDB and counters are empty. */
  readonly index: number;
  readonly underlay: Underlay;
}

/**
 * Makes all that a VNI has on the host and in the FDB: flood list, static entries, group, TAP. No worker is told.
 *
 * @throws VtepError naming the VNI or its TAP; nothing of it is left then
 */
export function setUpVni(ground: VniGround, { config, index, underlay }: VniPlace): Vni {
  const { netlink, fdb, now, linkGroup, tapOptions } = ground;
  refuseUnderlayAsBridge(netlink, config, underlay);
  const mtuBytes = tapMtu(config, underlay);
  const floodRemotes: number[] = [];
  const needsGroup = config.group !== undefined && config.join === 'always';
  let group = NO_GROUP;
  try {
    for (const address of config.remotes) {
      if (!ground.isOwnAddress(address)) floodRemotes.push(retainRemote(fdb, address, config));
    }
    addStatics(ground, { config, index, underlay });
    if (config.group !== undefined) group = underlay.membership.join(config.group, needsGroup).number;
    const tap = setUpTap(netlink, { vni: config, local: underlay.local, mtuBytes, linkGroup, options: tapOptions });
    return { config, index, underlay, group, needsGroup, floodRemotes, remotesInGroup: new Set(), tap, link: tap.link };
  } catch (error) {
    if (group !== NO_GROUP && config.group !== undefined) {
      const fd = underlay.membership.leave(config.group, needsGroup);
      // No worker reads it yet.
      if (fd !== undefined) underlay.membership.close(fd);
    }
    forgetVni(fdb, { index, floodRemotes }, now());
    throw error;
  }
}

/** Removes all that the FDB has of a VNI that no worker knows: entries, static ones too, and its hold on remotes. */
export function forgetVni(fdb: Fdb, { index, floodRemotes }: Pick<Vni, 'index' | 'floodRemotes'>, now: number): void {
  // The search goes through all entries of all VNIs.
  if (fdb.countOf(index) > 0) fdb.flush(({ segment }) => segment === index, now);
  fdb.resetSegment(index);
  for (const remote of floodRemotes) fdb.releaseRemote(remote, now);
}

/** The id of a remote of a flood list. Give it back with `fdb.releaseRemote`. @throws VtepError ERR_VTEP_LIMIT */
export function retainRemote(fdb: Fdb, address: IpAddress, config: VniConfig): number {
  const remote = fdb.retainRemote(sourceOf(address));
  if (remote === NO_REMOTE) throw fdbFull(config);
  return remote;
}

function refuseUnderlayAsBridge(netlink: NetlinkSocket, config: VniConfig, underlay: Underlay): void {
  if (config.bridge === undefined || findLink(netlink, config.bridge)?.index !== underlay.link.index) return;
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: `--vni ${config.vni},bridge=${config.bridge}`,
    cause: `${config.bridge} is the underlay itself: its packets would go round in circles`,
    remedy: 'name another bridge',
  });
}

function addStatics({ fdb, now, isOwnAddress }: VniGround, { config, index, underlay }: VniPlace): void {
  for (const { mac, vtep } of config.statics) {
    const isOwnMac = mac === (config.mac ?? defaultMac(underlay.local, config.vni));
    if (isOwnMac) throw ownStatic(config, `${mac}@${vtep}`, 'the MAC is the TAP’s own');
    if (isOwnAddress(vtep)) throw ownStatic(config, `${mac}@${vtep}`, 'the address is this host’s own');
    const { high, low } = macWords(mac);
    if (fdb.addStatic(index, high, low, sourceOf(vtep), now()) === LEARNED.full) throw fdbFull(config);
  }
}

function ownStatic(config: VniConfig, entry: string, cause: string): VtepError {
  return new VtepError('ERR_VTEP_CONFLICT', {
    object: `--vni ${config.vni},static=${entry}`,
    cause,
    remedy: 'leave the entry out: what is behind the own TAP is learned',
  });
}

function fdbFull(config: VniConfig): VtepError {
  return new VtepError('ERR_VTEP_LIMIT', {
    object: `--vni ${config.vni}`,
    cause: 'the forwarding table or its table of remote VTEPs is full',
    remedy: 'name fewer remote= and static=',
  });
}
