import { hasVni, peekHeader } from '../encap/codec.ts';
import { readVni } from '../encap/reading.ts';
import type { FrameCapture } from '../forward/capture/frame-capture.ts';
import { type Counters, NO_SEGMENT } from '../forward/counters.ts';
import { FORWARDED, RX_DROP } from '../forward/drop-reason.ts';
import { type ReceivePath, receive, repeats } from '../forward/receive.ts';
import type { RemoteCounters } from '../forward/remote-counters.ts';
import { type SendPath, send, strayReason } from '../forward/send.ts';
import { isSuperDatagram } from '../offload/train.ts';
import { TAP_GONE, type TapPort } from '../overlay/tap-port.ts';
import { NO_GROUP, type Segment } from '../segment/segment.ts';
import type { SegmentMap } from '../segment/segment-map.ts';
import type { Trunk } from '../segment/trunk.ts';
import type { UdpPort } from '../underlay/udp-port.ts';
import { trunkVlan } from '../wire/vlan.ts';
import type { GroupWatch } from './group-watch.ts';

/** The ports and tables of one worker. */
export interface Ports {
  readonly taps: TapPort;
  readonly underlay: UdpPort;
  readonly segments: SegmentMap;
  readonly counters: Counters;
  readonly remoteCounters: RemoteCounters;
  readonly groupWatch: Pick<GroupWatch, 'heard'>;
  readonly receivePath: ReceivePath;
  readonly sendPath: SendPath;
  /** Present while a capture is open. */
  capture: FrameCapture | undefined;
}

/** Length from the start of a datagram to the second word of its header. These two words are all that a codec reads. */
const SECOND_WORD_AT = 4;

/** A longer message counts once more for each 2 KB. */
const LOAD_OCTETS_SHIFT = 11;

/** Forwards one batch of datagrams of a socket to the TAPs. Returns the amount of work (BUSY_POLL_LOAD_PER_MS). @param now tenths of a second */
export function forwardDatagrams(ports: Ports, socket: number, now: number): number {
  const { underlay, taps, receivePath, remoteCounters, capture } = ports;
  const group = underlay.groupOf(socket);
  receivePath.encap = underlay.encapOf(socket);
  const count = underlay.receive(socket, now);
  capture?.batch();
  let load = count;
  for (let i = 0; i < count; i++) {
    const at = underlay.datagramAt(i);
    const length = underlay.datagramBytes(i);
    const segmentBytes = underlay.segmentBytes(i);
    load += length >> LOAD_OCTETS_SHIFT;
    underlay.readSource(i, receivePath.source);
    receivePath.tos = underlay.tos(i);
    capture?.message(underlay.sourcePort(i), group);
    if (segmentBytes >= length) forwardDatagram(ports, at, length, 0, group, now);
    else if (!forwardTrain(ports, at, length, segmentBytes, group, now))
      underlay.cutApart(socket, receivePath.source, now);
    remoteCounters.settle(receivePath.source, now);
  }
  taps.flush();
  return load;
}

/** Forwards one message of UDP_GRO. Returns whether all its datagrams had the header of the first. */
function forwardTrain(
  ports: Ports,
  at: number,
  length: number,
  segmentBytes: number,
  group: number,
  now: number,
): boolean {
  const { view, encap, headers } = ports.receivePath;
  if (isSuperDatagram(encap, view, at, length, segmentBytes, headers)) {
    forwardDatagram(ports, at, length, segmentBytes, group, now);
    return true;
  }
  // This comes before forwarding, which writes the tag of a trunk over the header.
  const firstWord = view.getInt32(at);
  const secondWord = view.getInt32(at + SECOND_WORD_AT);
  // The kernel of a peer sends no header without a VNI: this can only be a train.
  const isCertain = !hasVni(encap, view, at, length);
  let isUniform = true;
  let isForwarded = forwardDatagram(ports, at, segmentBytes, 0, group, now);
  for (let offset = segmentBytes; offset < length; offset += segmentBytes) {
    const datagramAt = at + offset;
    const bytes = Math.min(segmentBytes, length - offset);
    const isSame = view.getInt32(datagramAt) === firstWord && view.getInt32(datagramAt + SECOND_WORD_AT) === secondWord;
    if (!isSame && !isCertain && isTakenElsewhere(ports, datagramAt, bytes)) {
      isUniform = false;
      isForwarded = false;
      refuse(ports, datagramAt, bytes);
    } else if (
      isSame &&
      !isCertain &&
      isForwarded &&
      repeats(ports.receivePath, datagramAt, bytes, datagramAt - segmentBytes)
    ) {
      ports.capture?.repeated(ports.receivePath, datagramAt, bytes);
      // The ladder would read the same values as for the previous datagram.
      const { headerBytes } = ports.receivePath;
      const frameBytes = bytes - headerBytes;
      ports.taps.deliver(ports.receivePath.segment as Segment, datagramAt + headerBytes, frameBytes, 0);
      ports.remoteCounters.forwarded(frameBytes);
    } else {
      isForwarded = forwardDatagram(ports, datagramAt, bytes, 0, group, now);
    }
  }
  return isUniform;
}

