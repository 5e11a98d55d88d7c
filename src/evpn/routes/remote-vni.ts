import type { Batch, Neighbour, Placement, Refused } from '../../control/control-plane.ts';
import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import type { UnusedReason } from '../evpn-status.ts';
import type { Place } from './remote-place.ts';
import { type PlaceChanges, Places } from './remote-places.ts';
import type { RemoteFlood, RemoteMac, RemoteRoute, RouteUser } from './remote-route.ts';
import { isPreferred } from './sequence.ts';

/** VNIs with something to take. */
export interface RemoteQueues {
  readonly batches: Set<RemoteVni>;
  readonly changed: Set<RemoteVni>;
}

/** The candidates of one VNI, and what the data path was told of it. All routes here have a usable VTEP, and the label of this VNI. */
export class RemoteVni implements RouteUser {
  readonly vni: number;
  readonly macs: Places<MacAddress, RemoteMac>;
  readonly neighbours: Places<IpAddress, RemoteMac>;
  readonly floods: Places<IpAddress, RemoteFlood>;
  readonly #queues: RemoteQueues;
  readonly #floodedTo: (route: RemoteFlood) => IpAddress;
  readonly #isHere: (mac: MacAddress) => boolean;
  readonly #held = new Set<MacAddress>();
  /** MACs whose best route changed. */
  readonly #changed = new Set<MacAddress>();
  /** What the last batch withdrew. */
  #withdrawn: Withdrawn = NOTHING_WITHDRAWN;

  constructor(
    vni: number,
    queues: RemoteQueues,
    { floodedTo, isHere }: { floodedTo: (route: RemoteFlood) => IpAddress; isHere: (mac: MacAddress) => boolean },
  ) {
    this.vni = vni;
    this.#queues = queues;
    this.#floodedTo = floodedTo;
    this.#isHere = isHere;
    const queue = () => void queues.batches.add(this);
    this.macs = new Places({
      queue,
      isPreferred,
      isSameEntry: isSamePlacement,
      isHeld: ({ key }) => this.#held.has(key),
      isElsewhere: ({ key }) => isHere(key),
      bestChanged: (mac, before, best) => this.#bestChanged(mac, before, best),
    });
    this.neighbours = new Places({
      queue,
      isPreferred: isPreferredNeighbour,
      isSameEntry: isSameNeighbour,
      isHeld: ({ best, said }) => this.#isHeld(best) || this.#isHeld(said),
    });
    this.floods = new Places({ queue, isPreferred: () => false, isSameEntry: () => true });
  }

  get isDirty(): boolean {
    return this.floods.isDirty || this.macs.isDirty || this.neighbours.isDirty;
  }

