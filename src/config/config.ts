/**
 * The configuration as the daemon holds it: typed, complete (every default filled in) and deeply frozen. It has what the user wrote and nothing from
 * the host; what an interface or a route decides is `undefined`.
 */
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { IpPrefix } from '../lib/ip-prefix.ts';
import type { RouteDistinguisher, RouteTarget } from '../lib/route-numbers.ts';
import type { L2Control } from './keys/l2-control-key.ts';

/** The levels of pino, the most severe first. */
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The kernel offloads of the data path: towards the underlay (`gso`), from it (`gro`), both, or none. */
export const OFFLOAD_MODES = ['auto', 'off', 'gso', 'gro'] as const;
export type OffloadMode = (typeof OFFLOAD_MODES)[number];

/** Where unicast VXLAN is received: on any address of the host, or on the local one only, so that several daemons can share a host. */
export const LISTEN_MODES = ['any', 'local'] as const;
export type ListenMode = (typeof LISTEN_MODES)[number];

/** Whether a worker polls for packets before it sleeps. */
export const BUSY_POLL_MODES = ['auto', 'off'] as const;
export type BusyPollMode = (typeof BUSY_POLL_MODES)[number];

/** Frames from the overlay with an 802.1Q tag (RFC 7348 §6.1): dropped and counted, tag removed, or carried unchanged. */
export const INNER_VLAN_MODES = ['drop', 'strip', 'pass'] as const;
export type InnerVlanMode = (typeof INNER_VLAN_MODES)[number];

/** What is flooded: broadcast, multicast and unknown unicast; only the first two; nothing. */
export const FLOOD_MODES = ['all', 'no-unknown', 'none'] as const;
export type FloodMode = (typeof FLOOD_MODES)[number];

/** When the group is joined: always, or while a local MAC other than the TAP's and its bridge's own is known. */
export const JOIN_MODES = ['always', 'lazy'] as const;
export type JoinMode = (typeof JOIN_MODES)[number];

/** Where flood list and MACs of a segment come from, in addition to what is configured: flood and learn, BGP EVPN, or both. */
export const CONTROL_MODES = ['multicast', 'evpn', 'both'] as const;
export type ControlMode = (typeof CONTROL_MODES)[number];

/** An FDB entry that is never aged, evicted or moved. */
export interface StaticEntry {
  /** Unicast, not zero; once per VNI. */
  readonly mac: MacAddress;
  /** Unicast outer address of the VTEP that the MAC is behind, never a given `--local` address; or `local` for behind the TAP. */
  readonly vtep: IpAddress | 'local';
}

/** One segment, from one `--vni` entry. */
export interface VniConfig {
  /** 0 to MAX_VNI; once per configuration. */
  readonly vni: number;
  /** Multicast address that floods go to; undefined: floods go to `remotes` only. Several VNIs may share one. */
  readonly group: IpAddress | undefined;
  /** 1 to 64 printable characters, shown beside the VNI; need not be unique. */
  readonly name: string | undefined;
  /**
   * TAP interface, `vxlan<VNI>` unless given; at most MAX_INTERFACE_NAME bytes, unique in the configuration. With `vlan` the trunk, which
   * those VNIs share.
   */
  readonly tap: string;
  /** VLAN of this segment on the trunk, 1 to MAX_VLAN, or 0 for untagged frames; unique. undefined: it has its own TAP. */
  readonly vlan: number | undefined;
  /** Linux bridge that the TAP is put into. */
  readonly bridge: string | undefined;
  /** MTU of the TAP in bytes, MIN_MTU_BYTES to MAX_MTU_BYTES; undefined: it follows the underlay. */
  readonly mtuBytes: number | undefined;
  /** MAC of the TAP, unicast, not zero; undefined: derived from (local address, VNI). */
  readonly mac: MacAddress | undefined;
  /** Unicast flood list in the order given, distinct, at most MAX_FLOOD_REMOTES. May hold the host's own address. */
  readonly remotes: readonly IpAddress[];
  readonly statics: readonly StaticEntry[];
  /** Whether source MACs are learned, on both sides. */
  readonly learning: boolean;
  /** Limit of learned MACs, local and remote, 1 to MAX_FDB_ENTRIES. */
  readonly maxMacs: number;
  readonly innerVlan: InnerVlanMode;
  readonly l2Control: L2Control;
  readonly join: JoinMode;
  readonly flood: FloodMode;
  /** Limit of flooded frames per second in each direction, 1 to MAX_STORM_PPS; undefined: none. */
  readonly stormPps: number | undefined;
  /** Whether ARP and ND requests for known remote neighbours are answered here instead of flooded. */
  readonly suppress: boolean;
  /** Other than `multicast` only with `--evpn`. `evpn` only without group and remotes. */
  readonly control: ControlMode;
  /** Of its EVPN routes, unique; undefined: computed. Only where `control` is not `multicast`. */
  readonly rd: RouteDistinguisher | undefined;
  /**
   * Route targets of its EVPN routes, for import and export, distinct, at most MAX_ROUTE_TARGETS. Empty: computed from AS and VNI. `rfc8365`: computed
   * by RFC 8365 §5.1.2.1. Only where `control` is not `multicast`.
   */
  readonly targets: readonly RouteTarget[] | 'rfc8365';
}

