import { type Fdb, UNKNOWN } from '../../fdb/fdb.ts';
import { LOCAL } from '../../fdb/remotes.ts';
import { INNER_VLAN, type Segment } from '../../segment/segment.ts';
import {
  ARP_FRAME_BYTES,
  ARP_OPERATION,
  arpClaim,
  arpOperation,
  arpSender,
  arpTarget,
  isAnyArp,
  isArp,
  isStationIpv4,
  writeArpReply,
} from '../../wire/answers/arp.ts';
import {
  ADVERTISEMENT_FRAME_BYTES,
  hasOwnMac,
  isFromRouter,
  isIpv6Multicast,
  isIpv6Unspecified,
  isOverride,
  ND_OPTION,
  ND_TYPE,
  ndClaimAt,
  ndSenderAt,
  ndTargetAt,
  ndType,
  writeAdvertisement,
} from '../../wire/answers/nd.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE, macHigh, macLow, SOURCE_MAC_AT } from '../../wire/ethernet.ts';
import type { StrippedTags } from '../../wire/vlan.ts';
import type { AnswerSink } from './answer-sink.ts';
import { type NeighbourTable, STATION } from './neighbours.ts';
import type { NeighbourTeller } from './told-neighbours.ts';

/** Room in the slab for one answer. */
export const ANSWER_BYTES = Math.max(ARP_FRAME_BYTES, ADVERTISEMENT_FRAME_BYTES);

/** The third word of an IPv4-mapped address. */
const IPV4_MAPPED = 0xffff;

/**
 * ARP and ND suppression of the segments with `suppress=on`. A station that asks for a neighbour behind a remote VTEP gets the answer from this VTEP,
 * and the request is not flooded. The bridge of the kernel does the same with neigh_suppress (net/bridge/br_arp_nd_proxy.c). The difference:
 * neighbours here were heard or come from a control plane; they are not configured.
 */
export class Suppression {
  /** One word per segment. Not zero: the main thread listens to its neighbours. */
  readonly listened: Int32Array;
  readonly #view: DataView;
  readonly #fdb: Fdb;
  readonly #neighbours: NeighbourTable;
  readonly #teller: Pick<NeighbourTeller, 'listened' | 'tell'>;
  readonly #at: number;
  readonly #taps: AnswerSink;
  readonly #tags: StrippedTags;

  /**
   * @param at ANSWER_BYTES of the slab for this object alone, with room for MAX_VLAN_TAGS in front
   * @param tags of the frame that is answered, where its segment strips them
   */
  constructor(
    view: DataView,
    fdb: Fdb,
    neighbours: NeighbourTable,
    teller: Pick<NeighbourTeller, 'listened' | 'tell'>,
    at: number,
    taps: AnswerSink,
    tags: StrippedTags,
  ) {
    this.#view = view;
    this.#fdb = fdb;
    this.#neighbours = neighbours;
    this.#teller = teller;
    this.listened = teller.listened;
    this.#at = at;
    this.#taps = taps;
    this.#tags = tags;
  }

  /**
   * Learns the sender of a frame from another VTEP that was not dropped: the addresses in ARP, in solicitations, and in advertisements that may
   * replace others. An address is learned only if its MAC is the source MAC of the frame.
   *
   * @param at start of an untagged frame; other frames are ignored
   * @param now tenths of a second
   */
  hear(segment: Segment, at: number, length: number, now: number): void {
    this.#hear(segment, at, length, false, now);
  }

  /** The same for a frame from the own TAP. While the main thread listens to the segment, it receives a report. */
  hearLocal(segment: Segment, at: number, length: number, now: number): void {
    this.#hear(segment, at, length, true, now);
  }

