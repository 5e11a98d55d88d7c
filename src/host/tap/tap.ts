import { createHash } from 'node:crypto';
import type { VniConfig } from '../../config/config.ts';
import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { close } from '../../sys/libc.ts';
import { changeLink, findLink, isAsWanted, type Link } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { type OpenTap, openTap, resetOffloads, setPersistent, type TapOptions, tapCommand } from '../../sys/tun.ts';
import { readAlias, renamedAlias } from '../state-dir.ts';

export interface TapPlan {
  readonly vni: VniConfig;
  readonly local: IpAddress;
  readonly mtuBytes: number;
  /** Link group of the TAPs that vtepd made, by which all are deleted at once. */
  readonly linkGroup: number;
  /** Alias of the TAPs that outlive vtepd; undefined: TAPs are deleted when vtepd ends. */
  readonly newAlias: string | undefined;
  /** Alias that tells a TAP which a former run made. */
  readonly ownAlias: string;
  /** TAPs of former runs without a program, and without a configured name, since they may have been renamed. */
  readonly former: readonly Link[];
  /** The deleted TAP that it replaces. */
  readonly before?: { readonly mac: MacAddress | undefined; readonly overrun: number };
  /** Queues, one for each worker, and the offloads wanted. */
  readonly options: TapOptions;
}

/** An open TAP, set up and up. */
export interface Tap extends OpenTap {
  /** Whether vtepd made it, in this run or a former one, and so may delete it. */
  readonly isOwn: boolean;
  /** The link after the set-up. */
  readonly link: Link;
  /** Frames lost in the TAPs that it replaced. */
  readonly overrunBefore: number;
}

/**
 * Makes a VNI's TAP or the trunk, or adopts one that is there without carrier, with its addresses, MAC and bridge; then sets MTU and
 * bridge and brings it up. A TAP that was adopted keeps that state when it is released. One that was made goes with its fds until `settleTap`.
 *
 * @throws VtepError naming the TAP; one that vtepd made is gone then
 */
export function setUpTap(netlink: NetlinkSocket, plan: TapPlan): Tap {
  const { vni, mtuBytes, options } = plan;
  const object = `TAP "${vni.tap}"`;
  const bridge = vni.bridge === undefined ? undefined : findBridge(netlink, vni);
  const existing = findExisting(netlink, plan);
  if (existing) refuseUnfit(existing, { object, isMultiQueue: options.queues > 1, isTrunk: vni.vlan !== undefined });
  const name = existing?.name ?? vni.tap;
  const tap = openTap(name, existing ? 'attach' : 'create', options);
  try {
    const link = needLink(netlink, name, object);
    const change = {
      mtuBytes,
      mac: vni.mac ?? (existing ? undefined : (plan.before?.mac ?? defaultTapMac(plan.local, vni))),
      group: existing ? undefined : plan.linkGroup,
      alias: existing ? aliasOfRenamed(existing, plan) : plan.newAlias,
      master: bridge?.index,
      up: true,
    };
    if (!isAsWanted(link, change)) changeLink(netlink, link.index, change, object);
    const isOwn = !existing || readAlias(existing.alias, plan.ownAlias) !== undefined;
    const overrunBefore = plan.before?.overrun ?? 0;
    return { ...tap, isOwn, link: needLink(netlink, link.index, object), overrunBefore };
  } catch (error) {
    releaseTap(tap);
    throw error;
  }
}

/**
 * Makes one of vtepd's own TAPs outlive the process or not, whatever a former run set. One that does not is put into the link group that is deleted
 * at the end. Sets the TAP up again if another program set it down meanwhile.
 */
export function settleTap(
  netlink: NetlinkSocket,
  { isOwn, fds: [fd], link }: Tap,
  { isPersistent, linkGroup }: { isPersistent: boolean; linkGroup: number },
): void {
  if (!isOwn) return;
  setPersistent(fd, isPersistent);
  if (!isPersistent && link.group !== linkGroup) {
    changeLink(netlink, link.index, { group: linkGroup }, `TAP "${link.name}"`);
  }
  // Open vSwitch takes a device up as soon as it is there. It reads the flags and writes them back, and may undo that the TAP was set up in between.
  if (findLink(netlink, link.index)?.up === false) changeLink(netlink, link.index, { up: true }, `TAP "${link.name}"`);
}