  add(route: RemoteRoute): void {
    route.user = this;
    if (route.type === 3) {
      this.floods.add(this.#floodedTo(route), route);
      return;
    }
    this.macs.add(route.mac, route);
    if (route.ip !== undefined) this.neighbours.add(route.ip, route);
  }

  remove(route: RemoteRoute): void {
    route.user = undefined;
    if (route.type === 3) {
      this.floods.remove(this.#floodedTo(route), route);
      return;
    }
    this.macs.remove(route.mac, route);
    if (route.ip !== undefined) this.neighbours.remove(route.ip, route);
  }

  /** The next changes for the data path. undefined: there are none. */
  take(limit: number): Batch | undefined {
    const floods: PlaceChanges<IpAddress, RemoteFlood> = { placed: [], withdrawn: [] };
    const macs: PlaceChanges<MacAddress, RemoteMac> = { placed: [], withdrawn: [] };
    const neighbours: PlaceChanges<IpAddress, RemoteMac> = { placed: [], withdrawn: [] };
    let count = this.floods.take(limit, floods);
    count += this.macs.take(limit - count, macs);
    count += this.neighbours.take(limit - count, neighbours);
    if (count === 0) return undefined;
    this.#withdrawn = { floods: floods.withdrawn, macs: macs.withdrawn, neighbours: neighbours.withdrawn };
    return {
      floods: { added: floods.placed.map(this.#floodedTo), removed: floods.withdrawn },
      macs: { placed: macs.placed.map(placementOf), withdrawn: macs.withdrawn },
      neighbours: { placed: neighbours.placed.map(neighbourOf), withdrawn: neighbours.withdrawn },
    };
  }

  refused({ floods, macs, neighbours }: Refused): void {
    for (const { vtep, cause } of floods) this.floods.refuse(vtep, cause);
    for (const { mac, cause } of macs) this.macs.refuse(mac, cause);
    for (const { ip, cause } of neighbours) this.neighbours.refuse(ip, cause);
  }

  repeatAll(): void {
    const { floods, macs, neighbours } = this.#withdrawn;
    this.#withdrawn = NOTHING_WITHDRAWN;
    this.floods.repeatAll(floods);
    this.macs.repeatAll(macs);
    this.neighbours.repeatAll(neighbours);
  }

  repeatRefused(): void {
    this.floods.repeatRefused();
    this.macs.repeatRefused();
    this.neighbours.repeatRefused();
  }

  /** @returns how many entries are told again, `limit` at most */
  repeatFull(limit: number): number {
    let count = this.floods.repeatFull(limit);
    count += this.macs.repeatFull(limit - count);
    return count + this.neighbours.repeatFull(limit - count);
  }

  setHeld(mac: MacAddress, isHeld: boolean): void {
    if (isHeld) {
      this.#held.add(mac);
    } else if (this.#held.delete(mac)) {
      this.macs.release();
      this.neighbours.release();
    }
  }

  /** At most `limit` MACs whose best route changed. */
  takeChanged(limit: number): readonly MacAddress[] {
    const taken: MacAddress[] = [];
    for (const mac of this.#changed) {
      if (taken.length >= limit) break;
      taken.push(mac);
      this.#changed.delete(mac);
    }
    if (this.#changed.size === 0) this.#queues.changed.delete(this);
    return taken;
  }

  /** Why a candidate is not in force. */
  unusedReason(route: RemoteRoute): UnusedReason | undefined {
    if (route.type === 3) return this.floods.get(this.#floodedTo(route))?.refused && 'refused';
    const place: Place<string, RemoteMac> | undefined =
      route.ip === undefined ? this.macs.get(route.mac) : this.neighbours.get(route.ip);
    const best = place?.best;
    if (route.ip === undefined && this.#isHere(route.mac)) return 'not-best';
    if (best && (best.vtep !== route.vtep || best.mac !== route.mac)) return 'not-best';
    if (this.#held.has(route.mac)) return 'duplicate';
    return place?.refused && 'refused';
  }

  #isHeld(route: RemoteMac | undefined): boolean {
    return route !== undefined && this.#held.has(route.mac);
  }

  #bestChanged(mac: MacAddress, before: RemoteMac | undefined, best: RemoteMac | undefined): void {
    if (before && best && isSamePlacement(before, best) && before.sequence === best.sequence) return;
    this.#changed.add(mac);
    this.#queues.changed.add(this);
  }
}

interface Withdrawn {
  readonly floods: readonly IpAddress[];
  readonly macs: readonly MacAddress[];
  readonly neighbours: readonly IpAddress[];
}

const NOTHING_WITHDRAWN: Withdrawn = { floods: [], macs: [], neighbours: [] };

/** As for a MAC. One VTEP may announce an address with two MACs. */
function isPreferredNeighbour(one: RemoteMac, other: RemoteMac): boolean {
  if (isPreferred(one, other)) return true;
  return !isPreferred(other, one) && one.mac < other.mac;
}

function isSamePlacement(one: RemoteMac, other: RemoteMac): boolean {
  return one.vtep === other.vtep && one.isSticky === other.isSticky;
}

function isSameNeighbour(one: RemoteMac, other: RemoteMac): boolean {
  return one.mac === other.mac;
}

function placementOf({ mac, vtep, isSticky }: RemoteMac): Placement {
  return { mac, vtep, isSticky };
}

function neighbourOf({ ip, mac }: RemoteMac): Neighbour {
  return { ip: ip as IpAddress, mac };
}
