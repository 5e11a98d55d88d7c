/**
 * The flags of `vtepd` and the keys of `--vni`. The parser takes names and defaults from here, `--help` the rest.
 * What is not implemented is not listed, and is therefore refused as unknown.
 */
import { VXLAN } from '../encap/vxlan.ts';
import {
  DEFAULT_MAX_MACS,
  MAX_AGEING_SECONDS,
  MAX_EVPN_HOLD_SECONDS,
  MAX_FDB_ENTRIES,
  MAX_SOURCE_PORTS,
  MAX_VLAN,
  MAX_WORKERS,
} from '../lib/limits.ts';
import { LOG_LEVELS } from './config.ts';

interface Flag {
  readonly name: string;
  /** `scalar` takes one value, `list` one value each time it is given, `switch` none. */
  readonly kind: 'scalar' | 'list' | 'switch';
  /** The placeholder of the value in the help; empty for a switch. */
  readonly value: string;
  /** The value if the flag is not given; undefined if there is none or it depends on the host. */
  readonly standard?: string;
  /** One or more sentences for the help, which adds `standard`. */
  readonly meaning: string;
}

interface EntryKey {
  readonly name: string;
  readonly value: string;
  readonly repeatable: boolean;
  readonly meaning: string;
}

/** The default of `--socket`, for vtepd and vtepctl. */
export const DEFAULT_SOCKET_PATH = '/run/vtepd/vtepd.sock';

/** Switches that a file may set too, as `on` or `off`. */
export const FILE_SWITCHES = ['querier', 'persist'] as const;
export type FileSwitchName = (typeof FILE_SWITCHES)[number];

