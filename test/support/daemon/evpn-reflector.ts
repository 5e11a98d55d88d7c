/** The route reflector of a fabric, of either kind, and the routes that it has: what all VTEPs announce. */
import { Frr } from '../lab/frr.ts';
import { Gobgpd } from '../lab/gobgpd.ts';
import type { Host } from '../lab/lab.ts';

export type ReflectorKind = 'FRR' | 'gobgpd';

const ASN = 65_000;

/** A route of type 2. */
export interface MacRoute {
  readonly mac: string;
  readonly ip: string | undefined;
  readonly rd: string;
  readonly nextHop: string;
  readonly sequence: number;
}

export class Reflector {
  readonly kind: ReflectorKind;
  readonly #start: () => Promise<Frr | Gobgpd>;
  #speaker!: Frr | Gobgpd;

  private constructor(kind: ReflectorKind, start: () => Promise<Frr | Gobgpd>) {
    this.kind = kind;
    this.#start = start;
  }

  static async start(host: Host, kind: ReflectorKind, clients: readonly string[]): Promise<Reflector> {
    const neighbours = clients.map((address) => ({ address, asn: ASN, isReflectorClient: true }));
    const options = { asn: ASN, routerId: host.address, neighbours };
    const start = () => (kind === 'FRR' ? Frr.start(host, options) : Gobgpd.start(host, options));
    const reflector = new Reflector(kind, start);
    await reflector.restart();
    return reflector;
  }

  async restart(): Promise<void> {
    this.#speaker = await this.#start();
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    await this.#speaker.stop();
  }

  macRoutes(): MacRoute[] {
    return this.#speaker instanceof Frr ? routesOfFrr(this.#speaker) : routesOfGobgpd(this.#speaker);
  }
}

function routesOfFrr(frr: Frr): MacRoute[] {
  type Path = { mac?: string; ip?: string; extendedCommunity?: { string: string }; nexthops?: { ip: string }[] };
  type Destination = { paths?: Path[] };
  const shown = frr.query<Record<string, Record<string, Destination>>>('show bgp l2vpn evpn json');
  const rows = Object.entries(shown).flatMap(([rd, destinations]) =>
    typeof destinations !== 'object'
      ? []
      : Object.values(destinations).flatMap(({ paths = [] }) => paths.map((path) => ({ rd, path }))),
  );
  return rows.flatMap(({ rd, path: { mac, ip, extendedCommunity, nexthops = [] } }) => {
    if (mac === undefined) return [];
    const sequence = Number(/MM:(\d+)/.exec(extendedCommunity?.string ?? '')?.[1] ?? 0);
    return [{ mac, ip, rd, nextHop: nexthops[0]?.ip ?? '', sequence }];
  });
}

function routesOfGobgpd(gobgpd: Gobgpd): MacRoute[] {
  type Community = { type: number; subtype: number; sequence?: number };
  type Attribute = { type: number; nexthop?: string; value?: Community[] };
  type Nlri = { type: number; value: { rd: { admin: string; assigned: number }; mac: string; ip?: string } };
  type Path = { nlri: Nlri; attrs: Attribute[] };
  const shown = JSON.parse(gobgpd.cli('-j', 'global', 'rib', '-a', 'evpn')) as Record<string, Path[]>;
  return Object.values(shown)
    .flat()
    .flatMap(({ nlri: { type, value }, attrs }) => {
      if (type !== 2) return [];
      const communities = attrs.find((attribute) => attribute.type === 16)?.value ?? [];
      const mobility = communities.find((community) => community.type === 6 && community.subtype === 0);
      const nextHop = attrs.find((attribute) => attribute.type === 14)?.nexthop ?? '';
      const ip = value.ip?.includes('.') || value.ip?.includes(':') ? value.ip : undefined;
      const rd = `${value.rd.admin}:${value.rd.assigned}`;
      return [{ mac: value.mac, ip, rd, nextHop, sequence: mobility?.sequence ?? 0 }];
    });
}
