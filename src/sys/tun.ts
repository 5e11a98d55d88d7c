import { VtepError } from '../lib/errors.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { readString } from './c-string.ts';
import { close, errno, ioctl, ioctlNumber, open } from './libc.ts';
import { check, ERRNO, errnoName, SysError } from './sys-error.ts';

/** TAP devices through /dev/net/tun (linux/if_tun.h). */

const TUN_PATH = '/dev/net/tun';
const O_RDWR_NONBLOCK_CLOEXEC = 0o2 | 0o4000 | 0o2000000;

const TUNSETIFF = 0x4004_54ca;
const TUNSETPERSIST = 0x4004_54cb;
const TUNSETOWNER = 0x4004_54cc;
const TUNSETOFFLOAD = 0x4004_54d0;
const TUNSETVNETHDRSZ = 0x4004_54d8;
const TUNSETVNETLE = 0x4004_54dc;
const TUNGETIFF = 0x8004_54d2;
const TUNGETDEVNETNS = 0x54e3;

const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_TUN_EXCL = 0x8000;

const TUN_F_CSUM = 0x01;
/** TSO4, TSO6 and TSO_ECN: the host may give TCP super-frames. */
const TUN_F_TSO = 0x02 | 0x04 | 0x08;
/** USO4 and USO6, which the kernel takes together or not at all; since Linux 6.2. */
const TUN_F_USO = 0x20 | 0x40;

const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

/** `create` fails if the name is taken; `attach` uses an existing device. */
export type TapMode = 'create' | 'attach';

export interface TapOffloadWanted {
  /** The host sends super-frames. */
  readonly gso: boolean;
  /** The host receives super-frames. */
  readonly gro: boolean;
}

export interface TapOptions extends TapOffloadWanted {
  /** 1: a single-queue TAP; more: a multi-queue one. */
  readonly queues: number;
}

/** The offloads of a TAP that the kernel accepted. */
export interface TapOffload {
  /** The host sends super-frames of TCP, and with `mergesUdp` of UDP too. */
  readonly gso: boolean;
  /** The host accepts runs of UDP datagrams as one super-frame; false also if no direction was wanted. */
  readonly mergesUdp: boolean;
}

export interface OpenTap extends TapOffload {
  /** One for each queue. */
  readonly fds: readonly [number, ...number[]];
}

/**
 * Opens a TAP with vnet header, checksum offload and the offloads that are wanted and possible, non-blocking. One that is created belongs
 * to the calling user before it is up, so that no other local user can attach to it; it disappears when its fds are closed.
 *
 * @throws VtepError ERR_VTEP_TAP, naming the TAP, the cause and the remedy
 */
export function openTap(name: string, mode: TapMode, { queues, ...wanted }: TapOptions): OpenTap {
  const object = `TAP "${name}"`;
  const isMultiQueue = queues > 1;
  const fd = openQueue(name, { isMultiQueue, isNew: mode === 'create' });
  const fds: [number, ...number[]] = [fd];
  try {
    if (mode === 'create') check(ioctlNumber(fd, TUNSETOWNER, process.getuid?.() ?? 0), object);
    // Settings of the device, not of the fd: another program may have set others before.
    check(ioctl(fd, TUNSETVNETHDRSZ, int32(VNET_HDR_BYTES)), object);
    check(ioctl(fd, TUNSETVNETLE, int32(1)), object);
    const offload = negotiateOffload((flags) => takesOffload(fd, flags, object), wanted);
    while (fds.length < queues) fds.push(openQueue(name, { isMultiQueue, isNew: false }));
    return { fds, ...offload };
  } catch (error) {
    for (const queue of fds) close(queue);
    throw error;
  }
}

/**
 * Sets as many of the wanted offloads as the kernel accepts. It merges UDP if it supports USO, which was added together with it. So USO is requested
 * even if only merging is wanted, and then removed.
 *
 * @param takes sets the offload flags of a device; false if the kernel does not know one of them
 */
export function negotiateOffload(takes: (flags: number) => boolean, { gso, gro }: TapOffloadWanted): TapOffload {
  const mergesUdp = (gso || gro) && takes(TUN_F_CSUM | TUN_F_TSO | TUN_F_USO);
  if (gso && (mergesUdp || takes(TUN_F_CSUM | TUN_F_TSO))) return { gso: true, mergesUdp };
  takes(TUN_F_CSUM);
  return { gso: false, mergesUdp };
}

