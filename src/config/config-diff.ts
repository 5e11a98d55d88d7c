/** The changes between two versions of a configuration file. */
import type { Refusal } from '../lib/errors.ts';
import type { Config, LogLevel, VniConfig } from './config.ts';
import { toFileValue } from './config-text.ts';
import { defaultControl } from './evpn-keys.ts';

export interface ConfigDiff {
  /** The new configuration, without the refused changes. */
  readonly config: Config;
  /** The keys that differ and can go into force while vtepd runs, those of VNIs and the log level left out; those of one entry go together. */
  readonly settings: readonly SettingKeys[];
  /** Changes that need a restart. */
  readonly refused: readonly { readonly key: ConfigKey; readonly refusal: Refusal }[];
  readonly logLevel: LogLevel | undefined;
  /** Segments by the action that they need, each in its new form. */
  readonly added: readonly VniConfig[];
  readonly removed: readonly VniConfig[];
  /** They are changed in place. */
  readonly changed: readonly VniConfig[];
  /** They need another TAP, and are made again. */
  readonly remade: readonly VniConfig[];
}

/** A key that can change while vtepd runs, or the reason why it cannot. */
interface Key {
  readonly name: string;
  readonly fixedBy?: string;
}

const SOCKETS = 'the sockets are bound at the start';
const CONTROL_PLANE = 'the control plane starts with it';

/** Every key of a file but the list of VNIs. A new key must be added here. */
export const KEYS = {
  dev: { name: 'dev', fixedBy: 'interface, sockets and groups are chosen at the start' },
  local: { name: 'local', fixedBy: SOCKETS },
  listen: { name: 'listen', fixedBy: SOCKETS },
  port: { name: 'port', fixedBy: SOCKETS },
  ttl: { name: 'ttl' },
  mcastTtl: { name: 'mcast-ttl' },
  tos: { name: 'tos' },
  df: { name: 'df' },
  ageingSeconds: { name: 'ageing' },
  maxMacs: { name: 'max-macs' },
  sourcePorts: { name: 'source-ports' },
  sourcePortRange: { name: 'source-port-range' },
  allowedVteps: { name: 'allow-vtep' },
  reservedBits: { name: 'reserved-bits' },
  trunk: { name: 'trunk' },
  workers: { name: 'workers', fixedBy: 'sockets and TAP queues are opened for this number at the start' },
  offload: { name: 'offload', fixedBy: 'sockets and TAPs are opened with it at the start' },
  busyPoll: { name: 'busy-poll' },
  querier: { name: 'querier' },
  persist: { name: 'persist', fixedBy: 'TAPs and state-dir are opened at the start' },
  stateDir: { name: 'state-dir', fixedBy: 'the directory is opened at the start' },
  socketPath: { name: 'socket', fixedBy: 'the control socket is opened at the start' },
  http: { name: 'http' },
  evpn: { name: 'evpn', fixedBy: CONTROL_PLANE },
  evpnHoldSeconds: { name: 'evpn-hold', fixedBy: CONTROL_PLANE },
  logFormat: { name: 'log-format', fixedBy: 'the log is opened at the start' },
} as const satisfies Record<Exclude<keyof Config, 'vnis' | 'logLevel' | 'check'>, Key>;

export type ConfigKey = keyof typeof KEYS;

/** Keys that are applied, or refused, together. */
export type SettingKeys = readonly ConfigKey[];

/** Together they define one pool of sockets: a smaller range may need fewer ports. */
const POOL_KEYS: SettingKeys = ['df', 'sourcePorts', 'sourcePortRange'];

/** Every key of a segment, and whether another value of it needs another TAP. A new key must be added here. */
export const VNI_KEYS = {
  vni: true,
  tap: true,
  vlan: true,
  group: false,
  name: false,
  bridge: false,
  mtuBytes: false,
  mac: false,
  remotes: false,
  statics: false,
  learning: false,
  maxMacs: false,
  innerVlan: false,
  l2Control: false,
  join: false,
  flood: false,
  stormPps: false,
  suppress: false,
  control: false,
  rd: false,
  targets: false,
} as const satisfies Record<keyof VniConfig, boolean>;

export function diffConfig(before: Config, after: Config): ConfigDiff {
  const changed = (Object.keys(KEYS) as ConfigKey[]).filter((key) => !isSame(before[key], after[key]));
  const fixed = changed.filter((key) => 'fixedBy' in KEYS[key]);
  const vnis = keepEvpnKeys(before, after);
  return {
    config: { ...after, ...Object.fromEntries(fixed.map((key) => [key, before[key]])), vnis },
    settings: together(changed.filter((key) => !fixed.includes(key))),
    refused: fixed.map((key) => ({ key, refusal: refusalOf(KEYS[key], before) })),
    logLevel: before.logLevel === after.logLevel ? undefined : after.logLevel,
    ...diffVnis(before.vnis, vnis),
  };
}

/** Where the refused change is whether there is EVPN at all, the keys that depend on it stay as they are. */
function keepEvpnKeys({ evpn, vnis }: Config, after: Config): Config['vnis'] {
  if ((evpn === undefined) === (after.evpn === undefined)) return after.vnis;
  return after.vnis.map((vni) => {
    const old = vnis.find((other) => other.vni === vni.vni);
    return {
      ...vni,
      control: old?.control ?? defaultControl(evpn, vni),
      rd: old?.rd,
      targets: old?.targets ?? [],
    };
  });
}

function together(keys: SettingKeys): SettingKeys[] {
  const pool = keys.filter((key) => POOL_KEYS.includes(key));
  const others = keys.filter((key) => !POOL_KEYS.includes(key)).map((key) => [key]);
  return pool.length > 0 ? [pool, ...others] : others;
}

function diffVnis(
  before: readonly VniConfig[],
  after: readonly VniConfig[],
): Pick<ConfigDiff, 'added' | 'removed' | 'changed' | 'remade'> {
  const old = new Map(before.map((vni) => [vni.vni, vni]));
  const kept = new Set(after.map(({ vni }) => vni));
  const differing = after.filter((vni) => old.has(vni.vni) && !isSame(vni, old.get(vni.vni)));
  const remade = differing.filter((vni) => needsAnotherTap(old.get(vni.vni) as VniConfig, vni));
  return {
    added: after.filter(({ vni }) => !old.has(vni)),
    removed: before.filter(({ vni }) => !kept.has(vni)),
    changed: differing.filter((vni) => !remade.includes(vni)),
    remade,
  };
}

function needsAnotherTap(before: VniConfig, after: VniConfig): boolean {
  return (Object.keys(VNI_KEYS) as (keyof VniConfig)[]).some(
    (key) => VNI_KEYS[key] && !isSame(before[key], after[key]),
  );
}

function refusalOf({ name, fixedBy = '' }: Key, before: Config): Refusal {
  const value = toFileValue(before)[name];
  const back =
    value === undefined
      ? 'remove it from the file'
      : `put \`${name}: ${Array.isArray(value) ? `[${value.join(', ')}]` : value}\` back`;
  return {
    object: `reload: ${name}`,
    cause: `cannot change while vtepd runs: ${fixedBy}`,
    remedy: `restart vtepd, or ${back}`,
  };
}

/** The same parser made both, with properties in the same order. */
export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
