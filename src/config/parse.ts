/** Makes the validated, frozen configuration of flags and file. Pure: nothing here reads the host. */
import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import {
  MAX_AGEING_SECONDS,
  MAX_EVPN_HOLD_SECONDS,
  MAX_FDB_ENTRIES,
  MAX_SOURCE_PORTS,
  MAX_WORKERS,
} from '../lib/limits.ts';
import { BUSY_POLL_MODES, type Config, deepFreeze, LISTEN_MODES, LOG_LEVELS, OFFLOAD_MODES } from './config.ts';
import { FLAGS, type ScalarFlagName } from './flags.ts';
import { parseHttpAddress } from './http-address.ts';
import { parseAllowedVteps } from './keys/allow-vtep.ts';
import {
  parseChoice,
  parseInterfaceName,
  parseOnOff,
  parsePortRange,
  parseSocketPath,
  parseStateDir,
  parseTos,
  parseWholeNumber,
} from './keys/scalars.ts';
import { flagValue, refuse, type WrittenValue } from './keys/written-value.ts';
import { parseSpeakerAddress } from './speaker-address.ts';
import { familyName, parseLocalAddress } from './underlay-addresses.ts';
import { parseWrittenVni } from './vni-entry.ts';
import { checkVniSet } from './vni-set.ts';
import { overlay, type RawFlags, type WrittenConfig, writtenFlags } from './written-config.ts';
import type { WrittenVni } from './written-vni.ts';

type PortRange = Config['sourcePortRange'];

const STANDARDS: ReadonlyMap<string, string> = new Map(
  FLAGS.flatMap((flag) => ('standard' in flag ? [[flag.name, flag.standard]] : [])),
);

/**
 * @param file the contents of the configuration file; without one, the flags must name a segment
 * @returns the configuration, deeply frozen  @throws VtepError ERR_VTEP_USAGE for the first fault found
 */
export function parseConfig(raw: RawFlags, file?: WrittenConfig): Config {
  const flags = writtenFlags(raw);
  const { scalars, switches, vnis, ...lists } = file === undefined ? flags : overlay(file, flags);
  const optional = <T>(name: ScalarFlagName, parse: (written: WrittenValue) => T): T | undefined => {
    const written = scalars[name];
    return written && parse(written);
  };
  const scalar = <T>(name: ScalarFlagName, parse: (written: WrittenValue) => T): T =>
    parse(scalars[name] ?? flagValue(name, STANDARDS.get(name) as string));
  const number = (name: ScalarFlagName, min: number, max: number) =>
    scalar(name, (written) => parseWholeNumber(written, { min, max }));

  const dev = optional('dev', parseInterfaceName);
  const local = parseLocals(lists.local ?? []);
  const port = number('port', 1, 65535);
  const range = optional('source-port-range', parsePortRange);
  const df = scalar('df', (written) => parseChoice(written, ['set', 'unset', 'inherit'] as const));
  const pools = df === 'inherit' ? 2 : 1;
  const sourcePorts = poolSize(number('source-ports', 1, MAX_SOURCE_PORTS), scalars, range && { ...range, pools });
  const maxMacs = number('max-macs', 1, MAX_FDB_ENTRIES);
  const trunk = optional('trunk', parseInterfaceName);
  const evpn = optional('evpn', parseSpeakerAddress);
  return deepFreeze({
    dev,
    local,
    port,
    ttl: number('ttl', 1, 255),
    mcastTtl: number('mcast-ttl', 1, 255),
    tos: scalar('tos', parseTos),
    df,
    ageingSeconds: number('ageing', 0, MAX_AGEING_SECONDS),
    maxMacs,
    sourcePorts,
    sourcePortRange: range ?? besidePort(scalar('source-port-range', parsePortRange), port),
    allowedVteps: parseAllowedVteps(lists.allowVtep ?? []),
    reservedBits: scalar('reserved-bits', (written) => parseChoice(written, ['ignore', 'drop'])),
    trunk,
    workers: number('workers', 1, MAX_WORKERS),
    offload: scalar('offload', (written) => parseChoice(written, OFFLOAD_MODES)),
    listen: scalar('listen', (written) => parseChoice(written, LISTEN_MODES)),
    busyPoll: scalar('busy-poll', (written) => parseChoice(written, BUSY_POLL_MODES)),
    querier: switches.querier !== undefined && parseOnOff(switches.querier),
    persist: switches.persist !== undefined && parseOnOff(switches.persist),
    stateDir: scalar('state-dir', parseStateDir),
    socketPath: scalar('socket', parseSocketPath),
    http: optional('http', parseHttpAddress),
    evpn,
    evpnHoldSeconds: number('evpn-hold', 0, MAX_EVPN_HOLD_SECONDS),
    logLevel: scalar('log-level', (written) => parseChoice(written, LOG_LEVELS)),
    logFormat: optional('log-format', (written) => parseChoice(written, ['json', 'pretty'])) ?? 'auto',
    check: raw.check,
    vnis: parseVnis(vnis, { maxMacs, local, dev, trunk, evpn, mayBeEmpty: file !== undefined }),
  });
}

function parseVnis(
  written: readonly WrittenVni[],
  { mayBeEmpty, ...context }: Pick<Config, 'maxMacs' | 'local' | 'dev' | 'trunk' | 'evpn'> & { mayBeEmpty: boolean },
): Config['vnis'] {
  if (written.length === 0 && !mayBeEmpty) {
    refuse('--vni', 'no segment is given', 'give at least one, like --vni 100=239.1.1.1, or a --config');
  }
  const segments = written.map((entry) => ({ object: entry.object, config: parseWrittenVni(entry, context) }));
  checkVniSet(segments, context);
  return segments.map(({ config }) => config);
}

function parseLocals(written: readonly WrittenValue[]): IpAddress[] {
  const locals: IpAddress[] = [];
  for (const value of written) {
    const local = parseLocalAddress(value);
    const same = locals.find((other) => ipFamily(other) === ipFamily(local));
    if (same !== undefined) {
      refuse(value.object, `--local ${same} is ${familyName(same)} too`, 'give one address per family');
    }
    locals.push(local);
  }
  return locals;
}

/**
 * A given range must have room for a given pool size. The default pool is small enough for all pools to fit. A second pool is needed over IPv4 only:
 * the start checks whether it fits.
 */
function poolSize(
  wanted: number,
  { 'source-ports': given, 'source-port-range': written }: WrittenConfig['scalars'],
  range: (PortRange & { readonly pools: number }) | undefined,
): number {
  if (range === undefined || written === undefined) return wanted;
  const size = range.last - range.first + 1;
  if (given === undefined) return Math.min(wanted, Math.max(1, Math.floor(size / range.pools)));
  if (size >= wanted) return wanted;
  refuse(
    written.object,
    `it holds ${size} ${size === 1 ? 'port' : 'ports'}, fewer than --source-ports ${wanted}`,
    `widen it, or give --source-ports ${size}`,
  );
}

/** The default range, shortened to the longer side of `port` if that is in it; always more than MAX_SOURCE_PORTS. */
function besidePort(range: PortRange, port: number): PortRange {
  if (port < range.first || port > range.last) return range;
  const below = { first: range.first, last: port - 1 };
  const above = { first: port + 1, last: range.last };
  return below.last - below.first > above.last - above.first ? below : above;
}
