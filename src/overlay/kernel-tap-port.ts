import { FORWARDED, RX_DROP } from '../forward/drop-reason.ts';
import { MAX_DATAGRAM_BYTES } from '../lib/limits.ts';
import { errno, read, writev } from '../sys/libc.ts';
import { SingleIovec } from '../sys/mmsg.ts';
import type { AddressTable, Slab } from '../sys/slab.ts';
import { ERRNO } from '../sys/sys-error.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { FRAME_BATCH, FRAME_HEADROOM, TAP_GONE, type TapPort } from './tap-port.ts';

/** The cache lines of one slot; the odd number of extra lines keeps slots from sharing the same cache sets. */
const SLOT_BYTES = MAX_DATAGRAM_BYTES + 17 * 64;
const READ_BYTES = SLOT_BYTES - FRAME_HEADROOM;

/** The kernel's TAPs. Reads one frame a system call, since a TAP offers nothing better, and writes frames at once. */
export class KernelTapPort implements TapPort {
  readonly #fds = new Map<number, number>();
  readonly #slotsAt: number;
  readonly #slots: AddressTable;
  readonly #lengths = new Int32Array(FRAME_BATCH);
  readonly #iovec: SingleIovec;

  constructor(slab: Slab) {
    this.#slotsAt = slab.allocate(FRAME_BATCH * SLOT_BYTES);
    this.#slots = slab.addresses(this.#slotsAt + FRAME_HEADROOM - VNET_HDR_BYTES, SLOT_BYTES, FRAME_BATCH);
    this.#iovec = new SingleIovec(slab);
  }

  attach(tap: number, fd: number): void {
    this.#fds.set(tap, fd);
  }

  /** The fd that was the TAP's, or undefined. */
  detach(tap: number): number | undefined {
    const fd = this.#fds.get(tap);
    this.#fds.delete(tap);
    return fd;
  }

  read(tap: number): number {
    const fd = this.#fds.get(tap);
    if (fd === undefined) return TAP_GONE;
    for (let i = 0; i < FRAME_BATCH; i++) {
      const length = read(fd, this.#slots.at(i), READ_BYTES);
      if (length < 0) {
        const gone = errno() === ERRNO.EBADFD || errno() === ERRNO.EBADF;
        return i === 0 && gone ? TAP_GONE : i;
      }
      this.#lengths[i] = length - VNET_HDR_BYTES;
    }
    return FRAME_BATCH;
  }

  frameAt(i: number): number {
    return this.#slotsAt + i * SLOT_BYTES + FRAME_HEADROOM;
  }

  frameBytes(i: number): number {
    return this.#lengths[i] as number;
  }

  deliver(tap: number, at: number, length: number): number {
    const fd = this.#fds.get(tap);
    if (fd === undefined) return RX_DROP['tap-down'];
    this.#iovec.set(at, length);
    // A write to a full TAP succeeds and the frame is lost; the device counts it.
    if (writev(fd, this.#iovec.address, 1) >= 0) return FORWARDED;
    // The kernel refuses what it cannot carry with EINVAL or EMSGSIZE; EIO and EBADFD mean a TAP that is down or gone.
    const error = errno();
    return error === ERRNO.EINVAL || error === ERRNO.EMSGSIZE ? RX_DROP.oversize : RX_DROP['tap-down'];
  }
}
