import { VtepError } from '../lib/errors.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { close, errno, ioctl, ioctlNumber, open } from './libc.ts';
import { check, ERRNO, errnoName, SysError } from './sys-error.ts';

/** TAP devices through /dev/net/tun (linux/if_tun.h). */

const TUN_PATH = '/dev/net/tun';
const O_RDWR_NONBLOCK_CLOEXEC = 0o2 | 0o4000 | 0o2000000;

const TUNSETIFF = 0x4004_54ca;
const TUNSETOWNER = 0x4004_54cc;
const TUNSETOFFLOAD = 0x4004_54d0;
const TUNSETVNETHDRSZ = 0x4004_54d8;
const TUNSETVNETLE = 0x4004_54dc;

const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_TUN_EXCL = 0x8000;

const TUN_F_CSUM = 0x01;

const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

/** `create` refuses a name that is taken; `attach` takes a device that is there. */
export type TapMode = 'create' | 'attach';

/**
 * Opens a single-queue TAP with vnet header and checksum offload, non-blocking. One that is created belongs to the calling user before it
 * is up, so that no other local user can attach to it; it disappears when the fd is closed.
 *
 * @throws VtepError ERR_VTEP_TAP, naming the TAP, the cause and the remedy
 */
export function openTap(name: string, mode: TapMode): number {
  const fd = open(TUN_PATH, O_RDWR_NONBLOCK_CLOEXEC);
  if (fd < 0) throw openError(errno());
  try {
    const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (mode === 'create' ? IFF_TUN_EXCL : 0);
    if (ioctl(fd, TUNSETIFF, interfaceRequest(name, flags)) < 0) throw attachError(name, errno());
    const object = `TAP "${name}"`;
    if (mode === 'create') check(ioctlNumber(fd, TUNSETOWNER, process.getuid?.() ?? 0), object);
    // Settings of the device, not of the fd: another program may have left others behind.
    check(ioctl(fd, TUNSETVNETHDRSZ, int32(VNET_HDR_BYTES)), object);
    check(ioctl(fd, TUNSETVNETLE, int32(1)), object);
    check(ioctlNumber(fd, TUNSETOFFLOAD, TUN_F_CSUM), object);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Switches the device's offloads off, for whoever attaches next. On a device that is gone it does nothing. */
export function resetOffloads(fd: number): void {
  ioctlNumber(fd, TUNSETOFFLOAD, 0);
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
    ENOENT: 'load the module with `modprobe tun`, or let the container have the device (--device /dev/net/tun)',
    ENODEV: 'load the module with `modprobe tun`',
    EACCES: 'run vtepd as root or as a user who may read and write it',
    EPERM: 'let the service or container have the device (DeviceAllow=/dev/net/tun, --device /dev/net/tun)',
  };
  return new SysError(TUN_PATH, value, { remedy: remedies[errnoName(value)] });
}

function attachError(name: string, value: number): VtepError {
  const object = `TAP "${name}"`;
  const causes: Partial<Record<number, [cause: string, remedy: string]>> = {
    [ERRNO.EPERM]: ['EPERM', 'vtepd needs CAP_NET_ADMIN to make a TAP: run it as root or by its systemd unit'],
    [ERRNO.EBUSY]: ['the name is in use', 'stop what holds it, or name another TAP with tap='],
    [ERRNO.EINVAL]: [
      'a device of that name is there that is no single-queue TAP',
      `delete it, make it anew with \`ip tuntap add dev ${name} mode tap\`, or name another TAP with tap=`,
    ],
  };
  const known = causes[value];
  if (!known) return new SysError(object, value, { code: 'ERR_VTEP_TAP' });
  return new VtepError('ERR_VTEP_TAP', { object, cause: known[0], remedy: known[1] });
}
