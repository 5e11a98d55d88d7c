/**
 * The flags of `vtepd` and the keys of `--vni`, once: the parser takes names and defaults from here, `--help` the rest.
 * What does not work yet is not listed, and therefore refused as unknown.
 */
import {
  DEFAULT_MAX_MACS,
  MAX_AGEING_SECONDS,
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
  /** What stands for the value in the help; empty for a switch. */
  readonly value: string;
  /** The value that is parsed when the flag is not given; undefined where there is none or it depends on the host. */
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

/** Where vtepd listens and vtepctl looks unless told otherwise. */
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
      'One VXLAN segment, 0 to 16777215, with the multicast group that its floods go to. Give it once for each segment; at least one is needed, or a --config.',
  },
  {
    name: 'dev',
    kind: 'scalar',
    value: 'IFACE',
    meaning:
      'Underlay interface: multicast is sent and joined there. Default: per VNI the interface of the route to its group, else to its first remote.',
  },
  {
    name: 'local',
    kind: 'list',
    value: 'IP',
    meaning:
      'Outer source address, at most one of each family. Default: the first global address of the underlay interface.',
  },
  {
    name: 'listen',
    kind: 'scalar',
    value: 'any|local',
    standard: 'any',
    meaning:
      'any: hear VXLAN that is sent to any address of this host. local: only what is sent to the address that is sent from, so that several daemons can share the host.',
  },
  { name: 'port', kind: 'scalar', value: 'N', standard: '4789', meaning: 'UDP port, sent to and listened on.' },
  { name: 'ttl', kind: 'scalar', value: 'N', standard: '64', meaning: 'Outer TTL or hop limit of unicast, 1 to 255.' },
  {
    name: 'mcast-ttl',
    kind: 'scalar',
    value: 'N',
    standard: '1',
    meaning: 'Outer TTL or hop limit of multicast, 1 to 255; more than 1 where routers lie between.',
  },
  {
    name: 'tos',
    kind: 'scalar',
    value: 'N|inherit',
    standard: '0',
    meaning:
      "Outer TOS byte, 0 to 255 or 0x0 to 0xff, or the inner packet's, 0 if that is not IP. Its two ECN bits are always the inner packet's (RFC 6040).",
  },
  {
    name: 'df',
    kind: 'scalar',
    value: 'set|unset|inherit',
    standard: 'set',
    meaning:
      "Outer DF bit, or the inner packet's: set if that is IPv6, clear if it is no IP. Takes twice the source ports then. vtepd itself never fragments, and IPv6 has no such bit: over it no router does.",
  },
  {
    name: 'ageing',
    kind: 'scalar',
    value: 'SECONDS',
    standard: '300',
    meaning: `Learned MACs expire this long after they were last heard, at most ${MAX_AGEING_SECONDS}; 0: never.`,
  },
  {
    name: 'max-macs',
    kind: 'scalar',
    value: 'N',
    standard: `${DEFAULT_MAX_MACS}`,
    meaning: `Learned MACs per VNI, local and remote, 1 to ${MAX_FDB_ENTRIES}.`,
  },
  {
    name: 'source-ports',
    kind: 'scalar',
    value: 'N',
    standard: '16',
    meaning: `Size of the outer source-port pool, 1 to ${MAX_SOURCE_PORTS}: flows spread over it. No larger than a --source-port-range that is given, unless it is given too.`,
  },
  {
    name: 'source-port-range',
    kind: 'scalar',
    value: 'A-B',
    standard: '49152-65535',
    meaning:
      'Where the pool is bound. A range with --port in it, as 4789-4789, sends from the port that is listened on.',
  },
  {
    name: 'allow-vtep',
    kind: 'list',
    value: 'CIDR',
    meaning: 'Accept VXLAN only from these outer sources, IPv4 or IPv6. Repeatable. Default: from any.',
  },
  {
    name: 'reserved-bits',
    kind: 'scalar',
    value: 'ignore|drop',
    standard: 'ignore',
    meaning: 'Received VXLAN headers with reserved bits set: RFC 7348 says ignore, the Linux kernel drops.',
  },
  {
    name: 'trunk',
    kind: 'scalar',
    value: 'NAME',
    meaning:
      'TAP that carries all VNIs having vlan=, 802.1Q tagged; to be put into a VLAN-aware bridge. Made when it is not there.',
  },
  {
    name: 'workers',
    kind: 'scalar',
    value: 'N',
    standard: '1',
    meaning: `Data-plane threads, 1 to ${MAX_WORKERS}: flows spread over them. Above 1, TAPs are multi-queue.`,
  },
  {
    name: 'offload',
    kind: 'scalar',
    value: 'auto|off|gso|gro',
    standard: 'auto',
    meaning:
      'What the kernel cuts and merges. gso: only what goes out (TAP TSO and USO, UDP_SEGMENT); gro: only what comes in (UDP_GRO, merged TAP writes); off: nothing.',
  },
  {
    name: 'busy-poll',
    kind: 'scalar',
    value: 'auto|off',
    standard: 'auto',
    meaning:
      'auto: between frames that come often but not densely, keep looking instead of sleeping, for shorter round trips; takes processor time that nobody else wants. off: sleep.',
  },
  {
    name: 'querier',
    kind: 'switch',
    value: '',
    meaning:
      'Be the IGMP and MLD querier on the underlay when none is heard, so that switches that snoop go on passing the groups; of several, the one with the lowest address is. Needs CAP_NET_RAW.',
  },
  {
    name: 'persist',
    kind: 'switch',
    value: '',
    meaning:
      'TAPs outlive the process, so that bridge membership and addresses survive a restart or a crash, and learned MACs are kept in --state-dir.',
  },
  {
    name: 'state-dir',
    kind: 'scalar',
    value: 'DIR',
    standard: '/var/lib/vtepd',
    meaning: 'Where --persist keeps learned MACs; one for each vtepd of a host. Its TAPs carry it in their alias.',
  },
  {
    name: 'config',
    kind: 'scalar',
    value: 'FILE',
    meaning:
      'YAML file: every flag is a key of the same name without dashes, vnis: the list of segments. A flag replaces the key, --vni N the entry N.',
  },
  {
    name: 'socket',
    kind: 'scalar',
    value: 'PATH',
    standard: DEFAULT_SOCKET_PATH,
    meaning: 'Control socket that vtepctl talks to.',
  },
  {
    name: 'http',
    kind: 'scalar',
    value: 'ADDR:PORT',
    meaning:
      'Let the API be read over TCP too, as at 127.0.0.1:9477 or [::1]:9477. It asks nobody who he is: give a loopback address, or one of a management network. Default: off.',
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
    meaning: 'Validate flags and file without looking at the host; exit 0, or 64 with the fault.',
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
    meaning: "MTU of the TAP in bytes (default: the underlay's less 50, or 70 over IPv6).",
  },
  {
    name: 'mac',
    value: 'MAC',
    repeatable: false,
    meaning: 'MAC of the TAP (default: stable, from local address and VNI).',
  },
  {
    name: 'remote',
    value: 'IP',
    repeatable: true,
    meaning: 'VTEP that floods go to by unicast, alone or beside GROUP. Repeatable; the own address is skipped.',
  },
  {
    name: 'static',
    value: 'MAC@IP',
    repeatable: true,
    meaning: 'Static forwarding entry; MAC@local is behind the TAP. Repeatable.',
  },
  { name: 'learning', value: 'on|off', repeatable: false, meaning: 'Learn source MACs (default on).' },
  { name: 'max-macs', value: 'N', repeatable: false, meaning: "As the flag, for this VNI (default: the flag's)." },
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
      'Layer-2 control frames (01:80:c2:00:00:00 to :0f): dropped (default), passed but for pause frames, or passed by name: stp (:00), lacp (:02), eapol (:03), lldp (:0e).',
  },
  {
    name: 'join',
    value: 'always|lazy',
    repeatable: false,
    meaning:
      "When the group is joined (default always). lazy: while a local MAC is known other than the TAP's and its bridge's own.",
  },
  {
    name: 'flood',
    value: 'all|no-unknown|none',
    repeatable: false,
    meaning: 'What is flooded: broadcast, multicast and unknown unicast (default all), only the first two, nothing.',
  },
  {
    name: 'storm',
    value: 'PPS',
    repeatable: false,
    meaning: 'Flooded frames per second at most, each direction by itself, burst one second (default any).',
  },
  {
    name: 'suppress',
    value: 'on|off',
    repeatable: false,
    meaning: 'Answer ARP and ND questions for known remote neighbours instead of flooding them (default off).',
  },
  {
    name: 'vlan',
    value: 'N',
    repeatable: false,
    meaning: `VLAN of the --trunk that this VNI is, 1 to ${MAX_VLAN}, or 0 for untagged frames, instead of a TAP of its own. Excludes tap, bridge, mac and mtu.`,
  },
] as const satisfies readonly EntryKey[];

export type EntryKeyName = (typeof ENTRY_KEYS)[number]['name'];
