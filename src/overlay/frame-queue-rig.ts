/** A frame queue over a writer that keeps what it is given, and what its tests have in common. */

import { ReadableCounters } from '../forward/counters-rig.ts';
import { FORWARDED, RX_DROP, RX_REASONS } from '../forward/drop-reason.ts';
import { type Frame, naiveSegments, TCP, UDP } from '../offload/naive-frames.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import { UNTAGGED } from '../segment/segment.ts';
import { plainSegment } from '../segment/segment-rig.ts';
import { Slab } from '../sys/slab.ts';
import { portableSums } from '../wire/octet-sums.ts';
import { FrameQueue, type FrameWriter } from './frame-queue.ts';

const GUARD = 0xa5;
const SLAB_BYTES = 1_048_576;
/** As in a train of datagrams: distance from one frame to the next. */
const HEADER_BYTES = 8;

export interface Written {
  readonly tap: number;
  readonly vnetHeader: number[];
  readonly octets: number[];
}

/** The result of a write: FORWARDED or an errno. */
export type Verdict = (written: Written) => number;

class RecordingWriter implements FrameWriter {
  readonly written: Written[] = [];
  readonly #slab: Slab;
  readonly #verdict: Verdict;
  readonly #takesUdpRuns: boolean;
  readonly #pieces: number[][] = [];

  constructor(slab: Slab, verdict: Verdict, takesUdpRuns: boolean) {
    this.#slab = slab;
    this.#verdict = verdict;
    this.#takesUdpRuns = takesUdpRuns;
  }

  setPiece(i: number, at: number, length: number): void {
    this.#pieces[i] = [...this.#slab.bytes.subarray(at, at + length)];
  }

  write(tap: number, pieces: number): number {
    const [vnetHeader = [], ...frame] = this.#pieces.slice(0, pieces);
    const written = { tap, vnetHeader, octets: frame.flat() };
    const error = this.#verdict(written);
    if (error === FORWARDED) this.written.push(written);
    return error;
  }

  dropReason(error: number): number {
    return error === 22 ? RX_DROP.oversize : RX_DROP['tap-down'];
  }

  takesUdpRuns(): boolean {
    return this.#takesUdpRuns;
  }
}

export interface QueueRigOptions {
  readonly isOn?: boolean;
  readonly takesUdpRuns?: boolean;
  readonly verdict?: Verdict;
}

export function newQueueRig({ isOn = true, takesUdpRuns = true, verdict = () => FORWARDED }: QueueRigOptions = {}) {
  const slab = new Slab(SLAB_BYTES);
  const counters = new ReadableCounters();
  const writer = new RecordingWriter(slab, verdict, takesUdpRuns);
  const refusals: number[] = [];
  const merging = new OffloadSwitch(isOn, (error) => refusals.push(error));
  const queue = new FrameQueue(slab, portableSums(slab.bytes), { writer, counters, merging });
  const areaAt = slab.allocate(SLAB_BYTES / 2);
  slab.bytes.fill(GUARD, areaAt, areaAt + SLAB_BYTES / 2);
  const before = slab.bytes.slice(areaAt, areaAt + SLAB_BYTES / 2);
  let next = areaAt;

  return {
    queue,
    counters,
    refusals,
    merging,
    written: writer.written,
    /** Delivers consecutive frames with a VXLAN header between them. */
    deliver(frames: readonly Pick<Frame, 'octets' | 'payloadAt'>[], { of = SEGMENT, segmentBytes = 0 } = {}): void {
      for (const { octets, payloadAt } of frames) {
        const at = next + HEADER_BYTES;
        slab.bytes.set(octets, at);
        before.set(octets.slice(payloadAt), at + payloadAt - areaAt);
        // The queue may change the headers, and the room for a trunk tag before them.
        const tagBytes = of.vlan > UNTAGGED ? 4 : 0;
        before.fill(0, at - tagBytes - areaAt, at + payloadAt - areaAt);
        next = at + octets.length;
        queue.deliver(of, at, octets.length, segmentBytes);
      }
    },
    /** Whether everything but the frames' headers is as it was. */
    isUntouched(): boolean {
      const after = slab.bytes.slice(areaAt, areaAt + SLAB_BYTES / 2);
      return before.every((octet, i) => octet === after[i] || octet === 0);
    },
    drops(segment = SEGMENT.index): Record<string, number> {
      const { rx } = counters.drops(segment);
      return Object.fromEntries([...rx].flatMap((count, i) => (count > 0 ? [[RX_REASONS[i], count]] : [])));
    },
  };
}

export const SEGMENT = plainSegment({ index: 3, tap: 7, maxMacs: 1 });

/** Whether a vnet header says that the frame is to be cut. */
export const isSuper = ({ vnetHeader }: Written) => vnetHeader[1] !== 0;

/** The frames that a kernel makes of a write; a single frame unchanged. */
export function framesOf(written: Written): number[][] {
  if (!isSuper(written)) return [written.octets];
  const { vnetHeader } = written;
  const [, segmentBytes = 0, start = 0, offset = 0] = [2, 4, 6, 8].map(
    (at) => (vnetHeader[at] as number) + 256 * (vnetHeader[at + 1] as number),
  );
  return naiveSegments(written.octets, { start, segmentBytes, protocol: offset === 16 ? TCP : UDP });
}
