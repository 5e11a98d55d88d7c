import { ENCAPSULATIONS } from '../encap/codec.ts';
import { NO_REMOTE, type RemoteTable } from '../fdb/remotes.ts';
import type { Counters } from '../forward/counters.ts';
import { TX_DROP } from '../forward/drop-reason.ts';
import type { RemoteCounters } from '../forward/remote-counters.ts';
import { MAX_SEND_TRIES, MAX_UDP_PAYLOAD_BYTES, MAX_UDP_SEGMENTS } from '../lib/limits.ts';
import type { OffloadSwitch } from '../offload/offload-switch.ts';
import type { Segment } from '../segment/segment.ts';
import { errno, sendmmsg } from '../sys/libc.ts';
import { drainErrorQueue, type PathMtuListener } from '../sys/socket/error-queue.ts';
import { type SendArray, SOCKET_TOS } from '../sys/socket/mmsg.ts';
import { ERRNO } from '../sys/sys-error.ts';

/** Messages that one source port holds before it must be flushed: all that one read of a TAP can bring. */
export const QUEUE_MESSAGES = 64;

const MSG_DONTWAIT = 0x40;

/** Consecutive runs that the kernel refuses before it counts as unable. */
const REFUSALS_OF_A_PATH = 2;

/** The common state of the queues of one underlay. */
export interface QueueShared {
  readonly remotes: RemoteTable;
  readonly counters: Counters;
  readonly remoteCounters: RemoteCounters;
  readonly segmentation: OffloadSwitch;
  /** The TOS octet that is set on the sockets. */
  readonly socketTos: number;
  /** QUEUE_MESSAGES messages for the same port and family as those of each queue. */
  readonly singles: SendArray;
  readonly onPathMtu: PathMtuListener;
}

/**
 * The queue of one source port, sent by one sendmmsg. Consecutive datagrams of equal length and TOS to one destination, the last of them perhaps
 * shorter, make one message that the kernel segments (UDP_SEGMENT).
 */
export class SendQueue {
  #fd: number;
  readonly #remotes: RemoteTable;
  readonly #counters: Counters;
  readonly #remoteCounters: RemoteCounters;
  readonly #segmentation: OffloadSwitch;
  readonly #messages: SendArray;
  /** Messages of one datagram, for runs that the kernel refused. Shared by all queues of an underlay. */
  readonly #singles: SendArray;
  readonly #onPathMtu: PathMtuListener;
  /** The TOS octet that is set on the socket. */
  socketTos: number;
  /** Of each buffer: where and how long. */
  readonly #bufferAt = new Int32Array(QUEUE_MESSAGES);
  readonly #bufferBytes = new Int32Array(QUEUE_MESSAGES);
  /** Of each message: its buffers, segment index, remote id of its destination, octets, and the size of its datagrams and of their headers. */
  readonly #firsts = new Int32Array(QUEUE_MESSAGES + 1);
  readonly #segments = new Int32Array(QUEUE_MESSAGES);
  readonly #destinations = new Int32Array(QUEUE_MESSAGES);
  readonly #bytes = new Int32Array(QUEUE_MESSAGES);
  readonly #datagramBytes = new Int32Array(QUEUE_MESSAGES);
  readonly #headerBytes = new Int32Array(QUEUE_MESSAGES);
  /** Of each message: the outer TOS octet, or SOCKET_TOS. */
  readonly #tos = new Int32Array(QUEUE_MESSAGES);
  /**
   * The destination where the kernel last refused a run but accepted its datagrams one by one, and how often since a run was accepted there;
   * NO_REMOTE: none.
   */
  #refusedTo = NO_REMOTE;
  #refusals = 0;
  #messageCount = 0;
  #bufferCount = 0;

  constructor(fd: number, messages: SendArray, shared: QueueShared) {
    this.#fd = fd;
    this.#messages = messages;
    this.#remotes = shared.remotes;
    this.#counters = shared.counters;
    this.#remoteCounters = shared.remoteCounters;
    this.#segmentation = shared.segmentation;
    this.socketTos = shared.socketTos;
    this.#singles = shared.singles;
    this.#onPathMtu = shared.onPathMtu;
  }

