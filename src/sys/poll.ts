import { poll } from './libc.ts';

const POLLOUT = 0x4;

/** Whether a write would not block (it may fail at once). Always true for a file. */
export function isWritable(fd: number): boolean {
  /** struct pollfd: fd 0, events 4, revents 6. */
  const pollfd = Buffer.alloc(8);
  pollfd.writeInt32LE(fd, 0);
  pollfd.writeInt16LE(POLLOUT, 4);
  return poll(pollfd, 1, 0) > 0;
}
