import type { IpAddress } from '../../lib/addresses.ts';
import { MAX_NEIGHBOURS_PER_MAC, MAX_OWN_NEIGHBOURS, OWN_NEIGHBOUR_STALE_SECONDS } from '../../lib/limits.ts';
import type { Heard, OwnMac } from './own-state.ts';

const STALE_MS = OWN_NEIGHBOUR_STALE_SECONDS * 1_000;

/**
 * The bounds of the neighbours that are announced. A guest can claim any number of addresses. Where a bound is reached, a further one replaces the one
 * that was not heard for longest, but only if that was not heard for OWN_NEIGHBOUR_STALE_SECONDS. So forged addresses neither push out those in use,
 * nor cause more than a few routes.
 */
export class OwnNeighbours {
  /** All of them. The one that was not heard for longest is first. */
  readonly #all = new Set<Heard>();
  readonly #forget: (heard: Heard) => void;
  #refused = 0;

  /** @param forget withdraws the route of a neighbour */
  constructor(forget: (heard: Heard) => void) {
    this.#forget = forget;
  }

  /** How often there was no room. */
  get refused(): number {
    return this.#refused;
  }

  get size(): number {
    return this.#all.size;
  }

  /** @returns the neighbour, if it is new and there is room */
  hear(owner: OwnMac, ip: IpAddress, now: number): Heard | undefined {
    const known = owner.segment.neighbours.get(ip);
    if (known?.owner === owner) {
      this.#touch(known, now);
      return undefined;
    }
    if (known) this.drop(known);
    const ips = owner.ips ?? new Map<IpAddress, Heard>();
    owner.ips = ips;
    if (!this.#makeRoom(ips.values(), ips.size < MAX_NEIGHBOURS_PER_MAC, now)) return undefined;
    if (!this.#makeRoom(this.#all, this.#all.size < MAX_OWN_NEIGHBOURS, now)) return undefined;
    const heard: Heard = { ip, owner, slot: undefined, at: now };
    owner.segment.neighbours.set(ip, heard);
    ips.set(ip, heard);
    this.#all.add(heard);
    return heard;
  }

  drop(heard: Heard): void {
    const { owner, ip } = heard;
    this.#forget(heard);
    this.#all.delete(heard);
    owner.ips?.delete(ip);
    owner.segment.neighbours.delete(ip);
  }

  dropAll(owner: OwnMac): void {
    for (const heard of owner.ips?.values() ?? []) this.drop(heard);
  }

  #touch(heard: Heard, now: number): void {
    heard.at = now;
    this.#all.delete(heard);
    this.#all.add(heard);
    heard.owner.ips?.delete(heard.ip);
    heard.owner.ips?.set(heard.ip, heard);
  }

  #makeRoom(oldestFirst: Iterable<Heard>, isRoom: boolean, now: number): boolean {
    if (isRoom) return true;
    for (const oldest of oldestFirst) {
      if (now - oldest.at < STALE_MS) break;
      this.drop(oldest);
      return true;
    }
    this.#refused++;
    return false;
  }
}