/** The TAP that is there for a VNI: by its name, or, if it was renamed after a former run, by its alias or its MAC. */
export function findExisting(
  netlink: NetlinkSocket,
  { vni, local, former, ownAlias }: Pick<TapPlan, 'vni' | 'local' | 'former' | 'ownAlias'>,
): Link | undefined {
  const mac = vni.mac ?? defaultTapMac(local, vni);
  return (
    findLink(netlink, vni.tap) ??
    former.find(({ alias }) => readAlias(alias, ownAlias)?.tap === vni.tap) ??
    former.find((link) => readAlias(link.alias, ownAlias)?.tap === undefined && link.mac === mac)
  );
}

/** Alias of a TAP of a former run whose name differs from the configured one. */
function aliasOfRenamed({ name, alias }: Link, { vni, ownAlias }: TapPlan): string | undefined {
  if (readAlias(alias, ownAlias) === undefined) return undefined;
  return name === vni.tap ? ownAlias : renamedAlias(ownAlias, vni.tap);
}

/** Releases a TAP permanently: one that vtepd made is deleted, also if a former run made it and it outlives the process. */
export function deleteTap(tap: Tap): void {
  if (tap.isOwn) setPersistent(tap.fds[0], false);
  releaseTap(tap);
}

/**
 * Releases a TAP. One that vtepd made is deleted unless it outlives the process. One that was adopted is left without offloads, as the next program
 * expects it.
 */
export function releaseTap({ fds }: OpenTap): void {
  resetOffloads(fds[0]);
  for (const queue of fds) close(queue);
}

/** The default MAC of the TAP of a VNI; one for all VLANs of the trunk. */
export function defaultTapMac(local: IpAddress, { vni, vlan }: VniConfig): MacAddress {
  return defaultMac(local, vlan === undefined ? vni : 'trunk');
}

/**
 * A MAC that is stable over restarts, different between VTEPs and VNIs, locally administered, and so high that a bridge never uses it as its own.
 */
export function defaultMac(local: IpAddress, of: number | 'trunk'): MacAddress {
  const digest = createHash('sha256').update(`${local} ${of}`).digest('hex');
  return `fe:${(digest.slice(0, 10).match(/../g) as string[]).join(':')}` as MacAddress;
}

function needLink(netlink: NetlinkSocket, which: string | number, object: string): Link {
  const link = findLink(netlink, which);
  if (link) return link;
  const remedy = 'find out what renames interfaces here (udev?) and exclude the TAP';
  throw new VtepError('ERR_VTEP_TAP', { object, cause: 'it was renamed or deleted as soon as it was made', remedy });
}

/** The bridge that `bridge=` names. @throws VtepError */
export function findBridge(netlink: NetlinkSocket, { vni, bridge = '' }: VniConfig): Link {
  const link = findLink(netlink, bridge);
  const object = `--vni ${vni},bridge=${bridge}`;
  if (!link) {
    const remedy = `make it first (\`ip link add ${bridge} type bridge\`)`;
    throw new VtepError('ERR_VTEP_INTERFACE', { object, cause: `there is no interface ${bridge}`, remedy });
  }
  if (link.kind === 'bridge') return link;
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object,
    cause: `${bridge} is not a Linux bridge${link.kind && ` but a ${link.kind} device`}`,
    remedy: 'name a bridge',
  });
}

function refuseUnfit(
  link: Link,
  { object, isMultiQueue, isTrunk }: { object: string; isMultiQueue: boolean; isTrunk: boolean },
): void {
  const another = `or name another TAP with ${isTrunk ? '--trunk' : 'tap='}`;
  const refusal = (cause: string, remedy: string) => new VtepError('ERR_VTEP_TAP', { object, cause, remedy });
  if (!link.isTap) {
    throw refusal(
      `the name is in use by a ${link.kind || 'network'} ${link.kind === 'tun' ? '(layer 3) ' : ''}device`,
      `remove that, ${another}`,
    );
  }
  if (link.carrier)
    throw refusal('the name is in use: another program is attached to it', `stop that program, ${another}`);
  if (link.isMultiQueue !== isMultiQueue) {
    throw refusal(
      isMultiQueue
        ? 'it is a single-queue TAP, and several workers need a multi-queue one'
        : 'it is a multi-queue TAP, and one worker needs a single-queue one',
      `make it again (\`${tapCommand(link.name, isMultiQueue)}\`), ${another}`,
    );
  }
}
