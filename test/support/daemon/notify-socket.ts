/** The receiving end of systemd's notification protocol (sd_notify(3)): a unix datagram socket. */
import { AF_UNIX, bind, close, receiveFrom, SOCK_DGRAM, socket } from '../host/libc.ts';
import { waitFor } from '../wait.ts';

export class NotifySocket {
  /** What NOTIFY_SOCKET must be. A path, or `@name` in the abstract namespace, as systemd may use either. */
  readonly address: string;
  readonly #fd: number;
  readonly #scratch = Buffer.alloc(4096);
  readonly #lines: string[] = [];

  constructor(address: string) {
    this.address = address;
    this.#fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    bind(this.#fd, unixAddress(address));
  }

  /** All assignments received so far, in order, e.g. `READY=1`. */
  lines(): readonly string[] {
    for (let next = receiveFrom(this.#fd, this.#scratch); next; next = receiveFrom(this.#fd, this.#scratch)) {
      this.#lines.push(...next.bytes.toString('utf8').split('\n').filter(Boolean));
    }
    return this.#lines;
  }

  async waitForLine(line: string, timeoutMs = 15_000): Promise<void> {
    await waitFor(
      `the notification ${line}`,
      () => this.lines(),
      (lines) => lines.includes(line),
      { timeoutMs, everyMs: 1 },
    );
  }

  close(): void {
    close(this.#fd);
  }
}

/** struct sockaddr_un: an abstract name begins with a zero octet and has no end. */
function unixAddress(address: string): Buffer {
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX, 0);
  const path = address.startsWith('@') ? `\0${address.slice(1)}` : `${address}\0`;
  return Buffer.concat([family, Buffer.from(path, 'latin1')]);
}
