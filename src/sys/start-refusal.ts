import { constants } from 'node:os';
import { VtepError } from '../lib/errors.ts';
import { openFilesLimit } from './privileges.ts';
import { ERRNO, SysError } from './sys-error.ts';

/**
 * The error for a part of the daemon that Node could not start or load, since the host lacked something. Node has the errno in its code or message,
 * or nowhere, for example if a library could not be opened.
 */
export function startRefusal(object: string, error: Error): VtepError {
  if (error instanceof VtepError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  // Also for a SysError of the thread, which arrives without its class.
  const name = [code, ...error.message.split(/[^A-Z]+/)].find((word) => Object.hasOwn(constants.errno, word));
  const errno = constants.errno[name as keyof typeof constants.errno];
  if (errno === undefined) {
    const remedy = `check the limits of open files (${openFilesLimit() ?? 'not known'}), of threads and of memory`;
    return new VtepError('ERR_VTEP_SYSTEM', { object, cause: error.message, remedy });
  }
  // Node reports only this if there is no thread, like pthread_create(3), whatever the host lacks.
  if (errno !== ERRNO.EAGAIN) return new SysError(object, errno);
  return new SysError(object, errno, {
    remedy: 'raise the limit of threads (TasksMax= or ulimit -u), or give it more memory',
  });
}
