import { MAX_SEGMENTS, TOO_BIG_ANSWERS_BURST, TOO_BIG_ANSWERS_PER_SECOND } from '../../lib/limits.ts';
import { INNER_VLAN, type Segment } from '../../segment/segment.ts';
import { writeTooBig } from '../../wire/answers/icmp.ts';
import type { FrameHeaders } from '../../wire/ip.ts';
import type { StrippedTags } from '../../wire/vlan.ts';
import type { AnswerSink } from './answer-sink.ts';

const TENTHS_BETWEEN = 10 / TOO_BIG_ANSWERS_PER_SECOND;
const TENTHS_OF_BURST = TOO_BIG_ANSWERS_BURST * TENTHS_BETWEEN;

/** Tells the sender of a packet that is too large for the underlay the permitted size. The rate is limited in each segment. */
export class TooBigAnswers {
  readonly #view: DataView;
  readonly #at: number;
  readonly #taps: AnswerSink;
  readonly #tags: StrippedTags;
  /** Per segment: the time, in tenths of a second, at which all answers so far would have been sent at the steady rate. */
  readonly #due = new Int32Array(MAX_SEGMENTS);

  /**
   * @param at MAX_TOO_BIG_BYTES of the slab for this object alone, with room for MAX_VLAN_TAGS in front
   * @param tags of the frame that is answered, where its segment strips them
   */
  constructor(view: DataView, at: number, taps: AnswerSink, tags: StrippedTags) {
    this.#view = view;
    this.#at = at;
    this.#taps = taps;
    this.#tags = tags;
  }

  /**
   * Answers a frame, if an answer is permitted, into the TAP that it came from.
   *
   * @param headers what `locateHeaders` found in it
   * @param maxFrameBytes longest frame that would fit on the same path
   * @param now tenths of a second
   */
  answer(segment: Segment, at: number, headers: FrameHeaders, maxFrameBytes: number, now: number): void {
    const due = Math.max(this.#due[segment.index] as number, now);
    if (due - now >= TENTHS_OF_BURST) return;
    const isStripped = segment.innerVlan === INNER_VLAN.strip;
    if (isStripped && !this.#tags.areKnown) return;
    const length = writeTooBig(this.#view, this.#at, at, headers, maxFrameBytes - (headers.networkAt - at));
    if (length === 0) return;
    this.#due[segment.index] = due + TENTHS_BETWEEN;
    const tagBytes = isStripped ? this.#tags.putOn(this.#view, this.#at) : 0;
    this.#taps.answer(segment, this.#at - tagBytes, tagBytes + length);
  }
}
