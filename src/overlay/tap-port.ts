import type { FrameSink } from '../forward/receive.ts';

/** Frames that one `read` brings at most. */
export const FRAME_BATCH = 64;

/** What `read` answers when the TAP is no more. */
export const TAP_GONE = -1;

/** Room in front of a frame, so that it stands on 16 octets and the vnet header, later the VXLAN header, fits before it. */
export const FRAME_HEADROOM = 16;

/** The worker's side of all TAPs, by their numbers: the kernel's, or in-memory twins. */
export interface TapPort extends FrameSink {
  /**
   * Reads the frames that wait at a TAP, until there are none or the batch is full. They stay in place until the next `read`.
   *
   * @returns how many, or TAP_GONE
   */
  read(tap: number): number;
  /** Where frame `i` of the batch begins in the slab; its vnet header stands in front of it. */
  frameAt(i: number): number;
  /** Its length, without vnet header. */
  frameBytes(i: number): number;
}