  /** Changes to another socket, perhaps of the other family, while nothing is queued. */
  useSocket(fd: number, family: 4 | 6): void {
    this.#fd = fd;
    this.#messages.setFamily(family);
    this.#refusedTo = NO_REMOTE;
    this.#refusals = 0;
  }

  /** The link of link-local destinations, by its interface index. */
  setScope(scope: number): void {
    this.#messages.setScope(scope);
  }

  get isEmpty(): boolean {
    return this.#messageCount === 0;
  }

  /**
   * Queues consecutive datagrams.
   *
   * @param destination remote id, of the family of the queue's messages
   * @param length of all together, at most MAX_UDP_PAYLOAD_BYTES
   * @param datagramBytes of each but the last, which may be shorter; MAX_UDP_SEGMENTS of them at most
   * @param tos outer TOS octet
   */
  push(segment: Segment, destination: number, at: number, length: number, datagramBytes: number, tos: number): void {
    const ownTos = tos === this.socketTos ? SOCKET_TOS : tos;
    if (this.#segmentation.isOn) {
      this.#add(segment, destination, at, length, datagramBytes, ownTos);
      return;
    }
    for (let offset = 0; offset < length; offset += datagramBytes) {
      const bytes = Math.min(datagramBytes, length - offset);
      this.#add(segment, destination, at + offset, bytes, bytes, ownTos);
    }
  }

