import { close, recv, whenReadable } from './libc.ts';
import { NETLINK_RECEIVE_BYTES, openNetlink } from './netlink-socket.ts';

/** Routes, rules and next hops of both families (linux/rtnetlink.h), as a mask. */
const ROUTE_GROUPS = (0x40 | 0x400 | 0x80 | 0x4_0000 | 0x8000_0000) >>> 0;

const MSG_DONTWAIT = 0x40;

/**
 * Tells that the host's routes have changed, at most once in `pauseMs`: a router tells of thousands a second, and nobody reads what. In
 * between the socket overflows, which tells the same.
 *
 * @returns what ends it
 */
export function watchRoutes(onChange: () => void, pauseMs: number): () => void {
  const fd = openNetlink(ROUTE_GROUPS);
  const buffer = Buffer.alloc(NETLINK_RECEIVE_BYTES);
  let end: () => void = () => {};
  const listen = () => {
    const unwatch = whenReadable(fd, () => {
      unwatch();
      const pause = setTimeout(() => {
        drain(fd, buffer);
        listen();
        onChange();
      }, pauseMs);
      end = () => clearTimeout(pause);
    });
    end = unwatch;
  };
  listen();
  return () => {
    end();
    close(fd);
  };
}

/** An overflow is told once as an error, and there is more behind it. */
function drain(fd: number, buffer: Buffer): void {
  for (let errors = 0; errors < 2; ) if (recv(fd, buffer, buffer.length, MSG_DONTWAIT) < 0) errors++;
}
