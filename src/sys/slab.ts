import { MAX_SLAB_BYTES } from '../lib/limits.ts';
import { type Address, addressOf } from './libc.ts';

const PAGE_BYTES = 65_536;
const CACHE_LINE_BYTES = 64;

/**
 * One worker's packet memory: a WebAssembly.Memory, which typed arrays, WASM code and the kernel share, and which neither moves nor grows.
 * Everything in it is laid out once, at start, and never freed.
 */
export class Slab {
  /** For WASM code to import. */
  readonly memory: WebAssembly.Memory;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly #base: Address;
  /** The base as its low 16 bits and the 32 above: small integers, independent of how the compiler treats doubles. */
  readonly #baseLow: number;
  readonly #baseHigh: number;
  #used = CACHE_LINE_BYTES;

  /** @param size octets; reserved, but touched only where used */
  constructor(size: number) {
    const pages = Math.ceil(Math.min(size, MAX_SLAB_BYTES) / PAGE_BYTES);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.view = new DataView(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.#base = addressOf(this.bytes);
    this.#baseLow = this.#base % 0x1_0000;
    this.#baseHigh = (this.#base - this.#baseLow) / 0x1_0000;
  }

  /** Offset of `size` fresh zero octets on a cache line of their own. */
  allocate(size: number): number {
    const at = this.#used;
    this.#used = Math.ceil((at + size) / CACHE_LINE_BYTES) * CACHE_LINE_BYTES;
    if (this.#used > this.bytes.length) throw new RangeError(`slab of ${this.bytes.length} octets is full`);
    return at;
  }

  /** The address of an offset, for the kernel. A fresh double: not for the packet path, see `addresses`. */
  address(at: number): Address {
    return this.#base + at;
  }

  /** Writes the address of slab offset `to` at offset `at`, as the kernel reads it. Addresses of user space are below 2^47. */
  setAddress(at: number, to: number): void {
    const low = this.#baseLow + (to & 0xffff);
    this.view.setUint16(at, low, true);
    this.view.setUint32(at + 2, this.#baseHigh + (to >>> 16) + (low >>> 16), true);
    this.view.setUint16(at + 6, 0, true);
  }

  /**
   * Addresses of `count` records of `stride` octets from `at` on. Made once, since every `base + offset` on the packet path would be a heap
   * number to collect. The leading undefined keeps V8 from unboxing the array, which would make a fresh number at each read.
   */
  addresses(at: number, stride: number, count: number): AddressTable {
    return new AddressTable(Array.from({ length: count }, (_, i) => this.#base + at + i * stride));
  }
}

export class AddressTable {
  readonly #boxed: (Address | undefined)[];

  constructor(addresses: readonly Address[]) {
    this.#boxed = [undefined, ...addresses];
  }

  at(index: number): Address {
    return this.#boxed[index + 1] as Address;
  }
}
