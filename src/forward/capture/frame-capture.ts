import { peekHeader, writeHeader } from '../../encap/codec.ts';
import { ENCAP } from '../../encap/encapsulation.ts';
import { HEADER_SHORT, readHeaderBytes, readVni } from '../../encap/reading.ts';
import { type Fdb, type SourceAddress, UNKNOWN } from '../../fdb/fdb.ts';
import { LOCAL } from '../../fdb/remotes.ts';
import { isSameIp } from '../../lib/addresses.ts';
import { segmentCount } from '../../offload/segment-count.ts';
import { INNER_VLAN, NO_GROUP, NO_VLAN, type Segment } from '../../segment/segment.ts';
import { outerTos } from '../../wire/ecn.ts';
import { hasEthernetHeader, isGroupDestination, macHigh, macLow } from '../../wire/ethernet.ts';
import { flowHash } from '../../wire/flow-hash.ts';
import { locateHeaders, newFrameHeaders } from '../../wire/ip.ts';
import { popTrunkTag, stripVlanTags } from '../../wire/vlan.ts';
import {
  checksumOffset,
  checksumStart,
  GSO_TYPE,
  gsoSize,
  gsoType,
  needsChecksum,
  VNET_HDR_BYTES,
} from '../../wire/vnet-hdr.ts';
import { FORWARDED } from '../drop-reason.ts';
import { type ReceivePath, receive } from '../receive.ts';
import { type SendPath, send, strayReason } from '../send.ts';
import { CaptureRing } from './capture-ring.ts';
import {
  type CaptureFilter,
  CaptureWriter,
  DATAGRAM_AT,
  FRAME_AT,
  NO_VNI,
  RECORD,
  RECORD_KIND,
} from './capture-writer.ts';

/** Returns the milliseconds of the clock. The fraction holds the microseconds. */
type Clock = () => number;

/**
 * A worker's side of the open captures. It copies each frame before the ladder changes it, and then records the verdict. It exists only while a
 * capture is open.
 */
export class FrameCapture {
  readonly #writers: CaptureWriter[] = [];
  readonly #fdb: Pick<Fdb, 'lookup' | 'remotes'>;
  readonly #nowMs: Clock;
  readonly #headers = newFrameHeaders();
  /** Time at which the batch was read. It is in an array, so that no call allocates a heap number. */
  readonly #time = new Float64Array(1);
  #sourcePort = 0;
  #group = NO_GROUP;

  constructor(fdb: Pick<Fdb, 'lookup' | 'remotes'>, nowMs: Clock) {
    this.#fdb = fdb;
    this.#nowMs = nowMs;
  }

  /** @param capture its number */
  start(capture: number, memory: SharedArrayBuffer, filter: CaptureFilter): void {
    this.stop(capture);
    this.#writers.push(new CaptureWriter(capture, new CaptureRing(memory), filter));
  }

  stop(capture: number): void {
    const at = this.#writers.findIndex((writer) => writer.capture === capture);
    if (at >= 0) this.#writers.splice(at, 1);
  }

  get isEmpty(): boolean {
    return this.#writers.length === 0;
  }

  /** A batch was read. All of its frames get the present time: reading the clock for each frame would cost more than the copy. */
  batch(): void {
    this.#time[0] = this.#nowMs();
  }

  /**
   * The properties that all datagrams of a message share and that the receive path does not have. @param group number of the group whose socket
   * received it, or NO_GROUP
   */
  message(sourcePort: number, group: number): void {
    this.#sourcePort = sourcePort;
    this.#group = group;
  }

  /** `receive` with capture. */
  receive(path: ReceivePath, at: number, length: number, segmentBytes: number, group: number, now: number): number {
    this.#receiving(path, at, length);
    const verdict = receive(path, at, length, segmentBytes, group, now);
    this.#received(path, verdict, segmentBytes);
    return verdict;
  }

  /** A datagram that has the verdict of the previous one. */
  repeated(path: ReceivePath, at: number, length: number): void {
    this.#receiving(path, at, length);
    this.#received(path, FORWARDED, 0);
  }

