import type { IpAddress } from '../../lib/addresses.ts';
import type { MacRoute } from '../route.ts';
import { type Host, ip, mac, newHost, segment, stations } from './own-rig.ts';
import type { Change, MacClaim } from './own-routes.ts';
import { compareSequences, isPreferred } from './sequence.ts';

const MAC = mac(1);

interface Station {
  readonly vtep: IpAddress;
  readonly host: Host;
  /** Where the forwarding database has the MAC. */
  at: 'here' | 'elsewhere' | undefined;
  /** The routes of the other hosts that have arrived. */
  readonly seen: Map<IpAddress, MacClaim>;
  /** Those that the speaker has. */
  readonly atSpeaker: Map<IpAddress, MacClaim>;
  best: MacClaim | undefined;
}

interface Message {
  readonly to: Station;
  readonly from: IpAddress;
  readonly claim: MacClaim | undefined;
}

/** Hosts whose routes for one MAC reach the others in order, some time later, and forwarding databases that follow them. */
export class MovesLab {
  readonly hosts: readonly Station[];
  now = 0;
  /** Requests of all hosts to their speakers for the MAC. */
  requests = 0;
  /** Whether speakers refuse a number that is not later than those of the other hosts, as GoBGP. They hear of those before vtepd. */
  isStrict = false;
  readonly #links = new Map<string, Message[]>();

  constructor(count: number, sequence = 0) {
    this.hosts = Array.from({ length: count }, (_, index) => {
      const vtep = ip(`192.0.2.${index + 1}`);
      const host = newHost({ identity: { asn: 65_000, routerId: ip(`198.51.100.${index + 1}`) } });
      host.own.segmentUpdated(segment({ local: [vtep] }));
      host.settle();
      return { vtep, host, at: undefined, seen: new Map(), atSpeaker: new Map(), best: undefined };
    });
    const [first] = this.hosts;
    if (!first || sequence === 0) return;
    // As if a former run had announced it.
    const { own, settle } = first.host;
    own.stationsChanged(stations({ here: [MAC] }), 0);
    const [route] = settle().map(({ route: each }) => each as MacRoute);
    own.stationsChanged(stations({ gone: [MAC] }), 0);
    settle();
    own.speakerLost();
    own.speakerKnown({ asn: 65_000, routerId: ip('198.51.100.1') });
    if (route) own.found({ route: { ...route, sequence }, isLocal: true, isWithdrawn: false }, 0);
    settle();
  }

  /** The machine at the host sends a frame. */
  send(index: number): void {
    const station = this.hosts[index] as Station;
    if (station.at === 'here') return;
    station.at = 'here';
    station.host.own.stationsChanged(stations({ here: [MAC] }), this.now);
    this.#turn(station);
  }

  /** One message arrives. @param which picks the link @returns whether there was one */
  deliver(which = 0): boolean {
    const waiting = [...this.#links.values()].filter((link) => link.length > 0);
    const message = waiting[which % Math.max(waiting.length, 1)]?.shift();
    if (!message) return false;
    const { to, from, claim } = message;
    if (claim) to.seen.set(from, claim);
    else to.seen.delete(from);
    to.best = [...to.seen.values()].sort((one, other) => (isPreferred(one, other) ? -1 : 1))[0];
    to.host.own.rivalChanged(100, MAC, to.best, this.now);
    this.#turn(to);
    return true;
  }

  deliverAll(): void {
    while (this.deliver());
  }

  /** Time passes, second by second. */
  wait(seconds: number): void {
    for (let second = 0; second < seconds; second++) {
      this.now += 1_000;
      for (const station of this.hosts) {
        station.host.own.tick(this.now);
        this.#turn(station);
      }
    }
  }

  /** Indexes of the hosts that announce the MAC, each with its sequence number. */
  announcers(): [number, number][] {
    return this.hosts.flatMap(({ host }, index) => {
      const route = host.speaker.list().find((each) => each.type === 2) as MacRoute | undefined;
      return route ? [[index, route.sequence] as [number, number]] : [];
    });
  }

  isHeld(index: number): boolean {
    return this.hosts[index]?.host.held.get(`100 ${MAC}`) ?? false;
  }

  get alerts(): string[] {
    return this.hosts.flatMap(({ host }) => host.alerts.map(({ cause }) => cause));
  }

  #turn(station: Station): void {
    this.#settle(station);
    const { own, speaker } = station.host;
    const isAnnounced = speaker.list().some(({ type }) => type === 2);
    if (isAnnounced || this.isHeld(this.hosts.indexOf(station))) return;
    // The data path places the MAC where the best route says.
    const wasHere = station.at === 'here';
    if (station.best) station.at = 'elsewhere';
    else if (station.at === 'elsewhere') station.at = undefined;
    if (!station.best || !wasHere) return;
    own.stationsChanged(stations({ gone: [MAC] }), this.now);
    this.#settle(station);
  }

  #settle(station: Station): void {
    const { own, speaker } = station.host;
    for (let changes = own.take(1); changes.length > 0; changes = own.take(1)) {
      for (const change of changes) {
        if (this.isStrict && isLow(change, station)) {
          this.requests++;
          own.refused(change, 'invalid MAC mobility sequence number', this.now);
          continue;
        }
        speaker.do(change);
        own.done(change);
        this.#tell(station, [change]);
      }
    }
  }

  #tell({ vtep }: Station, changes: readonly Change[]): void {
    for (const { kind, route } of changes) {
      if (route.type !== 2) continue;
      this.requests++;
      const claim = kind === 'add' ? { vtep, sequence: route.sequence, isSticky: route.isSticky } : undefined;
      for (const to of this.hosts) {
        if (to.vtep === vtep) continue;
        if (claim) to.atSpeaker.set(vtep, claim);
        else to.atSpeaker.delete(vtep);
        const link = `${vtep} ${to.vtep}`;
        this.#links.set(link, [...(this.#links.get(link) ?? []), { to, from: vtep, claim }]);
      }
    }
  }
}

function isLow({ kind, route }: Change, { atSpeaker }: Station): boolean {
  if (kind === 'remove' || route.type !== 2) return false;
  return [...atSpeaker.values()].some(({ sequence }) => compareSequences(route.sequence, sequence) <= 0);
}
