import { deepFreeze, type VniConfig } from '../../config/config.ts';
import { saidByConfiguration } from '../../control/configured.ts';
import type { Said, StaticPlacement } from '../../control/control-plane.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import { NO_REMOTE } from '../../fdb/remotes.ts';
import { defaultTapMac, findBridge } from '../../host/tap/tap.ts';
import type { Bar } from '../../host/underlay/own-addresses.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { type IpAddress, macWords } from '../../lib/addresses.ts';
import { NO_GROUP } from '../../segment/segment.ts';
import { changeLink, findLink, findMaster, type Link, type LinkChange } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import type { Membership } from '../../underlay/group-membership.ts';
import { mtuLimit, mtuWithin, tapMtu, trunkMtuLimit } from '../vni/tap-mtu.ts';
import { reachOf, seenTap, type Vni } from '../vni/vni.ts';
import { sourceOf } from '../vni/vtep-address.ts';
import type { GroupUse } from './vni-mover.ts';
import { addStatics, broadcastAddress, groupUnderlay, refuseUnderlayAsBridge, retainRemote } from './vni-setup.ts';

/** The resources that a change of a VNI uses. */
export interface ChangeGround {
  readonly netlink: NetlinkSocket;
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  readonly barOf: (address: IpAddress) => Bar | undefined;
  readonly underlays: readonly Underlay[];
  readonly vnis: readonly Vni[];
}

/** What a VNI had before and does not have any more. Workers may still use it. */
export interface LeftBehind {
  /** Ids of remotes. */
  readonly remotes: readonly number[];
  readonly group: GroupUse | undefined;
}

export interface ChangedVni {
  /** Sockets that must be announced to their workers. */
  readonly joined: readonly Membership[];
  readonly left: LeftBehind;
}

/**
 * Changes a VNI in place. The new group is joined, and TAP, table and flood list are changed, before anything old is released. The TAP, its addresses
 * and its other settings stay, as with `ip link set … type vxlan`. This is one synchronous step; no worker is told.
 *
 * @param underlays the new underlays, all of them open
 * @throws VtepError naming what is refused; the VNI is then as it was
 */
export function changeInPlace(
  ground: ChangeGround,
  vni: Vni,
  { target, underlays }: { target: VniConfig; underlays: Vni['underlays'] },
): ChangedVni {
  const { netlink, fdb, now } = ground;
  const before = { ...vni, held: vni.flood.held };
  const said = saidByConfiguration(target);
  const underlay = groupUnderlay(underlays, target);
  refuseUnderlayAsBridge(netlink, target, underlay);
  const undo: (() => void)[] = [];
  try {
    const held = holdRemotes(ground, vni, { target, said, undo });
    changeStatics(ground, vni, { target, said, undo });
    const isSameGroup = said.group === saidByConfiguration(before.config).group && underlay === before.underlay;
    const needsGroup = said.group !== undefined && (target.join === 'always' || before.needsGroup);
    let { group, groupRemote } = before;
    let joined: Membership[] = [];
    if (!isSameGroup) {
      [group, groupRemote] = [NO_GROUP, NO_REMOTE];
      if (said.group !== undefined) {
        const remote = retainRemote(fdb, said.group, target);
        undo.push(() => fdb.releaseRemote(remote, now()));
        const { number, opened } = joinGroup(underlay, said.group, { needsGroup, undo });
        [group, groupRemote] = [number, remote];
        if (opened !== undefined) joined = [{ number, group: said.group, fd: opened }];
      }
    }
    changeTap(ground, vni, { target, underlays, undo });
    if (isSameGroup && said.group !== undefined && needsGroup && !before.needsGroup) {
      underlay.membership.need(said.group);
      joined = underlay.retry();
    }
    vni.config = deepFreeze(target);
    vni.underlay = underlay;
    vni.underlays = underlays;
    vni.reach = reachOf(ground.underlays, underlays[0]);
    if (!isSameGroup) vni.flood.leaveGroup();
    vni.flood.hold(held, said.floods);
    vni.flood.markAnnouncers(fdb, vni.index);
    vni.group = group;
    vni.groupRemote = groupRemote;
    vni.needsGroup = needsGroup;
    const remotes = [...before.held].filter(([vtep]) => !held.has(vtep)).map(([, id]) => id);
    if (isSameGroup || before.config.group === undefined) return { joined, left: { remotes, group: undefined } };
    return { joined, left: { remotes: [...remotes, before.groupRemote], group: before } };
  } catch (error) {
    for (const step of undo.toReversed()) step();
    throw error;
  }
}

interface Changing {
  readonly target: VniConfig;
  /** The floods and MACs that the target requests. */
  readonly said: Said;
  /** Functions that undo the steps taken so far. */
  readonly undo: (() => void)[];
}