/** Whether a datagram is of an existing VNI. Other datagrams have their own drop reason, whether or not they are pieces of a frame. */
function isTakenElsewhere({ receivePath: { view, segments, encap } }: Ports, at: number, length: number): boolean {
  if (!hasVni(encap, view, at, length)) return false;
  return segments.byVni(encap, readVni(peekHeader(encap, view, at, length))) !== undefined;
}

/** Counts a datagram that may be a piece of an inner frame, forged to look like a datagram of another VNI. */
function refuse({ capture, counters, remoteCounters, receivePath }: Ports, at: number, length: number): void {
  capture?.refused(receivePath, at, length, RX_DROP['short-inner']);
  counters.rxDropped(NO_SEGMENT, RX_DROP['short-inner']);
  remoteCounters.dropped();
}

/** Returns whether the datagram was forwarded. If not, it is counted. */
function forwardDatagram(
  { counters, remoteCounters, receivePath, groupWatch, capture }: Ports,
  at: number,
  length: number,
  segmentBytes: number,
  group: number,
  now: number,
): boolean {
  const verdict =
    capture === undefined
      ? receive(receivePath, at, length, segmentBytes, group, now)
      : capture.receive(receivePath, at, length, segmentBytes, group, now);
  if (verdict === FORWARDED) {
    remoteCounters.forwarded(length - receivePath.headerBytes);
    if (group !== NO_GROUP) groupWatch.heard(receivePath.segment as Segment, receivePath.source, now);
    return true;
  }
  counters.rxDropped(receivePath.segment?.index ?? NO_SEGMENT, verdict);
  remoteCounters.dropped();
  return false;
}

/** Forwards one batch of frames of a TAP to the underlay. Returns the amount of work, or TAP_GONE. @param now tenths of a second */
export function forwardFrames(ports: Ports, tap: number, now: number): number {
  const { taps, underlay, segments, capture } = ports;
  const count = taps.read(tap);
  capture?.batch();
  if (count === TAP_GONE) return TAP_GONE;
  let load = count;
  const segment = segments.byTap(tap);
  const trunk = segments.trunkOf(tap);
  for (let i = 0; i < count; i++) {
    const at = taps.frameAt(i);
    const length = taps.frameBytes(i);
    load += length >> LOAD_OCTETS_SHIFT;
    if (segment !== undefined) forwardFrame(ports, segment, at, length, now);
    else if (trunk !== undefined) forwardTrunkFrame(ports, trunk, at, length, now);
    // Otherwise its VNI is being removed: its frames are dropped.
  }
  underlay.flush();
  return load;
}

/** The outer tag selects the segment. */
function forwardTrunkFrame(ports: Ports, trunk: Trunk, at: number, length: number, now: number): void {
  const { sendPath, capture, counters } = ports;
  const segment = trunk.byVlan(trunkVlan(sendPath.view, at, length));
  if (segment !== undefined) {
    forwardFrame(ports, segment, at, length, now);
    return;
  }
  capture?.stray(sendPath, at, length);
  counters.txDropped(NO_SEGMENT, strayReason(sendPath.view, at, length));
}

function forwardFrame(ports: Ports, segment: Segment, at: number, length: number, now: number): void {
  const { sendPath, counters, capture } = ports;
  const verdict =
    capture === undefined ? send(sendPath, segment, at, length, now) : capture.send(sendPath, segment, at, length, now);
  if (verdict !== FORWARDED) counters.txDropped(segment.index, verdict, sendPath.droppedFrames);
}