function takesOffload(fd: number, flags: number, object: string): boolean {
  if (ioctlNumber(fd, TUNSETOFFLOAD, flags) >= 0) return true;
  if (errno() === ERRNO.EINVAL && flags !== TUN_F_CSUM) return false;
  throw new SysError(object, errno(), { code: 'ERR_VTEP_TAP' });
}

/** A fd on /dev/net/tun, attached as one queue of the device. */
function openQueue(name: string, { isMultiQueue, isNew }: { isMultiQueue: boolean; isNew: boolean }): number {
  const fd = open(TUN_PATH, O_RDWR_NONBLOCK_CLOEXEC);
  if (fd < 0) throw openError(errno());
  const kind = (isMultiQueue ? IFF_MULTI_QUEUE : 0) | (isNew ? IFF_TUN_EXCL : 0);
  if (ioctl(fd, TUNSETIFF, interfaceRequest(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | kind)) >= 0) return fd;
  const error = attachError(name, isMultiQueue, errno());
  close(fd);
  throw error;
}

/** Switches the offloads of the device off, for the next program that attaches. On a device that is gone it does nothing. */
export function resetOffloads(fd: number): void {
  ioctlNumber(fd, TUNSETOFFLOAD, 0);
}

/** Whether the device outlives its fds. On one that is gone it does nothing. */
export function setPersistent(fd: number, isPersistent: boolean): void {
  ioctlNumber(fd, TUNSETPERSIST, isPersistent ? 1 : 0);
}

/** The present name of a TAP, in any namespace; undefined: it is gone. */
export function tapName(fd: number): string | undefined {
  const request = Buffer.alloc(IFREQ_BYTES);
  return ioctl(fd, TUNGETIFF, request) < 0 ? undefined : readString(request.subarray(0, IFNAMSIZ));
}

/**
 * A fd of the network namespace that a TAP is in now, for the caller to close; undefined if the TAP is gone, or the kernel does not report it
 * (before Linux 5.2, or without CAP_NET_ADMIN there).
 */
export function openTapNamespace(fd: number): number | undefined {
  const namespace = ioctlNumber(fd, TUNGETDEVNETNS, 0);
  return namespace < 0 ? undefined : namespace;
}

/** The command that makes a persistent TAP of a kind. */
export function tapCommand(name: string, isMultiQueue: boolean): string {
  return `ip tuntap add dev ${name} mode tap${isMultiQueue ? ' multi_queue' : ''}`;
}

function interfaceRequest(name: string, flags: number): Buffer {
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name, 0, IFNAMSIZ - 1, 'utf8');
  request.writeUInt16LE(flags, IFNAMSIZ);
  return request;
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return buffer;
}

function openError(value: number): VtepError {
  const remedies: Partial<Record<string, string>> = {
    ENOENT: 'load the module with `modprobe tun`, or give the container the device (--device /dev/net/tun)',
    ENODEV: 'load the module with `modprobe tun`',
    EACCES: 'run vtepd as root or as a user who may read and write it',
    EPERM: 'give the service or container the device (DeviceAllow=/dev/net/tun, --device /dev/net/tun)',
  };
  return new SysError(TUN_PATH, value, { remedy: remedies[errnoName(value)] });
}

function attachError(name: string, isMultiQueue: boolean, value: number): VtepError {
  const object = `TAP "${name}"`;
  const causes: Partial<Record<number, [cause: string, remedy: string]>> = {
    [ERRNO.EPERM]: ['EPERM', 'vtepd needs CAP_NET_ADMIN to make a TAP: run it as root or by its systemd unit'],
    [ERRNO.EBUSY]: ['the name is in use', 'stop the program that uses it, or name another TAP with tap='],
    [ERRNO.EINVAL]: [
      `a device of that name exists, and is not a ${isMultiQueue ? 'multi' : 'single'}-queue TAP`,
      `delete it, make it again with \`${tapCommand(name, isMultiQueue)}\`, or name another TAP with tap=`,
    ],
  };
  const known = causes[value];
  if (!known) return new SysError(object, value, { code: 'ERR_VTEP_TAP' });
  return new VtepError('ERR_VTEP_TAP', { object, cause: known[0], remedy: known[1] });
}
