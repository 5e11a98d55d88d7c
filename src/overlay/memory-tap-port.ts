import type { Counters } from '../forward/counters.ts';
import { FORWARDED, RX_DROP } from '../forward/drop-reason.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import type { Segment } from '../segment/segment.ts';
import type { Slab } from '../sys/slab.ts';
import type { OctetSums } from '../wire/octet-sums.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { FrameQueue, type FrameWriter } from './frame-queue.ts';
import { FRAME_BATCH, FRAME_HEADROOM, type TapPort } from './tap-port.ts';

const SLOT_BYTES = 66_048;

/** TAPs in memory: what `inject` puts in is read, what is delivered is kept in `delivered`. For tests and benchmarks without root. */
export class MemoryTapPort implements TapPort, FrameWriter {
  /** Frames that came out of TAPs, with their vnet headers. */
  readonly delivered: { readonly tap: number; readonly vnetHeader: Uint8Array; readonly frame: Uint8Array }[] = [];
  readonly #slab: Slab;
  readonly #slotsAt: number;
  readonly #waiting = new Map<number, { frame: Uint8Array; vnetHeader: Uint8Array }[]>();
  readonly #lengths: number[] = [];
  readonly #pieces: Uint8Array[] = [];
  readonly #queue: FrameQueue;

  /** @param merging off unless given: frames then come out as they came in */
  constructor(slab: Slab, sums: OctetSums, { counters, merging }: { counters: Counters; merging?: OffloadSwitch }) {
    this.#slab = slab;
    this.#slotsAt = slab.allocate(FRAME_BATCH * SLOT_BYTES);
    const shared = { counters, merging: merging ?? new OffloadSwitch(false, () => {}) };
    this.#queue = new FrameQueue(slab, sums, { writer: this, ...shared });
  }

  /** A frame that the host sends into a TAP; at most SLOT_BYTES less the headroom. */
  inject(tap: number, frame: Uint8Array, vnetHeader = new Uint8Array(VNET_HDR_BYTES)): void {
    this.#waiting.set(tap, [...(this.#waiting.get(tap) ?? []), { frame, vnetHeader }]);
  }

  read(tap: number): number {
    const frames = this.#waiting.get(tap)?.splice(0, FRAME_BATCH) ?? [];
    for (const [i, { frame, vnetHeader }] of frames.entries()) {
      this.#slab.bytes.set(vnetHeader, this.frameAt(i) - VNET_HDR_BYTES);
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

  deliver(segment: Segment, at: number, length: number, segmentBytes: number): void {
    this.#queue.deliver(segment, at, length, segmentBytes);
  }

  answer(segment: Segment, at: number, length: number): void {
    this.#queue.answer(segment, at, length);
  }

  flush(): void {
    this.#queue.flush();
  }

  setPiece(i: number, at: number, length: number): void {
    this.#pieces[i] = this.#slab.bytes.slice(at, at + length);
  }

  write(tap: number, pieces: number): number {
    const [vnetHeader = new Uint8Array(), ...rest] = this.#pieces.slice(0, pieces);
    this.delivered.push({ tap, vnetHeader, frame: new Uint8Array(Buffer.concat(rest)) });
    return FORWARDED;
  }

  dropReason(): number {
    return RX_DROP.oversize;
  }

  takesUdpRuns(): boolean {
    return true;
  }
}
