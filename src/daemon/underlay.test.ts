/** The sockets of an underlay on loopback. */
import { createSocket, type Socket } from 'node:dgram';
import { afterAll, afterEach, expect, it } from 'vitest';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { getsockopt, recv, setsockopt } from '../sys/libc.ts';
import { NetlinkSocket } from '../sys/netlink-socket.ts';
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
