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

/** One VNI of the running daemon: what was asked for, and what has become of it. */
export interface Vni {
  /** As asked for; changes while running are in it. */
  config: VniConfig;
  /** Row in FDB and counters, and number of the TAP unless that is the trunk. Given to another VNI when this one is deleted. */
  readonly index: number;
  /** Where its group is joined, or else what it is sent by first. */
  underlay: Underlay;
  /** Each family that it is sent by; they bound its MTU. */
  underlays: readonly [Underlay, ...Underlay[]];
  /**
   * Numbers of the underlays on its interface, whether it names destinations of that family or only learns some. Another VNI may bring the
   * second one while running.
   */
  reach: { readonly ipv4: number; readonly ipv6: number };
  /** Number of its group, or NO_GROUP. */
  group: number;
  /** Whether `join=` asks for that group now. */
  needsGroup: boolean;
  /** The group's id among the remotes; any with NO_GROUP. */
  groupRemote: number;
  /** Who gets its floods by unicast. */
  readonly flood: FloodList;
  /** How its destinations are reached; undefined: nobody has looked. */
  paths: Paths | undefined;
  /** Its own, or the trunk, which all VNIs with `vlan=` share. Another one once that was deleted and made anew. */
  tap: Tap;
  /** The TAP as last seen in vtepd's own namespace; undefined while it is in another, and once it is deleted. */
  link: Link | undefined;
  /** Where it is while it is in another namespace. */
  elsewhere: Elsewhere | undefined;
  /** What the TAP is a port of, as last seen: a bridge mostly. */
  master: Link | undefined;
}

/** How the destinations of a VNI are reached, by the host's routes. */
export interface Paths {
  /** Why they are not, or not as they should be; undefined: nothing is wrong. */
  readonly trouble: string | undefined;
  /** Why it is not known; undefined: it is. */
  readonly unseen: string | undefined;
  /** Unicast leaves by other interfaces than its underlay, whose state then says nothing. */
  readonly isElsewhere: boolean;
}

/** Number of the trunk among the TAPs: above those of the VNIs' own. */
const TRUNK_TAP = MAX_SEGMENTS;

/** Number of a VNI's TAP. */
export function tapNumber({ config, index }: Vni): number {
  return config.vlan === undefined ? index : TRUNK_TAP;
}

/** One VNI of each TAP: the trunk is many VNIs' TAP. */
export function distinctTaps(vnis: readonly Vni[]): Vni[] {
  return [...new Map(vnis.map((vni) => [vni.tap, vni])).values()];
}

/** The TAP as last seen, wherever it is; undefined: it is gone, or cannot be looked at. */
export function seenTap({ link, elsewhere }: Pick<Vni, 'link' | 'elsewhere'>): Link | undefined {
  return link ?? elsewhere?.link;
}

/** Whether there is a TAP to read and write: it may be in another namespace. */
export function hasTap({ link, elsewhere }: Pick<Vni, 'link' | 'elsewhere'>): boolean {
  return link !== undefined || elsewhere !== undefined;
}

/** All VNIs that have a VNI's TAP: of a trunk many. */
export function sharersOf(vnis: readonly Vni[], vni: Vni): readonly Vni[] {
  return vni.config.vlan === undefined ? [vni] : vnis.filter(({ tap }) => tap === vni.tap);
}

/** What the data path needs to know. */
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
    // Of another namespace the kernel tells late whether it is up: a write finds out.
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

/** `l2-control=` as the data path takes it. */
function controlOf(asked: L2Control): number {
  if (asked === 'drop') return NO_CONTROL;
  if (asked === 'pass') return ALL_CONTROL;
  return asked.reduce((passing, name) => passing | (1 << CONTROL_PROTOCOLS[name]), NO_CONTROL);
}

/** What the host sent into a TAP and it lost since vtepd has it. @param now the TAP as it is now; undefined: it is gone */
export function tapOverrun(tap: Tap, now: Link | undefined): number {
  return tap.overrunBefore + Math.max(0, (now ?? tap.link).txDropped - tap.link.txDropped);
}

/** The longest Ethernet frame that fits every family. */
export function maxFrameBytes(underlays: readonly Underlay[]): number {
  return Math.min(...underlays.map((underlay) => underlay.maxFrameBytes));
}

/** Numbers of the underlays on the interface of one of them. */
export function reachOf(underlays: readonly Underlay[], { link }: Underlay): Vni['reach'] {
  const number = (family: 4 | 6) =>
    underlays.find((underlay) => underlay.link.index === link.index && underlay.family === family)?.number ??
    NO_UNDERLAY;
  return { ipv4: number(4), ipv6: number(6) };
}

/** Whether a VNI is cut off when its underlay interface is: a group is bound to it, unicast goes by the routes. */
export function dependsOnInterface({ config, paths }: Pick<Vni, 'config' | 'paths'>): boolean {
  return config.group !== undefined || !paths?.isElsewhere;
}
