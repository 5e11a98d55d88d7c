import type { Config } from '../../config/config.ts';
import { ENCAP } from '../../encap/encapsulation.ts';
import type { AddressChanges } from '../../host/underlay/own-addresses.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { type IpAddress, ipWords } from '../../lib/addresses.ts';
import { NO_GROUP } from '../../segment/segment.ts';
import type { Membership } from '../../underlay/group-membership.ts';
import type { Listener } from '../../underlay/listeners.ts';
import { INHERIT_TOS } from '../../wire/ecn.ts';
import type { Order } from '../../worker/messages.ts';
import { distinctTaps, hasTap, tapNumber, toSegment, type Vni } from '../vni/vni.ts';

/** Which worker has which resources, and the orders that tell it so. */

/** The only worker that reads the socket of a group. @param group the number of the group */
export function groupWorker(group: number, workers: number): number {
  return group % workers;
}

/** All orders that a worker needs to take over without any state. */
export function workerState(
  worker: number,
  workers: number,
  { config, own, broadcasts, listeners, underlays, vnis }: HeldState,
): Order[] {
  const orders: Order[] = [
    putSettings(config),
    addressOrder('own-addresses', { added: own, removed: [] }),
    addressOrder('broadcast-addresses', { added: broadcasts, removed: [] }),
    ...underlays.map(addPool),
  ];
  for (const vni of vnis) orders.push(putSegment(vni));
  for (const vni of distinctTaps(vnis)) if (hasTap(vni)) orders.push(addTap(vni, worker));
  for (const listener of listeners) orders.push(addListener(listener, worker));
  for (const { membership } of underlays) {
    const joined = membership.joined.filter(({ number }) => groupWorker(number, workers) === worker);
    orders.push(...joined.map(addGroupSocket));
  }
  return orders;
}

/** The part of the configuration that a worker uses. */
export function putSettings(config: Config): Order {
  const { reservedBits, allowedVteps, busyPoll } = config;
  const settings = {
    dropReservedBits: reservedBits === 'drop',
    tos: tosNumber(config),
    inheritsDf: config.df === 'inherit',
    allowedVteps,
    busyPoll: busyPoll === 'auto',
  };
  return { kind: 'settings', settings };
}

/** `--tos` in the form of the data path. */
export function tosNumber({ tos }: Config): number {
  return tos === 'inherit' ? INHERIT_TOS : tos;
}

/** All resources of the daemon. */
interface HeldState {
  readonly config: Config;
  readonly own: readonly IpAddress[];
  readonly broadcasts: readonly IpAddress[];
  readonly listeners: readonly Listener[];
  readonly underlays: readonly Underlay[];
  readonly vnis: readonly Vni[];
}

export function addressOrder(kind: 'own-addresses' | 'broadcast-addresses', { added, removed }: AddressChanges): Order {
  return { kind, added: wordsOf(added), removed: wordsOf(removed) };
}

function wordsOf(addresses: readonly IpAddress[]): Int32Array {
  return Int32Array.from(
    addresses.flatMap((address) => {
      const { a, b, c, d } = ipWords(address);
      return [a, b, c, d];
    }),
  );
}

/** The pool that an underlay sends with. It is empty while the underlay has no address. */
export function addPool({ number, family, link, source }: Underlay): Order {
  return {
    kind: 'add-pool',
    underlay: number,
    family,
    scope: link.index,
    fds: source?.fds ?? [],
    fragmentable: source?.fragmentable ?? 0,
  };
}

/** The socket of the worker for a listening address. */
export function addListener({ socket, fds }: Listener, worker: number): Order {
  return { kind: 'add-socket', socket, fd: fds[worker] as number, group: NO_GROUP, encap: ENCAP.vxlan };
}

/** The queue of the worker for the TAP of a VNI. */
export function addTap(vni: Vni, worker: number): Order {
  const { tap } = vni;
  return { kind: 'add-tap', tap: tapNumber(vni), fd: tap.fds[worker] as number, mergesUdp: tap.mergesUdp };
}

export function putSegment(vni: Vni): Order {
  return { kind: 'segment', update: { kind: 'put', segment: toSegment(vni) } };
}

export function addGroupSocket({ number, fd }: Membership): Order {
  return { kind: 'add-socket', socket: number, fd, group: number, encap: ENCAP.vxlan };
}