export const FLAGS = [
  {
    name: 'vni',
    kind: 'list',
    value: 'VNI[=GROUP][,key=value]…',
    meaning:
      'One VXLAN segment: a VNI of 0 to 16777215, and the multicast group for its floods. Repeatable. At least one is needed, or --config.',
  },
  {
    name: 'dev',
    kind: 'scalar',
    value: 'IFACE',
    meaning:
      'Underlay interface: multicast is sent and joined on it. Default: for each VNI, the interface of the route to its group, or to its first remote; with EVPN alone, that of the default route.',
  },
  {
    name: 'local',
    kind: 'list',
    value: 'IP',
    meaning:
      'Outer source address, at most one for each family. Repeatable. Default: the first global address of the underlay interface.',
  },
  {
    name: 'listen',
    kind: 'scalar',
    value: 'any|local',
    standard: 'any',
    meaning:
      'any: receive VXLAN on every address of this host. local: receive it only on the outer source address, so that several daemons can share the host.',
  },
  {
    name: 'port',
    kind: 'scalar',
    value: 'N',
    standard: `${VXLAN.port}`,
    meaning: 'UDP port, for both sending and listening.',
  },
  { name: 'ttl', kind: 'scalar', value: 'N', standard: '64', meaning: 'Outer TTL or hop limit of unicast, 1 to 255.' },
  {
    name: 'mcast-ttl',
    kind: 'scalar',
    value: 'N',
    standard: '1',
    meaning: 'Outer TTL or hop limit of multicast, 1 to 255. Across routers it must be more than 1.',
  },
  {
    name: 'tos',
    kind: 'scalar',
    value: 'N|inherit',
    standard: '0',
    meaning:
      'Outer TOS byte, 0 to 255 or 0x0 to 0xff. inherit: the TOS of the inner packet, or 0 if it is not IP. The two ECN bits are always those of the inner packet (RFC 6040).',
  },
  {
    name: 'df',
    kind: 'scalar',
    value: 'set|unset|inherit',
    standard: 'set',
    meaning:
      'Outer DF bit. inherit: the DF bit of the inner packet, set for IPv6, clear for other frames; this needs twice the source ports. vtepd itself never fragments. IPv6 has no DF bit, and IPv6 routers never fragment.',
  },
  {
    name: 'ageing',
    kind: 'scalar',
    value: 'SECONDS',
    standard: '300',
    meaning: `Learned MACs expire this long after they were last heard, at most ${MAX_AGEING_SECONDS}. 0: never.`,
  },
  {
    name: 'max-macs',
    kind: 'scalar',
    value: 'N',
    standard: `${DEFAULT_MAX_MACS}`,
    meaning: `Limit of learned MACs for each VNI, local and remote, 1 to ${MAX_FDB_ENTRIES}.`,
  },
  {
    name: 'source-ports',
    kind: 'scalar',
    value: 'N',
    standard: '16',
    meaning: `Number of outer source ports, 1 to ${MAX_SOURCE_PORTS}. Flows are spread over them. If only --source-port-range is given, the number is no larger than the range.`,
  },
  {
    name: 'source-port-range',
    kind: 'scalar',
    value: 'A-B',
    standard: '49152-65535',
    meaning:
      'Range of the outer source ports. 4789-4789 sends from the port that is listened on, for a host behind NAT.',
  },
  {
    name: 'allow-vtep',
    kind: 'list',
    value: 'CIDR',
    meaning: 'Accept VXLAN only from these outer source addresses, IPv4 or IPv6. Repeatable. Default: any.',
  },
  {
    name: 'reserved-bits',
    kind: 'scalar',
    value: 'ignore|drop',
    standard: 'ignore',
    meaning:
      'What to do with received VXLAN headers that have reserved bits set. RFC 7348 ignores the bits, the Linux kernel drops the packet.',
  },
  {
    name: 'trunk',
    kind: 'scalar',
    value: 'NAME',
    meaning:
      'TAP that carries all VNIs with vlan=, as 802.1Q tags, for a VLAN-aware bridge. Made if it does not exist.',
  },
  {
    name: 'workers',
    kind: 'scalar',
    value: 'N',
    standard: '1',
    meaning: `Data-plane threads, 1 to ${MAX_WORKERS}. Flows are spread over them. Above 1, TAPs are multi-queue.`,
  },
  {
    name: 'offload',
    kind: 'scalar',
    value: 'auto|off|gso|gro',
    standard: 'auto',
    meaning:
      'Segmentation and merging by the kernel. gso: output only (TAP TSO and USO, UDP_SEGMENT). gro: input only (UDP_GRO, merged TAP writes). auto: both. off: none.',
  },
  {
    name: 'busy-poll',
    kind: 'scalar',
    value: 'auto|off',
    standard: 'auto',
    meaning:
      'auto: between frames that come often, poll for the next one instead of sleeping. Round trips are shorter. It uses processor time only while no other process needs it. off: sleep.',
  },
  {
    name: 'querier',
    kind: 'switch',
    value: '',
    meaning:
      'Be the IGMP and MLD querier on the underlay if no other is heard, so that switches with snooping continue to forward the groups. Of several queriers the one with the lowest address sends the queries. Needs CAP_NET_RAW.',
  },
  {
    name: 'persist',
    kind: 'switch',
    value: '',
    meaning:
      'Keep the TAPs when vtepd stops, so that bridge membership and addresses survive a restart or a crash. Keep learned MACs in --state-dir.',
  },
  {
    name: 'state-dir',
    kind: 'scalar',
    value: 'DIR',
    standard: '/var/lib/vtepd',
    meaning:
      'Directory for the learned MACs of --persist. Each vtepd on a host needs its own. The alias of its TAPs contains the name of the directory.',
  },
  {
    name: 'config',
    kind: 'scalar',
    value: 'FILE',
    meaning:
      'YAML file. Every flag is a key of the same name without dashes; vnis: is the list of segments. A flag replaces the key, --vni N replaces the entry N.',
  },
  {
    name: 'socket',
    kind: 'scalar',
    value: 'PATH',
    standard: DEFAULT_SOCKET_PATH,
    meaning: 'Control socket for vtepctl.',
  },
  {
    name: 'http',
    kind: 'scalar',
    value: 'ADDR:PORT',
    meaning:
      'Offer the read requests of the API over TCP too, for example on 127.0.0.1:9477 or [::1]:9477. It has no authentication: bind it to a loopback or management address. Default: off.',
  },
  {
    name: 'evpn',
    kind: 'scalar',
    value: 'HOST:PORT|unix:PATH',
    meaning:
      'API of the BGP speaker of this host (GoBGP), for example 127.0.0.1:50051 or unix:/run/gobgp/api.sock. Other VTEPs and their MACs are then learned by BGP EVPN (RFC 8365). Default: off.',
  },
  {
    name: 'evpn-hold',
    kind: 'scalar',
    value: 'SECONDS',
    standard: '180',
    meaning: `How long EVPN routes stay in force after the BGP speaker was lost, at most ${MAX_EVPN_HOLD_SECONDS}.`,
  },
  {
    name: 'log-level',
    kind: 'scalar',
    value: 'LEVEL',
    standard: 'info',
    meaning: `One of ${LOG_LEVELS.join(', ')}.`,
  },
  {
    name: 'log-format',
    kind: 'scalar',
    value: 'json|pretty',
    meaning: 'Default: pretty on a terminal, json elsewhere.',
  },
  {
    name: 'check',
    kind: 'switch',
    value: '',
    meaning: 'Validate flags and file without looking at the host. Exit 0, or 64 with the fault.',
  },
  {
    name: 'withdraw',
    kind: 'switch',
    value: '',
    meaning: 'Withdraw the EVPN routes that a killed vtepd left in the BGP speaker, and exit. 1: some may be left.',
  },
  { name: 'version', kind: 'switch', value: '', meaning: 'Print the version.' },
  { name: 'help', kind: 'switch', value: '', meaning: 'Print this.' },
] as const satisfies readonly Flag[];

