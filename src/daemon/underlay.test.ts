/** The sockets of an underlay on loopback. */
import { createSocket, type Socket } from 'node:dgram';
import { afterAll, afterEach, expect, it } from 'vitest';
import { parseConfig } from '../config/parse.ts';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { getsockopt, recv, setsockopt } from '../sys/libc.ts';
import { findLink, type Link } from '../sys/links.ts';
import { NetlinkSocket } from '../sys/netlink-socket.ts';
import { Underlay } from './underlay.ts';

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

async function newUnderlay(workers: number, udpGro = false): Promise<{ underlay: Underlay; port: number }> {
  const free = await bound();
  const { port } = free.address();
  await closed(free);
  const scalars = { port: `${port}`, 'source-ports': '1', workers: `${workers}` };
  const config = parseConfig({ vni: ['100'], local: [], check: false, scalars });
  const link = findLink(netlink, 'lo') as Link;
  const underlay = new Underlay(netlink, config, { number: 0, link, local: LOCAL, nextSocket: () => 0, udpGro });
  open.push(underlay);
  return { underlay, port };
}

function waiting(fd: number): number {
  let count = 0;
  while (recv(fd, Buffer.alloc(1), 1, 0) >= 0) count++;
  return count;
}

it('has lost what the unicast sockets of all workers have lost', async () => {
  const [SOL_SOCKET, SO_RCVBUF] = [1, 8];
  const { underlay, port } = await newUnderlay(2);
  for (const fd of underlay.unicastFds) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, Buffer.from([0, 16, 0, 0]), 4);
  for (let flow = 0; flow < FLOWS; flow++) {
    const sender = await bound();
    for (let i = 0; i < DATAGRAMS; i++) {
      await new Promise<void>((resolve) => sender.send('x', port, LOCAL, () => resolve()));
    }
    await closed(sender);
  }
  const left = underlay.unicastFds.map(waiting);
  for (const count of left) expect(count).toBeGreaterThan(0);
  expect(underlay.dropped).toBeGreaterThan(0);
  expect(underlay.dropped).toBe(FLOWS * DATAGRAMS - left.reduce((sum, count) => sum + count));
});

it.each([true, false])('has datagrams merged at all its receiving sockets, or at none: %s', async (udpGro) => {
  const { underlay } = await newUnderlay(2, udpGro);
  underlay.membership.join(GROUP);
  const fds = [...underlay.unicastFds, ...underlay.membership.joined.map(({ fd }) => fd)];
  expect(fds).toHaveLength(3);
  for (const fd of fds) {
    const [IPPROTO_UDP, UDP_GRO] = [17, 104];
    const value = Buffer.alloc(4);
    getsockopt(fd, IPPROTO_UDP, UDP_GRO, value, Buffer.from([4, 0, 0, 0]));
    expect(value.readInt32LE(0)).toBe(udpGro ? 1 : 0);
  }
});
