import { keyedHash } from '../../fdb/records.ts';
import { MAX_TOLD_NEIGHBOURS, NEIGHBOUR_TOLD_AGAIN_SECONDS } from '../../lib/limits.ts';
import type { Segment } from '../../segment/segment.ts';
import { HEADER, mapNeighbours, RING, ringOf, TOLD } from './neighbour-memory.ts';

/**
 * Neighbours behind the own TAP, reported to the main thread as they are heard. Each worker has a ring that only it writes. A segment is reported
 * while the main thread listens to it. If a ring is full, the neighbour is lost; it is reported when it is heard again.
 */

const RING_MASK = MAX_TOLD_NEIGHBOURS - 1;
const TOLD_AGAIN_TENTHS = NEIGHBOUR_TOLD_AGAIN_SECONDS * 10;

/** What a worker has reported recently, so that a station which sends requests all the time is not reported each time. Each address has one slot. */
const MEMORY_PLACES = 4_096;
const MEMORY = { segment: 0, a: 1, b: 2, c: 3, d: 4, macHigh: 5, macLow: 6, listened: 7, told: 8, words: 9 } as const;

/** The worker's side. */
export class NeighbourTeller {
  /** One word per segment. Not zero: the main thread listens to it. It is read on the packet path, so there is no method around it. */
  readonly listened: Int32Array;
  readonly #header: Int32Array;
  readonly #ring: Int32Array;
  readonly #memory = new Int32Array(MEMORY_PLACES * MEMORY.words);

  /** @param worker its number, from 0 on; no other thread has it at the same time */
  constructor(memory: SharedArrayBuffer, worker: number) {
    const regions = mapNeighbours(memory);
    this.#header = regions.header;
    this.listened = regions.listened;
    this.#ring = ringOf(regions, worker);
  }

  /** An address was heard with this MAC. @param now tenths of a second */
  tell(
    { index, vni }: Segment,
    a: number,
    b: number,
    c: number,
    d: number,
    high: number,
    low: number,
    now: number,
  ): void {
    const listened = this.listened[index] as number;
    if (listened === 0) return;
    const memory = this.#memory;
    const hash = keyedHash(
      this.#header[HEADER.key0] as number,
      (this.#header[HEADER.key1] as number) ^ index,
      a,
      b,
      c,
      d,
    );
    const at = (hash & (MEMORY_PLACES - 1)) * MEMORY.words;
    if (
      memory[at + MEMORY.d] === d &&
      memory[at + MEMORY.segment] === index &&
      memory[at + MEMORY.macLow] === low &&
      memory[at + MEMORY.macHigh] === (high | 0) &&
      memory[at + MEMORY.c] === c &&
      memory[at + MEMORY.b] === b &&
      memory[at + MEMORY.a] === a &&
      memory[at + MEMORY.listened] === listened &&
      now - (memory[at + MEMORY.told] as number) < TOLD_AGAIN_TENTHS
    ) {
      return;
    }
    if (!this.#append(index, vni, a, b, c, d, high, low)) return;
    memory[at + MEMORY.segment] = index;
    memory[at + MEMORY.a] = a;
    memory[at + MEMORY.b] = b;
    memory[at + MEMORY.c] = c;
    memory[at + MEMORY.d] = d;
    memory[at + MEMORY.macHigh] = high;
    memory[at + MEMORY.macLow] = low;
    memory[at + MEMORY.listened] = listened;
    memory[at + MEMORY.told] = now;
  }

  /** Returns whether there was room. */
  #append(
    segment: number,
    vni: number,
    a: number,
    b: number,
    c: number,
    d: number,
    high: number,
    low: number,
  ): boolean {
    const ring = this.#ring;
    const number = ring[RING.told] as number;
    if (((number - Atomics.load(ring, RING.read)) | 0) >= MAX_TOLD_NEIGHBOURS) {
      Atomics.add(ring, RING.lost, 1);
      return false;
    }
    const at = RING.records + (number & RING_MASK) * TOLD.words;
    ring[at + TOLD.segment] = segment;
    ring[at + TOLD.vni] = vni;
    ring[at + TOLD.a] = a;
    ring[at + TOLD.b] = b;
    ring[at + TOLD.c] = c;
    ring[at + TOLD.d] = d;
    ring[at + TOLD.macHigh] = high;
    ring[at + TOLD.macLow] = low;
    Atomics.store(ring, RING.told, number + 1);
    Atomics.add(this.#header, HEADER.news, 1);
    Atomics.notify(this.#header, HEADER.news);
    return true;
  }
}

/** The main thread's side, for all workers. */
export class ToldNeighbours {
  readonly #header: Int32Array;
  readonly #listened: Int32Array;
  readonly #rings: readonly Int32Array[];
  #starts = 0;

  constructor(memory: SharedArrayBuffer, workers: number) {
    const regions = mapNeighbours(memory);
    this.#header = regions.header;
    this.#listened = regions.listened;
    this.#rings = Array.from({ length: workers }, (_, worker) => ringOf(regions, worker));
  }

  /** Makes workers report a segment from now on. If they report it already, they report each neighbour again when it is heard again. */
  listenTo(segment: number): void {
    // Never zero, and different from the value for a former segment with this number.
    this.#starts = (this.#starts % 0x7fff_ffff) + 1;
    Atomics.store(this.#listened, segment, this.#starts);
  }

  ignore(segment: number): void {
    Atomics.store(this.#listened, segment, 0);
  }

  /** A number that changes after each report. */
  get news(): number {
    return Atomics.load(this.#header, HEADER.news);
  }

  /** Resolves once `news` is not `seen`, or after `patienceMs`. */
  async change(seen: number, patienceMs: number): Promise<void> {
    await Atomics.waitAsync(this.#header, HEADER.news, seen, patienceMs).value;
  }

  /** Neighbours that were heard but not reported because a ring was full, since the start, modulo 2^32. */
  get lost(): number {
    return this.#rings.reduce((sum, ring) => (sum + Atomics.load(ring, RING.lost)) >>> 0, 0);
  }

  /** Reads the oldest reports, as many as fit, each in the layout of TOLD. Reports of one worker are in order. Returns their number. */
  read(into: Int32Array): number {
    const room = Math.floor(into.length / TOLD.words);
    let count = 0;
    for (const ring of this.#rings) {
      const end = Atomics.load(ring, RING.told);
      let number = ring[RING.read] as number;
      for (; number !== end && count < room; number = (number + 1) | 0) {
        const at = RING.records + (number & RING_MASK) * TOLD.words;
        into.set(ring.subarray(at, at + TOLD.words), count++ * TOLD.words);
      }
      Atomics.store(ring, RING.read, number);
    }
    return count;
  }
}
