import type { Encap } from '../encap/encapsulation.ts';

/** What the data path knows of one VNI. Plain values: a control plane makes one, a worker receives a copy. */

/** Frames with an inner 802.1Q tag (RFC 7348 §6.1). */
export const INNER_VLAN = { drop: 0, strip: 1, pass: 2 } as const;

/** What is flooded: broadcast, multicast and unknown unicast; only the first two; nothing (`flood=`). */
export const FLOOD = { all: 0, 'no-unknown': 1, none: 2 } as const;

/** The segment floods to no group, or the datagram did not come by one. */
export const NO_GROUP = -1;

/** The segment has no source address of that family. */
export const NO_UNDERLAY = -1;

/** VLAN of a segment that has a TAP of its own, and of the one whose frames have no tag on a trunk. All others are above. */
export const NO_VLAN = -1;
export const UNTAGGED = 0;

export interface Segment {
  /** Small dense number: the segment's row in the FDB and in the counters. */
  readonly index: number;
  /** How its frames cross the underlay: one of ENCAP. */
  readonly encap: Encap;
  /** 0–16777215. */
  readonly vni: number;
  /** Numbers of the underlays that its datagrams leave by, to destinations of each family, or NO_UNDERLAY. */
  readonly ipv4Underlay: number;
  readonly ipv6Underlay: number;
  /** Number of its multicast group, or NO_GROUP. */
  readonly group: number;
  /** The group's id among the remotes; any with NO_GROUP. */
  readonly groupRemote: number;
  /** Remote ids of the unicast flood list, distinct, own addresses left out. */
  readonly floodRemotes: readonly number[];
  /** Number of its TAP; segments of one trunk share it. */
  readonly tap: number;
  /** Its VLAN on the TAP if that is a trunk: 1–4094 or UNTAGGED; else NO_VLAN. */
  readonly vlan: number;
  /** Whether the TAP takes frames. */
  readonly tapUp: boolean;
  /** The TAP's MTU in octets. */
  readonly tapMtuBytes: number;
  /** The TAP's MAC: frames from the underlay that claim it are echoes. */
  readonly tapMacHigh: number;
  readonly tapMacLow: number;
  /** The longest Ethernet frame, without FCS, that fits the underlay's MTU once encapsulated. */
  readonly maxFrameBytes: number;
  /** Whether ARP requests and neighbour solicitations for known remote neighbours are answered instead of flooded. */
  readonly suppress: boolean;
  readonly learning: boolean;
  readonly maxMacs: number;
  /** One of INNER_VLAN. */
  readonly innerVlan: number;
  /** Which layer-2 control frames cross it: a bit for each last digit of their address. */
  readonly control: number;
  /** One of FLOOD. */
  readonly flood: number;
  /** Frames per second that are flooded in each direction at most; 0: any. */
  readonly stormPps: number;
}

/** The control plane's word to the data path; every control plane speaks these. */
export type SegmentUpdate =
  /** Adds a segment, or replaces the one of that index. */
  | { readonly kind: 'put'; readonly segment: Segment }
  | { readonly kind: 'remove'; readonly index: number }
  /** Changes the unicast flood list of a segment: remote ids. A list of thousands is sent once, and then what changes of it. */
  | {
      readonly kind: 'flood-list';
      readonly index: number;
      readonly added: readonly number[];
      readonly removed: readonly number[];
    };
