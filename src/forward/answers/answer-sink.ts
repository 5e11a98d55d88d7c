import type { Segment } from '../../segment/segment.ts';

/** Takes what this VTEP itself says to the stations behind a TAP. */
export interface AnswerSink {
  /**
   * Writes one finished frame into the segment's TAP, at once: the buffer is the caller's again. No VTEP sent it, so that it is counted nowhere.
   * If the TAP is a trunk, the frame gets its tag here: VLAN_TAG_BYTES octets in front of it are the sink's too.
   */
  answer(segment: Segment, at: number, length: number): void;
}
