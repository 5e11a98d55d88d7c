import type { VniConfig } from '../config/config.ts';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { ControlOrigin, Origin } from './origin.ts';

/** A segment of this VTEP, as a control plane sees it. */
export interface ControlledSegment {
  /** 0 to 16777215. */
  readonly vni: number;
  readonly config: VniConfig;
  /** Source addresses of the datagrams of the segment, at most one per family. Empty while the host has none. */
  readonly local: readonly IpAddress[];
}

/** The place of a MAC behind another VTEP. */
export interface Placement {
  /** Neither group nor zero. */
  readonly mac: MacAddress;
  readonly vtep: IpAddress;
  /** The MAC must not move (RFC 7432 §15.2). Not even a frame from the own TAP moves it. */
  readonly isSticky?: boolean;
}

/** The MAC of an IP address. This VTEP answers requests for it (ARP, neighbour discovery) while suppression is on. */
export interface Neighbour {
  readonly ip: IpAddress;
  /** Neither group nor zero. */
  readonly mac: MacAddress;
  /** undefined: unknown until an advertisement of the MAC says it. Until then no neighbour discovery is answered for it (RFC 4861 §7.2.5). */
  readonly station?: 'host' | 'router';
}

/** A static entry may also be behind the own TAP. */
export interface StaticPlacement extends Omit<Placement, 'vtep'> {
  readonly vtep: IpAddress | 'local';
}

/** Everything that an origin announces for a segment. */
export interface Said {
  /** Multicast group that receives the floods. undefined: none. */
  readonly group: IpAddress | undefined;
  /** VTEPs that receive the floods by unicast (head-end replication), distinct. */
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
 * Changes behind the TAP of one segment. A batch gives the present state, not the history: a MAC that was added and removed since the last batch may
 * be in none.
 */
export interface Stations {
  readonly vni: number;
  /**
   * The full state begins with this batch, and comes in one or more: at first, and after changes were lost. What is known of the VNI stays known until
   * it is complete.
   */
  readonly isWhole: boolean;
  /**
   * The full state is complete with this batch: a MAC that was `here` in no batch since it began is gone. Batches with changes may come before. If the
   * full state begins again before it is complete, the new one counts.
   */
  readonly endsWhole: boolean;
  readonly here: readonly LocalMac[];
  /** MACs that are no longer behind the TAP, or no longer held by another origin. A control plane may place its own MACs again. */
  readonly gone: readonly MacAddress[];
  /** Heard, or heard again. A neighbour is gone when its MAC is gone, or when another MAC is heard with its address. */
  readonly neighbours: readonly LocalNeighbour[];
}

/**
 * A source of forwarding state. It receives the segments and the stations behind their TAPs, and announces flood lists and places of MACs. Later
 * changes that it learns itself are announced by its `Forwarding`.
 *
 * The methods are called on the main thread and must not block. An exception is a programming error.
 */
export interface ControlPlane {
  readonly origin: Origin;
  /**
   * A segment is new, or its configuration or its own addresses have changed.
   *
   * @returns the full state of this origin from now on; undefined: the previous state stays
   */
  segmentUpdated(segment: ControlledSegment): Said | undefined;
  /** The segment was deleted, with the entries and the flood list of this origin. */
  segmentRemoved?(vni: number): void;
  stationsChanged?(stations: Stations): void;
}

/** One batch of announcements for a segment. Removals come before additions. */
export interface Batch {
  readonly floods?: { readonly added?: readonly IpAddress[]; readonly removed?: readonly IpAddress[] };
  readonly macs?: { readonly placed?: readonly Placement[]; readonly withdrawn?: readonly MacAddress[] };
  readonly neighbours?: { readonly placed?: readonly Neighbour[]; readonly withdrawn?: readonly IpAddress[] };
}

/** Why an announcement is not in force. It is not tried again: announce it again when the cause is gone. */
export const REFUSALS = {
  'no-segment': 'this VTEP does not have the segment',
  own: 'the VTEP is this host',
  broadcast: 'the address is a broadcast address of this host’s networks',
  family: 'the segment does not send over this address family',
  outranked: 'an origin of higher precedence says otherwise',
  full: 'a table is full',
} as const;
export type RefusalCause = keyof typeof REFUSALS;

/** The parts of a batch that are not in force. */
export interface Refused {
  readonly floods: readonly { readonly vtep: IpAddress; readonly cause: RefusalCause }[];
  readonly macs: readonly { readonly mac: MacAddress; readonly cause: RefusalCause }[];
  readonly neighbours: readonly { readonly ip: IpAddress; readonly cause: RefusalCause }[];
}

/** The object to which a control plane announces its state. Each control plane has its own, so all announcements have its origin. */
export interface Forwarding {
  readonly origin: ControlOrigin;
  /**
   * Announces changes in one segment. Announcing the same twice changes nothing. A flood member with an own address of this host is kept. It is sent
   * to as soon as the address is not an own address any more.
   *
   * @returns what was refused, when all workers use the change
   */
  say(vni: number, batch: Batch): Promise<Refused>;
  /** Withdraws all state of this origin in all segments. */
  withdrawAll(): Promise<void>;
}
