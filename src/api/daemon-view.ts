/**
 * The interface between `api/` and the daemon: what the API shows of it and asks of it.
 * Plain values only; the routes have checked them before a method is called.
 */

import type { LogLevel } from '../config/config.ts';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { OuterHeaders } from '../wire/outer-headers.ts';
import type { ConnectionCount } from './connections.ts';
import type { Evpn, EvpnRoute, EvpnRoutesQuery } from './evpn-schemas.ts';
import type {
  ConfigFile,
  DaemonEvent,
  Drops,
  FdbEntry,
  FdbEvent,
  Finding,
  FloodMember,
  Stats,
  Status,
  Trace,
  VniStatus,
  Vtep,
} from './schemas.ts';

/** Conditions on FDB entries, combined with AND; an absent one matches all. */
export interface FdbFilter {
  readonly vni?: number;
  readonly mac?: MacAddress;
  readonly vtep?: IpAddress | 'local';
  readonly type?: FdbEntry['type'];
}

/** The key of an FDB entry. */
export interface EntryKey {
  readonly vni: number;
  readonly mac: MacAddress;
}

/** A static entry to be added. The MAC is neither group nor zero, the address not multicast or unspecified. */
export interface StaticFdbEntry extends EntryKey {
  readonly vtep: IpAddress | 'local';
}

/** A remote of a VNI's flood list. */
export interface FloodRemote {
  readonly vni: number;
  /** Neither multicast, broadcast, unspecified nor link-local where it is to be added. */
  readonly remote: IpAddress;
}

/** A frame to trace. */
export interface TracedFrame {
  readonly vni: number;
  readonly src: MacAddress;
  readonly dst: MacAddress;
  /** The VTEP that it comes from, a unicast address; undefined: from the TAP. */
  readonly vtep?: IpAddress | undefined;
  /** VID of an inner 802.1Q tag; undefined: it has none. */
  readonly vlan?: number | undefined;
  /** Octets without FCS; undefined: the shortest that Ethernet has. */
  readonly size?: number | undefined;
}

/** Filters of a capture, combined with AND. An absent one matches all. */
export interface CaptureQuery {
  readonly vni?: number;
  /** Source or destination of the inner frame. */
  readonly mac?: MacAddress;
  /** The VTEP that it comes from or is sent to, also in a flood; or a group. */
  readonly vtep?: IpAddress;
  /** Only dropped frames. */
  readonly drops: boolean;
}

/** A frame and its verdict. */
export interface CapturedFrame {
  /** Unix time in microseconds. */
  readonly timeUs: number;
  readonly direction: 'tx' | 'rx';
  readonly verdict: 'forwarded' | 'flooded' | 'dropped';
  /** The drop reason, null unless dropped. */
  readonly reason: string | null;
  /** Null where it has none, or none is known. */
  readonly vni: number | null;
  /** Where it came from, or the one VTEP that it is for; of a flood the group. */
  readonly vtep: IpAddress | null;
  /** Remotes that a flood goes to beside the group. */
  readonly copies: number;
  /** Frames that it stands for: above 1 it is a super-frame. */
  readonly segments: number;
  /** The datagram that it is in; undefined: none. */
  readonly outer: OuterHeaders | undefined;
  /** The header of its encapsulation and the frame; or the frame alone if it is in no datagram. Perhaps the beginning alone. */
  readonly octets: Uint8Array;
  /** How many of `octets` are that header. */
  readonly headerBytes: number;
  /** Its full length in octets. */
  readonly length: number;
}

/** An open capture. Its opener reads and closes it. */
export interface Capture {
  /** Queued frames in the order of time: a slice, and whether there are more. */
  read(): { readonly frames: readonly CapturedFrame[]; readonly isMore: boolean };
  /** Frames lost for lack of room since it was opened. */
  readonly lost: number;
  close(): void;
}

/** A server of the API, as the daemon that holds it sees it. */
export interface ApiServer {
  readonly name: 'control' | 'http';
  connections(): ConnectionCount;
  close(): Promise<void>;
}

export type FdbListener = (events: readonly FdbEvent[]) => void;
export type DaemonListener = (events: readonly DaemonEvent[]) => void;

type MaybePromise<T> = T | Promise<T>;

