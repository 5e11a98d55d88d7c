/** Sockets of loopback that are closed after the test, and what is asked of them. */
import { readdirSync, readlinkSync } from 'node:fs';
import { expect, onTestFinished } from 'vitest';
import { type IpAddress, ipFamily, ipWords } from '../../lib/addresses.ts';
import { close, errno, getsockname, getsockopt, recv, sendmmsg } from '../libc.ts';
import { findLink } from '../netlink/links.ts';
import { NetlinkSocket } from '../netlink/netlink-socket.ts';
import { Slab } from '../slab.ts';
import { check, ERRNO, SysError } from '../sys-error.ts';
import { SendArray } from './mmsg.ts';
import { openGroupSocket, openSendSocket, openUnicastSocket, type SendOptions } from './udp-socket.ts';

/** Addresses that no other program binds to. */
export const LOCAL = '127.83.1.1' as IpAddress;
export const OTHER = '127.83.1.2' as IpAddress;
export const GROUP = '239.83.1.7' as IpAddress;
export const NOT_HERE = '203.0.113.83' as IpAddress;

export const NO_INDEX = 0x7fff_fff0;
export const lo = { name: 'lo', index: loopbackIndex() };
export const options: SendOptions = { ttl: 64, mcastTtl: 1, tos: 0, df: 'set', deviceIndex: lo.index };

function loopbackIndex(): number {
  const netlink = new NetlinkSocket();
  try {
    return findLink(netlink, 'lo')?.index ?? 0;
  } finally {
    netlink.close();
  }
}

export function closedAfterwards(fd: number): number {
  onTestFinished(() => {
    close(fd);
  });
  return fd;
}

export const unicast = (address: IpAddress, port = 0): number => closedAfterwards(openUnicastSocket(address, port));
export const sender = (changed: Partial<SendOptions> = {}): number =>
  closedAfterwards(openSendSocket(LOCAL, 0, { ...options, ...changed }));
export const group = (port = 0): number => closedAfterwards(openGroupSocket(GROUP, port, lo));

export function portOf(fd: number): number {
  const name = Buffer.alloc(16);
  check(getsockname(fd, name, Buffer.from([16, 0, 0, 0])), 'port');
  return name.readUInt16BE(2);
}

/** A port of `OTHER` without a listener. */
export function closedPort(): number {
  const fd = openUnicastSocket(OTHER, 0);
  try {
    return portOf(fd);
  } finally {
    close(fd);
  }
}

/** Sends a datagram of `length` octets, `count` times. 0, or the errno of the first that failed. */
export function send(fd: number, address: IpAddress, port: number, { length = 1, count = 1 } = {}): number {
  const slab = new Slab(131_072);
  const messages = new SendArray(slab, 1, port, ipFamily(address));
  messages.setBuffer(0, slab.allocate(length), length);
  const { a, b, c, d } = ipWords(address);
  messages.setDestination(0, a, b, c, d);
  messages.setMessage(0, 0, 1);
  for (let i = 0; i < count; i++) if (sendmmsg(fd, messages.headers.at(0), 1, 0) < 0) return errno();
  return 0;
}

/** How many datagrams wait at a socket; it takes them off. */
export function waiting(fd: number): number {
  const octet = Buffer.alloc(1);
  let count = 0;
  while (recv(fd, octet, 1, 0) >= 0) count++;
  expect(errno()).toBe(ERRNO.EAGAIN);
  return count;
}

export function option(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4);
  check(getsockopt(fd, level, name, value, Buffer.from([4, 0, 0, 0])), 'option');
  return value.readInt32LE(0);
}

export function openSockets(): number {
  let count = 0;
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')) count++;
    } catch {
      // The fd of the listing itself is closed by now.
    }
  }
  return count;
}

/** The error of a call that opens a socket; there must be one, and no socket more than before. */
export function refusal(call: () => number): SysError {
  const before = openSockets();
  try {
    closedAfterwards(call());
  } catch (error) {
    expect(openSockets()).toBe(before);
    if (error instanceof SysError) return error;
    throw error;
  }
  throw new Error('the kernel agreed');
}
