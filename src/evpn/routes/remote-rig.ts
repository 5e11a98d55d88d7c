import { type IpAddress, type MacAddress, parseIp, parseMac } from '../../lib/addresses.ts';
import { parseRouteNumber, type RouteDistinguisher, type RouteTarget } from '../../lib/route-numbers.ts';
import { type EvpnRoute, type FloodRoute, INGRESS_REPLICATION, type MacRoute } from '../route.ts';
import { floodRoute as plainFloodRoute, macRoute as plainMacRoute } from '../routes-rig.ts';
import type { ImportingSegment } from './remote-import.ts';
import type { RemoteRoutes } from './remote-routes.ts';

/** Routes and segments for tests of received routes, and what the batches amount to. */

export const ip = (text: string) => parseIp(text) as IpAddress;
export const mac = (last: number) => parseMac(`02:00:00:00:00:${last.toString(16).padStart(2, '0')}`) as MacAddress;
export const target = (admin: number, value: number): RouteTarget => ({ form: 'as2', admin, value });

export function segment(vni: number, changes: Partial<ImportingSegment['config']> = {}): ImportingSegment {
  return { vni, config: { control: 'evpn', targets: [], ...changes }, local: [ip('198.18.0.1')] };
}

/** A MAC route of VNI 100 from a host with that address. */
export function macRoute(vtep: string, changes: Partial<MacRoute> = {}): MacRoute {
  const { label = 100 } = changes;
  const targets = [target(65_000, label)];
  return plainMacRoute({ rd: rdOf(vtep, label), nextHop: ip(vtep), mac: mac(1), targets, label, ...changes });
}

/** A type 3 route of VNI 100 from a host with that address. */
export function floodRoute(vtep: string, changes: Partial<FloodRoute> = {}): FloodRoute {
  const address = ip(vtep);
  const pmsi = { tunnel: INGRESS_REPLICATION, label: 100, endpoint: address };
  return plainFloodRoute({ rd: rdOf(vtep, 100), nextHop: address, originator: address, pmsi, ...changes });
}

const rdOf = (vtep: string, value: number) => parseRouteNumber(`${vtep}:${value}`) as RouteDistinguisher;

export const announce = (routes: RemoteRoutes, ...list: readonly EvpnRoute[]) => {
  for (const route of list) routes.received({ route, isLocal: false, isWithdrawn: false });
};

export const withdraw = (routes: RemoteRoutes, ...list: readonly EvpnRoute[]) => {
  for (const route of list) routes.received({ route, isLocal: false, isWithdrawn: true });
};

/** What a data path has that refuses nothing. */
export class Told {
  readonly floods = new Set<string>();
  /** By VNI and MAC: the VTEP, with `!` if it is sticky. */
  readonly macs = new Map<string, string>();
  readonly neighbours = new Map<string, string>();
  /** Entries in the batches so far. */
  items = 0;
  /** Something was told again: it may be withdrawn a second time. */
  isRepeated = false;

  /** Takes one batch of at most `limit` entries. @returns whether there was one */
  take(routes: RemoteRoutes, limit: number): boolean {
    const taken = routes.take(limit);
    if (!taken) return false;
    const { vni, batch } = taken;
    const before = this.items;
    for (const vtep of batch.floods?.removed ?? []) this.#item(this.floods.delete(`${vni} ${vtep}`));
    for (const vtep of batch.floods?.added ?? []) this.#item(this.floods.add(`${vni} ${vtep}`));
    for (const key of batch.macs?.withdrawn ?? []) this.#item(this.macs.delete(`${vni} ${key}`));
    for (const { mac: key, vtep, isSticky } of batch.macs?.placed ?? [])
      this.#item(this.macs.set(`${vni} ${key}`, `${vtep}${isSticky ? '!' : ''}`));
    for (const key of batch.neighbours?.withdrawn ?? []) this.#item(this.neighbours.delete(`${vni} ${key}`));
    for (const { ip: key, mac: at } of batch.neighbours?.placed ?? [])
      this.#item(this.neighbours.set(`${vni} ${key}`, at));
    if (this.items === before || this.items - before > limit) throw new Error(`a batch of ${this.items - before}`);
    return true;
  }

  /** Does all that is left, and takes all that there is. */
  drain(routes: RemoteRoutes): this {
    while (routes.slice(7));
    while (this.take(routes, 3));
    return this;
  }

  /** The segment was deleted. */
  forget(vni: number): void {
    for (const keys of [this.floods, this.macs, this.neighbours])
      for (const key of [...keys.keys()]) if (key.startsWith(`${vni} `)) keys.delete(key);
  }

  get all(): Record<string, string> {
    return Object.fromEntries([...[...this.floods].map((key) => [key, 'floods']), ...this.macs, ...this.neighbours]);
  }

  /** Otherwise, a withdrawal of what is not there is an error of the sender. */
  #item(isEffective: unknown): void {
    if (isEffective === false && !this.isRepeated) throw new Error('withdrawn twice');
    this.items++;
  }
}
