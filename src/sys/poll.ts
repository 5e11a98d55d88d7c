import { poll } from './libc.ts';

const POLLOUT = 0x4;

/** Whether a write would not wait, or fail at once. @param patienceMs how long to wait until it would not */
export function isWritable(fd: number, patienceMs: number): boolean {
  /** struct pollfd: fd 0, events 4, revents 6. */
  const pollfd = Buffer.alloc(8);
  pollfd.writeInt32LE(fd, 0);
  pollfd.writeInt16LE(POLLOUT, 4);
  return poll(pollfd, 1, Math.ceil(patienceMs)) > 0;
}
