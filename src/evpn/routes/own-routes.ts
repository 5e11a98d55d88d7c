import type { Stations } from '../../control/control-plane.ts';
import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import type { RouteDistinguisher, RouteTarget } from '../../lib/route-numbers.ts';
import type { EvpnRoute, Path } from '../route.ts';
import { claimOf, isHere } from './own-claims.ts';
import { OwnRds, type RdNumbers } from './own-numbers.ts';
import { type ControlledVni, newSegment, type OwnMac, type OwnSegment } from './own-state.ts';
import { type MacAlert, type OwnListener, OwnStations } from './own-stations.ts';
import { type Change, OwnTable } from './own-table.ts';
import { OwnWanted } from './own-wanted.ts';
import type { MacClaim } from './sequence.ts';

export type { Change, ControlledVni, MacAlert, MacClaim, OwnListener, RdNumbers };

/** The speaker, as far as own routes depend on it. */
export interface SpeakerIdentity {
  /** 1 to 4294967295. */
  readonly asn: number;
  readonly routerId: IpAddress;
}

/** The own routes of one VNI. */
export interface OwnVniStatus {
  readonly rd: RouteDistinguisher | undefined;
  readonly exportTargets: readonly RouteTarget[];
  /** Routes that the speaker has. */
  readonly macsOut: number;
  readonly neighboursOut: number;
  /** Whether the speaker has all type 3 routes of the VNI. */
  readonly isAnnounced: boolean;
}

/** The text with which GoBGP refuses a sequence number as too low (internal/pkg/table/table_manager.go). */
const LOW_SEQUENCE = /mobility sequence/i;

/**
 * The EVPN routes that this VTEP announces, and the requests that bring the speaker in step with them. Pure: whoever has the speaker takes changes,
 * sends them, and reports each result.
 *
 * Each segment with a control plane of EVPN has a type 3 per address family. Each MAC behind the TAP has a type 2, and another for each of its IP
 * addresses, IPv6 link-local ones too. MACs of the TAP and of its bridge are announced like all others once they send: they are stations of this host.
 * All times are milliseconds of one clock. The listener is called at the end of a method, and may call methods.
 */
export class OwnRoutes {
  readonly #segments = new Map<number, OwnSegment>();
  readonly #table = new OwnTable();
  readonly #rds: OwnRds;
  readonly #wanted: OwnWanted;
  readonly #stations: OwnStations;
  #news: (() => void)[] = [];
  /** The speaker reports what it has from before. */
  #isAdopting = false;

