import type { FrameSink } from '../forward/receive.ts';

/** Frames that one `read` brings at most. */
export const FRAME_BATCH = 64;

/** The result of `read` if the TAP is gone. */
export const TAP_GONE = -1;

/** Headroom of a frame, so that it is aligned to 16 octets and the vnet header, later the VXLAN header, fits before it. */
export const FRAME_HEADROOM = 16;

/** The worker's side of all TAPs, by their numbers: the kernel's, or in-memory twins. */
export interface TapPort extends FrameSink {
  /**
   * Reads queued frames of a TAP, until there are none or the batch is full. They stay in place until the next `read`.
   *
   * @returns how many, or TAP_GONE
   */
  read(tap: number): number;
  /** Where frame `i` of the batch begins in the slab; its vnet header is directly before it. */
  frameAt(i: number): number;
  /** Its length, without vnet header. */
  frameBytes(i: number): number;
}
