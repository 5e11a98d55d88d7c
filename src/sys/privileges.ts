import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { close, errno, ioctlNumber, open } from './libc.ts';

/** The privileges of this process and its environment, as far as visible. Read again each time, since only errors and the doctor use it. */

export const CAP_NET_BIND_SERVICE = 10;
export const CAP_NET_ADMIN = 12;
export const CAP_NET_RAW = 13;

const O_RDONLY_CLOEXEC = 0o2000000;
const NS_GET_USERNS = 0xb701;
const EPERM = 1;

/** Whether a capability is effective, within the user namespace that the process is in. */
export function hasCapability(capability: number, status = read('/proc/self/status')): boolean {
  const [, mask = '0'] = /^CapEff:\s*([0-9a-f]+)/m.exec(status) ?? [];
  return ((BigInt(`0x${mask}`) >> BigInt(capability)) & 1n) === 1n;
}

/** The process is in a user namespace, and its capabilities are valid only for resources of that namespace. */
export function isInUserNamespace(uidMap = read('/proc/self/uid_map')): boolean {
  // user_namespaces(7): the first one maps all ids onto themselves.
  return uidMap.trim() !== '' && !/^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
}

/** The capabilities are valid in the network namespace of the process: it belongs to its user namespace, or to one below. */
export function ownsNetNamespace(): boolean {
  const fd = open('/proc/self/ns/net', O_RDONLY_CLOEXEC);
  if (fd < 0) return true;
  const owner = ioctlNumber(fd, NS_GET_USERNS, 0);
  // EPERM: it belongs to one above (ioctl_nsfs(2)).
  const isAbove = owner < 0 && errno() === EPERM;
  close(fd);
  if (owner >= 0) close(owner);
  return !isAbove;
}

/** The systemd service that the process is, e.g. `vtepd@blue.service`; undefined if it is none. */
export function serviceOf(cgroup = read('/proc/self/cgroup')): string | undefined {
  // The unified hierarchy, or that of systemd itself. Below the manager of a user, the unit is meant and not the manager.
  return /^\d+:(?:name=systemd)?:.*\/((?!user@)[^/]+\.service)$/m.exec(cgroup)?.[1];
}

/** systemd runs here (sd_booted(3)). */
export function hasSystemd(): boolean {
  return existsSync('/run/systemd/system');
}

/** This process may change a value below /proc/sys: a container, or a service that systemd confines, may not. */
export function mayWriteSysctl(name: string): boolean {
  try {
    accessSync(`/proc/sys/${name}`, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The limit of open files of this process; undefined: not known. */
export function openFilesLimit(limits = read('/proc/self/limits')): string | undefined {
  return /^Max open files\s+(\S+)/m.exec(limits)?.[1];
}

/** The first UDP port that needs no CAP_NET_BIND_SERVICE (ip_unprivileged_port_start). */
export function firstUnprivilegedPort(): number {
  return Number(read('/proc/sys/net/ipv4/ip_unprivileged_port_start').trim() || 1_024);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
