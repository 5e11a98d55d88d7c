import { networkInterfaces } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type IpAddress, ipBytes } from '../lib/addresses.ts';
import { listAddresses } from './addresses.ts';
import { close, connect, socket } from './libc.ts';
import { findLink, listLinks } from './links.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { findRoute, isLocalAddress } from './routes.ts';

const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;

let netlink: NetlinkSocket;

beforeEach(() => {
  netlink = new NetlinkSocket();
});

afterEach(() => netlink.close());

const interfaceTo = (destination: string) => findRoute(netlink, destination as IpAddress)?.interfaceIndex;

/** Whether the kernel lets a UDP socket connect there. */
function connects(destination: string): boolean {
  const octets = ipBytes(destination as IpAddress);
  const [family, at] = octets.length === 4 ? ([2, 4] as const) : ([10, 8] as const);
  const fd = socket(family, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return false;
  try {
    const name = Buffer.alloc(28);
    name.writeUInt16LE(family, 0);
    name.writeUInt16BE(9, 2);
    name.set(octets, at);
    return connect(fd, name, name.length) >= 0;
  } finally {
    close(fd);
  }
}

describe('findRoute', () => {
  const hasIpv6Loopback = (networkInterfaces().lo ?? []).some(({ address }) => address === '::1');

  it('leads to 127.0.0.1 by lo', () => {
    expect(interfaceTo('127.0.0.1')).toBe(findLink(netlink, 'lo')?.index);
  });

  it.skipIf(!hasIpv6Loopback)('leads to ::1 by lo', () => {
    expect(interfaceTo('::1')).toBe(findLink(netlink, 'lo')?.index);
  });

  it('leads to every address of this host by lo', () => {
    const lo = findLink(netlink, 'lo')?.index;
    const own = listAddresses(netlink).filter(({ isGlobal, isTentative }) => isGlobal && !isTentative);
    for (const { address } of own) expect([interfaceTo(address), isLocalAddress(netlink, address)]).toEqual([lo, true]);
    expect(isLocalAddress(netlink, '127.99.99.99' as IpAddress)).toBe(true);
    expect(isLocalAddress(netlink, '198.51.100.1' as IpAddress)).toBe(false);
  });

  it('from an address of another host is none, and from an own one the same', () => {
    const to = '127.0.0.1' as IpAddress;
    expect(findRoute(netlink, to, { source: '198.51.100.77' as IpAddress })).toBeUndefined();
    expect(findRoute(netlink, to, { source: to })).toEqual(findRoute(netlink, to));
  });

  it.each(['127.9.9.9', '192.0.2.99', '198.51.100.1', '2001:db8::1', '3fff::1'])(
    'is undefined to %s where the kernel refuses to connect there, and only there',
    (destination) => {
      const index = interfaceTo(destination);
      if (!connects(destination)) expect(index).toBeUndefined();
      else expect(listLinks(netlink).map((link) => link.index)).toContain(index);
    },
  );

  it('has no router and no narrower path to this host itself', () => {
    expect(findRoute(netlink, '127.0.0.1' as IpAddress)).toMatchObject({ isRouted: false, mtuBytes: undefined });
  });
});
