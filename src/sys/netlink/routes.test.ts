import { networkInterfaces } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type IpAddress, ipBytes } from '../../lib/addresses.ts';
import { close, connect, socket } from '../libc.ts';
import { listAddresses } from './addresses.ts';
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

/** Answers RTM_GETROUTE with these octets behind the header, and keeps what was asked. */
function recorded(answer: string): { netlink: NetlinkSocket; asked: () => string } {
  let asked = '';
  const query = (_type: number, parts: readonly Uint8Array[]) => {
    asked = Buffer.concat(parts).toString('hex');
    return [{ payload: Buffer.from(answer.replaceAll(' ', ''), 'hex') }];
  };
  return { netlink: { query } as unknown as NetlinkSocket, asked: () => asked };
}

describe('in a VRF, whose table is 10 and index 9', () => {
  it('asks by the VRF, and reads the interface, the router and the path MTU that it is answered', () => {
    // struct rtmsg: AF_INET, /32, table 10, RTN_UNICAST, RTM_F_CLONED; RTA_TABLE, RTA_DST, RTA_OIF 4, RTA_GATEWAY, RTA_METRICS of RTAX_MTU 1400.
    const { netlink: vrf, asked } = recorded(
      `02200000 0a 00 00 01 00020000 08000f000a000000 08000100c6120202 0800040004000000 08000500c61200fe
       0c000800 0800020078050000`.replaceAll('\n', ''),
    );
    const route = findRoute(vrf, '198.18.2.2' as IpAddress, { device: 9 });
    expect(route).toEqual({ interfaceIndex: 4, isLocal: false, isRouted: true, mtuBytes: 1_400 });
    // AF_INET, /32; RTA_DST; RTA_OIF 9.
    expect(asked()).toBe('022000000000000000000000' + '08000100c6120202' + '0800040009000000');
  });

  it('an address of the VRF is local by the VRF itself', () => {
    const { netlink: vrf } = recorded(
      '02200000 0a 00 00 02 00020000 08000f000a000000 08000100c6120001 0800040009000000',
    );
    expect(isLocalAddress(vrf, '198.18.0.1' as IpAddress, { device: 9 })).toBe(true);
  });
});

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
