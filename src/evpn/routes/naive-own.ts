import type { LocalMac, Stations } from '../../control/control-plane.ts';
import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import { formatRouteNumber } from '../../lib/route-numbers.ts';
import type { RdNumbers, SpeakerIdentity } from './own-routes.ts';
import type { ControlledVni } from './own-state.ts';

const LEAVE_MS = 30_000;

interface NaiveNeighbour {
  mac: MacAddress;
  /** Since when its MAC is away, if it is. */
  away: number;
}

interface NaiveSegment {
  controlled: ControlledVni | undefined;
  macs: Map<MacAddress, LocalMac['origin']>;
  neighbours: Map<IpAddress, NaiveNeighbour>;
}

/** What has to be announced while no other VTEP announces one of the MACs: only the inputs are kept, and all routes are computed from them. */
export class NaiveOwn {
  identity: SpeakerIdentity | undefined;
  readonly #segments = new Map<number, NaiveSegment>();

  update(segment: ControlledVni): void {
    this.#of(segment.vni).controlled = segment;
  }

  remove(vni: number): void {
    this.#segments.delete(vni);
  }

  stations({ vni, isWhole, here, gone, neighbours }: Stations, now: number): void {
    const segment = this.#of(vni);
    const left = isWhole ? [...segment.macs.keys()].filter((mac) => here.every((local) => local.mac !== mac)) : gone;
    for (const mac of left) {
      if (!segment.macs.delete(mac)) continue;
      for (const neighbour of segment.neighbours.values()) if (neighbour.mac === mac) neighbour.away = now;
    }
    for (const { mac, origin } of here) segment.macs.set(mac, origin);
    for (const { mac, ip } of neighbours) {
      segment.neighbours.set(ip, { mac, away: now });
      // Its other addresses stay as long as this one.
      for (const other of segment.neighbours.values()) if (other.mac === mac) other.away = now;
    }
  }

  tick(now: number): void {
    for (const { macs, neighbours } of this.#segments.values()) {
      for (const [ip, { mac, away }] of neighbours) if (!macs.has(mac) && now - away >= LEAVE_MS) neighbours.delete(ip);
    }
  }

  /** One text per route, with all of it that the own routes decide. */
  wanted(numbers: RdNumbers): string[] {
    return [...this.#segments].flatMap(([vni, segment]) => this.#wantedOf(vni, segment, numbers)).sort();
  }

  #wantedOf(vni: number, { controlled, macs, neighbours }: NaiveSegment, numbers: RdNumbers): string[] {
    const { identity } = this;
    if (!identity || !controlled || controlled.config.control === 'multicast' || controlled.local.length === 0)
      return [];
    const { config, local } = controlled;
    const rd = config.rd ? formatRouteNumber(config.rd) : `${identity.routerId}:${numbers[vni]}`;
    const automatic = config.targets === 'rfc8365' ? 0x1000_0000 + vni : vni;
    const targets =
      config.targets !== 'rfc8365' && config.targets.length > 0
        ? config.targets.map(formatRouteNumber)
        : [`${identity.asn % 65_536}:${automatic}`];
    const common = `${rd} ${targets}`;
    const vtep = local.find((address) => !address.includes(':')) ?? local[0];
    const mark = (mac: MacAddress) => (macs.get(mac) === 'static' ? 'sticky' : '');
    return [
      ...local.map((address) => `${common} ${vni} ${address} 3 ${address}`),
      ...[...macs.keys()].map((mac) => `${common} ${vni} ${vtep} 2 ${mac}  0${mark(mac)}`),
      ...[...neighbours]
        .filter(([, { mac }]) => macs.has(mac))
        .map(([ip, { mac }]) => `${common} ${vni} ${vtep} 2 ${mac} ${ip} 0${mark(mac)}`),
    ];
  }

  #of(vni: number): NaiveSegment {
    const known = this.#segments.get(vni);
    if (known) return known;
    const segment = { controlled: undefined, macs: new Map(), neighbours: new Map() };
    this.#segments.set(vni, segment);
    return segment;
  }
}
