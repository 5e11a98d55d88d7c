import { FORWARDED } from '../forward/drop-reason.ts';
import type { Slab } from '../sys/slab.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { FRAME_BATCH, FRAME_HEADROOM, type TapPort } from './tap-port.ts';

const SLOT_BYTES = 2_048;

/** TAPs in memory: what `inject` puts in is read, what is delivered is kept in `delivered`. For tests and benchmarks without root. */
export class MemoryTapPort implements TapPort {
  /** Frames that came out of TAPs, with their vnet headers. */
  readonly delivered: { readonly tap: number; readonly vnetHeader: Uint8Array; readonly frame: Uint8Array }[] = [];
  readonly #slab: Slab;
  readonly #slotsAt: number;
  readonly #waiting = new Map<number, Uint8Array[]>();
  readonly #lengths: number[] = [];

  constructor(slab: Slab) {
    this.#slab = slab;
    this.#slotsAt = slab.allocate(FRAME_BATCH * SLOT_BYTES);
  }

  /** A frame that the host sends into a TAP, without vnet header; at most SLOT_BYTES less the headroom. */
  inject(tap: number, frame: Uint8Array): void {
    this.#waiting.set(tap, [...(this.#waiting.get(tap) ?? []), frame]);
  }

  read(tap: number): number {
    const frames = this.#waiting.get(tap)?.splice(0, FRAME_BATCH) ?? [];
    for (const [i, frame] of frames.entries()) {
      this.#slab.bytes.fill(0, this.frameAt(i) - VNET_HDR_BYTES, this.frameAt(i));
      this.#slab.bytes.set(frame, this.frameAt(i));
      this.#lengths[i] = frame.length;
    }
    return frames.length;
  }

  frameAt(i: number): number {
    return this.#slotsAt + i * SLOT_BYTES + FRAME_HEADROOM;
  }

  frameBytes(i: number): number {
    return this.#lengths[i] as number;
  }

  deliver(tap: number, at: number, length: number): number {
    const frameAt = at + VNET_HDR_BYTES;
    const vnetHeader = this.#slab.bytes.slice(at, frameAt);
    this.delivered.push({ tap, vnetHeader, frame: this.#slab.bytes.slice(frameAt, at + length) });
    return FORWARDED;
  }
}
