import { type IpAddress, ipWords } from '../../lib/addresses.ts';
import type { RouteDistinguisher, RouteTarget } from '../../lib/route-numbers.ts';
import { RFC8365_VXLAN } from '../route.ts';

/** Numbers of automatic route distinguishers by VNI, as they are stored. */
export type RdNumbers = Readonly<Record<number, number>>;

/** The second part of a route distinguisher has 16 bits. */
const MAX_RD_NUMBER = 0xffff;

/** Equal for equal numbers. */
export function rdKey({ form, admin, value }: RouteDistinguisher): string {
  return `${form} ${admin}:${value}`;
}

/**
 * The route targets that a VNI's routes carry. The AS has 16 bits there. Of a longer one these are the lower bits, as in FRR, which ignores the AS of
 * such a target on import.
 *
 * @param targets as in the configuration; empty: automatic
 * @param asn 1 to 4294967295
 */
export function exportTargets(
  targets: readonly RouteTarget[] | 'rfc8365',
  asn: number,
  vni: number,
): readonly RouteTarget[] {
  if (targets === 'rfc8365') return [{ form: 'as2', admin: asn & 0xffff, value: vni + RFC8365_VXLAN }];
  return targets.length > 0 ? targets : [{ form: 'as2', admin: asn & 0xffff, value: vni }];
}

/**
 * Route distinguishers of the own VNIs: that of the configuration, or ROUTER-ID:NUMBER (RFC 7432 §7.9). The number is the VNI if it fits and is free,
 * else the lowest free one. A VNI keeps its number when it is deleted, so that routes of a former run are recognised. If all are used, a VNI takes
 * that of a deleted one.
 */
export class OwnRds {
  readonly #numbers = new Map<number, number>();
  readonly #owners = new Map<number, number>();
  /** VNIs by the key of the route distinguisher of their configuration, and the reverse. */
  readonly #configured = new Map<string, number>();
  readonly #configuredOf = new Map<number, RouteDistinguisher>();
  /** Existing VNIs. */
  readonly #present = new Set<number>();
  /** There is no free number below. */
  #lowest = 1;
  #routerId: number | undefined;
  #changes = 0;

  constructor(stored: RdNumbers) {
    for (const [text, number] of Object.entries(stored)) {
      const vni = Number(text);
      if (!Number.isInteger(vni) || !isRdNumber(number) || this.#owners.has(number)) continue;
      this.#give(vni, number);
    }
    this.#changes = 0;
  }

  get numbers(): RdNumbers {
    return Object.fromEntries(this.#numbers);
  }

  /** Grows with each change of `numbers`. */
  get changes(): number {
    return this.#changes;
  }

  set routerId(routerId: IpAddress) {
    this.#routerId = ipWords(routerId).d >>> 0;
  }

  /**
   * Two VNIs never have the same route distinguisher, not even while the configuration changes one VNI after the other.
   *
   * @param configured undefined: automatic
   * @returns another VNI that had the same, and has another one now
   */
  add(vni: number, configured: RouteDistinguisher | undefined): number | undefined {
    this.#present.add(vni);
    this.#forgetConfigured(vni);
    if (!configured) return undefined;
    const key = rdKey(configured);
    const former = this.#configured.get(key);
    this.#configured.set(key, vni);
    this.#configuredOf.set(vni, configured);
    if (former !== undefined) {
      this.#configuredOf.delete(former);
      return former;
    }
    const owner = configured.form === 'ipv4' ? this.#owners.get(configured.value) : undefined;
    return owner === vni ? undefined : owner;
  }

  remove(vni: number): void {
    this.#present.delete(vni);
    this.#forgetConfigured(vni);
  }

  /** undefined: not known before the first connection, or there is no free number. */
  of(vni: number): RouteDistinguisher | undefined {
    const configured = this.#configuredOf.get(vni);
    if (configured) return configured;
    if (this.#routerId === undefined) return undefined;
    const number = this.#numberOf(vni);
    return number === undefined ? undefined : { form: 'ipv4', admin: this.#routerId, value: number };
  }

  /** The VNI that has the route distinguisher, or had it. undefined: it is of another program. */
  vniOf(rd: RouteDistinguisher): number | undefined {
    const vni = this.#configured.get(rdKey(rd));
    if (vni !== undefined) return vni;
    return rd.form === 'ipv4' && rd.admin === this.#routerId ? this.#owners.get(rd.value) : undefined;
  }

  #numberOf(vni: number): number | undefined {
    const known = this.#numbers.get(vni);
    if (known !== undefined && !this.#isConfigured(known)) return known;
    const number = this.#findFree(vni);
    if (number !== undefined) this.#give(vni, number);
    return number;
  }

  #findFree(vni: number): number | undefined {
    if (vni <= MAX_RD_NUMBER && this.#isFree(vni)) return vni;
    while (this.#owners.has(this.#lowest)) this.#lowest++;
    for (let number = this.#lowest; number <= MAX_RD_NUMBER; number++) if (this.#isFree(number)) return number;
    for (const [number, owner] of this.#owners) {
      if (!this.#present.has(owner) && !this.#isConfigured(number)) return number;
    }
    return undefined;
  }

  #isFree(number: number): boolean {
    return !this.#owners.has(number) && !this.#isConfigured(number);
  }

  #isConfigured(number: number): boolean {
    return (
      this.#routerId !== undefined &&
      this.#configured.has(rdKey({ form: 'ipv4', admin: this.#routerId, value: number }))
    );
  }

  #give(vni: number, number: number): void {
    const former = this.#owners.get(number);
    if (former !== undefined) this.#numbers.delete(former);
    const previous = this.#numbers.get(vni);
    if (previous !== undefined) this.#owners.delete(previous);
    this.#numbers.set(vni, number);
    this.#owners.set(number, vni);
    if (previous !== undefined && previous < this.#lowest) this.#lowest = Math.max(previous, 1);
    this.#changes++;
  }

  #forgetConfigured(vni: number): void {
    const configured = this.#configuredOf.get(vni);
    if (!configured) return;
    this.#configuredOf.delete(vni);
    this.#configured.delete(rdKey(configured));
  }
}

function isRdNumber(number: unknown): number is number {
  return Number.isInteger(number) && (number as number) >= 0 && (number as number) <= MAX_RD_NUMBER;
}
