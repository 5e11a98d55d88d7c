import type { Counters } from '../forward/counters.ts';
import { TX_DROP } from '../forward/drop-reason.ts';
import { MAX_UDP_PAYLOAD_BYTES, MAX_UDP_SEGMENTS } from '../lib/limits.ts';
import type { Segment } from '../segment/segment.ts';
import { errno, sendmmsg } from '../sys/libc.ts';
import { MessageArray, RunArray } from '../sys/mmsg.ts';
import type { Slab } from '../sys/slab.ts';
import { ERRNO } from '../sys/sys-error.ts';
import { drainErrorQueue } from '../sys/udp-socket.ts';
import { VXLAN_HEADER_BYTES } from '../wire/vxlan.ts';

/** Datagrams that one source port holds before it must be flushed: all that one read of a TAP can bring. */
const QUEUE_DATAGRAMS = 64;

const MSG_DONTWAIT = 0x40;

/** Whether runs of datagrams leave as one send. Shared by the queues of a worker: what one path cannot do is switched off for all. */
export class Segmentation {
  readonly #onOff: (error: number) => void;
  #isOn = true;

  /** @param onOff told once, with the errno that the kernel gave */
  constructor(onOff: (error: number) => void) {
    this.#onOff = onOff;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  switchOff(error: number): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#onOff(error);
  }
}

/**
 * The queue of one source port: datagrams laid out in the slab, sent by one sendmmsg. Consecutive datagrams of equal length to one
 * destination, the last of them perhaps shorter, leave as one message that the kernel cuts (UDP_SEGMENT).
 */
export class SendQueue {
  readonly #fd: number;
  readonly #counters: Counters;
  readonly #datagrams: MessageArray;
  /** Of each datagram: segment index and octets for the counters, destination to find runs by. */
  readonly #segments = new Int32Array(QUEUE_DATAGRAMS);
  readonly #lengths = new Int32Array(QUEUE_DATAGRAMS);
  readonly #destinations = new Int32Array(QUEUE_DATAGRAMS);
  readonly #runs: RunArray;
  /** Datagrams of each run. */
  readonly #runLengths = new Int32Array(QUEUE_DATAGRAMS);
  readonly #segmentation: Segmentation;
  #count = 0;

  /** @param port destination UDP port */
  constructor(slab: Slab, fd: number, port: number, counters: Counters, segmentation: Segmentation) {
    this.#fd = fd;
    this.#counters = counters;
    this.#segmentation = segmentation;
    this.#datagrams = new MessageArray(slab, QUEUE_DATAGRAMS, port);
    this.#runs = new RunArray(slab, QUEUE_DATAGRAMS, this.#datagrams);
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** @param destination IPv4 address as a big-endian word */
  push(segment: Segment, destination: number, at: number, length: number): void {
    if (this.#count === QUEUE_DATAGRAMS) this.flush();
    const i = this.#count++;
    this.#datagrams.setBuffer(i, at, length);
    this.#datagrams.setDestination(i, destination);
    this.#segments[i] = segment.index;
    this.#lengths[i] = length;
    this.#destinations[i] = destination;
  }

  flush(): void {
    if (this.#segmentation.isOn) this.#sendRuns();
    else this.#sendSingly(0, this.#count);
    this.#count = 0;
  }

  #sendRuns(): void {
    const runCount = this.#gatherRuns();
    let run = 0;
    let first = 0;
    while (run < runCount) {
      const sent = sendmmsg(this.#fd, this.#runs.headers.at(run), runCount - run, MSG_DONTWAIT);
      for (let i = 0; i < sent; i++) {
        const length = this.#runLengths[run++] as number;
        this.#countSent(first, length);
        first += length;
      }
      if (sent > 0 || errno() === ERRNO.EINTR) continue;
      // Whatever it is about this run, its datagrams one by one tell which are to blame.
      const error = errno();
      const length = this.#runLengths[run++] as number;
      const passed = this.#sendSingly(first, length);
      const isRefusal = error === ERRNO.EIO || error === ERRNO.EINVAL;
      if (length > 1 && isRefusal && passed === length) this.#segmentation.switchOff(error);
      first += length;
    }
  }

  /** Finds the runs from the first datagram to the last, in order. How many there are. */
  #gatherRuns(): number {
    let runCount = 0;
    for (let first = 0; first < this.#count; ) {
      const segmentBytes = this.#lengths[first] as number;
      const destination = this.#destinations[first];
      let room = MAX_UDP_PAYLOAD_BYTES - segmentBytes;
      let end = first + 1;
      // A shorter datagram ends its run.
      while (end < this.#count && end - first < MAX_UDP_SEGMENTS && this.#lengths[end - 1] === segmentBytes) {
        const length = this.#lengths[end] as number;
        if (length > segmentBytes || length > room || this.#destinations[end] !== destination) break;
        room -= length;
        end++;
      }
      this.#runs.set(runCount, first, end - first, segmentBytes);
      this.#runLengths[runCount++] = end - first;
      first = end;
    }
    return runCount;
  }

  /** Sends datagrams each by itself; those that cannot be sent are counted as dropped. How many were sent. */
  #sendSingly(start: number, count: number): number {
    const end = start + count;
    let first = start;
    let passed = 0;
    let isRetry = false;
    while (first < end) {
      const sent = sendmmsg(this.#fd, this.#datagrams.headers.at(first), end - first, MSG_DONTWAIT);
      if (sent > 0) {
        this.#countSent(first, sent);
        passed += sent;
        first += sent;
        isRetry = false;
        continue;
      }
      const error = errno();
      if (error === ERRNO.EINTR) continue;
      // The error may be an ICMP answer to an earlier datagram, to whomever that was: take it off and send this one again.
      if (!isRetry && drainErrorQueue(this.#fd)) {
        isRetry = true;
        continue;
      }
      this.#counters.txDropped(this.#segments[first] as number, dropReason(error));
      first++;
      isRetry = false;
    }
    return passed;
  }

  #countSent(first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      this.#counters.sent(this.#segments[i] as number, (this.#lengths[i] as number) - VXLAN_HEADER_BYTES);
    }
  }
}

function dropReason(error: number): number {
  if (error === ERRNO.EMSGSIZE) return TX_DROP.oversize;
  if (error === ERRNO.EAGAIN || error === ERRNO.ENOBUFS) return TX_DROP['send-full'];
  return TX_DROP['send-error'];
}
