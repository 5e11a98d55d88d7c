/** The receiving end of systemd's notification protocol (sd_notify(3)): a Unix datagram socket, which Node.js does not have. */
import { rmSync } from 'node:fs';
import koffi from 'koffi';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT = 0x40;

const libc = koffi.load(null);
const socket = libc.func('int socket(int family, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, uint length)');
const recv = libc.func('long recv(int fd, void *octets, size_t length, int flags)');
const close = libc.func('int close(int fd)');

export class NotifySocket {
  #fd;
  #text = Buffer.alloc(4096);

  /** @param {string} path what NOTIFY_SOCKET shall be */
  constructor(path) {
    rmSync(path, { force: true });
    this.#fd = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
    const address = Buffer.concat([Buffer.alloc(2), Buffer.from(`${path}\0`)]);
    address.writeUInt16LE(AF_UNIX, 0);
    if (bind(this.#fd, address, address.length) < 0) throw new Error(`cannot bind ${path}: errno ${koffi.errno()}`);
  }

  /** Whether READY=1 is among what has come since the last question. */
  isReady() {
    for (;;) {
      const length = Number(recv(this.#fd, this.#text, this.#text.length, MSG_DONTWAIT));
      if (length < 0) return false;
      if (this.#text.toString('utf8', 0, length).split('\n').includes('READY=1')) return true;
    }
  }

  close() {
    close(this.#fd);
  }
}
