import type { Counters } from '../forward/counters.ts';
import { FORWARDED } from '../forward/drop-reason.ts';
import type { FrameSink } from '../forward/receive.ts';
import { MAX_DATAGRAM_BYTES } from '../lib/limits.ts';
import { MAX_HEADER_BYTES, MAX_RUN_FRAMES, MergeRun, mergeablePayload } from '../offload/merge.ts';
import type { OffloadSwitch } from '../offload/offload-switch.ts';
import { describeFrame } from '../offload/partial-frame.ts';
import { newSuperFrame, readSuperFrame, writeSegments } from '../offload/split.ts';
import { type Segment, UNTAGGED } from '../segment/segment.ts';
import type { Slab } from '../sys/slab.ts';
import { ERRNO } from '../sys/sys-error.ts';
import { IP_PROTOCOL, locateHeaders, newFrameHeaders } from '../wire/ip.ts';
import type { OctetSums } from '../wire/octet-sums.ts';
import { pushTrunkTag, VLAN_TAG_BYTES } from '../wire/vlan.ts';
import { GSO_TYPE, gsoType, VNET_HDR_BYTES, writePlainHeader } from '../wire/vnet-hdr.ts';

/** Flows that are merged at the same time. At a further one, all runs are written. */
const OPEN_RUNS = 16;

const NONE = -1;

/** Distance of the runs' vnet headers in the slab. */
const VNET_STRIDE_BYTES = 16;

/** Writes a frame of a TAP from its pieces. */
export interface FrameWriter {
  /** Sets piece `i` of the next frame; piece 0 is its vnet header. */
  setPiece(i: number, at: number, length: number): void;
  /** Writes the first `pieces` pieces as one frame. Returns FORWARDED, or the errno. */
  write(tap: number, pieces: number): number;
  /** The RX_DROP reason that an errno of `write` stands for. */
  dropReason(error: number): number;
  /** Whether the TAP takes several UDP datagrams as one super-frame. */
  takesUdpRuns(tap: number): boolean;
}

/** Frames for the TAPs. Consecutive frames of one flow are written as one. The order within a flow is kept. */
export class FrameQueue implements FrameSink {
  readonly #view: DataView;
  readonly #sums: OctetSums;
  readonly #writer: FrameWriter;
  readonly #counters: Counters;
  readonly #merging: OffloadSwitch;
  readonly #runs: readonly MergeRun[];
  /** Octets of the trunk tag in each frame of a run. */
  readonly #tagBytes = new Uint8Array(OPEN_RUNS);
  /** vnet headers: one of each run, one for frames that are written at once. */
  readonly #vnetAt: number;
  /** Room for one segment of a super-frame that is cut here. */
  readonly #cutAt: number;
  readonly #headers = newFrameHeaders();
  readonly #superFrame = newSuperFrame();
  /** The run that took the last frame. */
  #last = 0;

