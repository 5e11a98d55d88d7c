import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { type FloodRoute, INGRESS_REPLICATION, type MacRoute, NO_ESI, VXLAN_TUNNEL } from '../route.ts';
import { claimOf } from './own-claims.ts';
import { exportTargets, type OwnRds, rdKey } from './own-numbers.ts';
import type { Face, OwnMac, OwnSegment } from './own-state.ts';
import type { OwnTable } from './own-table.ts';
import type { MacClaim } from './sequence.ts';

const TUNNELS: readonly number[] = [VXLAN_TUNNEL];

/** Turns what is known of segments and MACs into the routes that the speaker shall have. */
export class OwnWanted {
  readonly #table: OwnTable;
  readonly #rds: OwnRds;
  #asn: number | undefined;
  #isStopped = false;

  constructor(table: OwnTable, rds: OwnRds) {
    this.#table = table;
    this.#rds = rds;
  }

  set asn(asn: number) {
    this.#asn = asn;
  }

  /** From now on nothing is wanted. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Something that all routes of the segment have in common may have changed. */
  reviewSegment(segment: OwnSegment): void {
    const face = this.#faceOf(segment);
    if (!isSameFace(segment.face, face)) this.#show(segment, face);
  }

  /** Nothing of the segment is wanted, until it is reviewed. */
  withdraw(segment: OwnSegment): void {
    this.#show(segment, undefined);
  }

  /** Something of the MAC may have changed. */
  review(own: OwnMac): void {
    const { face } = own.segment;
    const claim = face && claimOf(own);
    if (!face || !claim) {
      if (!own.slot) return;
      own.slot = this.#table.unwant(own.slot);
      for (const heard of own.ips?.values() ?? []) heard.slot = this.#table.unwant(heard.slot);
      return;
    }
    own.slot = this.#table.want(macRoute(own, face, claim, undefined), own.slot);
    for (const heard of own.ips?.values() ?? []) {
      heard.slot = this.#table.want(macRoute(own, face, claim, heard.ip), heard.slot);
    }
  }

  #show(segment: OwnSegment, face: Face | undefined): void {
    segment.face = face;
    for (const [ip, slot] of segment.floods) {
      if (face?.local.includes(ip)) continue;
      this.#table.unwant(slot);
      segment.floods.delete(ip);
    }
    for (const ip of face?.local ?? []) {
      segment.floods.set(ip, this.#table.want(floodRoute(segment.vni, face as Face, ip), segment.floods.get(ip)));
    }
    for (const own of segment.macs.values()) this.review(own);
  }

  #faceOf({ vni, controlled }: OwnSegment): Face | undefined {
    if (this.#isStopped || this.#asn === undefined || !controlled) return undefined;
    const { config, local } = controlled;
    const vtep = local.find((ip) => ipFamily(ip) === 4) ?? local[0];
    if (config.control === 'multicast' || vtep === undefined) return undefined;
    const rd = this.#rds.of(vni);
    return rd && { rd, targets: exportTargets(config.targets, this.#asn, vni), local, vtep };
  }
}

function isSameFace(one: Face | undefined, other: Face | undefined): boolean {
  return one === other || (one !== undefined && other !== undefined && faceKey(one) === faceKey(other));
}

function faceKey({ rd, targets, local }: Face): string {
  return [rd, ...targets].map(rdKey).concat(local).join();
}

function floodRoute(vni: number, { rd, targets }: Face, ip: IpAddress): FloodRoute {
  return {
    type: 3,
    rd,
    ethernetTag: 0,
    nextHop: ip,
    targets,
    tunnels: TUNNELS,
    originator: ip,
    pmsi: { tunnel: INGRESS_REPLICATION, label: vni, endpoint: ip },
  };
}

function macRoute(
  { segment, mac }: OwnMac,
  { rd, targets, vtep }: Face,
  { sequence, isSticky }: Omit<MacClaim, 'vtep'>,
  ip: IpAddress | undefined,
): MacRoute {
  return {
    type: 2,
    rd,
    ethernetTag: 0,
    nextHop: vtep,
    targets,
    tunnels: TUNNELS,
    esi: NO_ESI,
    mac,
    ip,
    label: segment.vni,
    sequence,
    isSticky,
  };
}
