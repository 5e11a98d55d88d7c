import type { Counters } from '../forward/counters.ts';
import { FORWARDED, RX_DROP } from '../forward/drop-reason.ts';
import { MAX_DATAGRAM_BYTES } from '../lib/limits.ts';
import type { OffloadSwitch } from '../offload/offload-switch.ts';
import type { Segment } from '../segment/segment.ts';
import { errno, readv, writev } from '../sys/libc.ts';
import type { Slab } from '../sys/slab.ts';
import { Gather } from '../sys/socket/mmsg.ts';
import { ERRNO } from '../sys/sys-error.ts';
import type { OctetSums } from '../wire/octet-sums.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { FrameQueue, type FrameWriter, MAX_PIECES } from './frame-queue.ts';
import { FRAME_BATCH, FRAME_HEADROOM, TAP_GONE, type TapPort } from './tap-port.ts';

/** A batch ends after this many octets: super-frames should still be in the processor cache when they are split. */
const BATCH_BYTES = 262_144;
/** Room for the largest frame with tags. */
const MAX_FRAME_BYTES = MAX_DATAGRAM_BYTES + 64;
const AREA_BYTES = BATCH_BYTES + FRAME_BATCH * (FRAME_HEADROOM + 64) + MAX_FRAME_BYTES;

/** The kernel's TAPs. Reads one frame with each system call, since a TAP has no batch call, each after the one before. */
export class KernelTapPort implements TapPort, FrameWriter {
  readonly #taps = new Map<number, { fd: number; mergesUdp: boolean }>();
  readonly #areaAt: number;
  readonly #frameAt = new Int32Array(FRAME_BATCH);
  readonly #lengths = new Int32Array(FRAME_BATCH);
  readonly #into: Gather;
  readonly #pieces: Gather;
  readonly #queue: FrameQueue;

  constructor(slab: Slab, sums: OctetSums, shared: { counters: Counters; merging: OffloadSwitch }) {
    this.#areaAt = slab.allocate(AREA_BYTES);
    this.#into = new Gather(slab, 1);
    this.#pieces = new Gather(slab, MAX_PIECES);
    this.#queue = new FrameQueue(slab, sums, { writer: this, ...shared });
  }

  /** @param mergesUdp whether the TAP takes several UDP datagrams as one super-frame */
  attach(tap: number, fd: number, mergesUdp: boolean): void {
    this.#taps.set(tap, { fd, mergesUdp });
  }

  /** The former fd of the TAP, or undefined. */
  detach(tap: number): number | undefined {
    const fd = this.#taps.get(tap)?.fd;
    this.#taps.delete(tap);
    return fd;
  }

  read(tap: number): number {
    const fd = this.#taps.get(tap)?.fd;
    if (fd === undefined) return TAP_GONE;
    let at = this.#areaAt + FRAME_HEADROOM;
    const end = this.#areaAt + BATCH_BYTES;
    let i = 0;
    for (; i < FRAME_BATCH && at < end; i++) {
      this.#into.set(0, at - VNET_HDR_BYTES, VNET_HDR_BYTES + MAX_FRAME_BYTES);
      const length = readv(fd, this.#into.address, 1);
      if (length < 0) {
        const gone = errno() === ERRNO.EBADFD || errno() === ERRNO.EBADF;
        return i === 0 && gone ? TAP_GONE : i;
      }
      this.#frameAt[i] = at;
      this.#lengths[i] = length - VNET_HDR_BYTES;
      // Frames are aligned to 16 octets, after room for the headers.
      at = (at + length + FRAME_HEADROOM + 15) & ~15;
    }
    return i;
  }

  frameAt(i: number): number {
    return this.#frameAt[i] as number;
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
    this.#pieces.set(i, at, length);
  }

  write(tap: number, pieces: number): number {
    const fd = this.#taps.get(tap)?.fd;
    if (fd === undefined) return ERRNO.EBADFD;
    // A write to a full TAP succeeds and the frame is lost; the device counts it.
    return writev(fd, this.#pieces.address, pieces) >= 0 ? FORWARDED : errno();
  }

  /** The kernel refuses a frame that is too large with EINVAL or EMSGSIZE. EIO and EBADFD mean that the TAP is down or gone. */
  dropReason(error: number): number {
    return error === ERRNO.EINVAL || error === ERRNO.EMSGSIZE ? RX_DROP.oversize : RX_DROP['tap-down'];
  }

  takesUdpRuns(tap: number): boolean {
    return this.#taps.get(tap)?.mergesUdp ?? false;
  }
}