  /** @param stored `rdNumbers` of the last run */
  constructor(listener: OwnListener, stored: RdNumbers = {}) {
    this.#rds = new OwnRds(stored);
    this.#wanted = new OwnWanted(this.#table, this.#rds);
    this.#stations = new OwnStations(
      (own) => this.#wanted.review(own),
      (heard) => {
        heard.slot = this.#table.unwant(heard.slot);
      },
      {
        held: (vni, mac, isHeld) => this.#news.push(() => listener.held(vni, mac, isHeld)),
        alert: (alert) => this.#news.push(() => listener.alert(alert)),
        holderChanged: (vni, mac) => this.#news.push(() => listener.holderChanged(vni, mac)),
      },
    );
  }

  /** To be stored: routes of a former run are recognised by them. */
  get rdNumbers(): RdNumbers {
    return this.#rds.numbers;
  }

  /** Grows with each change of `rdNumbers`. */
  get rdChanges(): number {
    return this.#rds.changes;
  }

  /** Changes that the speaker has not confirmed, without those that it refuses. */
  get pending(): number {
    return this.#table.pending;
  }

  /** Whether the speaker has confirmed all changes, or refused them. */
  get isSettled(): boolean {
    return this.#table.pending === 0;
  }

  /** Routes that the speaker refuses now. */
  get refusedRoutes(): number {
    return this.#table.refused;
  }

  /** How often a neighbour was not announced, because there was no room. */
  get refusedNeighbours(): number {
    return this.#stations.neighbours.refused;
  }

  /** Routes that the speaker has. */
  get routesOut(): { readonly type2: number; readonly type3: number } {
    const { floods, macs, neighbours } = this.#table.totals;
    return { type2: macs + neighbours, type3: floods };
  }

  /** undefined: the VNI does not exist, or nothing of it is announced. */
  status(vni: number): OwnVniStatus | undefined {
    const face = this.#segments.get(vni)?.face;
    if (!face) return undefined;
    const { floods, macs, neighbours } = this.#table.sentOf(face.rd);
    return {
      rd: face.rd,
      exportTargets: face.targets,
      macsOut: macs,
      neighboursOut: neighbours,
      isAnnounced: floods >= face.local.length,
    };
  }

  /** Whether this VTEP has the MAC: it is behind the own TAP, and no route of another VTEP says that it has moved. */
  isHere(vni: number, mac: MacAddress): boolean {
    const own = this.#segments.get(vni)?.macs.get(mac);
    return own !== undefined && isHere(own);
  }

  /** Whether a route with it is one of this VTEP, or was. */
  isOwnRd(rd: RouteDistinguisher): boolean {
    return this.#rds.vniOf(rd) !== undefined;
  }

  /** There is a connection. `found` reports what the speaker has. Only then are changes to be taken. */
  speakerKnown({ asn, routerId }: SpeakerIdentity): void {
    this.#rds.routerId = routerId;
    this.#wanted.asn = asn;
    for (const segment of this.#segments.values()) this.#wanted.reviewSegment(segment);
    this.#table.connected();
    this.#isAdopting = true;
  }

  /** The connection is lost. No change can be taken, and results of earlier ones are ignored. */
  speakerLost(): void {
    this.#table.lost();
  }

  /**
   * A path of the speaker. Only local ones with an own route distinguisher count.
   *
   * Before changes are taken, one that is wanted is adopted, and another one is withdrawn. Later such a report is an echo of a request, and may be late.
   * It is ignored. So a speaker that raises sequence numbers by itself (GoBGP before 3.28) cannot start a race.
   *
   * A path that is withdrawn without a request of ours is announced again.
   */
  found({ route, isLocal, isWithdrawn }: Path, now: number): void {
    const vni = isLocal ? this.#rds.vniOf(route.rd) : undefined;
    if (vni === undefined) return;
    if (isWithdrawn) this.#table.missed(route);
    if (isWithdrawn || !this.#isAdopting) return;
    if (route.type === 2 && !route.isSticky) {
      this.#stations.adopt(vni, this.#segments.get(vni)?.macs.get(route.mac), route, now);
    }
    this.#table.found(route);
  }

  segmentUpdated(segment: ControlledVni): void {
    const own = this.#segmentOf(segment.vni);
    own.controlled = segment;
    const { control, rd } = segment.config;
    const displaced = this.#rds.add(segment.vni, control === 'multicast' ? undefined : rd);
    const other = displaced === undefined ? undefined : this.#segments.get(displaced);
    if (other) {
      // Each may get keys that the other one has now.
      this.#wanted.withdraw(other);
      this.#wanted.withdraw(own);
      this.#wanted.reviewSegment(other);
    }
    this.#wanted.reviewSegment(own);
  }

  segmentRemoved(vni: number, now: number): void {
    const segment = this.#segments.get(vni);
    if (!segment) return;
    segment.controlled = undefined;
    this.#wanted.reviewSegment(segment);
    this.#stations.removeAll(segment, now);
    this.#rds.remove(vni);
    this.#segments.delete(vni);
    this.#tell();
  }

  stationsChanged(stations: Stations, now: number): void {
    const segment = this.#segmentOf(stations.vni);
    this.#stations.changed(segment, stations, now);
    this.#forgetIfEmpty(segment);
    this.#tell();
  }

  /** @param best the best received route of the MAC; undefined: there is none */
  rivalChanged(vni: number, mac: MacAddress, best: MacClaim | undefined, now: number): void {
    const segment = this.#segmentOf(vni);
    this.#stations.rivalChanged(segment, mac, best, now);
    this.#forgetIfEmpty(segment);
    this.#tell();
  }

  /** To be called about once a second. */
  tick(now: number): void {
    this.#table.tick(now);
    this.#stations.tick(now);
    this.#tell();
  }

  /** From now on nothing is announced. */
  withdrawAll(): void {
    this.#wanted.stop();
    for (const segment of this.#segments.values()) this.#wanted.reviewSegment(segment);
  }

  /** Takes changes to request from the speaker, at most `limit`. Each result is to be reported by `done`, `failed` or `refused`. */
  take(limit: number): Change[] {
    this.#isAdopting = false;
    return this.#table.take(limit);
  }

  done(change: Change): void {
    this.#table.done(change);
    if (change.kind === 'add') this.#ownOf(change.route)?.mobility?.accepted();
  }

  /** There was no answer. */
  failed(change: Change): void {
    this.#table.failed(change);
  }

  /** @param reason as the speaker gave it */
  refused(change: Change, reason: string, now: number): void {
    const isRaised = change.kind === 'add' && LOW_SEQUENCE.test(reason) && this.#raise(change.route);
    this.#table.refuse(change, !isRaised, now);
  }

  /** Returns whether there is a later number to try at once. */
  #raise(route: EvpnRoute): boolean {
    const own = this.#ownOf(route);
    const claim = own && claimOf(own);
    if (!own || !claim || route.type !== 2) return false;
    // Another route of the MAC was refused before.
    if (claim.sequence !== route.sequence || claim.isSticky !== route.isSticky) return true;
    return this.#stations.raise(own, claim.isSticky);
  }

  #ownOf(route: EvpnRoute): OwnMac | undefined {
    if (route.type !== 2) return undefined;
    const vni = this.#rds.vniOf(route.rd);
    return vni === undefined ? undefined : this.#segments.get(vni)?.macs.get(route.mac);
  }

  #segmentOf(vni: number): OwnSegment {
    const known = this.#segments.get(vni);
    if (known) return known;
    const segment = newSegment(vni);
    this.#segments.set(vni, segment);
    return segment;
  }

  /** Late reports of a deleted segment. */
  #forgetIfEmpty({ vni, controlled, macs, rivals }: OwnSegment): void {
    if (!controlled && macs.size === 0 && rivals.size === 0) this.#segments.delete(vni);
  }

  #tell(): void {
    while (this.#news.length > 0) {
      const news = this.#news;
      this.#news = [];
      for (const each of news) each();
    }
  }
}
