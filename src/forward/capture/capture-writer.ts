import { HEADER_ROOM_BYTES } from '../../encap/encapsulation.ts';
import type { SourceAddress } from '../../fdb/fdb.ts';
import { MAX_CAPTURED_BYTES } from '../../lib/limits.ts';
import { ETHERNET_HEADER_BYTES, macHigh, macLow, SOURCE_MAC_AT } from '../../wire/ethernet.ts';
import { FORWARDED } from '../drop-reason.ts';
import { type CaptureRing, UNIT_BYTES, UNIT_WORDS } from './capture-ring.ts';

/**
 * Words of a captured frame, in front of its octets. `vtep`: address, IPv4 as ::ffff:a.b.c.d, or zeros; for a flood, the group. `verdict`: FORWARDED
 * or the reason. `port`: outer source port of a received datagram, or flow hash of a sent frame. `at`: first octet, counted from the start of the
 * record. `captured`: number of octets stored, of `length`. They are the header of encapsulation `encap` and the frame, or the frame alone if it is
 * not sent.
 */
export const RECORD = {
  units: 0,
  kind: 1,
  time: 2,
  verdict: 4,
  vni: 5,
  vtep: 6,
  copies: 10,
  segments: 11,
  tos: 12,
  port: 13,
  group: 14,
  at: 15,
  captured: 16,
  length: 17,
  encap: 18,
  words: 19,
} as const;

/** Bits of a record's kind. */
export const RECORD_KIND = { tx: 1, flooded: 2 } as const;

/** The VNI of a datagram that is too short to have one. */
export const NO_VNI = -1;

/** Room for the header in front of a frame to send. A datagram begins right behind the words. */
export const DATAGRAM_AT = RECORD.words * Int32Array.BYTES_PER_ELEMENT;
export const FRAME_AT = DATAGRAM_AT + HEADER_ROOM_BYTES;

/** The filter of a capture. A field that is undefined matches everything. The fields are combined with AND. */
export interface CaptureFilter {
  readonly vni: number | undefined;
  /** Source or destination of the frame: first four octets and last two. */
  readonly mac: { readonly high: number; readonly low: number } | undefined;
  /** Remote that the frame comes from or is sent to; for a flood, any of its destinations. A group is possible too. */
  readonly vtep: SourceAddress | undefined;
  readonly dropsOnly: boolean;
}

/** One capture in one worker: its filter, and the frame that is in the ladder now. */
export class CaptureWriter {
  readonly capture: number;
  readonly ring: CaptureRing;
  readonly filter: CaptureFilter;
  /** In the ring: the first word of the record, and the first octet of its frame. */
  wordsAt = 0;
  firstAt = 0;
  /** Octets of the frame, and number of octets that are copied. */
  length = 0;
  captured = 0;
  #isMeant = false;
  #hasRoom = false;

  constructor(capture: number, ring: CaptureRing, filter: CaptureFilter) {
    this.capture = capture;
    this.ring = ring;
    this.filter = filter;
  }

  /** The filters that can be tested before the ladder. @param length any value, also below zero */
  takes(vni: number, view: DataView, at: number, length: number): boolean {
    const { filter } = this;
    if (filter.vni !== undefined && filter.vni !== vni) return false;
    if (filter.mac === undefined) return true;
    if (length < ETHERNET_HEADER_BYTES) return false;
    const { high, low } = filter.mac;
    return (
      (macHigh(view, at) === (high | 0) && macLow(view, at) === low) ||
      (macHigh(view, at + SOURCE_MAC_AT) === (high | 0) && macLow(view, at + SOURCE_MAC_AT) === low)
    );
  }

  /** Copies a frame, if there is room. @param offset its start in the record */
  begin(isMeant: boolean, view: DataView, at: number, length: number, offset: number): void {
    this.#isMeant = isMeant;
    if (!isMeant) return;
    const captured = Math.min(length, MAX_CAPTURED_BYTES);
    const unit = this.ring.reserve(unitsOf(offset + captured));
    this.#hasRoom = unit >= 0;
    if (unit < 0) return;
    this.wordsAt = unit * UNIT_WORDS;
    this.firstAt = unit * UNIT_BYTES + offset;
    this.length = length;
    this.captured = captured;
    const to = this.ring.view;
    let i = 0;
    for (const last = captured - 4; i <= last; i += 4) to.setInt32(this.firstAt + i, view.getInt32(at + i));
    for (; i < captured; i++) to.setUint8(this.firstAt + i, view.getUint8(at + i));
  }

  /** Two octets of the frame in its present state. */
  copyWord(view: DataView, at: number, offset: number): void {
    if (offset + 2 <= this.captured) this.ring.view.setUint16(this.firstAt + offset, view.getUint16(at + offset));
  }

  /** Whether the frame matches. If it matches but there is no room, it is counted as lost. */
  mayEnd(verdict: number): boolean {
    const isMeant = this.#isMeant && (verdict !== FORWARDED || !this.filter.dropsOnly);
    this.#isMeant = false;
    if (isMeant && !this.#hasRoom) this.ring.countLost();
    return isMeant && this.#hasRoom;
  }

  /**
   * Completes the record. @param time array of one element  @param skipped octets removed from the start of the captured ones; negative if a header
   * was put in front
   */
  end(verdict: number, time: Float64Array, skipped: number): void {
    const { ring, wordsAt } = this;
    const { words } = ring;
    const at = this.firstAt + skipped - wordsAt * Int32Array.BYTES_PER_ELEMENT;
    const captured = this.captured - skipped;
    words[wordsAt + RECORD.verdict] = verdict;
    ring.doubles[(wordsAt + RECORD.time) / UNIT_WORDS] = time[0] as number;
    words[wordsAt + RECORD.at] = at;
    words[wordsAt + RECORD.captured] = captured;
    words[wordsAt + RECORD.length] = this.length - skipped;
    ring.commit(unitsOf(at + captured));
  }
}

function unitsOf(bytes: number): number {
  return Math.ceil(bytes / UNIT_BYTES);
}
