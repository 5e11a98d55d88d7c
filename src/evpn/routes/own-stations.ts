import type { LocalMac, LocalNeighbour, Stations } from '../../control/control-plane.ts';
import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import { NEIGHBOUR_TOLD_AGAIN_SECONDS } from '../../lib/limits.ts';
import type { MacRoute } from '../route.ts';
import { Mobility, MobilityMemory } from './mac-mobility.ts';
import { isBeaten, isHere, rivalOf } from './own-claims.ts';
import { OwnNeighbours } from './own-neighbours.ts';
import type { Heard, OwnMac, OwnSegment } from './own-state.ts';
import type { MacClaim } from './sequence.ts';

const LEAVE_MS = NEIGHBOUR_TOLD_AGAIN_SECONDS * 1_000;

/** What an operator should know of a MAC (RFC 7432 §15.1, §15.2). */
export interface MacAlert {
  readonly vni: number;
  readonly mac: MacAddress;
  /** The other VTEP. */
  readonly vtep: IpAddress;
  /**
   * | cause             | means                                                                                    |
   * | ----------------- | ---------------------------------------------------------------------------------------- |
   * | `duplicate`       | it moved too often, and this host does not announce it for MAC_HOLD_SECONDS              |
   * | `sticky-there`    | the other VTEP says that it must not move, and it sends here; it is not announced        |
   * | `static-here`     | it is static here, and the other VTEP announces it; it stays announced                   |
   */
  readonly cause: 'duplicate' | 'sticky-there' | 'static-here';
}

export interface OwnListener {
  /** The received routes of the MAC are to be ignored, or not any more (RFC 7432 §15.1). */
  held(vni: number, mac: MacAddress, isHeld: boolean): void;
  alert(alert: MacAlert): void;
  /** This VTEP has the MAC from now on, or another one may have it (`OwnRoutes.isHere`). */
  holderChanged(vni: number, mac: MacAddress): void;
}

/** The MACs and neighbours behind the own TAPs, and their moves between this VTEP and others. */
export class OwnStations {
  readonly #reviewRoutes: (own: OwnMac) => void;
  readonly #listener: OwnListener;
  readonly #memory = new MobilityMemory();
  readonly neighbours: OwnNeighbours;
  /** When the hold of a MAC ends, in milliseconds. The first to end is first. */
  readonly #holds = new Map<OwnMac, number>();
  /**
   * MACs that are not here but have neighbours, and when those are forgotten. If a MAC comes back meanwhile, its neighbours are not reported again,
   * since they were reported a moment ago. Their reports may also be earlier than that of the MAC.
   */
  readonly #leaving = new Map<OwnMac, number>();

  /** @param review is called when the routes of the MAC may have changed  @param forget withdraws the route of a neighbour */
  constructor(review: (own: OwnMac) => void, forget: (heard: Heard) => void, listener: OwnListener) {
    this.#reviewRoutes = review;
    this.#listener = listener;
    this.neighbours = new OwnNeighbours(forget);
  }

  changed(segment: OwnSegment, { isWhole, endsWhole, here, gone, neighbours }: Stations, now: number): void {
    if (isWhole) segment.round++;
    for (const mac of gone) {
      const own = segment.macs.get(mac);
      if (own) this.#gone(own, now);
    }
    for (const local of here) this.#here(segment, local, now);
    if (endsWhole) for (const own of segment.macs.values()) if (own.round !== segment.round) this.#gone(own, now);
    for (const neighbour of neighbours) this.#heard(segment, neighbour, now);
  }

  /** @param best undefined: no other VTEP announces the MAC any more */
  rivalChanged(segment: OwnSegment, mac: MacAddress, best: MacClaim | undefined, now: number): void {
    const own = segment.macs.get(mac);
    const wasBeaten = own !== undefined && isBeaten(own);
    if (best) segment.rivals.set(mac, best);
    else segment.rivals.delete(mac);
    if (own?.origin === undefined) return;
    if (own.origin === 'learned' && !wasBeaten && isBeaten(own) && !own.isHeld) mobilityOf(own).countMove(now);
    // There is nobody to contend with any more.
    if (own.isHeld && !best) this.#release(own);
    this.#checkConflict(own);
    this.#review(own);
  }

