import { HEADER_ROOM_BYTES } from '../../encap/encapsulation.ts';
import type { SourceAddress } from '../../fdb/fdb.ts';
import { MAX_CAPTURED_BYTES } from '../../lib/limits.ts';
import { ETHERNET_HEADER_BYTES, macHigh, macLow, SOURCE_MAC_AT } from '../../wire/ethernet.ts';
import { FORWARDED } from '../drop-reason.ts';
import { type CaptureRing, UNIT_BYTES, UNIT_WORDS } from './capture-ring.ts';

/**
 * Words of a captured frame, in front of its octets. `vtep`: address, IPv4 as ::ffff:a.b.c.d, or zeros; of a flood it is the group.
 * `verdict`: FORWARDED or the reason. `port`: outer source port of what was received, flow hash of what is sent. `at`: first octet, counted
 * from the record's. `captured` octets of `length` are there: the header of encapsulation `encap` and the frame, or the frame
 * alone if it is none to be sent.
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

/** Behind the words a datagram begins; or a frame, behind room for the header that it is sent with. */
export const DATAGRAM_AT = RECORD.words * Int32Array.BYTES_PER_ELEMENT;
export const FRAME_AT = DATAGRAM_AT + HEADER_ROOM_BYTES;

/** What is captured; what is undefined is as it likes. Combined with AND. */
export interface CaptureFilter {
  readonly vni: number | undefined;
  /** Source or destination of the frame: first four octets and last two. */
  readonly mac: { readonly high: number; readonly low: number } | undefined;
  /** Where it comes from; or is sent to, as one of many if it is flooded. A group too. */
  readonly vtep: SourceAddress | undefined;
  readonly dropsOnly: boolean;
}

/** One capture in one worker: what it takes, and the frame that is on its way through the ladder. */
export class CaptureWriter {
  readonly capture: number;
  readonly ring: CaptureRing;
  readonly filter: CaptureFilter;
  /** The record's first word, and its frame's first octet, in the ring. */
  wordsAt = 0;
  firstAt = 0;
  /** Octets of the frame, and those that are copied. */
  length = 0;
  captured = 0;
  #isMeant = false;
  #hasRoom = false;

  constructor(capture: number, ring: CaptureRing, filter: CaptureFilter) {
    this.capture = capture;
    this.ring = ring;
    this.filter = filter;
  }

  /** What can be said of a frame before its ladder. @param length may be anything, also below zero */
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

  /** Copies a frame, if there is room. @param offset where it is to begin in the record */
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

  /** Two octets of the frame as they are now. */
  copyWord(view: DataView, at: number, offset: number): void {
    if (offset + 2 <= this.captured) this.ring.view.setUint16(this.firstAt + offset, view.getUint16(at + offset));
  }

  /** Whether the frame is to be kept; if only room is missing, that is counted. */
  mayEnd(verdict: number): boolean {
    const isMeant = this.#isMeant && (verdict !== FORWARDED || !this.filter.dropsOnly);
    this.#isMeant = false;
    if (isMeant && !this.#hasRoom) this.ring.countLost();
    return isMeant && this.#hasRoom;
  }

  /** The record is complete. @param time its one element  @param skipped octets that the captured now begin later; fewer than none if a header was put in front */
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
