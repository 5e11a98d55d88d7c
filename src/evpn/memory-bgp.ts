import type { IpAddress } from '../lib/addresses.ts';
import { type EvpnRoute, keyOf, type Path, type RouteKey } from './route.ts';
import {
  type ConnectSpeaker,
  type Dialect,
  type Peer,
  RefusedBySpeaker,
  type Speaker,
  type SpeakerListener,
  SpeakerLost,
} from './speaker.ts';

/** Routes of one message of `list`. */
const LISTED_AT_ONCE = 2;

/**
 * BGP in memory, for tests of the control plane: hosts with a speaker each, which all hear each other at once. It has no network, no policy and no
 * selection among VTEPs, since each host has route distinguishers of its own.
 */
export class MemoryBgp {
  readonly hosts: MemoryHost[] = [];

  host(routerId: IpAddress, asn = 65_000): MemoryHost {
    const host = new MemoryHost(this, routerId, asn);
    this.hosts.push(host);
    return host;
  }

  /** A route of one host is new or withdrawn. All other hosts hear of it. */
  spread(from: MemoryHost, path: Path): void {
    for (const host of this.hosts) if (host !== from) host.hear({ ...path, isLocal: false });
  }

  /** One host came up or went down. */
  changePeersOf(changed: MemoryHost): void {
    for (const host of this.hosts) if (host !== changed) host.peersChanged();
  }
}

/** The speaker of one host. It may be stopped and started again, like a daemon. */
export class MemoryHost {
  readonly #bgp: MemoryBgp;
  readonly #routerId: IpAddress;
  readonly #asn: number;
  readonly #local = new Map<RouteKey, EvpnRoute>();
  readonly #received = new Map<RouteKey, EvpnRoute>();
  readonly #speakers = new Set<MemorySpeaker>();
  /** Whether it accepts connections and has sessions with the others. */
  #isUp = true;
  /** Why an announcement is refused. undefined: it is accepted. */
  refuses: ((route: EvpnRoute) => string | undefined) | undefined;

  constructor(bgp: MemoryBgp, routerId: IpAddress, asn: number) {
    this.#bgp = bgp;
    this.#routerId = routerId;
    this.#asn = asn;
  }