  /**
   * The speaker has a route of a former run, or of a former connection. A lower number would lose against what others have seen.
   *
   * @param own undefined: the MAC is not here now
   */
  adopt(vni: number, own: OwnMac | undefined, { mac, sequence }: MacRoute, now: number): void {
    if (sequence === 0) return;
    const mobility = own ? mobilityOf(own) : (this.#memory.take(vni, mac) ?? new Mobility());
    mobility.adopt(sequence);
    if (own) this.#review(own);
    else this.#memory.keep(vni, mac, mobility, now);
  }

  /** The speaker refused the number of the route. @returns whether there is a later one to try at once */
  raise(own: OwnMac, isSticky: boolean): boolean {
    const isRaised = mobilityOf(own).raise(isSticky, rivalOf(own)?.sequence);
    if (isRaised) this.#review(own);
    return isRaised;
  }

  /** Holds and neighbours end by time. @param now milliseconds */
  tick(now: number): void {
    for (const [own, until] of this.#holds) {
      if (now < until) break;
      this.#release(own);
      this.#review(own);
    }
    for (const [own, until] of this.#leaving) {
      if (now < until) break;
      this.#drop(own, now);
    }
  }

  /** The segment was deleted. */
  removeAll(segment: OwnSegment, now: number): void {
    for (const own of segment.macs.values()) {
      own.origin = undefined;
      this.#release(own);
      this.#review(own);
      this.#drop(own, now);
    }
    segment.rivals.clear();
  }

  #here(segment: OwnSegment, { mac, origin }: LocalMac, now: number): void {
    const own = this.#macOf(segment, mac);
    this.#leaving.delete(own);
    own.round = segment.round;
    const wasLearned = own.origin === 'learned';
    own.origin = origin;
    const rival = rivalOf(own);
    // A MAC that was lost to another VTEP is reported again when it is heard again: it is here now.
    if (origin === 'learned' && rival && !rival.isSticky && !own.isHeld && (!wasLearned || isBeaten(own))) {
      const until = mobilityOf(own).claim(rival.sequence, now);
      if (until !== undefined) this.#hold(own, rival, until);
    }
    if (origin === 'static') this.#release(own);
    this.#checkConflict(own);
    this.#review(own);
  }

  #gone(own: OwnMac, now: number): void {
    if (own.origin === undefined) return;
    own.origin = undefined;
    own.isConflict = false;
    this.#release(own);
    this.#review(own);
    if (own.ips && own.ips.size > 0) this.#leaving.set(own, now + LEAVE_MS);
    else this.#drop(own, now);
  }

  #heard(segment: OwnSegment, { mac, ip }: LocalNeighbour, now: number): void {
    const own = this.#macOf(segment, mac);
    const isNew = this.neighbours.hear(own, ip, now);
    if (own.origin !== undefined) {
      if (isNew) this.#review(own);
      return;
    }
    this.#leaving.delete(own);
    if (own.ips && own.ips.size > 0) this.#leaving.set(own, now + LEAVE_MS);
    else this.#drop(own, now);
  }

  #macOf(segment: OwnSegment, mac: MacAddress): OwnMac {
    const known = segment.macs.get(mac);
    if (known) return known;
    const own: OwnMac = {
      segment,
      mac,
      origin: undefined,
      round: segment.round,
      mobility: this.#memory.take(segment.vni, mac),
      ips: undefined,
      slot: undefined,
      isHeld: false,
      isConflict: false,
      isHolder: false,
    };
    segment.macs.set(mac, own);
    return own;
  }

  #drop(own: OwnMac, now: number): void {
    const { segment, mac, mobility } = own;
    this.#leaving.delete(own);
    this.neighbours.dropAll(own);
    segment.macs.delete(mac);
    if (mobility) this.#memory.keep(segment.vni, mac, mobility, now);
  }

  #hold(own: OwnMac, { vtep }: MacClaim, until: number): void {
    const { segment, mac } = own;
    own.isHeld = true;
    this.#holds.set(own, until);
    this.#listener.held(segment.vni, mac, true);
    this.#listener.alert({ vni: segment.vni, mac, vtep, cause: 'duplicate' });
  }

  #release(own: OwnMac): void {
    if (!this.#holds.delete(own)) return;
    own.isHeld = false;
    this.#listener.held(own.segment.vni, own.mac, false);
  }

  /** The station, its rival or its number changed. */
  #review(own: OwnMac): void {
    this.#reviewRoutes(own);
    const isHolder = isHere(own);
    if (isHolder === own.isHolder) return;
    own.isHolder = isHolder;
    this.#listener.holderChanged(own.segment.vni, own.mac);
  }

  #checkConflict(own: OwnMac): void {
    const { segment, mac, origin } = own;
    const rival = rivalOf(own);
    const wasConflict = own.isConflict;
    own.isConflict = rival !== undefined && (rival.isSticky || origin === 'static');
    if (!rival || !own.isConflict || wasConflict) return;
    const cause = origin === 'static' ? 'static-here' : 'sticky-there';
    this.#listener.alert({ vni: segment.vni, mac, vtep: rival.vtep, cause });
  }
}

function mobilityOf(own: OwnMac): Mobility {
  own.mobility ??= new Mobility();
  return own.mobility;
}
