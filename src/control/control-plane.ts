import type { VniConfig } from '../config/config.ts';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { ControlOrigin, Origin } from './origin.ts';

/** A segment of this VTEP, as a control plane sees it. */
export interface ControlledSegment {
  /** 0 to 16777215. */
  readonly vni: number;
  readonly config: VniConfig;
  /** Addresses that this VTEP sends the segment's datagrams from, at most one per family; none while the host has none. */
  readonly local: readonly IpAddress[];
}

/** Where a MAC is: behind another VTEP. */
export interface Placement {
  /** Neither group nor zero. */
  readonly mac: MacAddress;
  readonly vtep: IpAddress;
  /** The MAC must not move (RFC 7432 §15.2): not even a frame from the own TAP takes it over. */
  readonly isSticky?: boolean;
}

/** Which MAC has an IP address. Questions for it (ARP, neighbour discovery) are answered here while suppression is on. */
export interface Neighbour {
  readonly ip: IpAddress;
  /** Neither group nor zero. */
  readonly mac: MacAddress;
  /** undefined: not known, as long as no advertisement of the MAC tells. Nobody answers for it in neighbour discovery until then (RFC 4861 §7.2.5). */
  readonly station?: 'host' | 'router';
}

/** A static entry may also be behind the own TAP. */
export interface StaticPlacement extends Omit<Placement, 'vtep'> {
  readonly vtep: IpAddress | 'local';
}

/** All that an origin says of a segment. */
export interface Said {
  /** Multicast group that gets the floods; undefined: none. */
  readonly group: IpAddress | undefined;
  /** VTEPs that get the floods by unicast (head-end replication), distinct. */
  readonly floods: readonly IpAddress[];
  /** Each MAC once. */
  readonly macs: readonly StaticPlacement[];
  /** Each address once. */
  readonly neighbours: readonly Neighbour[];
}

/** A MAC behind the segment's TAP. */
export interface LocalMac {
  readonly mac: MacAddress;
  readonly origin: Extract<Origin, 'static' | 'learned'>;
}

/** An IP address behind the segment's TAP, as heard in ARP or neighbour discovery. */
export interface LocalNeighbour {
  readonly mac: MacAddress;
  readonly ip: IpAddress;
}

/**
 * What changed behind the TAP of one segment. It tells what holds now, not what happened: a MAC that came and went since the last batch may be
 * in none.
 */
export interface Stations {
  readonly vni: number;
  /** `here` is all there is now: a MAC that is not in it is gone. So it is at first, and after changes were lost. */
  readonly isWhole: boolean;
  readonly here: readonly LocalMac[];
  /** MACs that are not behind the TAP any more, or not held by another origin any more: a control plane may place its own again. */
  readonly gone: readonly MacAddress[];
  /** Heard or heard again. A neighbour is gone when its MAC is gone, or when another MAC is heard with its address. */
  readonly neighbours: readonly LocalNeighbour[];
}

/**
 * A source of forwarding state. It hears of the segments and of what is behind their TAPs, and says who gets the floods and where MACs are. What it
 * learns by itself, it says by its `Forwarding`.
 *
 * The methods are called on the main thread and must not block. What they throw is a programming error.
 */
export interface ControlPlane {
  readonly origin: Origin;
  /**
   * A segment is new, or its configuration or its own addresses changed.
   *
   * @returns all that is to hold of this origin from now on; undefined: what it said before stays
   */
  segmentUpdated(segment: ControlledSegment): Said | undefined;
  /** Its entries and its flood list have gone with it. */
  segmentRemoved?(vni: number): void;
  stationsChanged?(stations: Stations): void;
}

/** One batch of what a control plane says of a segment. What is removed goes before what is added. */
export interface Batch {
  readonly floods?: { readonly added?: readonly IpAddress[]; readonly removed?: readonly IpAddress[] };
  readonly macs?: { readonly placed?: readonly Placement[]; readonly withdrawn?: readonly MacAddress[] };
  readonly neighbours?: { readonly placed?: readonly Neighbour[]; readonly withdrawn?: readonly IpAddress[] };
}

/** Why something that was said is not in force. It is not tried again: say it again when the cause has gone. */
export const REFUSALS = {
  'no-segment': 'this VTEP does not have the segment',
  own: 'the VTEP is this host',
  broadcast: 'the address is a broadcast address of this host’s networks',
  family: 'the segment does not send over this address family',
  outranked: 'an origin of higher precedence says otherwise',
  full: 'a table is full',
} as const;
export type RefusalCause = keyof typeof REFUSALS;

/** What of a batch is not in force. */
export interface Refused {
  readonly floods: readonly { readonly vtep: IpAddress; readonly cause: RefusalCause }[];
  readonly macs: readonly { readonly mac: MacAddress; readonly cause: RefusalCause }[];
  readonly neighbours: readonly { readonly ip: IpAddress; readonly cause: RefusalCause }[];
}

/** What a control plane says to, made for it alone: all that is said here has its origin. */
export interface Forwarding {
  readonly origin: ControlOrigin;
  /**
   * Says what changes in one segment. Saying the same twice changes nothing. A flood member with an own address of this host is kept, and sent to
   * as soon as the address is another host's.
   *
   * @returns when all workers go by it; with what was refused
   */
  say(vni: number, batch: Batch): Promise<Refused>;
  /** Withdraws everything of this origin in all segments. */
  withdrawAll(): Promise<void>;
}
