/** The sockets of an underlay on loopback. */
import { createSocket, type Socket } from 'node:dgram';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { type IpAddress, parseIp } from '../../lib/addresses.ts';
import { getsockopt, recv, setsockopt } from '../../sys/libc.ts';
import { findLink, type Link } from '../../sys/netlink/links.ts';
import { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { closePool, releaseListeners } from '../../underlay/source.ts';
import { routeFrom } from './route-scope.ts';
import type { Underlay } from './underlay.ts';
import { openUnderlay, type UnderlayRig } from './underlay-rig.ts';

const LOCAL = parseIp('127.6.0.3') as IpAddress;
const GROUP = parseIp('239.83.3.1') as IpAddress;
const FLOWS = 32;
const DATAGRAMS = 40;

const netlink = new NetlinkSocket();
const open: Underlay[] = [];

afterEach(() => {
  for (const underlay of open.splice(0)) underlay.close();
});

afterAll(() => netlink.close());

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, LOCAL, resolve));
  return socket;
}

const closed = (socket: Socket) => new Promise<void>((resolve) => socket.close(() => resolve()));

async function newUnderlay(workers: number, udpGro = false): Promise<UnderlayRig> {
  const rig = await openUnderlay(netlink, { local: LOCAL, udpGro, scalars: { workers: `${workers}` } });
  open.push(rig.underlay);
  return rig;
}

function waiting(fd: number): number {
  let count = 0;
  while (recv(fd, Buffer.alloc(1), 1, 0) >= 0) count++;
  return count;
}

it('has lost what the unicast sockets of all workers have lost', async () => {
  const [SOL_SOCKET, SO_RCVBUF] = [1, 8];
  const { listeners, port } = await newUnderlay(2);
  const unicastFds = listeners.all.flatMap(({ fds }) => fds);
  for (const fd of unicastFds) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, Buffer.from([0, 16, 0, 0]), 4);
  for (let flow = 0; flow < FLOWS; flow++) {
    const sender = await bound();
    for (let i = 0; i < DATAGRAMS; i++) {
      await new Promise<void>((resolve) => sender.send('x', port, LOCAL, () => resolve()));
    }
    await closed(sender);
  }
  const left = unicastFds.map(waiting);
  for (const count of left) expect(count).toBeGreaterThan(0);
  expect(listeners.dropped).toBeGreaterThan(0);
  expect(listeners.dropped).toBe(FLOWS * DATAGRAMS - left.reduce((sum, count) => sum + count));
});

it.each([true, false])('has datagrams merged at all its receiving sockets, or at none: %s', async (udpGro) => {
  const { underlay, listeners } = await newUnderlay(2, udpGro);
  underlay.membership.join(GROUP);
  const fds = [...listeners.all.flatMap((each) => each.fds), ...underlay.membership.joined.map(({ fd }) => fd)];
  expect(fds).toHaveLength(3);
  for (const fd of fds) {
    const [IPPROTO_UDP, UDP_GRO] = [17, 104];
    const value = Buffer.alloc(4);
    getsockopt(fd, IPPROTO_UDP, UDP_GRO, value, Buffer.from([4, 0, 0, 0]));
    expect(value.readInt32LE(0)).toBe(udpGro ? 1 : 0);
  }
});

/** Loopback stands in for the VRF: sockets can be bound to it on every kernel. */
describe('in a VRF', () => {
  const lo = findLink(netlink, 'lo') as Link;
  const slave: Link = { ...lo, kind: '', master: lo.index, masterKind: 'vrf' };
  const boundTo = (fd: number) => {
    const [SOL_SOCKET, SO_BINDTODEVICE] = [1, 25];
    const name = Buffer.alloc(16);
    expect(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, Buffer.from([16, 0, 0, 0]))).toBe(0);
    return name.toString().replace(/\0.*/s, '');
  };

  it('its sockets are bound to it, anew where it is enslaved and released', async () => {
    const { underlay, listeners } = await openUnderlay(netlink, { local: LOCAL, link: lo });
    open.push(underlay);
    const devices = () => [...(underlay.source?.fds ?? []), ...listeners.all.flatMap(({ fds }) => fds)].map(boundTo);
    expect([underlay.vrf, ...devices()]).toEqual([undefined, '', '']);
    const follow = () => {
      const retired = underlay.followAddresses()?.retired;
      if (!retired) return false;
      for (const each of releaseListeners(listeners, retired)) listeners.close(each);
      closePool(retired);
      return true;
    };
    underlay.see(slave);
    // 127/8 is local outside of VRFs, and here too.
    expect([underlay.vrf?.name, follow(), ...devices()]).toEqual(['lo', true, 'lo', 'lo']);
    expect(follow()).toBe(false);
    underlay.see(lo);
    expect([underlay.vrf, follow(), ...devices()]).toEqual([undefined, true, '', '']);
  });

  it('that is down nothing is sent, and the status says so', async () => {
    const { underlay } = await openUnderlay(netlink, { local: LOCAL, link: slave });
    open.push(underlay);
    expect(underlay.status).toBe('ok');
    underlay.seeMaster({ ...lo, name: 'red', up: false });
    expect(underlay.status).toBe('red, the VRF of lo, is down');
    underlay.see(lo);
    expect(underlay.status).toBe('ok');
  });

  it.each(['bridge', 'bond', 'team', 'openvswitch'])(
    'a port of a %s names it for --dev, and is in no VRF',
    async (kind) => {
      const { underlay } = await openUnderlay(netlink, { local: LOCAL, link: { ...slave, masterKind: kind } });
      open.push(underlay);
      expect([underlay.vrf, underlay.status]).toEqual([undefined, 'lo is a port of lo: use --dev lo']);
    },
  );

  it('routes are asked for as the sockets send: groups and IPv6 by the interface, IPv4 by the VRF', () => {
    const [link, vrf] = [{ index: 2 }, { index: 9 }] as [Link, Link];
    const from = (family: 4 | 6, to: string) =>
      routeFrom({ family, link, vrf, source: undefined, port: 4_789 }, to as IpAddress).device;
    expect([from(4, '198.18.0.2'), from(4, '239.1.1.1'), from(6, 'fd00::2'), from(6, 'ff05::1')]).toEqual([9, 2, 2, 2]);
    const source = { address: LOCAL } as Underlay['source'];
    const outside = { family: 4, link, vrf: undefined, source, port: 4_789 } as const;
    expect(routeFrom(outside, '198.18.0.2' as IpAddress)).toEqual({ source: LOCAL, udpPort: 4_789 });
    expect(routeFrom(outside, '239.1.1.1' as IpAddress)).toEqual({ source: undefined, udpPort: 4_789 });
  });

  it('the interface may be the VRF itself', async () => {
    const { underlay } = await openUnderlay(netlink, { local: LOCAL, link: { ...lo, kind: 'vrf' } });
    open.push(underlay);
    expect([underlay.vrf?.name, underlay.portOf, underlay.status]).toEqual(['lo', undefined, 'ok']);
  });
});
