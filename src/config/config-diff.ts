/** What a configuration file asks for now that it did not ask for before. */
import type { Config, LogLevel, VniConfig } from './config.ts';
import { familiesOf } from './underlay-addresses.ts';
import { refuse } from './written-value.ts';

/** Segments by what has to happen to them; each is as it is to be. */
export interface ConfigDiff {
  readonly added: readonly VniConfig[];
  readonly removed: readonly VniConfig[];
  /** What they differ in can be told to the data path. */
  readonly adjusted: readonly VniConfig[];
  /** What they differ in needs another TAP, group or MTU: they are made anew. */
  readonly remade: readonly VniConfig[];
  readonly logLevel: LogLevel | undefined;
}

/** What belongs to sockets, threads and memory that are made once. */
const FIXED = {
  dev: 'dev',
  local: 'local',
  port: 'port',
  ttl: 'ttl',
  mcastTtl: 'mcast-ttl',
  tos: 'tos',
  df: 'df',
  ageingSeconds: 'ageing',
  maxMacs: 'max-macs',
  sourcePorts: 'source-ports',
  sourcePortRange: 'source-port-range',
  allowedVteps: 'allow-vtep',
  reservedBits: 'reserved-bits',
  trunk: 'trunk',
  workers: 'workers',
  offload: 'offload',
  busyPoll: 'busy-poll',
  querier: 'querier',
  persist: 'persist',
  stateDir: 'state-dir',
  socketPath: 'socket',
  http: 'http',
  logFormat: 'log-format',
} as const satisfies Record<Exclude<keyof Config, 'vnis' | 'logLevel' | 'check'>, string>;

/** What of a segment the host has to be changed for. `inner-vlan=pass` and IPv6 cost octets of MTU. */
const MADE = (vni: VniConfig) => {
  const { group, tap, vlan, bridge, mtuBytes, mac, join, innerVlan } = vni;
  const carriesTags = innerVlan === 'pass';
  return { group, tap, vlan, bridge, mtuBytes, mac, join, carriesTags, families: familiesOf(vni) };
};

/** @throws VtepError ERR_VTEP_USAGE if something differs that cannot change while vtepd runs */
export function diffConfig(before: Config, after: Config): ConfigDiff {
  const fixed = Object.entries(FIXED).filter(
    ([key]) => !isSame(before[key as keyof Config], after[key as keyof Config]),
  );
  if (fixed.length > 0) {
    const names = fixed.map(([, name]) => name).join(', ');
    refuse(`reload: ${names}`, 'cannot change while vtepd runs', 'restart it, or put the old value back');
  }
  const old = new Map(before.vnis.map((vni) => [vni.vni, vni]));
  const kept = new Set(after.vnis.map(({ vni }) => vni));
  const changed = after.vnis.filter((vni) => old.has(vni.vni) && !isSame(vni, old.get(vni.vni)));
  const isRemade = (vni: VniConfig) => !isSame(MADE(vni), MADE(old.get(vni.vni) as VniConfig));
  return {
    added: after.vnis.filter(({ vni }) => !old.has(vni)),
    removed: before.vnis.filter(({ vni }) => !kept.has(vni)),
    adjusted: changed.filter((vni) => !isRemade(vni)),
    remade: changed.filter(isRemade),
    logLevel: before.logLevel === after.logLevel ? undefined : after.logLevel,
  };
}

/** Both are made by the same parser, with their properties in the same order. */
export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
