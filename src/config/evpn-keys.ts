/** `control=`, `rd=` and `rt=` of a segment: where flood list and MACs come from, and the numbers of its EVPN routes. */
import { MAX_ROUTE_TARGETS } from '../lib/limits.ts';
import { formatRouteNumber, parseRouteNumber, type RouteNumber, type RouteTarget } from '../lib/route-numbers.ts';
import { CONTROL_MODES, type Config, type ControlMode, type VniConfig } from './config.ts';
import type { EntryKeyName } from './flags.ts';
import { parseChoice } from './keys/scalars.ts';
import { refuse, type WrittenValue } from './keys/written-value.ts';

/** The keys of EVPN. */
export type EvpnKeys = Pick<VniConfig, 'control' | 'rd' | 'targets'>;

/** What decides on the keys that are not written: the flag `--evpn`, and the other sources of a flood list. */
export interface EvpnContext {
  readonly object: string;
  readonly evpn: Config['evpn'];
  readonly flooded: Pick<VniConfig, 'group' | 'remotes'>;
}

const RFC8365 = 'rfc8365';

/** @throws VtepError ERR_VTEP_USAGE */
export function parseEvpnKeys(
  keys: ReadonlyMap<EntryKeyName, readonly WrittenValue[]>,
  { object, evpn, flooded }: EvpnContext,
): EvpnKeys {
  const given = keys.get('control')?.[0];
  const control = given ? parseChoice(given, CONTROL_MODES) : defaultControl(evpn, flooded);
  if (evpn === undefined && control !== 'multicast') {
    refuse(object, `control=${control} needs a BGP speaker`, 'give --evpn ADDR');
  }
  for (const key of ['rd', 'rt'] as const) {
    if (!keys.has(key)) continue;
    if (evpn === undefined) refuse(object, `${key}= needs a BGP speaker`, 'give --evpn ADDR');
    if (control !== 'multicast') continue;
    const cause = `${key}= cannot be combined with control=multicast: such a VNI has no EVPN routes`;
    refuse(object, cause, `leave out ${key}=, or give control=both`);
  }
  const rd = keys.get('rd')?.[0];
  return { control, rd: rd && parseNumber(rd), targets: parseTargets(keys.get('rt') ?? []) };
}

/** Of a segment without `control=`. */
export function defaultControl(
  evpn: Config['evpn'],
  { group, remotes }: Pick<VniConfig, 'group' | 'remotes'>,
): ControlMode {
  if (evpn === undefined) return 'multicast';
  return group !== undefined || remotes.length > 0 ? 'both' : 'evpn';
}

/** The values of `rt=`; none for the default. */
export function formatTargets(targets: VniConfig['targets']): string[] {
  return targets === RFC8365 ? [targets] : targets.map(formatRouteNumber);
}

/** Distinct, in the order of first mention. */
function parseTargets(written: readonly WrittenValue[]): VniConfig['targets'] {
  const [first] = written;
  if (first === undefined) return [];
  const texts = new Set(written.map(({ text }) => text));
  if (texts.has(RFC8365)) {
    if (texts.size === 1) return RFC8365;
    refuse(first.object, `rt=${RFC8365} cannot be combined with another rt=`, 'give it alone, or only ADMIN:VALUE');
  }
  const targets = new Map<string, RouteTarget>();
  for (const target of written.map(parseNumber)) targets.set(formatRouteNumber(target), target);
  if (targets.size > MAX_ROUTE_TARGETS) {
    refuse(first.object, `${targets.size} route targets, at most ${MAX_ROUTE_TARGETS} are allowed`, 'give fewer');
  }
  return [...targets.values()];
}

function parseNumber({ object, label, text }: WrittenValue): RouteNumber {
  const number = parseRouteNumber(text);
  if (number !== undefined) return number;
  const remedy = 'write it like 65000:100 or 192.0.2.1:100, with at most 65535 after an address or an AS above 65535';
  refuse(object, `${label} is not ADMIN:VALUE`, remedy);
}
