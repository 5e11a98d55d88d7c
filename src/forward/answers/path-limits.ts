import type { RemoteTable } from '../../fdb/remotes.ts';
import { MAX_PATH_LIMITS, PATH_LIMIT_SECONDS } from '../../lib/limits.ts';

/** Outer IP, UDP and VXLAN headers (RFC 7348 §5). */
const OUTER_BYTES = { ipv4: 20 + 8 + 8, ipv6: 40 + 8 + 8 } as const;

const IPV4_MAPPED = 0xffff;

/** No limit is known. */
const UNLIMITED = 0x7fff_ffff;

const TENTHS = 10 * PATH_LIMIT_SECONDS;

/** An entry's time before it was first looked at. */
const NOT_YET = -1;

/**
 * The VTEPs to which the kernel refused to send datagrams of a size, since the path does not carry them: one worker's own, since a worker
 * learns it at the price of a frame that is lost anyway. Each address has one place to stand in, and a later one takes it.
 *
 * The kernel keeps what it was told (RFC 1191 §6.3), so a limit here is forgotten soon and the kernel asked again.
 */
export class PathLimits {
  readonly #remotes: RemoteTable;
  /** Four words each. */
  readonly #addresses = new Int32Array(4 * MAX_PATH_LIMITS);
  /** Longest frame; 0 where the place is free. */
  readonly #frameBytes = new Int32Array(MAX_PATH_LIMITS);
  /** Since when, in tenths of a second; NOT_YET until the first look, since who learns has no clock. */
  readonly #since = new Int32Array(MAX_PATH_LIMITS);
  #count = 0;

  constructor(remotes: RemoteTable) {
    this.#remotes = remotes;
  }

  /** How many have a limit, or had one until a while ago and were not sent to since. */
  get count(): number {
    return this.#count;
  }

  /** Whether no VTEP has a limit: nearly always. */
  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Takes note of the MTU of the path to an address: four words, IPv4 as ::ffff:a.b.c.d. */
  learn(a: number, b: number, c: number, d: number, mtuBytes: number): void {
    const isIpv4 = a === 0 && b === 0 && c === IPV4_MAPPED;
    const frameBytes = mtuBytes - (isIpv4 ? OUTER_BYTES.ipv4 : OUTER_BYTES.ipv6);
    if (frameBytes <= 0) return;
    const place = this.#placeOf(a, b, c, d);
    if (this.#frameBytes[place] === 0) this.#count++;
    this.#frameBytes[place] = frameBytes;
    this.#since[place] = NOT_YET;
    this.#addresses[4 * place] = a;
    this.#addresses[4 * place + 1] = b;
    this.#addresses[4 * place + 2] = c;
    this.#addresses[4 * place + 3] = d;
  }

  /**
   * The longest Ethernet frame that reaches a remote once encapsulated, as far as is known.
   *
   * @param mayFragment whether routers may cut it, as those of IPv4 alone do
   * @param now tenths of a second
   */
  frameBytes(remote: number, mayFragment: boolean, now: number): number {
    const remotes = this.#remotes;
    if (mayFragment && remotes.isIpv4(remote)) return UNLIMITED;
    const a = remotes.word(remote, 0);
    const b = remotes.word(remote, 1);
    const c = remotes.word(remote, 2);
    const d = remotes.word(remote, 3);
    const place = this.#placeOf(a, b, c, d);
    const frameBytes = this.#frameBytes[place] as number;
    if (frameBytes === 0 || !this.#isOf(place, a, b, c, d)) return UNLIMITED;
    const since = this.#since[place] as number;
    if (since === NOT_YET) {
      this.#since[place] = now;
    } else if (now - since >= TENTHS) {
      this.#frameBytes[place] = 0;
      this.#count--;
      return UNLIMITED;
    }
    return frameBytes;
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
