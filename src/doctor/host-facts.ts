import { constants, type Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import { listAddresses } from '../sys/netlink/addresses.ts';
import type { Link } from '../sys/netlink/links.ts';
import type { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import {
  CAP_NET_ADMIN,
  hasCapability,
  isInUserNamespace,
  mayWriteSysctl,
  ownsNetNamespace,
  serviceOf,
} from '../sys/privileges.ts';
import type { CapabilityFacts, TunFacts } from './checks/device-checks.ts';
import type { VxlanDeviceFacts } from './checks/port-check.ts';
import type { AddressFacts } from './checks/underlay-checks.ts';
import { readProcFile } from './proc-files.ts';

/** Facts on the host for the checks, with or without a daemon. */

/** Groups that one socket may join. */
export const MAX_MEMBERSHIPS = 'net/ipv4/igmp_max_memberships';

const TUN_PATH = '/dev/net/tun';
/** Major 10, minor 200, as makedev(3) puts them together. */
const TUN_DEVICE = (10 << 8) | 200;

export async function gatherTun(): Promise<TunFacts> {
  const surroundings = { service: serviceOf(), mayMakeNode: !isInUserNamespace() };
  const isLoaded = /^\s*200 tun$/m.test((await readProcFile('/proc/misc')) ?? '');
  try {
    const found: Stats = await stat(TUN_PATH);
    const isDevice = found.isCharacterDevice() && found.rdev === TUN_DEVICE;
    // A file that is no device is not opened: a FIFO would wait for its other end.
    if (isDevice) await (await open(TUN_PATH, constants.O_RDWR | constants.O_NONBLOCK)).close();
    return { error: undefined, isDevice, isLoaded, ...surroundings };
  } catch (error) {
    return { error: (error as NodeJS.ErrnoException).code ?? `${error}`, isDevice: true, isLoaded, ...surroundings };
  }
}

/** Of this process. */
export function gatherCapabilities(whose: string): CapabilityFacts {
  return {
    whose,
    isRoot: process.geteuid?.() === 0,
    netAdmin: hasCapability(CAP_NET_ADMIN),
    isInUserNamespace: isInUserNamespace(),
    ownsNetwork: ownsNetNamespace(),
    service: serviceOf(),
  };
}

export function gatherAddresses(netlink: NetlinkSocket, links: readonly Link[]): AddressFacts[] {
  return listAddresses(netlink).map(({ index, ...address }) => ({
    ...address,
    dev: links.find((link) => link.index === index)?.name ?? `interface ${index}`,
  }));
}

/** A number in a file of /proc/sys, named with slashes. */
export async function readSysctl(name: string): Promise<number | undefined> {
  const text = await readProcFile(`/proc/sys/${name}`);
  return text === undefined || text.trim() === '' ? undefined : Number(text);
}

/** The kernel's vxlan devices with a port, in a family of the addresses given, or in any. */
export function vxlanDevices(links: readonly Link[], port: number, locals?: readonly IpAddress[]): VxlanDeviceFacts[] {
  return links.filter(
    ({ vxlanPort, vxlanFamilies, isFromAbroad }) =>
      vxlanPort === port &&
      !isFromAbroad &&
      (!locals || locals.some((local) => vxlanFamilies.includes(ipFamily(local)))),
  );
}

/**
 * The command that sets a value below /proc/sys, named with slashes. A systemd service that may not write there runs on a host that may. A process
 * that is no service and may not write is in a container, whose runtime sets it.
 */
export function sysctlCommand(name: string, value: number): string {
  // A dot in a name, such as eth0.100, is written as a slash.
  const key = name
    .split('/')
    .map((part) => part.replaceAll('.', '/'))
    .join('.');
  if (mayWriteSysctl(name) || process.geteuid?.() !== 0 || serviceOf() !== undefined)
    return `sysctl -w ${key}=${value}`;
  return `docker run --sysctl ${key}=${value} …`;
}

/** The command that restarts vtepd, if it is a service. */
export function restartCommand(): string | null {
  const service = serviceOf();
  return service === undefined ? null : `systemctl restart ${service}`;
}
