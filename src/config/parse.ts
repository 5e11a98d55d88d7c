/** Flags as strings to the one validated, frozen configuration. Pure: nothing here looks at the host. */
import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import { MAX_AGEING_SECONDS, MAX_FDB_ENTRIES, MAX_SOURCE_PORTS, MAX_WORKERS } from '../lib/limits.ts';
import { parseAllowedVteps } from './allow-vtep.ts';
import { type Config, deepFreeze, LOG_LEVELS, OFFLOAD_MODES } from './config.ts';
import { FLAGS, type ScalarFlagName } from './flags.ts';
import {
  parseChoice,
  parseInterfaceName,
  parsePortRange,
  parseSocketPath,
  parseTos,
  parseWholeNumber,
} from './scalars.ts';
import { familyName, parseLocalAddress } from './underlay-addresses.ts';
import { parseVniEntry } from './vni-entry.ts';
import { checkVniSet } from './vni-set.ts';
import { flagObject, flagValue, refuse, type WrittenValue } from './written-value.ts';

/** The values of the flags as they were written; a flag that was not given is not there. */
export interface RawFlags {
  readonly vni: readonly string[];
  readonly local: readonly string[];
  readonly allowVtep?: readonly string[];
  readonly scalars: Readonly<Partial<Record<ScalarFlagName, string>>>;
  readonly querier?: boolean;
  readonly check: boolean;
}

type PortRange = Config['sourcePortRange'];

const STANDARDS: ReadonlyMap<string, string> = new Map(
  FLAGS.flatMap((flag) => ('standard' in flag ? [[flag.name, flag.standard]] : [])),
);

/** @returns the configuration, deeply frozen  @throws VtepError ERR_VTEP_USAGE for the first fault found */
export function parseConfig(raw: RawFlags): Config {
  const optional = <T>(name: ScalarFlagName, parse: (written: WrittenValue) => T): T | undefined => {
    const text = raw.scalars[name];
    return text === undefined ? undefined : parse(flagValue(name, text));
  };
  const scalar = <T>(name: ScalarFlagName, parse: (written: WrittenValue) => T): T =>
    parse(flagValue(name, raw.scalars[name] ?? (STANDARDS.get(name) as string)));
  const number = (name: ScalarFlagName, min: number, max: number) =>
    scalar(name, (written) => parseWholeNumber(written, { min, max }));

  const dev = optional('dev', parseInterfaceName);
  const local = parseLocals(raw.local);
  const port = number('port', 1, 65535);
  const sourcePorts = number('source-ports', 1, MAX_SOURCE_PORTS);
  const maxMacs = number('max-macs', 1, MAX_FDB_ENTRIES);
  const trunk = optional('trunk', parseInterfaceName);
  return deepFreeze({
    dev,
    local,
    port,
    ttl: number('ttl', 1, 255),
    mcastTtl: number('mcast-ttl', 1, 255),
    tos: scalar('tos', parseTos),
    df: scalar('df', (written) => parseChoice(written, ['set', 'unset'])),
    ageingSeconds: number('ageing', 0, MAX_AGEING_SECONDS),
    maxMacs,
    sourcePorts,
    sourcePortRange:
      optional('source-port-range', (written) => parsePoolRange(written, { port, sourcePorts })) ??
      besidePort(scalar('source-port-range', parsePortRange), port),
    allowedVteps: parseAllowedVteps(raw.allowVtep ?? []),
    reservedBits: scalar('reserved-bits', (written) => parseChoice(written, ['ignore', 'drop'])),
    trunk,
    workers: number('workers', 1, MAX_WORKERS),
    offload: scalar('offload', (written) => parseChoice(written, OFFLOAD_MODES)),
    querier: raw.querier ?? false,
    socketPath: scalar('socket', parseSocketPath),
    logLevel: scalar('log-level', (written) => parseChoice(written, LOG_LEVELS)),
    logFormat: optional('log-format', (written) => parseChoice(written, ['json', 'pretty'])) ?? 'auto',
    check: raw.check,
    vnis: parseVnis(raw.vni, { maxMacs, local, dev, trunk }),
  });
}

function parseVnis(
  texts: readonly string[],
  { maxMacs, local, dev, trunk }: Pick<Config, 'maxMacs' | 'local' | 'dev' | 'trunk'>,
): Config['vnis'] {
  if (texts.length === 0) refuse('--vni', 'no segment is given', 'give at least one, like --vni 100=239.1.1.1');
  const segments = texts.map((text) => {
    const { object } = flagValue('vni', text);
    return { object, config: parseVniEntry(text, { object, maxMacs, trunk }) };
  });
  checkVniSet(segments, { local, dev, trunk });
  return segments.map(({ config }) => config);
}

function parseLocals(texts: readonly string[]): IpAddress[] {
  const locals: IpAddress[] = [];
  for (const text of texts) {
    const local = parseLocalAddress(flagValue('local', text));
    const same = locals.find((other) => ipFamily(other) === ipFamily(local));
    if (same !== undefined) {
      refuse(flagObject('local', text), `--local ${same} is ${familyName(same)} too`, 'give one address per family');
    }
    locals.push(local);
  }
  return locals;
}

/** A range that was given must hold the pool, and not `--port`: a bound source port would take what is sent to it. */
function parsePoolRange(
  written: WrittenValue,
  { port, sourcePorts }: { port: number; sourcePorts: number },
): PortRange {
  const range = parsePortRange(written);
  const size = range.last - range.first + 1;
  if (size < sourcePorts) {
    refuse(written.object, `it holds ${size} ports, fewer than --source-ports ${sourcePorts}`, 'widen it');
  }
  if (port >= range.first && port <= range.last) {
    refuse(written.object, `it includes --port ${port}`, 'choose a range beside it');
  }
  return range;
}

/** The default range, cut to the longer side of `port` where that lies in it; always more than MAX_SOURCE_PORTS. */
function besidePort(range: PortRange, port: number): PortRange {
  if (port < range.first || port > range.last) return range;
  const below = { first: range.first, last: port - 1 };
  const above = { first: port + 1, last: range.last };
  return below.last - below.first > above.last - above.first ? below : above;
}