  /** A message that cannot be divided into datagrams. @param reason an RX_DROP reason */
  refused(path: ReceivePath, at: number, length: number, reason: number): void {
    path.segment = undefined;
    this.#receiving(path, at, length);
    this.#received(path, reason, 0);
  }

  /** Called before a datagram is changed. */
  #receiving({ view, source, encap }: ReceivePath, at: number, length: number): void {
    const header = peekHeader(encap, view, at, length);
    const vni = header === HEADER_SHORT ? NO_VNI : readVni(header);
    // If the header is too short, there is no frame.
    const headerBytes = header === HEADER_SHORT ? length : readHeaderBytes(header);
    const frameAt = at + headerBytes;
    const frameBytes = length - headerBytes;
    for (let i = 0; i < this.#writers.length; i++) {
      const writer = this.#writers[i] as CaptureWriter;
      const { vtep } = writer.filter;
      const isMeant = writer.takes(vni, view, frameAt, frameBytes) && (vtep === undefined || isSameIp(vtep, source));
      writer.begin(isMeant, view, at, length, DATAGRAM_AT);
    }
  }

  /** Records the verdict. @param segmentBytes payload of each segment of a super-frame if its sender gave it, else 0 */
  #received(path: ReceivePath, verdict: number, segmentBytes: number): void {
    const { source, segment, tos, encap } = path;
    for (let i = 0; i < this.#writers.length; i++) {
      const writer = this.#writers[i] as CaptureWriter;
      if (!writer.mayEnd(verdict)) continue;
      const { ring, wordsAt, firstAt, captured } = writer;
      const { words } = ring;
      const header = peekHeader(encap, ring.view, firstAt, captured);
      const headerBytes = header === HEADER_SHORT ? captured : readHeaderBytes(header);
      const frameBytes = captured - headerBytes;
      const isWhole = segment !== undefined && captured === writer.length && hasEthernetHeader(frameBytes);
      words[wordsAt + RECORD.kind] = 0;
      words[wordsAt + RECORD.encap] = encap;
      words[wordsAt + RECORD.vni] = header === HEADER_SHORT ? NO_VNI : readVni(header);
      writeSource(words, wordsAt, source);
      words[wordsAt + RECORD.copies] = 0;
      words[wordsAt + RECORD.segments] = isWhole
        ? segmentCount(ring.view, firstAt + headerBytes, frameBytes, segmentBytes, segment.tapMtuBytes, this.#headers)
        : 1;
      words[wordsAt + RECORD.tos] = tos;
      words[wordsAt + RECORD.port] = this.#sourcePort;
      words[wordsAt + RECORD.group] = this.#group;
      writer.end(verdict, this.#time, 0);
    }
  }

  /** `send` with capture. */
  send(path: SendPath, segment: Segment, at: number, length: number, now: number): number {
    const { view } = path;
    const isWhole = hasEthernetHeader(length);
    const isGroup = isWhole && isGroupDestination(view, at);
    // The lookup is repeated here, since the ladder does not return its result. The answer can differ only if another worker changes the entry in
    // this moment.
    const remote =
      isWhole && !isGroup ? this.#fdb.lookup(segment.index, macHigh(view, at), macLow(view, at), now) : UNKNOWN;
    const vnetAt = at - VNET_HDR_BYTES;
    const isSuper = gsoType(view, vnetAt) !== GSO_TYPE.none;
    const segmentBytes = isSuper ? gsoSize(view, vnetAt) : 0;
    // The kernel left the checksum to the ladder. The ladder writes it at a place that removed tags do not move.
    const checksumAt =
      !isSuper && needsChecksum(view, vnetAt) ? checksumStart(view, vnetAt) + checksumOffset(view, vnetAt) : -1;
    for (let i = 0; i < this.#writers.length; i++) {
      const writer = this.#writers[i] as CaptureWriter;
      const { vtep } = writer.filter;
      const isMeant =
        writer.takes(segment.vni, view, at, length) && (vtep === undefined || this.#goesTo(segment, remote, vtep));
      writer.begin(isMeant, view, at, length, FRAME_AT);
    }
    const verdict = send(path, segment, at, length, now);
    for (let i = 0; i < this.#writers.length; i++) {
      const writer = this.#writers[i] as CaptureWriter;
      if (!writer.mayEnd(verdict)) continue;
      if (checksumAt >= 0 && verdict === FORWARDED) writer.copyWord(view, at, checksumAt);
      this.#sent(writer, path, segment, remote, segmentBytes, verdict);
    }
    return verdict;
  }

  /** A frame of a trunk whose VLAN belongs to no segment. */
  stray(path: SendPath, at: number, length: number): void {
    const reason = strayReason(path.view, at, length);
    for (let i = 0; i < this.#writers.length; i++) {
      const writer = this.#writers[i] as CaptureWriter;
      const isMeant = writer.filter.vtep === undefined && writer.takes(NO_VNI, path.view, at, length);
      writer.begin(isMeant, path.view, at, length, FRAME_AT);
      if (writer.mayEnd(reason)) this.#sent(writer, path, undefined, LOCAL, 0, reason);
    }
  }

  #sent(
    writer: CaptureWriter,
    path: SendPath,
    segment: Segment | undefined,
    remote: number,
    segmentBytes: number,
    verdict: number,
  ): void {
    const { ring, wordsAt, captured } = writer;
    const { words, view } = ring;
    const isForwarded = verdict === FORWARDED && segment !== undefined;
    const isFlooded = isForwarded && remote === UNKNOWN;
    const end = writer.firstAt + captured;
    let frameAt = writer.firstAt;
    if (isForwarded) {
      // The tags that do not cross the underlay.
      if (segment.vlan !== NO_VLAN) frameAt += popTrunkTag(view, frameAt, end - frameAt);
      if (segment.innerVlan === INNER_VLAN.strip) frameAt += stripVlanTags(view, frameAt, end - frameAt);
    }
    const frameBytes = end - frameAt;
    locateHeaders(view, frameAt, frameBytes, this.#headers);
    const segments = segmentBytes === 0 ? 1 : segmentCount(view, frameAt, frameBytes, segmentBytes, 0, this.#headers);
    words[wordsAt + RECORD.kind] = RECORD_KIND.tx | (isFlooded ? RECORD_KIND.flooded : 0);
    words[wordsAt + RECORD.encap] = segment?.encap ?? ENCAP.vxlan;
    words[wordsAt + RECORD.vni] = segment?.vni ?? NO_VNI;
    const target = isFlooded && segment.group !== NO_GROUP ? segment.groupRemote : remote;
    for (let word = 0; word < 4; word++) {
      words[wordsAt + RECORD.vtep + word] =
        target === UNKNOWN || target === LOCAL ? 0 : this.#fdb.remotes.word(target, word);
    }
    words[wordsAt + RECORD.copies] = isFlooded ? segment.floodRemotes.length : 0;
    words[wordsAt + RECORD.segments] = segments;
    words[wordsAt + RECORD.tos] = isForwarded ? outerTos(view, this.#headers, path.tos) : 0;
    words[wordsAt + RECORD.port] = isForwarded ? flowHash(view, frameAt, this.#headers) : 0;
    words[wordsAt + RECORD.group] = NO_GROUP;
    if (isForwarded) {
      frameAt = writeHeader(segment.encap, view, frameAt, segment.vni);
    }
    writer.end(verdict, this.#time, frameAt - writer.firstAt);
  }

  /** Whether a VTEP, or a group, is the destination of a frame, or one of the destinations of a flood. */
  #goesTo(segment: Segment, remote: number, vtep: SourceAddress): boolean {
    const { remotes } = this.#fdb;
    if (remote === LOCAL) return false;
    if (remote !== UNKNOWN) return remotes.isAt(remote, vtep);
    if (segment.group !== NO_GROUP && remotes.isAt(segment.groupRemote, vtep)) return true;
    for (let i = 0; i < segment.floodRemotes.length; i++) {
      if (remotes.isAt(segment.floodRemotes[i] as number, vtep)) return true;
    }
    return false;
  }
}

function writeSource(words: Int32Array, wordsAt: number, { a, b, c, d }: SourceAddress): void {
  words[wordsAt + RECORD.vtep] = a;
  words[wordsAt + RECORD.vtep + 1] = b;
  words[wordsAt + RECORD.vtep + 2] = c;
  words[wordsAt + RECORD.vtep + 3] = d;
}
