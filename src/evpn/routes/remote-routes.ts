import type { Batch, Refused } from '../../control/control-plane.ts';
import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import type { EvpnRouteRow, EvpnVni } from '../evpn-status.ts';
import { type EvpnRoute, keyOf, type OtherRoute, type Path, type RouteKey } from '../route.ts';
import { type ImportingSegment, isImporting, RemoteImport } from './remote-import.ts';
import { SharedParts } from './remote-parts.ts';
import { labelOf, RemoteFlood, RemoteMac, type RemoteRoute } from './remote-route.ts';
import { rowOf } from './remote-rows.ts';
import { type RemoteQueues, RemoteVni } from './remote-vni.ts';
import { isSameRoute } from './same-route.ts';
import type { MacClaim } from './sequence.ts';

/** Routes that are examined in one slice: about a millisecond. */
const SLICE_ROUTES = 1_000;

/** The own side of the control plane. */
export interface OwnMacs {
  /** Whether the MAC is behind the own TAP, and no route says that it has moved. Nothing is said of it then. */
  isHere(vni: number, mac: MacAddress): boolean;
}

const NO_OWN_MACS: OwnMacs = { isHere: () => false };

/**
 * The routes that were received: which VNI uses each, which one is preferred for a MAC, and what the data path must be told. Routes go in by
 * `received`, segments by `segmentUpdated`; `take` gives the differences to what it gave before.
 *
 * Work on many routes is done in slices: while `slice` returns true, it is to be called again, with other work in between.
 */
export class RemoteRoutes {
  readonly #parts = new SharedParts();
  readonly #import = new RemoteImport(this.#parts);
  readonly #routes = new Map<RouteKey, RemoteRoute>();
  /** The same routes by their label, to find those that a changed segment concerns. */
  readonly #byLabel = new Map<number, Set<RemoteRoute>>();
  readonly #vnis = new Map<number, RemoteVni>();
  readonly #queues: RemoteQueues = { batches: new Set(), changed: new Set() };
  /** VNIs whose routes must be examined again. */
  readonly #toReview = new Set<number>();
  #review: Iterator<RemoteRoute> | undefined;
  #sweep: Iterator<[RouteKey, RemoteRoute]> | undefined;
  #generation = 0;
  /** VNIs that `retryFull` has gone through. */
  #retried = 0;
  readonly #own: OwnMacs;
  readonly #counts = { type2: 0, type3: 0, other: 0 };

  constructor(own: OwnMacs = NO_OWN_MACS) {
    this.#own = own;
  }

  /** Routes by type, without those of this host's speaker itself. */
  get counts(): { readonly type2: number; readonly type3: number; readonly other: number } {
    return this.#counts;
  }

  /** A segment is new, or has changed. What was told of it before is in force still. */
  segmentUpdated(segment: ImportingSegment): void {
    const { vni } = segment;
    const { isImportChanged, isOwnChanged } = this.#import.put(segment);
    const known = this.#vnis.get(vni);
    if (!known && isImporting(segment)) this.#vnis.set(vni, this.#newVni(vni));
    if (isImportChanged) this.#toReview.add(vni);
    // The causes for which the data path refuses may be gone.
    known?.repeatRefused();
    if (isOwnChanged) this.#reviewAll();
  }

  /** A segment was deleted. The data path has forgotten it. */
  segmentRemoved(vni: number): void {
    const isOwnChanged = this.#import.remove(vni);
    const known = this.#vnis.get(vni);
    if (known) {
      this.#queues.batches.delete(known);
      this.#queues.changed.delete(known);
      this.#vnis.delete(vni);
      // Its routes still keep it in memory.
      this.#toReview.add(vni);
    }
    if (isOwnChanged) this.#reviewAll();
  }

  /** A route was announced or withdrawn. */
  received({ route, isLocal, isWithdrawn }: Path): void {
    const key = keyOf(route);
    const known = this.#routes.get(key);
    if (known && !isWithdrawn && known.isLocal === isLocal && isSameRoute(known, route)) {
      known.generation = this.#generation;
      return;
    }
    if (known) this.#remove(key, known);
    if (!isWithdrawn) this.#add(key, this.#keep(route, isLocal));
  }

  /** A route of a type that is not used. */
  other(_route: OtherRoute): void {
    this.#counts.other++;
  }

  /** A resynchronisation begins: all routes will be received again. One that is under way is replaced. */
  beginGeneration(): void {
    this.#generation++;
    this.#sweep = undefined;
    this.#counts.other = 0;
  }

  /** Removes, in slices, the routes that were not received since `beginGeneration`. */
  sweep(): void {
    this.#sweep = this.#routes.entries();
  }

  /** Removes all routes, in slices. */
  clear(): void {
    this.beginGeneration();
    this.sweep();
  }

