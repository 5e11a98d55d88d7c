import { NO_GROUP } from '../segment/segment.ts';
import type { Membership } from '../underlay/group-membership.ts';
import type { Order } from '../worker/messages.ts';
import type { Underlay } from './underlay.ts';
import { toSegment, type Vni } from './vni.ts';

/** Which worker has what, and what a worker is told of it. */

/** The worker that alone reads a group's socket. @param group the group's number */
export function groupWorker(group: number, workers: number): number {
  return group % workers;
}

/** All that a worker must be told to take over from nothing. */
export function workerState(
  worker: number,
  workers: number,
  { underlays, vnis }: { underlays: readonly Underlay[]; vnis: readonly Vni[] },
): Order[] {
  const orders: Order[] = [{ kind: 'own-addresses', addresses: underlays.map(({ localWord }) => localWord) }];
  for (const { number, sendFds } of underlays) orders.push({ kind: 'add-pool', underlay: number, fds: sendFds });
  for (const vni of vnis) orders.push(putSegment(vni));
  for (const { index, tap, link } of vnis) {
    const { fds, mergesUdp } = tap;
    if (link) orders.push({ kind: 'add-tap', tap: index, fd: fds[worker] as number, mergesUdp });
  }
  for (const { unicastSocket, unicastFds, membership } of underlays) {
    const fd = unicastFds[worker] as number;
    orders.push({ kind: 'add-socket', socket: unicastSocket, fd, group: NO_GROUP });
    const own = membership.joined.filter(({ number }) => groupWorker(number, workers) === worker);
    orders.push(...own.map(addGroupSocket));
  }
  return orders;
}

export function putSegment(vni: Vni): Order {
  return { kind: 'segment', update: { kind: 'put', segment: toSegment(vni) } };
}

export function addGroupSocket({ number, fd }: Membership): Order {
  return { kind: 'add-socket', socket: number, fd, group: number };
}