/** The remotes of the flood list, by address. The VNI keeps the ids that it has. */
function holdRemotes(
  { fdb, now, barOf }: ChangeGround,
  { config, flood }: Vni,
  { target, said, undo }: Changing,
): ReadonlyMap<IpAddress, number> {
  const isNew = (address: IpAddress) => !config.remotes.includes(address);
  const wrong = said.floods.find((address) => isNew(address) && barOf(address) === 'broadcast');
  if (wrong !== undefined) throw broadcastAddress(`--vni ${target.vni},remote=${wrong}`);
  const held = new Map<IpAddress, number>();
  for (const { vtep } of flood.members(said.floods)) {
    if (barOf(vtep) !== undefined) continue;
    const known = flood.held.get(vtep);
    const remote = known ?? retainRemote(fdb, vtep, target);
    if (known === undefined) undo.push(() => fdb.releaseRemote(remote, now()));
    held.set(vtep, remote);
  }
  return held;
}

/** Changes only what differs. Entries that were added or deleted at run time stay so. */
function changeStatics(ground: ChangeGround, vni: Vni, { target, said, undo }: Changing): void {
  const { fdb, now } = ground;
  const { index, config } = vni;
  const ownMac = (seenTap(vni) ?? vni.tap.link).mac;
  const before = saidByConfiguration(config).macs;
  const isIn = (list: readonly StaticPlacement[], { mac, vtep }: StaticPlacement) =>
    list.some((entry) => entry.mac === mac && entry.vtep === vtep);
  const add = (entry: StaticPlacement, of: VniConfig) =>
    addStatics(ground, [entry], { config: of, index, ownMac: of.mac ?? ownMac });
  for (const entry of before.filter((each) => !isIn(said.macs, each))) {
    const { high, low } = macWords(entry.mac);
    // Another origin may have moved the MAC since.
    if (fdb.conflicts(index, high, low, sourceOf(entry.vtep)) || !fdb.delete(index, high, low, now())) continue;
    undo.push(() => add(entry, config));
  }
  for (const entry of said.macs.filter((each) => !isIn(before, each))) {
    const { high, low } = macWords(entry.mac);
    add(entry, target);
    undo.push(() => fdb.delete(index, high, low, now()));
  }
}

function joinGroup(
  { membership }: Underlay,
  group: IpAddress,
  { needsGroup, undo }: { needsGroup: boolean; undo: (() => void)[] },
): { number: number; opened: number | undefined } {
  const joined = membership.join(group, needsGroup);
  undo.push(() => {
    const fd = membership.leave(group, needsGroup);
    // No worker reads it yet.
    if (fd !== undefined) membership.close(fd);
  });
  return joined;
}

/** The settings of the TAP that the keys change. All other settings stay, whoever made them. */
function changeTap(
  { netlink, vnis }: ChangeGround,
  vni: Vni,
  { target, underlays, undo }: Pick<Changing, 'target' | 'undo'> & { underlays: Vni['underlays'] },
): void {
  const link = vni.link && findLink(netlink, vni.link.index);
  const mtuBytes = newMtu(vnis, vni, { target, underlays });
  if (!link) return;
  const object = `TAP "${target.tap}"`;
  const change = { mtuBytes, mac: newMac(vni, target), master: newMaster(netlink, vni, { target, link }) };
  undo.push(() => {
    const { mtuBytes: mtu, mac, master } = link;
    changeLink(netlink, link.index, { mtuBytes: mtu, mac: mac as LinkChange['mac'], master }, object);
  });
  if (Object.values(change).some((value) => value !== undefined)) changeLink(netlink, link.index, change, object);
  vni.link = findLink(netlink, link.index);
  vni.master = vni.link && findMaster(netlink, vni.link);
}

/** undefined: it stays. The MTU of a trunk is the smallest that its VNIs can carry. */
function newMtu(
  vnis: readonly Vni[],
  vni: Vni,
  { target, underlays }: { target: VniConfig; underlays: Vni['underlays'] },
): number | undefined {
  const asked = tapMtu(target, underlays);
  const [was, is] = [mtuLimit(vni.config, vni.underlays), mtuLimit(target, underlays)];
  if (target.vlan !== undefined) {
    const others = vnis.filter((other) => other !== vni);
    return was === is ? undefined : mtuWithin(trunkMtuLimit([...others, { config: target, underlays }]));
  }
  return target.mtuBytes === vni.config.mtuBytes && (was === is || target.mtuBytes !== undefined) ? undefined : asked;
}

/** undefined: it stays. This holds for a TAP that vtepd did not create and for which no MAC is configured. */
function newMac({ config, tap, underlay }: Vni, target: VniConfig): LinkChange['mac'] {
  if (target.mac === config.mac) return undefined;
  return target.mac ?? (tap.isOwn ? defaultTapMac(underlay.local, target) : undefined);
}

/** undefined: it stays. 0: it leaves the bridge that vtepd put it into. If another program put it into another bridge, it stays there. */
function newMaster(
  netlink: NetlinkSocket,
  { config }: Vni,
  { target, link }: { target: VniConfig; link: Link },
): number | undefined {
  if (target.bridge === config.bridge) return undefined;
  if (target.bridge !== undefined) return findBridge(netlink, target).index;
  const before = config.bridge === undefined ? undefined : findLink(netlink, config.bridge);
  return before?.index === link.master ? 0 : undefined;
}
