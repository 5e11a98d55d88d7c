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

/** Tells the clock's milliseconds, of which a fraction says microseconds. */
type Clock = () => number;

/**
 * A worker's end of the captures that are open: takes a copy of each frame before its ladder changes it, and notes beside it what became of
 * it. There is one only while somebody captures.
 */
export class FrameCapture {
  readonly #writers: CaptureWriter[] = [];
  readonly #fdb: Pick<Fdb, 'lookup' | 'remotes'>;
  readonly #nowMs: Clock;
  readonly #headers = newFrameHeaders();
  /** When the batch was read. In an array, so that no call has a heap number made for it. */
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

  /** A batch was read: all of it gets the time of now, for to ask for each frame would cost more than to copy it. */
  batch(): void {
    this.#time[0] = this.#nowMs();
  }

  /** What the datagrams of a message have in common that their path does not know. @param group number of the group whose socket it came by, or NO_GROUP */
  message(sourcePort: number, group: number): void {
    this.#sourcePort = sourcePort;
    this.#group = group;
  }

  /** `receive`, captured. */
  receive(path: ReceivePath, at: number, length: number, segmentBytes: number, group: number, now: number): number {
    this.#receiving(path, at, length);
    const verdict = receive(path, at, length, segmentBytes, group, now);
    this.#received(path, verdict, segmentBytes);
    return verdict;
  }

  /** A datagram that takes the way of the one before it. */
  repeated(path: ReceivePath, at: number, length: number): void {
    this.#receiving(path, at, length);
    this.#received(path, FORWARDED, 0);
  }

  /** A message that cannot be told apart. @param reason an RX_DROP reason */
  refused(path: ReceivePath, at: number, length: number, reason: number): void {
    path.segment = undefined;
    this.#receiving(path, at, length);
    this.#received(path, reason, 0);
  }

  /** Before a datagram is changed. */
  #receiving({ view, source, encap }: ReceivePath, at: number, length: number): void {
    const header = peekHeader(encap, view, at, length);
    const vni = header === HEADER_SHORT ? NO_VNI : readVni(header);
    // Of a header that is too short, no frame is behind it.
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

  /** What became of it. @param segmentBytes payload of each segment of a super-frame if its sender told, else 0 */
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

  /** `send`, captured. */
  send(path: SendPath, segment: Segment, at: number, length: number, now: number): number {
    const { view } = path;
    const isWhole = hasEthernetHeader(length);
    const isGroup = isWhole && isGroupDestination(view, at);
    // Asked here too, for the ladder does not tell: another worker could give it another answer only within this moment.
    const remote =
      isWhole && !isGroup ? this.#fdb.lookup(segment.index, macHigh(view, at), macLow(view, at), now) : UNKNOWN;
    const vnetAt = at - VNET_HDR_BYTES;
    const isSuper = gsoType(view, vnetAt) !== GSO_TYPE.none;
    const segmentBytes = isSuper ? gsoSize(view, vnetAt) : 0;
    // The kernel left it to the ladder, which writes it where no tag that goes moves anything.
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

  /** A frame of a trunk whose VLAN no segment has. */
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

  /** Whether a VTEP, or a group, is the one that a frame is for, or among those that it is flooded to. */
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
