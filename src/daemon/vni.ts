import type { VniConfig } from '../config/config.ts';
import { type IpAddress, ipBytes, macWords, parseMac } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { FLOOD, INNER_VLAN, type Segment } from '../segment/segment.ts';
import type { Link } from '../sys/links.ts';
import type { Tap } from './tap.ts';
import type { Underlay } from './underlay.ts';

/** Octets of a TAP's MTU that the outer and the inner Ethernet header cost: 50 over IPv4. */
const ETHERNET_BYTES = 14;
const VLAN_TAG_BYTES = 4;

/** One VNI of the running daemon: what was asked for, and what has become of it. */
export interface Vni {
  /** As asked for; changes of the flood list while running are in it. */
  config: VniConfig;
  /** Row in FDB and counters, and number of the TAP. Given to another VNI when this one is deleted. */
  readonly index: number;
  readonly underlay: Underlay;
  /** Number of its group, or NO_GROUP. */
  readonly group: number;
  /** Whether `join=` asks for that group now. */
  needsGroup: boolean;
  /** Ids of its flood list, own addresses left out. */
  floodRemotes: readonly number[];
  /** Remotes of the flood list that were heard in the group too, and so get each flood twice. */
  readonly remotesInGroup: Set<IpAddress>;
  readonly tap: Tap;
  /** The TAP as last seen; undefined once it is deleted. */
  link: Link | undefined;
}

/** What the data path needs to know. */
export function toSegment({ config, index, underlay, group, floodRemotes, link, tap }: Vni): Segment {
  const mac = parseMac((link ?? tap.link).mac);
  const { high, low } = mac ? macWords(mac) : { high: 0, low: 0 };
  return {
    index,
    vni: config.vni,
    underlay: underlay.number,
    group,
    groupAddress: config.group === undefined ? 0 : Buffer.from(ipBytes(config.group)).readInt32BE(0),
    floodRemotes,
    tap: index,
    tapUp: link?.up ?? false,
    tapMtuBytes: (link ?? tap.link).mtuBytes,
    tapMacHigh: high,
    tapMacLow: low,
    maxFrameBytes: underlay.maxFrameBytes,
    suppress: config.suppress,
    learning: config.learning,
    maxMacs: config.maxMacs,
    innerVlan: INNER_VLAN[config.innerVlan],
    flood: FLOOD[config.flood],
    stormPps: config.stormPps ?? 0,
  };
}

/** What the host sent into a VNI's TAP and it lost since vtepd has it. @param now the TAP as it is now; undefined: it is gone */
export function tapOverrun({ tap }: Vni, now: Link | undefined): number {
  return Math.max(0, (now ?? tap.link).txDropped - tap.link.txDropped);
}

/** The largest MTU that a VNI's TAP can have on its underlay. */
export function mtuLimit(config: VniConfig, underlay: Underlay): number {
  return underlay.maxFrameBytes - ETHERNET_BYTES - (config.innerVlan === 'pass' ? VLAN_TAG_BYTES : 0);
}

/** The MTU of a VNI's TAP. Throws VtepError if more was asked for than the underlay carries. */
export function tapMtu(config: VniConfig, underlay: Underlay): number {
  const limit = mtuLimit(config, underlay);
  const { mtuBytes = limit } = config;
  if (mtuBytes <= limit) return mtuBytes;
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: `--vni ${config.vni},mtu=${mtuBytes}`,
    cause: `${underlay.name} has MTU ${underlay.mtuBytes}, which leaves at most ${limit} inside VXLAN`,
    remedy: `lower mtu= to ${limit}, or raise the MTU of ${underlay.name}`,
  });
}

/**
 * "ok", or the first thing that keeps the VNI from working.
 *
 * @param bridge name of the bridge that the TAP is a port of now
 */
export function vniStatus({ config, underlay, needsGroup, link }: Vni, bridge: string | undefined): string {
  if (!link) return `${config.tap} is gone`;
  if (!link.up) return `${config.tap} is down`;
  if (config.bridge !== undefined && config.bridge !== bridge) return `${config.tap} is not in ${config.bridge}`;
  if (underlay.status !== 'ok') return underlay.status;
  if (needsGroup && config.group && !underlay.membership.isJoined(config.group)) return 'group not joined';
  return 'ok';
}
