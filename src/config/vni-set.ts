/** Conflicts between the segments of one daemon, and with its underlay flags. */
import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import { MAX_SEGMENTS } from '../lib/limits.ts';
import { formatRouteNumber } from '../lib/route-numbers.ts';
import type { VniConfig } from './config.ts';
import { flagObject, refuse } from './keys/written-value.ts';
import { familyName } from './underlay-addresses.ts';

/** A segment and its name in errors: `--vni 100=239.1.1.1`, or `VNI 100` for one that is running. */
export interface NamedVni {
  readonly object: string;
  readonly config: VniConfig;
  /** It runs already: another with its number needs its deletion first. */
  readonly isRunning?: true;
}

/** The flags that segments are checked against: addresses and interface only as far as they were given. */
export interface UnderlayFlags {
  readonly local: readonly IpAddress[];
  readonly dev: string | undefined;
  readonly trunk?: string | undefined;
}

/**
 * Checks all segments that are to run together, in linear time. For one added while running, pass the running ones
 * first: the later of two that clash is refused.
 * @throws VtepError ERR_VTEP_USAGE
 */
export function checkVniSet(segments: readonly NamedVni[], underlay: UnderlayFlags): void {
  const excess = segments[MAX_SEGMENTS];
  if (excess !== undefined) {
    refuse(excess.object, `one daemon carries at most ${MAX_SEGMENTS} VNIs`, 'run a second one for the rest');
  }
  checkDistinct(segments, underlay);
  checkTrunk(segments, underlay);
  checkEvpn(segments);
  for (const segment of segments) {
    for (const [role, address] of underlayAddresses(segment.config)) {
      checkFamily(segment.object, { role, address, local: underlay.local });
    }
    checkStatics(segment, underlay.local);
  }
}

function checkDistinct(segments: readonly NamedVni[], { dev, trunk }: UnderlayFlags): void {
  const byVni = new Map<number, NamedVni>();
  const byTap = new Map<string, string>();
  for (const segment of segments) {
    const { object, config } = segment;
    const sameVni = byVni.get(config.vni);
    if (sameVni?.isRunning)
      refuse(object, `vtepd already runs ${sameVni.object}`, `delete it first (\`vtepctl vni del ${config.vni}\`)`);
    if (sameVni) refuse(object, `VNI ${config.vni} is already given by ${sameVni.object}`, 'give each VNI once');
    byVni.set(config.vni, segment);
    if (config.vlan !== undefined) continue;
    if (config.tap === trunk) refuse(object, `TAP ${config.tap} is also the --trunk`, 'give another tap=');
    const sameTap = byTap.get(config.tap);
    if (sameTap !== undefined) refuse(object, `TAP ${config.tap} is already used by ${sameTap}`, 'give another tap=');
    byTap.set(config.tap, object);
    if (config.bridge !== undefined && config.bridge === dev) {
      refuse(object, `bridge ${config.bridge} is also the underlay --dev`, 'name another bridge');
    }
    if (config.tap === dev) refuse(object, `TAP ${config.tap} is also the underlay --dev`, 'give another tap=');
  }
  for (const { object, config } of segments) {
    const tapOf = config.bridge === undefined ? undefined : byTap.get(config.bridge);
    if (tapOf !== undefined)
      refuse(object, `bridge ${config.bridge} is also the TAP of ${tapOf}`, 'rename one of them');
  }
}

/** Each VLAN belongs to one VNI, and the trunk has no other use. */
function checkTrunk(segments: readonly NamedVni[], { dev, trunk }: UnderlayFlags): void {
  if (trunk === undefined) return;
  if (trunk === dev) refuse(flagObject('trunk', trunk), 'it is also the underlay --dev', 'name another TAP');
  const byVlan = new Map<number, string>();
  for (const { object, config } of segments) {
    if (config.bridge === trunk) refuse(object, `bridge ${trunk} is also the --trunk`, 'name another bridge');
    if (config.vlan === undefined) continue;
    const other = byVlan.get(config.vlan);
    if (other !== undefined) refuse(object, `VLAN ${config.vlan} is already used by ${other}`, 'give each VNI its own');
    byVlan.set(config.vlan, object);
  }
}

/** Each route distinguisher belongs to one VNI, and the flood list of `control=evpn` has one source. */
function checkEvpn(segments: readonly NamedVni[]): void {
  const byRd = new Map<string, string>();
  for (const { object, config } of segments) {
    const { control, group, remotes } = config;
    if (control === 'evpn' && (group !== undefined || remotes.length > 0)) {
      const other = group === undefined ? 'a remote' : 'a group';
      refuse(
        object,
        `control=evpn cannot be combined with ${other}`,
        `give control=both, or leave out the ${other.slice(2)}`,
      );
    }
    if (config.rd === undefined) continue;
    const rd = formatRouteNumber(config.rd);
    const same = byRd.get(rd);
    if (same !== undefined) refuse(object, `rd=${rd} is already used by ${same}`, 'give each VNI its own');
    byRd.set(rd, object);
  }
}

/** Every outer address that a segment sends to, with its name in messages. */
function* underlayAddresses(config: VniConfig): Generator<[role: string, address: IpAddress]> {
  if (config.group !== undefined) yield ['the group', config.group];
  for (const remote of config.remotes) yield [`the remote ${remote}`, remote];
  for (const { mac, vtep } of config.statics) {
    if (vtep !== 'local') yield [`the VTEP of static=${mac}@${vtep}`, vtep];
  }
}

/** A family with no source address cannot be sent to. Without any `--local` the underlay interface decides. */
function checkFamily(object: string, use: { role: string; address: IpAddress; local: readonly IpAddress[] }): void {
  const { role, address, local } = use;
  if (local[0] === undefined || local.some((own) => ipFamily(own) === ipFamily(address))) return;
  const [wanted, given] = [familyName(address), familyName(local[0])];
  refuse(object, `${role} is ${wanted} but --local ${local[0]} is ${given}`, `add an ${wanted} --local`);
}

/** Frames to a static MAC at the own address would have no destination. (`remote=` may hold it: it is skipped.) */
function checkStatics({ object, config }: NamedVni, local: readonly IpAddress[]): void {
  const own = config.statics.find(({ vtep }) => vtep !== 'local' && local.includes(vtep));
  if (own === undefined) return;
  refuse(
    object,
    `static=${own.mac}@${own.vtep} has the own address --local ${own.vtep}`,
    "give the remote VTEP, or 'local'",
  );
}