/** Where `--http` listens. */
export interface HttpAddress {
  /** Not multicast. */
  readonly address: IpAddress;
  /** 1 to 65535. */
  readonly port: number;
}

/** Where the API of the BGP speaker is: an address or a host name and a port of 1 to 65535, or the absolute path of a Unix socket. */
export type SpeakerAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** The whole configuration of `vtepd`. */
export interface Config {
  /** In the order given, at least one, at most MAX_SEGMENTS. */
  readonly vnis: readonly VniConfig[];
  /** Underlay interface; undefined: per VNI that of the route to its group, else to its first remote. */
  readonly dev: string | undefined;
  /** Outer source addresses, at most one per family; empty: chosen from the underlay interface. */
  readonly local: readonly IpAddress[];
  readonly listen: ListenMode;
  /** UDP port for both sending and listening, 1 to 65535. */
  readonly port: number;
  /** Outer TTL or hop limit of unicast, 1 to 255. */
  readonly ttl: number;
  /** Outer TTL or hop limit of multicast, 1 to 255. */
  readonly mcastTtl: number;
  /**
   * Outer TOS byte, 0 to 255. Its two ECN bits are replaced by those of the inner packet (RFC 6040). `inherit`: that of the inner packet, 0 if it is
   * not IP.
   */
  readonly tos: number | 'inherit';
  /** Outer DF bit; vtepd fragments in neither mode (RFC 7348 §4.3). */
  readonly df: 'set' | 'unset' | 'inherit';
  /** Seconds after which a MAC that was not heard expires, 1 to MAX_AGEING_SECONDS; 0: never. */
  readonly ageingSeconds: number;
  /** Default `maxMacs` of a VNI, 1 to MAX_FDB_ENTRIES; also for VNIs added while running. */
  readonly maxMacs: number;
  /** Sockets of the outer source-port pool, 1 to MAX_SOURCE_PORTS. */
  readonly sourcePorts: number;
  /** Port range of the pool, both ends included, at least `sourcePorts` ports. A given range may contain `port`. */
  readonly sourcePortRange: { readonly first: number; readonly last: number };
  /** Outer sources that VXLAN is accepted from, distinct, at most MAX_ALLOWED_PREFIXES; empty: any. */
  readonly allowedVteps: readonly IpPrefix[];
  /** VXLAN headers with reserved bits set: RFC 7348 §5 says ignore, the Linux kernel drops. */
  readonly reservedBits: 'ignore' | 'drop';
  /** The TAP of all VNIs that have a `vlan`; undefined: none has. */
  readonly trunk: string | undefined;
  /** Data-plane threads, 1 to MAX_WORKERS. */
  readonly workers: number;
  readonly offload: OffloadMode;
  readonly busyPoll: BusyPollMode;
  /** Whether to be the IGMP and MLD querier of the underlays if there is no other. */
  readonly querier: boolean;
  /** Whether TAPs outlive the process, and learned MACs are kept in `stateDir`. */
  readonly persist: boolean;
  /** Absolute path without `/` at its end, at most MAX_STATE_DIR_BYTES. */
  readonly stateDir: string;
  /** Absolute path of the control socket, at most MAX_SOCKET_PATH_BYTES. */
  readonly socketPath: string;
  /** Where the API can be read over TCP; an unspecified address means every one. undefined: off. */
  readonly http: HttpAddress | undefined;
  /** The API of the BGP speaker for EVPN; undefined: no EVPN. */
  readonly evpn: SpeakerAddress | undefined;
  /** Seconds that EVPN routes stay in force after the speaker was lost, 0 to MAX_EVPN_HOLD_SECONDS. */
  readonly evpnHoldSeconds: number;
  readonly logLevel: LogLevel;
  /** `auto`: pretty on a terminal, json elsewhere. */
  readonly logFormat: 'json' | 'pretty' | 'auto';
  /** Only validate, then exit. */
  readonly check: boolean;
}

/** Freezes a value of plain objects and arrays to its leaves, and returns it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
