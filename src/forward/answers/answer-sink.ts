import type { Segment } from '../../segment/segment.ts';

/** Accepts the frames that this VTEP itself sends to the stations behind a TAP. */
export interface AnswerSink {
  /**
   * Writes one complete frame into the TAP of the segment at once. The caller may then reuse the buffer. No VTEP sent the frame, so it is not
   * counted. If the TAP is a trunk, the frame gets its tag here, so the sink also owns the VLAN_TAG_BYTES octets in front of the frame.
   */
  answer(segment: Segment, at: number, length: number): void;
}