  #hear(segment: Segment, at: number, length: number, isLocal: boolean, now: number): void {
    const view = this.#view;
    const type = view.getUint16(at + ETHERNET_HEADER_BYTES - 2);
    if (type === ETHERTYPE.arp) {
      if (!isArp(view, at, length)) return;
      const sender = arpSender(view, at);
      if (isStationIpv4(sender)) this.#learn(segment, at, 0, 0, IPV4_MAPPED, sender, STATION.host, isLocal, now);
      return;
    }
    if (type !== ETHERTYPE.ipv6) return;
    const message = ndType(view, at, length);
    if (message === ND_TYPE.solicitation && hasOwnMac(view, at, ND_OPTION.sourceMac)) {
      const sender = ndSenderAt(at);
      if (!isIpv6Unspecified(view, sender) && !isIpv6Multicast(view, sender)) {
        this.#learnIpv6(segment, at, sender, STATION.unknown, isLocal, now);
      }
    }
    if (message === ND_TYPE.advertisement && isOverride(view, at) && hasOwnMac(view, at, ND_OPTION.targetMac)) {
      const kind = isFromRouter(view, at) ? STATION.router : STATION.host;
      this.#learnIpv6(segment, at, ndTargetAt(at), kind, isLocal, now);
    }
  }

  /**
   * Removes what is known of an address behind a remote VTEP when a station behind the own TAP uses the address: in an announcement, a request, an
   * answer or a probe, also with the virtual MAC of a router or as a proxy. This does not depend on what happens to the frame.
   *
   * @returns whether all other stations must receive the frame too: something else was known of the address, or of the MAC of the station
   */
  overrules(segment: Segment, at: number, length: number, now: number): boolean {
    return this.#contradicts(segment, at, length, now, true);
  }

  /** The result that `overrules` would return. Nothing changes. */
  wouldOverrule(segment: Segment, at: number, length: number, now: number): boolean {
    return this.#contradicts(segment, at, length, now, false);
  }

  #contradicts(segment: Segment, at: number, length: number, now: number, forgets: boolean): boolean {
    const view = this.#view;
    const { index } = segment;
    const type = view.getUint16(at + ETHERNET_HEADER_BYTES - 2);
    let a = 0;
    let b = 0;
    let c = IPV4_MAPPED;
    let d = 0;
    if (type === ETHERTYPE.arp && isAnyArp(view, at, length)) {
      d = arpClaim(view, at);
    } else if (type === ETHERTYPE.ipv6 && ndType(view, at, length) !== ND_TYPE.none) {
      const claimAt = ndClaimAt(view, at);
      a = view.getInt32(claimAt);
      b = view.getInt32(claimAt + 4);
      c = view.getInt32(claimAt + 8);
      d = view.getInt32(claimAt + 12);
    } else {
      return false;
    }
    const isElsewhere = this.#isRemote(segment, a, b, c, d, now);
    if (isElsewhere && forgets) this.#neighbours.forget(index, a, b, c, d);
    const source = at + SOURCE_MAC_AT;
    return isElsewhere || this.#isBehindVtep(index, macHigh(view, source), macLow(view, source), now);
  }

  /**
   * Answers the request in a frame to a group, if it is one, into the TAP that it came from. There is no answer for a sender that has no address yet
   * or announces its own, and none for a neighbour that is not known now or that the FDB does not have behind a remote VTEP. Such requests are
   * flooded.
   *
   * @param now tenths of a second
   * @returns whether it was answered
   */
  answers(segment: Segment, at: number, length: number, now: number): boolean {
    if (segment.innerVlan === INNER_VLAN.strip && !this.#tags.areKnown) return false;
    const type = this.#view.getUint16(at + ETHERNET_HEADER_BYTES - 2);
    if (type === ETHERTYPE.arp) return this.#answersArp(segment, at, length, now);
    return type === ETHERTYPE.ipv6 && this.#answersSolicitation(segment, at, length, now);
  }

  #answersArp(segment: Segment, at: number, length: number, now: number): boolean {
    const view = this.#view;
    if (!isArp(view, at, length) || arpOperation(view, at) !== ARP_OPERATION.request) return false;
    const sender = arpSender(view, at);
    const target = arpTarget(view, at);
    if (!isStationIpv4(sender) || sender === target) return false;
    if (!this.#isRemote(segment, 0, 0, IPV4_MAPPED, target, now)) return false;
    const { macHigh: high, macLow: low } = this.#neighbours;
    writeArpReply(view, this.#at, at, high, low);
    this.#answer(segment, ARP_FRAME_BYTES);
    return true;
  }

  #answersSolicitation(segment: Segment, at: number, length: number, now: number): boolean {
    const view = this.#view;
    if (ndType(view, at, length) !== ND_TYPE.solicitation || !hasOwnMac(view, at, ND_OPTION.sourceMac)) return false;
    const sender = ndSenderAt(at);
    const target = ndTargetAt(at);
    if (isIpv6Unspecified(view, sender) || isIpv6Multicast(view, sender) || isSameAddress(view, sender, target))
      return false;
    const a = view.getInt32(target);
    const b = view.getInt32(target + 4);
    const c = view.getInt32(target + 8);
    const d = view.getInt32(target + 12);
    if (!this.#isRemote(segment, a, b, c, d, now)) return false;
    const { macHigh: high, macLow: low, kind } = this.#neighbours;
    if (kind === STATION.unknown) return false;
    writeAdvertisement(view, this.#at, at, high, low, kind === STATION.router);
    this.#answer(segment, ADVERTISEMENT_FRAME_BYTES);
    return true;
  }

  /** The answer needs the tags of the request, or the sender would not receive it. */
  #answer(segment: Segment, length: number): void {
    const tagBytes = segment.innerVlan === INNER_VLAN.strip ? this.#tags.putOn(this.#view, this.#at) : 0;
    this.#taps.answer(segment, this.#at - tagBytes, tagBytes + length);
  }

  /** Whether the neighbour is known and behind a remote VTEP. If so, the output fields of the table hold it. */
  #isRemote(segment: Segment, a: number, b: number, c: number, d: number, now: number): boolean {
    const { index } = segment;
    const neighbours = this.#neighbours;
    return (
      neighbours.find(index, a, b, c, d, now) && this.#isBehindVtep(index, neighbours.macHigh, neighbours.macLow, now)
    );
  }

  #isBehindVtep(segment: number, high: number, low: number, now: number): boolean {
    const remote = this.#fdb.lookup(segment, high, low, now);
    return remote !== UNKNOWN && remote !== LOCAL;
  }

  /** For the IPv6 address at `addressAt`. */
  #learnIpv6(segment: Segment, at: number, addressAt: number, kind: number, isLocal: boolean, now: number): void {
    const view = this.#view;
    const a = view.getInt32(addressAt);
    const b = view.getInt32(addressAt + 4);
    const c = view.getInt32(addressAt + 8);
    this.#learn(segment, at, a, b, c, view.getInt32(addressAt + 12), kind, isLocal, now);
  }

  #learn(
    segment: Segment,
    at: number,
    a: number,
    b: number,
    c: number,
    d: number,
    kind: number,
    isLocal: boolean,
    now: number,
  ): void {
    const high = macHigh(this.#view, at + SOURCE_MAC_AT);
    const low = macLow(this.#view, at + SOURCE_MAC_AT);
    if (segment.suppress) this.#neighbours.learn(segment.index, a, b, c, d, high, low, kind, now);
    if (isLocal) this.#teller.tell(segment, a, b, c, d, high, low, now);
  }
}

function isSameAddress(view: DataView, a: number, b: number): boolean {
  for (let offset = 0; offset < 16; offset += 4)
    if (view.getInt32(a + offset) !== view.getInt32(b + offset)) return false;
  return true;
}
