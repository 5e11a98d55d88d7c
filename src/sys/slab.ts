import { MAX_SLAB_BYTES } from '../lib/limits.ts';
import { type Address, addressOf } from './libc.ts';

const PAGE_BYTES = 65_536;
const CACHE_LINE_BYTES = 64;

/**
 * One worker's packet memory: a WebAssembly.Memory, which typed arrays, WASM code and the kernel see alike and which neither moves nor
 * grows. Everything in it is laid out once, at start; it is returned to nobody.
 */
export class Slab {
  /** For WASM code to import. */
  readonly memory: WebAssembly.Memory;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly #base: Address;
  #used = CACHE_LINE_BYTES;

  /** @param size octets; reserved, but touched only where used */
  constructor(size: number) {
    const pages = Math.ceil(Math.min(size, MAX_SLAB_BYTES) / PAGE_BYTES);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.view = new DataView(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.#base = addressOf(this.bytes);
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
