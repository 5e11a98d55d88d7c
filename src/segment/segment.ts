import type { Encap } from '../encap/encapsulation.ts';

/** What the data path knows of one VNI. These are plain values: the main thread creates them, and each worker receives a copy. */

/** Frames with an inner 802.1Q tag (RFC 7348 §6.1). */
export const INNER_VLAN = { drop: 0, strip: 1, pass: 2 } as const;

/** What is flooded (`flood=`): broadcast, multicast and unknown unicast; only broadcast and multicast; nothing. */
export const FLOOD = { all: 0, 'no-unknown': 1, none: 2 } as const;

/** The segment floods to no group, or the datagram was not received by a group. */
export const NO_GROUP = -1;

/** The segment has no source address of that family. */
export const NO_UNDERLAY = -1;

/** VLAN of a segment that has its own TAP, and of the segment of untagged frames on a trunk. All other VLANs are larger. */
export const NO_VLAN = -1;
export const UNTAGGED = 0;

export interface Segment {
  /** Small dense number: the row of the segment in the FDB and in the counters. */
  readonly index: number;
  /** Its encapsulation: one of ENCAP. */
  readonly encap: Encap;
  /** 0–16777215. */
  readonly vni: number;
  /** Numbers of the underlays for its datagrams to destinations of each family, or NO_UNDERLAY. */
  readonly ipv4Underlay: number;
  readonly ipv6Underlay: number;
  /** Number of its multicast group, or NO_GROUP. */
  readonly group: number;
  /** The id of the group among the remotes. Any value if the group is NO_GROUP. */
  readonly groupRemote: number;
  /** Remote ids of the unicast flood list, distinct, without own addresses. */
  readonly floodRemotes: readonly number[];
  /** Number of its TAP. The segments of a trunk share it. */
  readonly tap: number;
  /** Its VLAN on a trunk: 1–4094 or UNTAGGED. NO_VLAN if the TAP is not a trunk. */
  readonly vlan: number;
  /** Whether the TAP accepts frames. */
  readonly tapUp: boolean;
  /** The TAP's MTU in octets. */
  readonly tapMtuBytes: number;
  /** The MAC of the TAP. Frames from the underlay with this source MAC are echoes. */
  readonly tapMacHigh: number;
  readonly tapMacLow: number;
  /** The longest Ethernet frame, without FCS, that fits the MTU of the underlay after encapsulation. */
  readonly maxFrameBytes: number;
  /** Whether ARP requests and neighbour solicitations for known remote neighbours are answered instead of flooded. */
  readonly suppress: boolean;
  readonly learning: boolean;
  readonly maxMacs: number;
  /** One of INNER_VLAN. */
  readonly innerVlan: number;
  /** Which layer-2 control frames cross the segment: one bit for each last digit of their address. */
  readonly control: number;
  /** One of FLOOD. */
  readonly flood: number;
  /** Maximum flooded frames per second in each direction. 0: no limit. */
  readonly stormPps: number;
}

/** Updates from the main thread to the data path. They are the same for every control plane. */
export type SegmentUpdate =
  /** Adds a segment, or replaces the one with that index. */
  | { readonly kind: 'put'; readonly segment: Segment }
  | { readonly kind: 'remove'; readonly index: number }
  /** Changes the unicast flood list of a segment, as remote ids. A list of thousands is sent once, and after that only its changes. */
  | {
      readonly kind: 'flood-list';
      readonly index: number;
      readonly added: readonly number[];
      readonly removed: readonly number[];
    };
