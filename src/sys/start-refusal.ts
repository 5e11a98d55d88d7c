import { constants } from 'node:os';
import { VtepError } from '../lib/errors.ts';
import { openFilesLimit } from './privileges.ts';
import { ERRNO, SysError } from './sys-error.ts';

/**
 * What is told of a part of the daemon that Node could not start or load. The host lacked something for it; Node names the errno in its code
 * or in its message, or does not name it, as where a library could not be opened.
 */
export function startRefusal(object: string, error: Error): VtepError {
  if (error instanceof VtepError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  // Also of a SysError of the thread, which comes without its class.
  const name = [code, ...error.message.split(/[^A-Z]+/)].find((word) => Object.hasOwn(constants.errno, word));
  const errno = constants.errno[name as keyof typeof constants.errno];
  if (errno === undefined) {
    const remedy = `check the limits of open files (${openFilesLimit() ?? 'not known'}), of threads and of memory`;
    return new VtepError('ERR_VTEP_SYSTEM', { object, cause: error.message, remedy });
  }
  // Node says so and no more where there is no thread; so does pthread_create(3), for whatever the host lacks.
  if (errno !== ERRNO.EAGAIN) return new SysError(object, errno);
  return new SysError(object, errno, {
    remedy: 'raise the limit of threads (TasksMax= or ulimit -u), or give it more memory',
  });
}
