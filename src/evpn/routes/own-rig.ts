import type { LocalMac, Stations } from '../../control/control-plane.ts';
import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import { type EvpnRoute, keyOf, type RouteKey } from '../route.ts';
import { type Change, type ControlledVni, type MacAlert, OwnRoutes, type RdNumbers } from './own-routes.ts';
import type { OwnConfig } from './own-state.ts';

export const ip = (text: string) => text as IpAddress;

export const VTEP = ip('192.0.2.1');
export const IDENTITY = { asn: 65_000, routerId: ip('198.51.100.1') };

export const mac = (number: number) => `02:00:00:00:00:${number.toString(16).padStart(2, '0')}` as MacAddress;

/** Segment 100 with automatic numbers and an IPv4 address. */
export function segment(different: Partial<Omit<ControlledVni, 'config'>> & Partial<OwnConfig> = {}): ControlledVni {
  const { vni = 100, local = [VTEP], control = 'evpn', rd, targets = [] } = different;
  return { vni, local, config: { control, rd, targets } };
}

/** A change behind the TAP of segment 100. */
export function stations(
  different: Partial<Omit<Stations, 'here'>> & { here?: readonly (MacAddress | LocalMac)[] },
): Stations {
  const { vni = 100, isWhole = false, endsWhole = isWhole, here = [], gone = [], neighbours = [] } = different;
  const macs = here.map((each) => (typeof each === 'string' ? { mac: each, origin: 'learned' as const } : each));
  return { vni, isWhole, endsWhole, here: macs, gone, neighbours };
}

/** The routes of a speaker, by the requests that it has carried out. */
export class FakeSpeaker {
  readonly routes = new Map<RouteKey, EvpnRoute>();
  requests = 0;

  do({ kind, route }: Change): void {
    this.requests++;
    if (kind === 'add') this.routes.set(keyOf(route), route);
    else this.routes.delete(keyOf(route));
  }

  /** Copies, as one that decodes them has. */
  list(): EvpnRoute[] {
    return [...this.routes.values()].map((route) => structuredClone(route));
  }
}

export interface Host {
  readonly own: OwnRoutes;
  readonly speaker: FakeSpeaker;
  readonly alerts: MacAlert[];
  readonly held: Map<string, boolean>;
  /** Requests in order, until there is nothing to do. */
  settle(limit?: number): Change[];
  /** Short texts of the routes that the speaker has. */
  texts(): string[];
}

/** A host whose speaker is connected. */
export function newHost({ stored = {}, identity = IDENTITY }: { stored?: RdNumbers; identity?: typeof IDENTITY } = {}) {
  const alerts: MacAlert[] = [];
  const held = new Map<string, boolean>();
  const own = new OwnRoutes(
    {
      held: (vni, address, isHeld) => held.set(`${vni} ${address}`, isHeld),
      alert: (alert) => alerts.push(alert),
      holderChanged: () => {},
    },
    stored,
  );
  const speaker = new FakeSpeaker();
  own.speakerKnown(identity);
  const settle = (limit = 64) => {
    const all: Change[] = [];
    for (let changes = own.take(limit); changes.length > 0; changes = own.take(limit)) {
      for (const change of changes) {
        speaker.do(change);
        own.done(change);
        all.push(change);
      }
    }
    return all;
  };
  const host: Host = { own, speaker, alerts, held, settle, texts: () => speaker.list().map(textOf).sort() };
  return host;
}

export function textOf(route: EvpnRoute): string {
  const { rd, nextHop } = route;
  if (route.type === 3) return `${rd.value} flood ${route.originator}`;
  const marks = `${route.sequence > 0 ? ` #${route.sequence}` : ''}${route.isSticky ? ' sticky' : ''}`;
  return `${rd.value} ${route.mac.slice(-2)}${route.ip ? ` ${route.ip}` : ''} at ${nextHop}${marks}`;
}

export const changeText = ({ kind, route }: Change) => `${kind} ${textOf(route)}`;