  flush(): void {
    const count = this.#messageCount;
    for (let i = 0; i < count; i++) {
      const first = this.#firsts[i] as number;
      this.#messages.setMessage(i, first, (this.#firsts[i + 1] as number) - first);
      this.#address(this.#messages, i, this.#destinations[i] as number);
      const isRun = (this.#bytes[i] as number) > (this.#datagramBytes[i] as number);
      this.#messages.setControls(i, isRun ? (this.#datagramBytes[i] as number) : 0, this.#tos[i] as number);
    }
    for (let next = 0; next < count; ) {
      const sent = sendmmsg(this.#fd, this.#messages.headers.at(next), count - next, MSG_DONTWAIT);
      for (let i = 0; i < sent; i++) this.#countSent(next++);
      // Whatever the cause is, sending the datagrams one by one finds those that have it.
      if (sent <= 0 && errno() !== ERRNO.EINTR) this.#sendSingly(next++, errno());
    }
    this.#messageCount = 0;
    this.#bufferCount = 0;
  }

  #add(segment: Segment, destination: number, at: number, length: number, datagramBytes: number, tos: number): void {
    if (this.#bufferCount === QUEUE_MESSAGES) this.flush();
    const buffer = this.#bufferCount++;
    this.#bufferAt[buffer] = at;
    this.#bufferBytes[buffer] = length;
    this.#messages.setBuffer(buffer, at, length);
    const last = this.#messageCount - 1;
    if (last >= 0 && this.#continues(last, segment.index, destination, length, datagramBytes, tos)) {
      this.#bytes[last] = (this.#bytes[last] as number) + length;
    } else {
      const i = this.#messageCount++;
      this.#firsts[i] = buffer;
      this.#segments[i] = segment.index;
      this.#destinations[i] = destination;
      this.#bytes[i] = length;
      this.#datagramBytes[i] = datagramBytes;
      this.#headerBytes[i] = ENCAPSULATIONS[segment.encap].headerBytes;
      this.#tos[i] = tos;
    }
    this.#firsts[this.#messageCount] = buffer + 1;
  }

  /** Whether datagrams can be added to message `i`: those of its size, or a single shorter one, which completes it. */
  #continues(
    i: number,
    segment: number,
    destination: number,
    length: number,
    datagramBytes: number,
    tos: number,
  ): boolean {
    const size = this.#datagramBytes[i] as number;
    const bytes = (this.#bytes[i] as number) + length;
    return (
      this.#segmentation.isOn &&
      this.#destinations[i] === destination &&
      this.#segments[i] === segment &&
      this.#tos[i] === tos &&
      (datagramBytes === size || (length < size && length <= datagramBytes)) &&
      (this.#bytes[i] as number) % size === 0 &&
      bytes <= MAX_UDP_PAYLOAD_BYTES &&
      bytes <= size * MAX_UDP_SEGMENTS
    );
  }

  /** Sends the datagrams of message `i` one by one. Those that cannot be sent are counted as dropped. @param error the error of the run */
  #sendSingly(i: number, error: number): void {
    const count = this.#layOutSingles(i);
    const segment = this.#segments[i] as number;
    let dropped = 0;
    let tries = 0;
    for (let next = 0; next < count; ) {
      const sent = sendmmsg(this.#fd, this.#singles.headers.at(next), count - next, MSG_DONTWAIT);
      if (sent > 0) {
        for (let single = next; single < next + sent; single++) this.#countSingle(i, single);
        next += sent;
        tries = 0;
        continue;
      }
      const reason = errno();
      if (reason === ERRNO.EINTR) continue;
      // The error may be an ICMP error for an earlier datagram to any destination: read all errors and send this one again, as long as there were
      // any. Another worker that shares the socket may have read it already. The kernel also puts the MTU of a path that is
      // too narrow there, which must not be read when it is no longer true.
      const wereErrors = drainErrorQueue(this.#fd, this.#onPathMtu);
      if (tries++ === 0 || (wereErrors && reason !== ERRNO.EMSGSIZE && tries < MAX_SEND_TRIES)) continue;
      this.#counters.txDropped(segment, dropReason(reason));
      this.#remoteCounters.notSent(this.#destinations[i] as number, 1);
      dropped++;
      next++;
      tries = 0;
    }
    const isRefusal = error === ERRNO.EIO || error === ERRNO.EINVAL;
    if (count > 1 && isRefusal && dropped === 0) this.#noteRefusal(this.#destinations[i] as number, error);
  }

  /**
   * A run was refused, but its datagrams were accepted one by one. Once is not enough: the source address, such as a VIP, may have come back in
   * between. A path that accepts no runs refuses the next one too.
   */
  #noteRefusal(destination: number, error: number): void {
    this.#refusedTo = destination;
    if (++this.#refusals >= REFUSALS_OF_A_PATH) this.#segmentation.switchOff(error);
  }

  /** Makes a message of each datagram of message `i`. Returns their number. */
  #layOutSingles(i: number): number {
    const size = this.#datagramBytes[i] as number;
    let count = 0;
    for (let buffer = this.#firsts[i] as number; buffer < (this.#firsts[i + 1] as number); buffer++) {
      const at = this.#bufferAt[buffer] as number;
      const length = this.#bufferBytes[buffer] as number;
      for (let offset = 0; offset < length; offset += size) {
        this.#singles.setBuffer(count, at + offset, Math.min(size, length - offset));
        this.#singles.setMessage(count, count, 1);
        this.#address(this.#singles, count, this.#destinations[i] as number);
        this.#singles.setControls(count++, 0, this.#tos[i] as number);
      }
    }
    return count;
  }

  #address(messages: SendArray, i: number, remote: number): void {
    const remotes = this.#remotes;
    messages.setDestination(
      i,
      remotes.word(remote, 0),
      remotes.word(remote, 1),
      remotes.word(remote, 2),
      remotes.word(remote, 3),
    );
  }

  #countSent(i: number): void {
    const bytes = this.#bytes[i] as number;
    const packets = Math.ceil(bytes / (this.#datagramBytes[i] as number));
    this.#count(i, bytes, packets);
    if (packets === 1 || this.#destinations[i] !== this.#refusedTo) return;
    this.#refusedTo = NO_REMOTE;
    this.#refusals = 0;
  }

  #countSingle(i: number, single: number): void {
    const size = this.#datagramBytes[i] as number;
    const bytes = Math.min(size, (this.#bytes[i] as number) - single * size);
    this.#count(i, bytes, 1);
  }

  /** @param bytes of the datagrams, headers included */
  #count(i: number, bytes: number, packets: number): void {
    const inner = bytes - packets * (this.#headerBytes[i] as number);
    this.#counters.sent(this.#segments[i] as number, inner, packets);
    this.#remoteCounters.sent(this.#destinations[i] as number, inner, packets);
  }
}

function dropReason(error: number): number {
  if (error === ERRNO.EMSGSIZE) return TX_DROP.oversize;
  if (error === ERRNO.EAGAIN || error === ERRNO.ENOBUFS) return TX_DROP['send-full'];
  return TX_DROP['send-error'];
}