export type ScalarFlagName = Extract<(typeof FLAGS)[number], { kind: 'scalar' }>['name'];

export const ENTRY_KEYS = [
  { name: 'name', value: 'TEXT', repeatable: false, meaning: 'Shown beside the VNI, at most 64 characters.' },
  {
    name: 'tap',
    value: 'NAME',
    repeatable: false,
    meaning: 'TAP interface, at most 15 characters (default vxlan<VNI>).',
  },
  { name: 'bridge', value: 'NAME', repeatable: false, meaning: 'Existing Linux bridge that the TAP is put into.' },
  {
    name: 'mtu',
    value: 'N',
    repeatable: false,
    meaning: 'MTU of the TAP in bytes (default: the MTU of the underlay less 50, or less 70 over IPv6).',
  },
  {
    name: 'mac',
    value: 'MAC',
    repeatable: false,
    meaning: 'MAC of the TAP (default: computed from local address and VNI, so that it stays the same).',
  },
  {
    name: 'remote',
    value: 'IP',
    repeatable: true,
    meaning:
      'VTEP that floods are sent to by unicast (head-end replication), without or in addition to GROUP. Repeatable. Own addresses are skipped.',
  },
  {
    name: 'static',
    value: 'MAC@IP',
    repeatable: true,
    meaning: 'Static entry of the forwarding database. MAC@local: the MAC is behind the TAP. Repeatable.',
  },
  { name: 'learning', value: 'on|off', repeatable: false, meaning: 'Learn source MACs (default on).' },
  {
    name: 'max-macs',
    value: 'N',
    repeatable: false,
    meaning: 'Like the flag, for this VNI (default: that of the flag).',
  },
  {
    name: 'inner-vlan',
    value: 'drop|strip|pass',
    repeatable: false,
    meaning: 'Frames with an inner 802.1Q tag (default drop, as RFC 7348 §6.1 says).',
  },
  {
    name: 'l2-control',
    value: 'drop|pass|NAME[+NAME]…',
    repeatable: true,
    meaning:
      'Layer-2 control frames (01:80:c2:00:00:00 to :0f). drop: none (default). pass: all except pause frames. NAME: those of stp (:00), lacp (:02), eapol (:03), lldp (:0e).',
  },
  {
    name: 'join',
    value: 'always|lazy',
    repeatable: false,
    meaning:
      'When the group is joined (default always). lazy: only while a local MAC is known, apart from the MACs of the TAP and its bridge.',
  },
  {
    name: 'flood',
    value: 'all|no-unknown|none',
    repeatable: false,
    meaning:
      'What is flooded. all: broadcast, multicast and unknown unicast (default). no-unknown: broadcast and multicast. none: nothing.',
  },
  {
    name: 'storm',
    value: 'PPS',
    repeatable: false,
    meaning:
      'Limit of flooded frames per second, separate for each direction, with a burst of one second (default: no limit).',
  },
  {
    name: 'suppress',
    value: 'on|off',
    repeatable: false,
    meaning: 'Answer ARP and ND requests for known remote neighbours instead of flooding them (default off).',
  },
  {
    name: 'control',
    value: 'multicast|evpn|both',
    repeatable: false,
    meaning:
      'How other VTEPs and their MACs are found. multicast: by flood and learn, with GROUP and remotes. evpn: by BGP EVPN, without GROUP and remotes. both: by both. Default with --evpn: both for a VNI with GROUP or remote, else evpn. Default without --evpn: multicast.',
  },
  {
    name: 'rd',
    value: 'ADMIN:VALUE',
    repeatable: false,
    meaning:
      'Route distinguisher of the EVPN routes of this VNI, such as 192.0.2.1:100 or 65000:100. No other VNI of any host can have it. Default: computed.',
  },
  {
    name: 'rt',
    value: 'ADMIN:VALUE|rfc8365',
    repeatable: true,
    meaning:
      'Route target of this VNI, such as 65000:100, for import and export. Repeatable. rfc8365: computed as RFC 8365 says. Default: AS:VNI for export; the VNI with any AS for import.',
  },
  {
    name: 'vlan',
    value: 'N',
    repeatable: false,
    meaning: `VLAN of the --trunk for this VNI, 1 to ${MAX_VLAN}, or 0 for untagged frames, instead of its own TAP. Excludes tap, bridge, mac and mtu.`,
  },
] as const satisfies readonly EntryKey[];

export type EntryKeyName = (typeof ENTRY_KEYS)[number]['name'];
