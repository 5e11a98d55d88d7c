import type { VniConfig } from '../../config/config.ts';
import type { L2Control } from '../../config/keys/l2-control-key.ts';
import type { Tap } from '../../host/tap/tap.ts';
import type { Elsewhere } from '../../host/tap/tap-place.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { macWords, parseMac } from '../../lib/addresses.ts';
import { MAX_SEGMENTS } from '../../lib/limits.ts';
import { FLOOD, INNER_VLAN, NO_UNDERLAY, NO_VLAN, type Segment } from '../../segment/segment.ts';
import type { Link } from '../../sys/netlink/links.ts';
import { ALL_CONTROL, CONTROL_PROTOCOLS, NO_CONTROL } from '../../wire/link-local.ts';
import type { FloodList } from './flood-list.ts';

/** One VNI of the running daemon: its configuration and its present state. */
export interface Vni {
  /** The configuration, with the changes made at run time. */
  config: VniConfig;
  /** Row in FDB and counters, and number of the TAP unless the TAP is the trunk. Another VNI gets it when this one is deleted. */
  readonly index: number;
  /** The underlay where its group is joined. Without a group: its first underlay. */
  underlay: Underlay;
  /** The underlay of each family that it uses. They limit its MTU. */
  underlays: readonly [Underlay, ...Underlay[]];
  /**
   * Numbers of the underlays on its interface, of both families, also if the VNI has configured destinations of only one family. Another VNI may open
   * the second underlay at run time.
   */
  reach: { readonly ipv4: number; readonly ipv6: number };
  /** Number of its group, or NO_GROUP. */
  group: number;
  /** Whether `join=` requires the group to be joined now. */
  needsGroup: boolean;
  /** The id of the group among the remotes. Any value if the group is NO_GROUP. */
  groupRemote: number;
  /** The VTEPs that receive its floods by unicast. */
  readonly flood: FloodList;
  /** How its destinations are reached. undefined: not examined yet. */
  paths: Paths | undefined;
  /** Its own TAP, or the trunk, which all VNIs with `vlan=` share. Replaced when the TAP is deleted and created again. */
  tap: Tap;
  /** The TAP as last seen in the namespace of vtepd. undefined while it is in another namespace, and after it is deleted. */
  link: Link | undefined;
  /** The place of the TAP while it is in another namespace. */
  elsewhere: Elsewhere | undefined;
  /** The master of the TAP as last seen, mostly a bridge. */
  master: Link | undefined;
}

/** How the destinations of a VNI are reached by the routes of the host. */
export interface Paths {
  /** Why they are not reached, or not as they should be. undefined: no fault. */
  readonly trouble: string | undefined;
  /** Why the state is unknown. undefined: it is known. */
  readonly unseen: string | undefined;
  /** Unicast leaves by other interfaces than the underlay of the VNI. The state of that underlay is then irrelevant. */
  readonly isElsewhere: boolean;
}

/** Number of the trunk among the TAPs. It is above the numbers of the other TAPs. */
const TRUNK_TAP = MAX_SEGMENTS;

/** Number of the TAP of a VNI. */
export function tapNumber({ config, index }: Vni): number {
  return config.vlan === undefined ? index : TRUNK_TAP;
}

/** One VNI for each TAP. Many VNIs share the trunk. */
export function distinctTaps(vnis: readonly Vni[]): Vni[] {
  return [...new Map(vnis.map((vni) => [vni.tap, vni])).values()];
}

/** The TAP as last seen, in any namespace. undefined: it is deleted, or cannot be read. */
export function seenTap({ link, elsewhere }: Pick<Vni, 'link' | 'elsewhere'>): Link | undefined {
  return link ?? elsewhere?.link;
}

/** Whether there is a TAP to read and write. It may be in another namespace. */
export function hasTap({ link, elsewhere }: Pick<Vni, 'link' | 'elsewhere'>): boolean {
  return link !== undefined || elsewhere !== undefined;
}

/** All VNIs that share the TAP of a VNI: several only for a trunk. */
export function sharersOf(vnis: readonly Vni[], vni: Vni): readonly Vni[] {
  return vni.config.vlan === undefined ? [vni] : vnis.filter(({ tap }) => tap === vni.tap);
}

/** What the data path needs to know about a VNI. */
export function toSegment(vni: Vni): Segment {
  const { config, index, underlay, underlays, reach, group, groupRemote, flood, link, elsewhere, tap } = vni;
  const seen = seenTap(vni) ?? tap.link;
  const mac = parseMac(seen.mac);
  const { high, low } = mac ? macWords(mac) : { high: 0, low: 0 };
  return {
    index,
    encap: underlay.encapsulation.encap,
    vni: config.vni,
    ipv4Underlay: reach.ipv4,
    ipv6Underlay: reach.ipv6,
    group,
    groupRemote,
    floodRemotes: flood.ids,
    tap: tapNumber(vni),
    vlan: config.vlan ?? NO_VLAN,
    // For a TAP in another namespace, the kernel reports late whether it is up. A failed write shows it.
    tapUp: link?.up ?? elsewhere !== undefined,
    tapMtuBytes: seen.mtuBytes,
    tapMacHigh: high,
    tapMacLow: low,
    maxFrameBytes: maxFrameBytes(underlays),
    suppress: config.suppress,
    learning: config.learning,
    maxMacs: config.maxMacs,
    innerVlan: INNER_VLAN[config.innerVlan],
    control: controlOf(config.l2Control),
    flood: FLOOD[config.flood],
    stormPps: config.stormPps ?? 0,
  };
}

/** `l2-control=` in the form of the data path. */
function controlOf(asked: L2Control): number {
  if (asked === 'drop') return NO_CONTROL;
  if (asked === 'pass') return ALL_CONTROL;
  return asked.reduce((passing, name) => passing | (1 << CONTROL_PROTOCOLS[name]), NO_CONTROL);
}

/** Frames from the host that the TAP lost since vtepd has it. @param now the TAP as it is now; undefined: it is deleted */
export function tapOverrun(tap: Tap, now: Link | undefined): number {
  return tap.overrunBefore + Math.max(0, (now ?? tap.link).txDropped - tap.link.txDropped);
}

/** The longest Ethernet frame that fits every family. */
export function maxFrameBytes(underlays: readonly Underlay[]): number {
  return Math.min(...underlays.map((underlay) => underlay.maxFrameBytes));
}

/** Numbers of all underlays on the interface of a given underlay. */
export function reachOf(underlays: readonly Underlay[], { link }: Underlay): Vni['reach'] {
  const number = (family: 4 | 6) =>
    underlays.find((underlay) => underlay.link.index === link.index && underlay.family === family)?.number ??
    NO_UNDERLAY;
  return { ipv4: number(4), ipv6: number(6) };
}

/** Whether a VNI stops working when its underlay interface goes down. A group is bound to the interface; unicast follows the routes. */
export function dependsOnInterface({ config, paths }: Pick<Vni, 'config' | 'paths'>): boolean {
  return config.group !== undefined || !paths?.isElsewhere;
}
