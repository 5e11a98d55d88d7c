import type { Config } from '../config/config.ts';
import { NO_GROUP } from '../segment/segment.ts';
import type { Membership } from '../underlay/group-membership.ts';
import { INHERIT_TOS } from '../wire/ecn.ts';
import type { Order } from '../worker/messages.ts';
import type { Underlay } from './underlay.ts';
import { distinctTaps, tapNumber, toSegment, type Vni } from './vni.ts';

/** Which worker has what, and what a worker is told of it. */

/** The worker that alone reads a group's socket. @param group the group's number */
export function groupWorker(group: number, workers: number): number {
  return group % workers;
}

/** All that a worker must be told to take over from nothing. */
export function workerState(
  worker: number,
  workers: number,
  { config, underlays, vnis }: { config: Config; underlays: readonly Underlay[]; vnis: readonly Vni[] },
): Order[] {
  const orders: Order[] = [putSettings(config), ownAddresses(underlays), ...underlays.map(addPool)];
  for (const vni of vnis) orders.push(putSegment(vni));
  for (const vni of distinctTaps(vnis)) if (vni.link) orders.push(addTap(vni, worker));
  for (const underlay of underlays) {
    orders.push(addUnicastSocket(underlay, worker));
    const own = underlay.membership.joined.filter(({ number }) => groupWorker(number, workers) === worker);
    orders.push(...own.map(addGroupSocket));
  }
  return orders;
}

/** What of the configuration a worker goes by. */
export function putSettings(config: Config): Order {
  const { reservedBits, allowedVteps, busyPoll } = config;
  const settings = {
    dropReservedBits: reservedBits === 'drop',
    tos: tosNumber(config),
    allowedVteps,
    busyPoll: busyPoll === 'auto',
  };
  return { kind: 'settings', settings };
}

/** `--tos` as the data path takes it. */
export function tosNumber({ tos }: Config): number {
  return tos === 'inherit' ? INHERIT_TOS : tos;
}

export function ownAddresses(underlays: readonly Underlay[]): Order {
  return { kind: 'own-addresses', addresses: underlays.map(({ localWords }) => localWords) };
}

export function addPool({ number, family, link, sendFds }: Underlay): Order {
  return { kind: 'add-pool', underlay: number, family, scope: link.index, fds: sendFds };
}

/** The worker's own unicast socket. */
export function addUnicastSocket({ unicastSocket, unicastFds }: Underlay, worker: number): Order {
  return { kind: 'add-socket', socket: unicastSocket, fd: unicastFds[worker] as number, group: NO_GROUP };
}

/** The worker's own queue of a VNI's TAP. */
export function addTap(vni: Vni, worker: number): Order {
  const { tap } = vni;
  return { kind: 'add-tap', tap: tapNumber(vni), fd: tap.fds[worker] as number, mergesUdp: tap.mergesUdp };
}

export function putSegment(vni: Vni): Order {
  return { kind: 'segment', update: { kind: 'put', segment: toSegment(vni) } };
}

export function addGroupSocket({ number, fd }: Membership): Order {
  return { kind: 'add-socket', socket: number, fd, group: number };
}
