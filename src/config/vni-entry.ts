/**
 * One segment, from the flag `--vni`, `vtepctl vni add` or the configuration file. An entry is checked alone here. Conflicts with others are checked
 * in vni-set.ts.
 */
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import {
  MAX_FDB_ENTRIES,
  MAX_FLOOD_REMOTES,
  MAX_MTU_BYTES,
  MAX_STORM_PPS,
  MAX_VNI,
  MIN_MTU_BYTES,
} from '../lib/limits.ts';
import { formatRouteNumber } from '../lib/route-numbers.ts';
import {
  type Config,
  deepFreeze,
  FLOOD_MODES,
  INNER_VLAN_MODES,
  JOIN_MODES,
  type StaticEntry,
  type VniConfig,
} from './config.ts';
import { defaultControl, formatTargets, parseEvpnKeys } from './evpn-keys.ts';
import type { EntryKeyName } from './flags.ts';
import { parseL2Control } from './keys/l2-control-key.ts';
import { parseChoice, parseInterfaceName, parseOnOff, parseSegmentName, parseWholeNumber } from './keys/scalars.ts';
import { refuse, shown, type WrittenValue } from './keys/written-value.ts';
import { parseGroup, parseStationMac, parseVtepAddress } from './underlay-addresses.ts';
import { checkVlan, parseVlan } from './vlan-key.ts';
import { splitVniEntry, type WrittenVni } from './written-vni.ts';

/** The context of an entry. */
export interface VniEntryContext {
  /** What a refusal begins with: the entry with the flag or command it was written in, e.g. `--vni 100=239.1.1.1`. */
  readonly object: string;
  /** Default `max-macs` of an entry, 1 to MAX_FDB_ENTRIES: that of the flag. */
  readonly maxMacs: number;
  /** The `--trunk` of the VNIs with `vlan=`. */
  readonly trunk?: string | undefined;
  /** The `--evpn` of the VNIs with a `control=` other than multicast. */
  readonly evpn?: Config['evpn'];
}

/** Reads one entry, `VNI[=GROUP][,key=value]…`. The result is deeply frozen. @throws VtepError ERR_VTEP_USAGE that names `object` */
export function parseVniEntry(text: string, { object, ...context }: VniEntryContext): VniConfig {
  return parseWrittenVni(splitVniEntry(text, object), context);
}

/** Validates one entry, from a flag or a file. The result is deeply frozen. @throws VtepError ERR_VTEP_USAGE */
export function parseWrittenVni(
  written: WrittenVni,
  { maxMacs, trunk, evpn }: Omit<VniEntryContext, 'object'>,
): VniConfig {
  const { object, keys } = written;
  const vni = parseWholeNumber(written.vni, { min: 0, max: MAX_VNI });
  const group = written.group && parseGroup(written.group);
  const remotes = parseRemotes(keys.get('remote') ?? []);
  const vlan = single(keys, 'vlan', parseVlan);
  if (vlan !== undefined) checkVlan(keys, { object, vlan, trunk });
  return deepFreeze({
    vni,
    group,
    name: single(keys, 'name', parseSegmentName),
    tap: (vlan === undefined ? single(keys, 'tap', parseInterfaceName) : trunk) ?? defaultTap(vni),
    vlan,
    bridge: single(keys, 'bridge', parseInterfaceName),
    mtuBytes: single(keys, 'mtu', (mtu) => parseWholeNumber(mtu, { min: MIN_MTU_BYTES, max: MAX_MTU_BYTES })),
    mac: single(keys, 'mac', parseStationMac),
    remotes,
    statics: parseStatics(keys.get('static') ?? []),
    learning: single(keys, 'learning', parseOnOff) ?? true,
    maxMacs: single(keys, 'max-macs', (max) => parseWholeNumber(max, { min: 1, max: MAX_FDB_ENTRIES })) ?? maxMacs,
    innerVlan: single(keys, 'inner-vlan', (mode) => parseChoice(mode, INNER_VLAN_MODES)) ?? 'drop',
    l2Control: parseL2Control(keys.get('l2-control') ?? []),
    join: single(keys, 'join', (mode) => parseChoice(mode, JOIN_MODES)) ?? 'always',
    flood: single(keys, 'flood', (mode) => parseChoice(mode, FLOOD_MODES)) ?? 'all',
    stormPps: single(keys, 'storm', (pps) => parseWholeNumber(pps, { min: 1, max: MAX_STORM_PPS })),
    suppress: single(keys, 'suppress', parseOnOff) ?? false,
    ...parseEvpnKeys(keys, { object, evpn, flooded: { group, remotes } }),
  });
}

