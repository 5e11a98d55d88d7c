import { closeSync, openSync } from 'node:fs';
import { errno, flock } from './libc.ts';
import { ERRNO, SysError } from './sys-error.ts';

const LOCK_EX_NB = 2 | 4;

/**
 * Takes a lock that the kernel releases when the process ends in any way (flock(2)). The file is made if it does not exist.
 *
 * @returns the fd that holds it, for the caller to close; undefined: another holds it
 * @throws Error with the `code` of the file system  @throws SysError if there are no locks there
 */
export function lockFile(path: string): number | undefined {
  const fd = openSync(path, 'a', 0o640);
  if (flock(fd, LOCK_EX_NB) >= 0) return fd;
  const value = errno();
  closeSync(fd);
  if (value === ERRNO.EAGAIN) return undefined;
  throw new SysError(path, value);
}