  /** Does a part of the work that is left after changes of segments, `sweep` and `clear`. @returns whether more is left */
  slice(limit = SLICE_ROUTES): boolean {
    let left = limit;
    while (left > 0 && this.#reviewNext()) left--;
    while (left > 0 && this.#sweepNext()) left--;
    return left <= 0;
  }

  /**
   * The next changes of one VNI for the data path, `limit` entries at most. They count as told. The answer is to be given to `refused`, or
   * `saidAgain` called, before the next call. undefined: nothing is left to tell.
   */
  take(limit: number): { readonly vni: number; readonly batch: Batch } | undefined {
    for (const vni of this.#queues.batches) {
      const batch = vni.take(limit);
      // Others have their turn before the rest of this one.
      this.#queues.batches.delete(vni);
      if (vni.isDirty) this.#queues.batches.add(vni);
      if (batch) return { vni: vni.vni, batch };
    }
    return undefined;
  }

  /** The data path refused parts of the last batch of a VNI. They are told again after a change of the segment or of the route, or by `free`. */
  refused(vni: number, refused: Refused): void {
    this.#vnis.get(vni)?.refused(refused);
  }

  /**
   * Tells entries again that found a table of the data path full, `limit` at most. Nothing reports that there is room again, so this is to be called
   * now and then.
   */
  retryFull(limit: number): void {
    const vnis = [...this.#vnis.values()];
    let left = limit;
    // From where the last call ended, so that one VNI does not use up all calls.
    for (let count = 0; count < vnis.length && left > 0; count++)
      left -= (vnis[this.#retried++ % vnis.length] as RemoteVni).repeatFull(left);
  }

  /** Another origin has a MAC now, or has it no more. It is told again if there is a route and the MAC is not here. */
  free(vni: number, mac: MacAddress): void {
    this.#vnis.get(vni)?.macs.repeat(mac);
  }

  /** It is not known what the data path has of a VNI after the last batch: all is told again, withdrawals of that batch too. */
  saidAgain(vni: number): void {
    this.#vnis.get(vni)?.repeatAll();
  }

  /** While a MAC is held, its entries of the data path stay as they are, whatever the routes say. */
  setHeld(vni: number, mac: MacAddress, isHeld: boolean): void {
    this.#vnis.get(vni)?.setHeld(mac, isHeld);
  }

  /** The preferred route of other VTEPs for a MAC, in force or not. */
  best(vni: number, mac: MacAddress): MacClaim | undefined {
    const best = this.#vnis.get(vni)?.macs.get(mac)?.best;
    return best && { vtep: best.vtep, sequence: best.sequence, isSticky: best.isSticky };
  }

  /** MACs whose `best` may have changed since it was taken, `limit` at most. undefined: none are left. */
  takeChanged(limit: number): { readonly vni: number; readonly macs: readonly MacAddress[] } | undefined {
    for (const vni of this.#queues.changed) return { vni: vni.vni, macs: vni.takeChanged(limit) };
    return undefined;
  }

  /** What is in force in a VNI. */
  inForce(vni: number): Pick<EvpnVni, 'vteps' | 'macsIn' | 'neighboursIn'> {
    const known = this.#vnis.get(vni);
    return {
      vteps: [...(known?.floods.keysInForce() ?? [])],
      macsIn: known?.macs.inForce ?? 0,
      neighboursIn: known?.neighbours.inForce ?? 0,
    };
  }

  /** All routes of types 2 and 3. Routes may come and go while it is read. */
  *rows(): Iterable<EvpnRouteRow> {
    for (const route of this.#routes.values()) yield rowOf(route, this.#import, this.#vnis);
  }

  #newVni(vni: number): RemoteVni {
    return new RemoteVni(vni, this.#queues, {
      floodedTo: (route) => this.#import.floodedTo(route) as IpAddress,
      isHere: (mac) => this.#own.isHere(vni, mac),
    });
  }

  #keep(route: EvpnRoute, isLocal: boolean): RemoteRoute {
    const received = { isLocal, generation: this.#generation };
    return route.type === 2
      ? new RemoteMac(route, this.#parts, received)
      : new RemoteFlood(route, this.#parts, received);
  }

  #add(key: RouteKey, route: RemoteRoute): void {
    this.#routes.set(key, route);
    this.#count(route, 1);
    const label = labelOf(route);
    if (label === undefined) return;
    const others = this.#byLabel.get(label);
    if (others) others.add(route);
    else this.#byLabel.set(label, new Set([route]));
    this.#examine(route, label);
  }

  #remove(key: RouteKey, route: RemoteRoute): void {
    this.#routes.delete(key);
    this.#count(route, -1);
    const label = labelOf(route);
    if (label === undefined) return;
    const others = this.#byLabel.get(label);
    others?.delete(route);
    if (others?.size === 0) this.#byLabel.delete(label);
    this.#detach(route);
  }

  #count({ type, isLocal }: RemoteRoute, by: number): void {
    if (isLocal) return;
    if (type === 2) this.#counts.type2 += by;
    else this.#counts.type3 += by;
  }

  /** Makes a route a candidate of the VNI that can use it, and of no other. */
  #examine(route: RemoteRoute, label: number): void {
    const user = this.#import.faultOf(route, route.isLocal) === undefined ? this.#vnis.get(label) : undefined;
    if (route.user === user) return;
    this.#detach(route);
    user?.add(route);
  }

  #detach(route: RemoteRoute): void {
    // A segment that was deleted and added again has none of its former candidates, and removes nothing.
    if (route.user) this.#vnis.get(route.user.vni)?.remove(route);
    route.user = undefined;
  }

  #reviewAll(): void {
    for (const vni of this.#vnis.keys()) this.#toReview.add(vni);
  }

  /** Examines one route. @returns false: none is left */
  #reviewNext(): boolean {
    for (;;) {
      const next = this.#review?.next();
      if (next && !next.done) {
        this.#examine(next.value, labelOf(next.value) as number);
        return true;
      }
      this.#review = undefined;
      const [vni] = this.#toReview;
      if (vni === undefined) return false;
      // A change from now on has it examined once more.
      this.#toReview.delete(vni);
      this.#review = this.#byLabel.get(vni)?.values();
    }
  }

  /** Examines one route. @returns false: none is left */
  #sweepNext(): boolean {
    const next = this.#sweep?.next();
    if (!next || next.done) {
      this.#sweep = undefined;
      return false;
    }
    const [key, route] = next.value;
    if (route.generation !== this.#generation) this.#remove(key, route);
    return true;
  }
}
