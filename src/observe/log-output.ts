import { writeSync } from 'node:fs';
import { MAX_LOG_BACKLOG_BYTES } from '../lib/limits.ts';
import { isWritable } from '../sys/poll.ts';

/** A pipe that says it is writable takes so much without blocking (PIPE_BUF, pipe(7)). */
const CHUNK_BYTES = 4_096;

const NEW_LINE = Buffer.from('\n');

/** How soon a reader that stalled is looked at again. */
const RETRY_MS = 50;

/**
 * Where log lines go: a fd that may be a full disk, or a pipe whose reader stalls or is gone. Writing never throws and never waits. Lines wait
 * for a slow reader as far as there is room; what cannot be written is counted.
 */
export class LogOutput {
  /** Lines lost so far. */
  lost = 0;
  readonly #fd: number;
  readonly #onAgain: (lost: number) => void;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Lost since the last line that was written. */
  #untold = 0;
  /** A part of the first line that waits is out. */
  #isBegun = false;
  /** What is out ends in a line that was lost half-way. */
  #isTorn = false;
  #retry: NodeJS.Timeout | undefined;

  /** @param onAgain lines can be written again, after so many were lost */
  constructor(fd: number, onAgain: (lost: number) => void) {
    this.#fd = fd;
    this.#onAgain = onAgain;
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

  /** Waits for a slow reader, so long. */
  drain(patienceMs: number): void {
    const endMs = performance.now() + patienceMs;
    while (this.#waiting.length > 0 && isWritable(this.#fd, Math.max(0, endMs - performance.now()))) this.#flush();
  }

  #flush(): void {
    for (let line = this.#waiting[0]; line && isWritable(this.#fd, 0); line = this.#waiting[0]) {
      if (this.#isTorn) {
        this.#isTorn = this.#tryWrite(NEW_LINE) < 1;
      }
      const written = this.#tryWrite(line);
      if (written === 0) break;
      if (written > 0 && written < line.length) {
        this.#waiting[0] = line.subarray(written);
        this.#waitingBytes -= written;
        this.#isBegun = true;
        continue;
      }
      this.#waiting.shift();
      this.#waitingBytes -= line.length;
      this.#isTorn = written < 0 && this.#isBegun;
      this.#isBegun = false;
      if (written < 0) this.#lose();
      // The line that tells needs room itself.
      else if (this.#untold > 0 && this.#waitingBytes <= MAX_LOG_BACKLOG_BYTES / 2) this.#tellLost();
    }
    if (this.#waiting.length === 0 || this.#retry) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#flush();
    }, RETRY_MS);
    this.#retry.unref();
  }

  /** How much was written; 0: none now; -1: it cannot be. */
  #tryWrite(line: Buffer): number {
    try {
      return writeSync(this.#fd, line, 0, Math.min(line.length, CHUNK_BYTES));
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      return code === 'EAGAIN' || code === 'EINTR' ? 0 : -1;
    }
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