/** Implemented by the daemon. Every method may refuse with a VtepError, whose code decides the HTTP status. */
export interface DaemonView {
  /**
   * Sorted by VNI, then MAC; expired entries are not in it. A slice at a time, since there may be a million.
   * @throws VtepError ERR_VTEP_NOT_FOUND for an unknown VNI, at once
   */
  fdbEntries(filter: FdbFilter): AsyncIterable<readonly FdbEntry[]>;
  /**
   * Replaces a learned entry. Adding the same static one again has no effect.
   * @throws VtepError ERR_VTEP_NOT_FOUND (VNI), ERR_VTEP_CONFLICT (static for another VTEP, own MAC or address), ERR_VTEP_LIMIT
   */
  addStatic(entry: StaticFdbEntry): MaybePromise<void>;
  /** @throws VtepError ERR_VTEP_NOT_FOUND */
  deleteEntry(entry: EntryKey): MaybePromise<void>;
  /** Removes what matches, static entries only with `all`. @returns the number of entries removed */
  flush(filter: FdbFilter & { readonly all: boolean }): MaybePromise<number>;
  /**
   * Reports every change of the table and of the status of every VNI from now on, in order, until the returned function is called. The listener must
   * neither throw nor block.
   */
  watchFdb(listener: DaemonListener): () => void;
  /** Sorted by VNI. */
  vnis(): MaybePromise<readonly VniStatus[]>;
  /**
   * Adds a VNI, written as for `--vni`. A failure leaves nothing of it.
   * @throws VtepError ERR_VTEP_USAGE for wrong input or a conflict with another VNI, else as at a start
   */
  addVni(entry: string): MaybePromise<VniStatus>;
  /** @throws VtepError ERR_VTEP_NOT_FOUND */
  deleteVni(vni: number): MaybePromise<void>;
  /**
   * Adding an existing one has no effect. An own address of the host is kept in the list but not sent to.
   * @throws VtepError ERR_VTEP_NOT_FOUND (VNI), ERR_VTEP_CONFLICT (no underlay of that family), ERR_VTEP_LIMIT
   */
  addRemote(remote: FloodRemote): MaybePromise<void>;
  /** The unicast flood lists, sorted by VNI, a VNI at a time. @param only of this VNI @throws VtepError ERR_VTEP_NOT_FOUND for an unknown VNI, at once */
  floodMembers(only: number | undefined): AsyncIterable<readonly FloodMember[]>;
  /** @throws VtepError ERR_VTEP_NOT_FOUND */
  deleteRemote(remote: FloodRemote): MaybePromise<void>;
  /** BGP EVPN. @throws VtepError ERR_VTEP_NOT_FOUND without `--evpn` */
  evpn(): MaybePromise<Evpn>;
  /**
   * The received EVPN routes, in no certain order, a slice at a time, since there may be 100,000.
   * @throws VtepError ERR_VTEP_NOT_FOUND without `--evpn`, and for an unknown VNI, at once
   */
  evpnRoutes(filter: EvpnRoutesQuery): AsyncIterable<readonly EvpnRoute[]>;
  /** Of one VNI, or of the whole daemon. @throws VtepError ERR_VTEP_NOT_FOUND for an unknown VNI */
  drops(vni: number | undefined): MaybePromise<Drops>;
  /** The remote VTEPs that an entry or a flood list names, sorted by address, a slice at a time, since there may be 65,535. @param only this one, if it exists */
  vteps(only: IpAddress | undefined): AsyncIterable<readonly Vtep[]>;
  /** Of one VNI, or of all, sorted by VNI. @throws VtepError ERR_VTEP_NOT_FOUND for an unknown VNI */
  stats(vni: number | undefined): MaybePromise<Stats>;
  /** All metrics in the text format of Prometheus, a piece at a time. */
  metrics(): AsyncIterable<string>;
  status(): MaybePromise<Status>;
  /** What would happen to a frame now; nothing is changed. @throws VtepError ERR_VTEP_NOT_FOUND for an unknown VNI, if it comes out of the TAP */
  trace(frame: TracedFrame): MaybePromise<Trace>;
  /**
   * Captures frames from now on.
   * @throws VtepError ERR_VTEP_NOT_FOUND for an unknown VNI, ERR_VTEP_LIMIT
   */
  capture(query: CaptureQuery): MaybePromise<Capture>;
  /** Looks at the daemon and its host; nothing is changed. */
  doctor(): MaybePromise<readonly Finding[]>;
  /** The running configuration, including live changes and static entries. */
  config(): MaybePromise<ConfigFile>;
  /**
   * Applies all changes of the configuration file or none; with `partial`, those that can be applied.
   *
   * @returns what was left out, a line for each
   * @throws VtepError if it is refused; the configuration in force stays
   */
  reload(how: { readonly partial: boolean }): Promise<readonly string[]>;
  setLogLevel(level: LogLevel): void;
}
