import { ENCAPSULATIONS } from '../../encap/codec.ts';
import type { Encap } from '../../encap/encapsulation.ts';
import type { RemoteTable } from '../../fdb/remotes.ts';
import { MAX_PATH_LIMITS, PATH_LIMIT_SECONDS } from '../../lib/limits.ts';

/** By family: the smallest size of the outer headers of any encapsulation. A path with a smaller MTU carries no datagram. */
const LEAST_OUTER_BYTES = { 4: leastOuterBytes(4), 6: leastOuterBytes(6) } as const;

const IPV4_MAPPED = 0xffff;

/** No limit is known. */
const UNLIMITED = 0x7fff_ffff;

const TENTHS = 10 * PATH_LIMIT_SECONDS;

/** The time of an entry before its first use. */
const NOT_YET = -1;

/**
 * The VTEPs to which the kernel refused datagrams of a size, since the path MTU is smaller. Each worker has its own table, since it learns a limit
 * from a frame that is lost in any case. Each address has exactly one slot, and a later address replaces it.
 *
 * The kernel stores the path MTU (RFC 1191 §6.3), so a limit here expires soon and the kernel is asked again.
 */
export class PathLimits {
  readonly #remotes: RemoteTable;
  /** Four words per slot. */
  readonly #addresses = new Int32Array(4 * MAX_PATH_LIMITS);
  /** MTU of the path. 0: the slot is free. */
  readonly #mtuBytes = new Int32Array(MAX_PATH_LIMITS);
  /** Start time of the limit, in tenths of a second. NOT_YET until the first use, since the code that learns has no clock. */
  readonly #since = new Int32Array(MAX_PATH_LIMITS);
  #count = 0;

  constructor(remotes: RemoteTable) {
    this.#remotes = remotes;
  }

  /** Number of VTEPs with a limit. A limit that has expired counts until the next datagram to its VTEP. */
  get count(): number {
    return this.#count;
  }

  /** Whether no VTEP has a limit. This is the usual case. */
  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Stores the MTU of the path to an address: four words, IPv4 as ::ffff:a.b.c.d. */
  learn(a: number, b: number, c: number, d: number, mtuBytes: number): void {
    const isIpv4 = a === 0 && b === 0 && c === IPV4_MAPPED;
    if (mtuBytes <= LEAST_OUTER_BYTES[isIpv4 ? 4 : 6]) return;
    const place = this.#placeOf(a, b, c, d);
    if (this.#mtuBytes[place] === 0) this.#count++;
    this.#mtuBytes[place] = mtuBytes;
    this.#since[place] = NOT_YET;
    this.#addresses[4 * place] = a;
    this.#addresses[4 * place + 1] = b;
    this.#addresses[4 * place + 2] = c;
    this.#addresses[4 * place + 3] = d;
  }

  /**
   * The longest Ethernet frame that reaches a remote after encapsulation, as far as is known.
   *
   * @param mayFragment whether routers may fragment the datagram, which only IPv4 allows
   * @param now tenths of a second
   */
  frameBytes(encap: Encap, remote: number, mayFragment: boolean, now: number): number {
    const remotes = this.#remotes;
    const isIpv4 = remotes.isIpv4(remote);
    if (mayFragment && isIpv4) return UNLIMITED;
    const a = remotes.word(remote, 0);
    const b = remotes.word(remote, 1);
    const c = remotes.word(remote, 2);
    const d = remotes.word(remote, 3);
    const place = this.#placeOf(a, b, c, d);
    const mtuBytes = this.#mtuBytes[place] as number;
    if (mtuBytes === 0 || !this.#isOf(place, a, b, c, d)) return UNLIMITED;
    const since = this.#since[place] as number;
    if (since === NOT_YET) {
      this.#since[place] = now;
    } else if (now - since >= TENTHS) {
      this.#mtuBytes[place] = 0;
      this.#count--;
      return UNLIMITED;
    }
    return mtuBytes - ENCAPSULATIONS[encap].outerBytes[isIpv4 ? 4 : 6];
  }

  #isOf(place: number, a: number, b: number, c: number, d: number): boolean {
    const addresses = this.#addresses;
    const at = 4 * place;
    return addresses[at + 3] === d && addresses[at + 2] === c && addresses[at + 1] === b && addresses[at] === a;
  }

  #placeOf(a: number, b: number, c: number, d: number): number {
    return this.#remotes.hash(a, b, c, d) & (MAX_PATH_LIMITS - 1);
  }
}

function leastOuterBytes(family: 4 | 6): number {
  return Math.min(...Object.values(ENCAPSULATIONS).map(({ outerBytes }) => outerBytes[family]));
}