/** The entry that parses back to `config` under the same `maxMacs` and `evpn`: defaults left out, addresses in canonical form. */
export function formatVniEntry(
  config: VniConfig,
  { maxMacs, evpn }: Pick<VniEntryContext, 'maxMacs' | 'evpn'>,
): string {
  const items = [config.group === undefined ? `${config.vni}` : `${config.vni}=${config.group}`];
  if (config.name !== undefined) items.push(`name=${config.name}`);
  if (config.vlan !== undefined) items.push(`vlan=${config.vlan}`);
  else if (config.tap !== defaultTap(config.vni)) items.push(`tap=${config.tap}`);
  if (config.bridge !== undefined) items.push(`bridge=${config.bridge}`);
  if (config.mtuBytes !== undefined) items.push(`mtu=${config.mtuBytes}`);
  if (config.mac !== undefined) items.push(`mac=${config.mac}`);
  for (const remote of config.remotes) items.push(`remote=${remote}`);
  for (const { mac, vtep } of config.statics) items.push(`static=${mac}@${vtep}`);
  if (!config.learning) items.push('learning=off');
  if (config.maxMacs !== maxMacs) items.push(`max-macs=${config.maxMacs}`);
  if (config.innerVlan !== 'drop') items.push(`inner-vlan=${config.innerVlan}`);
  if (config.l2Control !== 'drop') items.push(`l2-control=${[config.l2Control].flat().join('+')}`);
  if (config.join !== 'always') items.push(`join=${config.join}`);
  if (config.flood !== 'all') items.push(`flood=${config.flood}`);
  if (config.stormPps !== undefined) items.push(`storm=${config.stormPps}`);
  if (config.suppress) items.push('suppress=on');
  if (config.control !== defaultControl(evpn, config)) items.push(`control=${config.control}`);
  if (config.rd !== undefined) items.push(`rd=${formatRouteNumber(config.rd)}`);
  for (const target of formatTargets(config.targets)) items.push(`rt=${target}`);
  return items.join(',');
}

/** Unless `tap=` says otherwise. */
export function defaultTap(vni: number): string {
  return `vxlan${vni}`;
}

function single<T>(keys: WrittenVni['keys'], name: EntryKeyName, parse: (written: WrittenValue) => T): T | undefined {
  const written = keys.get(name)?.[0];
  return written && parse(written);
}

/** Distinct, in the order of first mention. */
function parseRemotes(written: readonly WrittenValue[]): IpAddress[] {
  const remotes = [...new Set(written.map(parseVtepAddress))];
  if (written[0] !== undefined && remotes.length > MAX_FLOOD_REMOTES) {
    refuse(written[0].object, `${remotes.length} remotes, at most ${MAX_FLOOD_REMOTES} are allowed`, 'use a group');
  }
  return remotes;
}

/** One entry per MAC; the same MAC at the same VTEP again changes nothing. */
function parseStatics(written: readonly WrittenValue[]): StaticEntry[] {
  const vteps = new Map<MacAddress, StaticEntry['vtep']>();
  for (const { object, label, text } of written) {
    const at = text.indexOf('@');
    if (at < 0) refuse(object, `${label} is not MAC@IP`, 'write it like static=02:00:00:00:00:01@192.0.2.1');
    const mac = parseStationMac({ object, label: `${shown(text.slice(0, at))} in ${label}`, text: text.slice(0, at) });
    const place = text.slice(at + 1);
    const vtep =
      place === 'local' ? place : parseVtepAddress({ object, label: `${shown(place)} in ${label}`, text: place });
    const other = vteps.get(mac);
    if (other !== undefined && other !== vtep) {
      refuse(object, `static= puts ${mac} at ${other} and at ${vtep}`, 'give one VTEP for each MAC');
    }
    vteps.set(mac, vtep);
  }
  return Array.from(vteps, ([mac, vtep]) => ({ mac, vtep }));
}