  constructor(
    slab: Slab,
    sums: OctetSums,
    { writer, counters, merging }: { writer: FrameWriter; counters: Counters; merging: OffloadSwitch },
  ) {
    this.#view = slab.view;
    this.#sums = sums;
    this.#writer = writer;
    this.#counters = counters;
    this.#merging = merging;
    const masksAt = slab.allocate(OPEN_RUNS * MAX_HEADER_BYTES);
    this.#runs = Array.from(
      { length: OPEN_RUNS },
      (_, i) => new MergeRun(slab.view, sums, masksAt + i * MAX_HEADER_BYTES),
    );
    this.#vnetAt = slab.allocate((OPEN_RUNS + 1) * VNET_STRIDE_BYTES);
    this.#cutAt = slab.allocate(MAX_DATAGRAM_BYTES);
  }

  deliver(segment: Segment, at: number, length: number, segmentBytes: number): void {
    if (segment.vlan <= UNTAGGED) {
      this.#deliver(segment, at, length, segmentBytes, 0);
    } else {
      pushTrunkTag(this.#view, at, segment.vlan);
      this.#deliver(segment, at - VLAN_TAG_BYTES, length + VLAN_TAG_BYTES, segmentBytes, VLAN_TAG_BYTES);
    }
  }

  /** @param tagBytes of the trunk tag, which is not part of the inner frame and so not counted */
  #deliver(segment: Segment, at: number, length: number, segmentBytes: number, tagBytes: number): void {
    const { tap, index, tapMtuBytes } = segment;
    // Frames of a flow come together: the run that took the last one is checked first.
    if (this.#append(this.#last, tap, at, length)) return;
    const headers = this.#headers;
    locateHeaders(this.#view, at, length, headers);
    if (headers.transport === 0) {
      // For example a fragment: it may belong to any of the flows.
      this.flush();
    } else {
      const own = this.#runOf(tap, at);
      if (own !== NONE && this.#append(own, tap, at, length)) return;
      if (own !== NONE) this.#write(own);
    }
    const takesUdpRuns = this.#writer.takesUdpRuns(tap);
    const isMerging = this.#merging.isOn && (headers.transport === IP_PROTOCOL.tcp || takesUdpRuns);
    const payloadBytes = isMerging ? mergeablePayload(this.#view, at, length, headers) : 0;
    const slot = payloadBytes > 0 ? this.#freeRun() : OPEN_RUNS;
    const vnetAt = this.#vnetAt + slot * VNET_STRIDE_BYTES;
    const isFinished = describeFrame(this.#view, vnetAt, at, headers, tapMtuBytes, segmentBytes);
    if (isFinished && slot !== OPEN_RUNS) {
      (this.#runs[slot] as MergeRun).open(index, tap, at, payloadBytes, headers);
      this.#tagBytes[slot] = tagBytes;
      this.#last = slot;
    } else {
      const isCutHere = !takesUdpRuns && gsoType(this.#view, vnetAt) === GSO_TYPE.udp;
      const error = isCutHere ? this.#writeCut(tap, vnetAt, at) : this.#writeFrame(tap, vnetAt, at, length);
      this.#count(index, length - tagBytes, 1, error);
    }
  }

  answer({ tap, vlan }: Segment, at: number, length: number): void {
    const vnetAt = this.#vnetAt + OPEN_RUNS * VNET_STRIDE_BYTES;
    writePlainHeader(this.#view, vnetAt);
    if (vlan <= UNTAGGED) {
      this.#writeFrame(tap, vnetAt, at, length);
    } else {
      pushTrunkTag(this.#view, at, vlan);
      this.#writeFrame(tap, vnetAt, at - VLAN_TAG_BYTES, length + VLAN_TAG_BYTES);
    }
  }

  flush(): void {
    for (let i = 0; i < OPEN_RUNS; i++) if ((this.#runs[i] as MergeRun).count !== 0) this.#write(i);
  }

  #append(i: number, tap: number, at: number, length: number): boolean {
    if (!this.#merging.isOn || !(this.#runs[i] as MergeRun).append(tap, at, length)) return false;
    this.#last = i;
    return true;
  }

  /** The open run of the frame's flow, or NONE. */
  #runOf(tap: number, at: number): number {
    for (let i = 0; i < OPEN_RUNS; i++) if ((this.#runs[i] as MergeRun).isFlowOf(tap, at, this.#headers)) return i;
    return NONE;
  }

  #freeRun(): number {
    for (let i = 0; i < OPEN_RUNS; i++) if ((this.#runs[i] as MergeRun).count === 0) return i;
    this.flush();
    return 0;
  }

  #write(i: number): void {
    const run = this.#runs[i] as MergeRun;
    const { tap, count, segmentIndex } = run;
    const vnetAt = this.#vnetAt + i * VNET_STRIDE_BYTES;
    if (count > 1) run.finish(vnetAt);
    this.#writer.setPiece(0, vnetAt, VNET_HDR_BYTES);
    for (let piece = 0; piece < count; piece++) {
      this.#writer.setPiece(piece + 1, run.pieceAt[piece] as number, run.pieceBytes[piece] as number);
    }
    const error = this.#writer.write(tap, 1 + count);
    const tagBytes = this.#tagBytes[i] as number;
    if (error !== FORWARDED && count > 1) this.#writeSingly(run, vnetAt, tagBytes, error);
    else this.#count(segmentIndex, count * (run.headerBytes - tagBytes) + run.payloadBytes, count, error);
    run.count = 0;
  }

  /** Writes the frames of a run one by one, and stops merging if that succeeds. @param error the error of the run */
  #writeSingly(run: MergeRun, vnetAt: number, tagBytes: number, error: number): void {
    run.unfinish(vnetAt);
    let written = 0;
    for (let piece = 0; piece < run.count; piece++) {
      const headerBytes = piece === 0 ? 0 : run.headerBytes;
      const at = (run.pieceAt[piece] as number) - headerBytes;
      const length = (run.pieceBytes[piece] as number) + headerBytes;
      const result = this.#writeFrame(run.tap, vnetAt, at, length);
      if (result === FORWARDED) written++;
      this.#count(run.segmentIndex, length - tagBytes, 1, result);
    }
    const isRefusal = error === ERRNO.EINVAL || error === ERRNO.EIO;
    if (isRefusal && written === run.count) this.#merging.switchOff(error);
  }

  /** Writes the datagrams of a super-frame that a kernel peer sent, for a TAP without USO. @returns FORWARDED, or the error of the last that failed */
  #writeCut(tap: number, vnetAt: number, at: number): number {
    const frame = this.#superFrame;
    if (!readSuperFrame(this.#view, vnetAt, at, at, this.#headers, frame)) return ERRNO.EINVAL;
    writePlainHeader(this.#view, vnetAt);
    let result: number = FORWARDED;
    for (let i = 0; i < frame.segments; i++) {
      const bytes = writeSegments(this.#view, this.#sums, frame, i, 1, 0, this.#cutAt);
      const error = this.#writeFrame(tap, vnetAt, this.#cutAt, bytes);
      if (error !== FORWARDED) result = error;
    }
    return result;
  }

  #writeFrame(tap: number, vnetAt: number, at: number, length: number): number {
    this.#writer.setPiece(0, vnetAt, VNET_HDR_BYTES);
    this.#writer.setPiece(1, at, length);
    return this.#writer.write(tap, 2);
  }

  #count(segment: number, bytes: number, packets: number, error: number): void {
    if (error === FORWARDED) this.#counters.received(segment, bytes, packets);
    else this.#counters.rxDropped(segment, this.#writer.dropReason(error), packets);
  }
}

/** Most pieces of one frame: its vnet header and the merged payloads. */
export const MAX_PIECES = 1 + MAX_RUN_FRAMES;