  readonly connect: ConnectSpeaker = async () => {
    if (!this.#isUp) throw new SpeakerLost('connection refused');
    const speaker = new MemorySpeaker(this, this.#asn, this.#routerId);
    this.#speakers.add(speaker);
    return speaker;
  };

  /** Local routes, whoever announced them. */
  get announced(): readonly EvpnRoute[] {
    return [...this.#local.values()];
  }

  get received(): readonly EvpnRoute[] {
    return [...this.#received.values()];
  }

  get peers(): readonly Peer[] {
    const others = this.#bgp.hosts.filter((host) => host !== this);
    return others.map((host) => ({
      address: host.#routerId,
      isEstablished: host.#isUp,
      hasEvpn: true,
      isEndOfRib: host.#isUp,
    }));
  }

  get paths(): readonly Path[] {
    const of = (routes: Iterable<EvpnRoute>, isLocal: boolean) =>
      [...routes].map((route) => ({ route, isLocal, isWithdrawn: false }));
    return [...of(this.#local.values(), true), ...of(this.#received.values(), false)];
  }

  /** Announces a route as another program on this host would. Its sequence may be any, as if this host had not heard of other routes yet. */
  announce(route: EvpnRoute): void {
    this.#local.set(keyOf(route), route);
    const path = { route, isLocal: true, isWithdrawn: false };
    this.#tell(path);
    this.#bgp.spread(this, path);
  }

  withdraw(route: EvpnRoute): void {
    const known = this.#local.get(keyOf(route));
    if (!known) return;
    this.#local.delete(keyOf(route));
    const path = { route: known, isLocal: true, isWithdrawn: true };
    this.#tell(path);
    this.#bgp.spread(this, path);
  }

  hear(path: Path): void {
    if (!this.#isUp) return;
    if (path.isWithdrawn) this.#received.delete(keyOf(path.route));
    else this.#received.set(keyOf(path.route), path.route);
    this.#tell(path);
  }

  /** The daemon ends. Its routes are in memory only, and its peers withdraw them. */
  kill(): void {
    this.#isUp = false;
    for (const speaker of [...this.#speakers]) speaker.lose('it closed the connection');
    const routes = [...this.#local.values()];
    this.#local.clear();
    this.#received.clear();
    for (const route of routes) this.#bgp.spread(this, { route, isLocal: false, isWithdrawn: true });
    this.#bgp.changePeersOf(this);
  }

  start(): void {
    this.#isUp = true;
    for (const host of this.#bgp.hosts) {
      if (host === this) continue;
      for (const route of host.#local.values()) this.hear({ route, isLocal: false, isWithdrawn: false });
    }
    this.#bgp.changePeersOf(this);
  }

  /** The session with another host came up or went down. */
  peersChanged(): void {
    for (const speaker of this.#speakers) speaker.tellPeersChanged();
  }

  /** Only the connections of the API end. */
  disconnect(): void {
    for (const speaker of [...this.#speakers]) speaker.lose('it closed the connection');
  }

  forget(speaker: MemorySpeaker): void {
    this.#speakers.delete(speaker);
  }

  #tell(path: Path): void {
    for (const speaker of this.#speakers) speaker.tell(path);
  }
}

/**
 * The rule of gobgpd for the sequence of a MAC, whatever its VNI (getMacMobilityExtendedCommunity in pkg/server): not below that of local routes of
 * the MAC, and above that of others. gobgpd gives one to a route that has none.
 *
 * @param known what the speaker has  @throws RefusedBySpeaker if it is too low
 */
export function withSequence(route: EvpnRoute, known: readonly Pick<Path, 'route' | 'isLocal'>[]): EvpnRoute {
  if (route.type !== 2) return route;
  let [local, remote] = [0, 0];
  for (const { route: other, isLocal } of known) {
    if (other.type !== 2 || other.mac !== route.mac || other.ethernetTag !== route.ethernetTag) continue;
    if (isLocal) local = Math.max(local, other.sequence);
    else remote = Math.max(remote, other.sequence);
  }
  const least = remote > local ? remote + 1 : local;
  if (route.sequence === 0 && !route.isSticky) return { ...route, sequence: least };
  if (route.sequence < least) throw new RefusedBySpeaker('invalid MAC mobility sequence number');
  return route;
}

/** One connection to the speaker of a host. Answers arrive later, as over a socket. */
class MemorySpeaker implements Speaker {
  readonly dialect: Dialect = 'v4';
  readonly asn: number;
  readonly routerId: IpAddress;
  readonly lost: Promise<SpeakerLost>;
  readonly #host: MemoryHost;
  #listener: SpeakerListener | undefined;
  #lose: (reason: SpeakerLost) => void = () => {};
  #reason: SpeakerLost | undefined;

  constructor(host: MemoryHost, asn: number, routerId: IpAddress) {
    this.#host = host;
    this.asn = asn;
    this.routerId = routerId;
    this.lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
  }

  async add(route: EvpnRoute): Promise<void> {
    await this.#later();
    const refusal = this.#host.refuses?.(route);
    if (refusal !== undefined) throw new RefusedBySpeaker(refusal);
    this.#host.announce(withSequence(route, this.#host.paths));
  }

  async remove(route: EvpnRoute): Promise<void> {
    await this.#later();
    this.#host.withdraw(route);
  }

  async list(listener: Pick<SpeakerListener, 'paths' | 'others'>): Promise<void> {
    await this.#later();
    const paths = this.#host.paths;
    for (let from = 0; from < paths.length; from += LISTED_AT_ONCE) {
      await this.#later();
      listener.paths(paths.slice(from, from + LISTED_AT_ONCE));
    }
  }

  async watch(listener: SpeakerListener): Promise<void> {
    await this.#later();
    this.#listener = listener;
  }

  async peers(): Promise<readonly Peer[]> {
    await this.#later();
    return this.#host.peers;
  }

  close(): void {
    this.lose('it was closed');
  }

  tell(path: Path): void {
    this.#listener?.paths([path]);
  }

  tellPeersChanged(): void {
    this.#listener?.peersChanged();
  }

  lose(reason: string): void {
    this.#reason = new SpeakerLost(reason);
    this.#lose(this.#reason);
    this.#host.forget(this);
  }

  async #later(): Promise<void> {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    if (this.#reason) throw this.#reason;
  }
}
