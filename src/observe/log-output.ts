import { fstatSync, write, writeSync } from 'node:fs';
import { MAX_LOG_BACKLOG_BYTES } from '../lib/limits.ts';
import { isWritable } from '../sys/poll.ts';

/** Bytes of one write. A writable pipe accepts this much without blocking (PIPE_BUF, pipe(7)). */
const CHUNK_BYTES = 4_096;

const NEW_LINE = Buffer.from('\n');

/** How soon a write to a stalled reader is tried again. */
const RETRY_MS = 50;

/**
 * Where log lines go: a fd that may be a file on a disk that is full or does not answer, a stopped terminal, or a pipe whose reader stalls or is
 * gone. The caller never waits. Pipes and sockets are written to while they are writable, so that a line is out when the call returns. Any other fd
 * is written to by a thread of libuv's pool, since a write to it may not return. Lines stay in order: there is one write at a time, and further
 * lines wait in a bounded buffer. Lines that cannot be written are counted.
 */
export class LogOutput {
  /** Lines lost so far. */
  lost = 0;
  readonly #fd: number;
  readonly #onAgain: (lost: number) => void;
  /** A writable fd accepts a chunk without waiting. */
  readonly #isHonest: boolean;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Lost since the last line that was written. */
  #untold = 0;
  /** A write has not returned yet. */
  #isWriting = false;
  /** A part of the first waiting line has been written. */
  #isBegun = false;
  /** The output ends in an incomplete line. */
  #isTorn = false;
  #retry: NodeJS.Timeout | undefined;
  #emptied: (() => void)[] = [];

  /** @param onAgain lines can be written again, after so many were lost */
  constructor(fd: number, onAgain: (lost: number) => void) {
    this.#fd = fd;
    this.#onAgain = onAgain;
    this.#isHonest = isPipeOrSocket(fd);
  }

  /** @param line with its end */
  write(line: string): void {
    const octets = Buffer.from(line);
    if (this.#waitingBytes + octets.length > MAX_LOG_BACKLOG_BYTES) {
      this.#lose();
      return;
    }
    this.#waiting.push(octets);
    this.#waitingBytes += octets.length;
    this.#flush();
  }

  /**
   * Resolves once all lines are written or lost, after the given time at the latest. False: a write may still wait, and with it a thread that an
   * ordinary exit waits for.
   */
  async drain(patienceMs: number): Promise<boolean> {
    if (this.#waiting.length === 0) return true;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#emptied.push(resolve);
      timer = setTimeout(resolve, patienceMs);
    });
    clearTimeout(timer);
    return !this.#isWriting;
  }

  #flush(): void {
    while (this.#waiting.length > 0 && !this.#isWriting && !this.#retry) {
      if (!isWritable(this.#fd)) this.#retryLater();
      else if (this.#isHonest) this.#writeNow();
      else this.#writeAside();
    }
    if (this.#waiting.length === 0) for (const resolve of this.#emptied.splice(0)) resolve();
  }

  #writeNow(): void {
    let written: number;
    try {
      written = writeSync(this.#fd, this.#nextChunk());
    } catch (error) {
      this.#onRefused(error as NodeJS.ErrnoException);
      return;
    }
    this.#onWritten(written);
  }

  #writeAside(): void {
    this.#isWriting = true;
    write(this.#fd, this.#nextChunk(), (error, written) => {
      this.#isWriting = false;
      if (error) this.#onRefused(error);
      else this.#onWritten(written);
      this.#flush();
    });
  }

  /** As many lines as one write takes, or a part of a long one. */
  #nextChunk(): Buffer {
    const parts: Buffer[] = this.#isTorn ? [NEW_LINE] : [];
    let bytes = 0;
    for (const line of this.#waiting) {
      parts.push(line.subarray(0, CHUNK_BYTES));
      bytes += line.length;
      if (bytes >= CHUNK_BYTES) break;
    }
    return Buffer.concat(parts).subarray(0, CHUNK_BYTES);
  }

  #onWritten(octets: number): void {
    if (octets === 0) {
      this.#retryLater();
      return;
    }
    let left = octets;
    if (this.#isTorn) {
      this.#isTorn = false;
      left--;
    }
    for (let line = this.#waiting[0]; line && left > 0; line = this.#waiting[0]) {
      const taken = Math.min(left, line.length);
      left -= taken;
      this.#waitingBytes -= taken;
      this.#isBegun = taken < line.length;
      if (this.#isBegun) this.#waiting[0] = line.subarray(taken);
      else this.#waiting.shift();
    }
    // The line that reports it needs room too.
    if (this.#untold > 0 && this.#waitingBytes <= MAX_LOG_BACKLOG_BYTES / 2) this.#tellLost();
  }

  /** Loses only the first line: there may be room for the next. */
  #onRefused({ code = '' }: NodeJS.ErrnoException): void {
    if (code === 'EINTR') return;
    if (code === 'EAGAIN') {
      this.#retryLater();
      return;
    }
    this.#waitingBytes -= this.#waiting.shift()?.length ?? 0;
    this.#isTorn ||= this.#isBegun;
    this.#isBegun = false;
    this.#lose();
  }

  #retryLater(): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#flush();
    }, RETRY_MS);
    this.#retry.unref();
  }

  #lose(): void {
    this.lost++;
    this.#untold++;
  }

  #tellLost(): void {
    const lost = this.#untold;
    this.#untold = 0;
    this.#onAgain(lost);
  }
}

function isPipeOrSocket(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}
