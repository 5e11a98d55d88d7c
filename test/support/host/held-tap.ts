/** A TAP interface that the test process itself holds open, as another program on the host would. */
import { close, ioctl, O_CLOEXEC, O_NONBLOCK, O_RDWR, open } from './libc.ts';
import { inNamespace } from './namespaces.ts';

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;

/** Attaches to the TAP, making it where there is none. It has carrier until `close()`. */
export class HeldTap {
  readonly #fd: number;

  constructor(namespace: string, name: string) {
    // struct ifreq: name 0, flags 16.
    const request = Buffer.alloc(40);
    request.write(name, 'latin1');
    request.writeUInt16LE(IFF_TAP | IFF_NO_PI, 16);
    this.#fd = inNamespace(namespace, () => {
      const fd = open('/dev/net/tun', O_RDWR | O_NONBLOCK | O_CLOEXEC);
      ioctl(fd, TUNSETIFF, request);
      return fd;
    });
  }

  close(): void {
    close(this.#fd);
  }
}
