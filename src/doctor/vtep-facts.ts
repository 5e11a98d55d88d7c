import { setImmediate } from 'node:timers/promises';
import type { StaticEntry } from '../config/config.ts';
import type { Settings } from '../config/settings.ts';
import { formatVniEntry } from '../config/vni-entry.ts';
import type { EntryView } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import type { Bar, OwnAddresses } from '../host/underlay/own-addresses.ts';
import { routeMtu } from '../host/underlay/path-mtu.ts';
import { routeFrom } from '../host/underlay/route-scope.ts';
import type { Underlay } from '../host/underlay/underlay.ts';
import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import { MAX_PROBED_VTEPS } from '../lib/limits.ts';
import type { Link } from '../sys/netlink/links.ts';
import type { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import { findRoute, type Route } from '../sys/netlink/routes.ts';
import { SysError } from '../sys/sys-error.ts';
import type { DropHistory } from '../vtep/drop-history.ts';
import { listStatics } from '../vtep/entries/fdb-listing.ts';
import type { TapUpkeep } from '../vtep/upkeep/tap-upkeep.ts';
import { mtuLimit, trunkMtuLimit } from '../vtep/vni/tap-mtu.ts';
import { ipLinkIn } from '../vtep/vni/tap-status.ts';
import type { Underlays } from '../vtep/vni/underlays.ts';
import { distinctTaps, hasTap, type Vni } from '../vtep/vni/vni.ts';
import { floodTrouble, hasMacsElsewhere } from '../vtep/vni/vni-status.ts';
import type { Vnis } from '../vtep/vni/vnis.ts';
import { addressOf } from '../vtep/vni/vtep-address.ts';
import type { SharedTables } from '../vtep/workers/shared-tables.ts';
import type { WorkerPool } from '../vtep/workers/worker-pool.ts';
import type { GroupFacts } from './checks/group-checks.ts';
import type { PathFacts, TapMtuFacts } from './checks/mtu-check.ts';
import type { VniFacts } from './checks/vni-checks.ts';
import type { BarredFacts, VtepFacts } from './checks/vtep-checks.ts';
import { readIgmp, readIgmp6, readProcFile } from './proc-files.ts';

/** Facts on the running daemon for the checks. */

/** The parts of the running daemon that are examined. */
export interface ExaminedParts {
  readonly settings: Pick<Settings, 'config'>;
  readonly tables: Pick<SharedTables, 'fdb' | 'now'>;
  readonly vnis: Pick<Vnis, 'list' | 'numbers'>;
  readonly underlays: Pick<Underlays, 'list'>;
  readonly own: OwnAddresses;
  readonly workers: Pick<WorkerPool, 'states' | 'unmerged'>;
  readonly upkeep: Pick<TapUpkeep, 'refusalOf' | 'timesOf'>;
  readonly drops: Pick<DropHistory, 'recent'>;
}

/** Routes asked for between two turns of the event loop; each takes some microseconds. */
const ROUTES_AT_A_TIME = 64;

/** Records of the forwarding database read between two turns. */
const SLICE_RECORDS = 10_000;

export async function gatherVnis(parts: ExaminedParts, links: readonly Link[]): Promise<VniFacts[]> {
  const { tables, own, upkeep } = parts;
  const { fdb } = tables;
  const vnis = parts.vnis.list;
  const present = new Map(links.map((link) => [link.index, link]));
  const names = new Set(links.map(({ name }) => name));
  // All keys of a VNI are needed only if it must be added again.
  const listing = { ...tables, numbers: () => parts.vnis.numbers() };
  const statics = vnis.every(hasTap) ? new Map<number, readonly StaticEntry[]>() : await listStatics(listing);
  return vnis.map((each) => {
    const { config, link, elsewhere, flood } = each;
    const now = link ? (present.get(link.index) ?? link) : elsewhere?.link;
    const master = link && now && present.get(now.master);
    const whole = { ...config, statics: statics.get(config.vni) ?? [] };
    const state = now?.portState;
    return {
      vni: config.vni,
      tap: now?.name ?? config.tap,
      isTapGone: !hasTap(each),
      refusal: upkeep.refusalOf(each),
      timesPutBack: upkeep.timesOf(each),
      elsewhere,
      isSeen: now !== undefined,
      isTapUp: now?.up ?? false,
      bridge: config.bridge,
      isBridgeMissing: config.bridge !== undefined && !names.has(config.bridge),
      actualBridge: master?.name,
      // Other devices with ports, such as those of Open vSwitch, may be down.
      isBridgeUp: master !== undefined && (master.up || master.kind !== 'bridge'),
      port: state && state !== 'forwarding' ? { state, spanningTree: master?.spanningTree } : undefined,
      settings: now ? otherSettings(config, now) : [],
      entry: config.vlan === undefined ? formatVniEntry(whole, parts.settings.config) : undefined,
      pathTrouble: each.paths?.trouble,
      floodTrouble: floodTrouble(each, hasMacsElsewhere({ fdb, own }, each)),
      group: config.group,
      remotesInGroup: [...flood.inGroup],
    };
  });
}

/** Settings of a TAP that differ from the configuration. */
function otherSettings({ mac, mtuBytes }: Vni['config'], now: Link): VniFacts['settings'] {
  const settings: VniFacts['settings'][number][] = [];
  if (mac !== undefined && mac !== now.mac) settings.push({ key: 'address', wanted: mac, now: now.mac });
  if (mtuBytes !== undefined && mtuBytes !== now.mtuBytes) {
    settings.push({ key: 'mtu', wanted: `${mtuBytes}`, now: `${now.mtuBytes}` });
  }
  return settings;
}

export function gatherTaps(vnis: readonly Vni[], links: readonly Link[]): TapMtuFacts[] {
  return distinctTaps(vnis).flatMap((vni) => {
    const { link, elsewhere } = vni;
    const now = link ? links.find(({ index }) => index === link.index) : elsewhere?.link;
    if (!now) return [];
    const [narrowest] = vni.underlays.toSorted((a, b) => a.maxFrameBytes - b.maxFrameBytes) as [Underlay];
    const bridge = link && bridgeOf(now, links);
    const ports = bridge ? links.filter(({ master, index }) => master === bridge.index && index !== now.index) : [];
    return {
      tap: now.name,
      ipLink: ipLinkIn(elsewhere) ?? undefined,
      mtuBytes: now.mtuBytes,
      limitBytes: limitOf(vni, vnis),
      dev: narrowest.name,
      devMtuBytes: narrowest.mtuBytes,
      bridge: bridge?.name,
      ports,
    };
  });
}

/** The groups of all VNIs, each once for an interface. */
export async function gatherGroups(
  vnis: readonly Vni[],
  netlink: NetlinkSocket,
  links: readonly Link[],
): Promise<GroupFacts[]> {
  const [igmp, igmp6] = await Promise.all([readProcFile('/proc/net/igmp'), readProcFile('/proc/net/igmp6')]);
  const joined = { 4: igmp && readIgmp(igmp), 6: igmp6 && readIgmp6(igmp6) };
  const users = new Map<string, Vni[]>();
  for (const vni of vnis) {
    if (vni.config.group === undefined) continue;
    const key = `${vni.underlay.link.name} ${vni.config.group}`;
    users.set(key, [...(users.get(key) ?? []), vni]);
  }
  const facts: GroupFacts[] = [];
  for (const [key, [vni, ...others]] of users) {
    if (!vni) continue;
    const group = vni.config.group as IpAddress;
    if (facts.length % ROUTES_AT_A_TIME === ROUTES_AT_A_TIME - 1) await setImmediate();
    const memberships = joined[ipFamily(group)] || undefined;
    facts.push({
      group,
      dev: vni.underlay.link.name,
      vnis: [vni, ...others].map(({ config }) => config.vni),
      isNeeded: [vni, ...others].some(({ needsGroup }) => needsGroup),
      isJoined: memberships?.has(key),
      ...routeFacts(askRoute(netlink, group, vni.underlay), links),
    });
  }
  return facts;
}

export interface RoutedVteps {
  readonly vteps: readonly VtepFacts[];
  readonly paths: readonly PathFacts[];
  /** VTEPs whose path the kernel does not report. */
  readonly unseenPaths: readonly IpAddress[];
  /** VNIs with a group that no VTEP was heard in. */
  readonly silentVnis: readonly number[];
  /** VTEPs of flood lists that no MAC was learned from. */
  readonly silentRemotes: readonly IpAddress[];
  /** VTEPs that nothing is sent to now. */
  readonly barred: readonly BarredFacts[];
}

/** The VTEPs of the forwarding database and the flood lists, up to the limit, and the routes to them. */
export async function gatherVteps(
  parts: ExaminedParts,
  netlink: NetlinkSocket,
  links: readonly Link[],
): Promise<RoutedVteps> {
  const { tables, own } = parts;
  const all = parts.vnis.list;
  const heard = await heardVteps(tables);
  const users = new Map<IpAddress, Vni[]>();
  const barred = new Map<IpAddress, { bar: Bar; vnis: number[] }>();
  for (const vni of all) {
    for (const address of new Set([...(heard.get(vni.index) ?? []), ...membersOf(vni)])) {
      const bar = own.barOf(address);
      if (bar !== undefined) {
        // A flood list may contain the own address, since the list can be the same on all hosts.
        if (bar === 'own' && !heard.get(vni.index)?.has(address)) continue;
        const known = barred.get(address) ?? { bar, vnis: [] };
        barred.set(address, known);
        known.vnis.push(vni.config.vni);
        continue;
      }
      const known = users.get(address);
      if (known) known.push(vni);
      else users.set(address, [vni]);
    }
  }
  const byIndex = new Map(links.map((link) => [link.index, link]));
  const vteps: VtepFacts[] = [];
  const paths: PathFacts[] = [];
  const unseenPaths: IpAddress[] = [];
  for (const [address, vnis] of [...users].slice(0, MAX_PROBED_VTEPS)) {
    if (vteps.length % ROUTES_AT_A_TIME === ROUTES_AT_A_TIME - 1) await setImmediate();
    const underlay = underlayTo(address, vnis, parts.underlays.list);
    const asked = askRoute(netlink, address, underlay);
    const { route } = asked;
    const withGroup = vnis.filter(({ config }) => config.group !== undefined);
    const isListed = (vni: Vni) => membersOf(vni).includes(address);
    vteps.push({
      vtep: address,
      dev: underlay.link.name,
      groupVnis: withGroup.filter((vni) => !isListed(vni)).map(({ config }) => config.vni),
      listVnis: withGroup.filter(isListed).map(({ config }) => config.vni),
      ...routeFacts(asked, links),
      isRouted: route?.isRouted ?? false,
    });
    if (asked.unseen !== undefined) unseenPaths.push(address);
    const mtuBytes = route ? routeMtu(route, byIndex) : underlay.mtuBytes;
    if (mtuBytes < underlay.mtuBytes) paths.push(pathTo(address, mtuBytes, { underlay, vnis, all }));
  }
  const silentVnis = all.filter(({ config, index }) => config.group !== undefined && !heard.has(index));
  const everHeard = new Set([...heard.values()].flatMap((addresses) => [...addresses]));
  const silentRemotes = [...users.keys()].filter((address) => !everHeard.has(address));
  return {
    vteps,
    paths,
    unseenPaths,
    silentVnis: silentVnis.map(({ config }) => config.vni),
    silentRemotes,
    barred: [...barred].map(([address, facts]) => ({ vtep: address, ...facts })),
  };
}

/** VTEPs of the forwarding database, by segment; other work continues in between. */
async function heardVteps({ fdb, now }: ExaminedParts['tables']): Promise<Map<number, Set<IpAddress>>> {
  const ids = new Map<number, Set<number>>();
  const visit = ({ segment, remote }: EntryView) => {
    if (remote === LOCAL) return;
    const known = ids.get(segment);
    if (known) known.add(remote);
    else ids.set(segment, new Set([remote]));
  };
  for (let from = fdb.forEachSlice(0, SLICE_RECORDS, visit, now()); from !== 0; ) {
    await setImmediate();
    from = fdb.forEachSlice(from, SLICE_RECORDS, visit, now());
  }
  return new Map(
    [...ids].map(([segment, remotes]) => [segment, new Set([...remotes].map((id) => addressOf(fdb, id) as IpAddress))]),
  );
}

function pathTo(
  vtep: IpAddress,
  mtuBytes: number,
  { underlay, vnis, all }: { underlay: Underlay; vnis: readonly Vni[]; all: readonly Vni[] },
): PathFacts {
  const lost = underlay.mtuBytes - mtuBytes;
  const taps = distinctTaps(vnis).flatMap((vni) =>
    vni.link ? { name: vni.link.name, mtuBytes: vni.link.mtuBytes, limitBytes: limitOf(vni, all) - lost } : [],
  );
  return { vtep, mtuBytes, dev: underlay.link.name, devMtuBytes: underlay.mtuBytes, taps };
}

function limitOf(vni: Vni, all: readonly Vni[]): number {
  return vni.config.vlan === undefined ? mtuLimit(vni.config, vni.underlays) : trunkMtuLimit(all);
}

function underlayTo(address: IpAddress, vnis: readonly Vni[], underlays: readonly Underlay[]): Underlay {
  const [vni] = vnis as [Vni];
  const { ipv4, ipv6 } = vni.reach;
  const number = ipFamily(address) === 4 ? ipv4 : ipv6;
  return underlays.find((underlay) => underlay.number === number) ?? vni.underlay;
}

function bridgeOf(link: Link | undefined, links: readonly Link[]): Link | undefined {
  return link && links.find(({ index, kind }) => index === link.master && kind === 'bridge');
}

interface AskedRoute {
  readonly route: Route | undefined;
  readonly unseen: string | undefined;
}

function askRoute(netlink: NetlinkSocket, destination: IpAddress, underlay: Underlay): AskedRoute {
  try {
    return { route: findRoute(netlink, destination, routeFrom(underlay, destination)), unseen: undefined };
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return { route: undefined, unseen: error.reason };
  }
}

function routeFacts({ route, unseen }: AskedRoute, links: readonly Link[]) {
  return { routeDev: nameOf(route?.interfaceIndex, links), routeUnseen: unseen };
}

function nameOf(index: number | undefined, links: readonly Link[]): string | undefined {
  return index === undefined ? undefined : links.find((link) => link.index === index)?.name;
}

/** Who is to get the floods of a VNI by unicast. */
function membersOf({ config, flood }: Vni): IpAddress[] {
  return flood.addresses(config.remotes);
}
