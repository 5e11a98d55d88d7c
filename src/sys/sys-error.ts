import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { type ErrorCode, VtepError } from '../lib/errors.ts';
import { errno } from './libc.ts';
import { CAP_NET_ADMIN, hasCapability, openFilesLimit } from './privileges.ts';

/** errno values that the code itself acts upon (Linux, asm-generic). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  EBADMSG: 74,
  EBADFD: 77,
  EMSGSIZE: 90,
  ENOTSUP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  EHOSTUNREACH: 113,
} as const;

/** The default remedy for an errno. It names no cause that was not checked. */
const REMEDIES: Partial<Record<string, () => string>> = {
  EPERM: () =>
    hasCapability(CAP_NET_ADMIN)
      ? 'vtepd has CAP_NET_ADMIN here: something else forbids it, such as a limit of its container or service, or a BPF program'
      : 'run vtepd as root or give it CAP_NET_ADMIN',
  EACCES: () => 'run vtepd as root or give its user access',
  EMFILE: () =>
    `raise the limit of open files, which is ${openFilesLimit() ?? 'not known'} (LimitNOFILE= or ulimit -n)`,
  ENFILE: () => 'raise fs.file-max',
  ENOMEM: () => 'free memory of the host or of the service’s own limit (MemoryMax=), or lower the number of VNIs',
  ENOBUFS: () => 'free memory, or raise net.core.optmem_max',
  EADDRNOTAVAIL: () => 'check that this host has the address and can use it (`ip addr`)',
  EADDRINUSE: () => 'stop what uses it, or choose another one',
  ENODEV: () => 'name an interface that exists',
};

// Backwards, so that EAGAIN and ENOTSUP win over their later synonyms EWOULDBLOCK and EOPNOTSUPP.
const NAMES = new Map(
  Object.entries(constants.errno)
    .reverse()
    .map(([name, value]) => [value, name]),
);

export function errnoName(value: number): string {
  return NAMES.get(value) ?? (value === ERRNO.EBADFD ? 'EBADFD' : `errno ${value}`);
}

/** A system call that the kernel refused. */
export class SysError extends VtepError {
  readonly errno: number;

  constructor(object: string, value: number, { code = 'ERR_VTEP_SYSTEM', remedy }: SysErrorOptions = {}) {
    const name = errnoName(value);
    const [, text] = getSystemErrorMap().get(-value) ?? [];
    super(code, { object, cause: text ? `${name} (${text})` : name, remedy: remedy ?? REMEDIES[name]?.() });
    this.name = 'SysError';
    this.errno = value;
  }
}

export interface SysErrorOptions {
  readonly code?: ErrorCode;
  /** Instead of the general remedy for the errno. */
  readonly remedy?: string | undefined;
}

/** Passes a system call's result through, or throws what errno says about `object`. */
export function check(result: number, object: string, options?: SysErrorOptions): number {
  if (result < 0) throw new SysError(object, errno(), options);
  return result;
}
