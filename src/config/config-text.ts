/** A configuration as the keys and values of a file that `--config` accepts. */
import { formatPrefix } from '../lib/ip-prefix.ts';
import { formatRouteNumber } from '../lib/route-numbers.ts';
import type { Config, VniConfig } from './config.ts';
import { defaultControl, formatTargets } from './evpn-keys.ts';
import { formatHttpAddress } from './http-address.ts';
import { parseConfig } from './parse.ts';
import { formatSpeakerAddress } from './speaker-address.ts';
import { defaultTap } from './vni-entry.ts';

/** Keys in the order of the flags. Defaults are left out. Plain values, for YAML or JSON. */
export type FileValue = Readonly<Record<string, unknown>>;

const STANDARD = parseConfig({ vni: ['0'], local: [], check: false, scalars: {} });

/** Reads back to `config`, but for `check`. */
export function toFileValue(config: Config): FileValue {
  const { tos, sourcePortRange: range } = config;
  const scalars: [name: string, value: unknown, standard: unknown][] = [
    ['dev', config.dev, STANDARD.dev],
    ['listen', config.listen, STANDARD.listen],
    ['port', config.port, STANDARD.port],
    ['ttl', config.ttl, STANDARD.ttl],
    ['mcast-ttl', config.mcastTtl, STANDARD.mcastTtl],
    ['tos', tos, STANDARD.tos],
    ['df', config.df, STANDARD.df],
    ['ageing', config.ageingSeconds, STANDARD.ageingSeconds],
    ['max-macs', config.maxMacs, STANDARD.maxMacs],
    ['source-ports', config.sourcePorts, STANDARD.sourcePorts],
    ['source-port-range', `${range.first}-${range.last}`, standardRange(config)],
    ['reserved-bits', config.reservedBits, STANDARD.reservedBits],
    ['trunk', config.trunk, STANDARD.trunk],
    ['workers', config.workers, STANDARD.workers],
    ['offload', config.offload, STANDARD.offload],
    ['busy-poll', config.busyPoll, STANDARD.busyPoll],
    ['querier', config.querier ? 'on' : 'off', 'off'],
    ['persist', config.persist ? 'on' : 'off', 'off'],
    ['state-dir', config.stateDir, STANDARD.stateDir],
    ['socket', config.socketPath, STANDARD.socketPath],
    ['http', config.http && formatHttpAddress(config.http), STANDARD.http],
    ['evpn', config.evpn && formatSpeakerAddress(config.evpn), STANDARD.evpn],
    ['evpn-hold', config.evpnHoldSeconds, STANDARD.evpnHoldSeconds],
    ['log-level', config.logLevel, STANDARD.logLevel],
    ['log-format', config.logFormat, STANDARD.logFormat],
  ];
  return {
    ...Object.fromEntries(
      scalars.filter(([, value, standard]) => value !== standard).map(([name, value]) => [name, value]),
    ),
    ...(config.local.length > 0 && { local: config.local }),
    ...(config.allowedVteps.length > 0 && { 'allow-vtep': config.allowedVteps.map(formatPrefix) }),
    vnis: config.vnis.map((vni) => vniValue(vni, config)),
  };
}

/** The default range, shortened if `port` is in it. */
function standardRange({ port }: Config): string {
  const scalars = { port: `${port}` };
  const { first, last } = parseConfig({ vni: ['0'], local: [], check: false, scalars }).sourcePortRange;
  return `${first}-${last}`;
}

function vniValue(config: VniConfig, { maxMacs, evpn }: Pick<Config, 'maxMacs' | 'evpn'>): FileValue {
  const { vni, group, name, vlan, tap, bridge, mtuBytes, mac, remotes, statics, rd } = config;
  const targets = formatTargets(config.targets);
  return {
    vni,
    ...(group !== undefined && { group }),
    ...(name !== undefined && { name }),
    ...(vlan !== undefined && { vlan }),
    ...(vlan === undefined && tap !== defaultTap(vni) && { tap }),
    ...(bridge !== undefined && { bridge }),
    ...(mtuBytes !== undefined && { mtu: mtuBytes }),
    ...(mac !== undefined && { mac }),
    ...(remotes.length > 0 && { remote: remotes }),
    ...(statics.length > 0 && { static: statics.map((entry) => `${entry.mac}@${entry.vtep}`) }),
    ...(!config.learning && { learning: 'off' }),
    ...(config.maxMacs !== maxMacs && { 'max-macs': config.maxMacs }),
    ...(config.innerVlan !== 'drop' && { 'inner-vlan': config.innerVlan }),
    ...(config.l2Control !== 'drop' && { 'l2-control': config.l2Control }),
    ...(config.join !== 'always' && { join: config.join }),
    ...(config.flood !== 'all' && { flood: config.flood }),
    ...(config.stormPps !== undefined && { storm: config.stormPps }),
    ...(config.suppress && { suppress: 'on' }),
    ...(config.control !== defaultControl(evpn, config) && { control: config.control }),
    ...(rd !== undefined && { rd: formatRouteNumber(rd) }),
    ...(targets.length > 0 && { rt: targets }),
  };
}
