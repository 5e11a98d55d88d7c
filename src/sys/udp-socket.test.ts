import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type IpAddress, ipBytes, ipFamily, ipWords } from '../lib/addresses.ts';
import { drainErrorQueue } from './error-queue.ts';
import { close, errno, getsockname, getsockopt, recv, sendmmsg } from './libc.ts';
import { findLink } from './links.ts';
import { SendArray } from './mmsg.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { Slab } from './slab.ts';
import { check, ERRNO, SysError } from './sys-error.ts';
import {
  droppedByKernel,
  joinGroup,
  mergeReceived,
  openGroupSocket,
  openSendSocket,
  openUnicastSocket,
  openUnicastSockets,
  receiveMergeRefusal,
  type SendOptions,
  setMulticastInterface,
} from './udp-socket.ts';

const { ECONNREFUSED } = constants.errno;

/** Addresses that no other program binds to. */
const LOCAL = '127.83.1.1' as IpAddress;
const OTHER = '127.83.1.2' as IpAddress;
const GROUP = '239.83.1.7' as IpAddress;
const NOT_HERE = '203.0.113.83' as IpAddress;

const NO_INDEX = 0x7fff_fff0;
const lo = { name: 'lo', index: loopbackIndex() };
const options: SendOptions = { ttl: 64, mcastTtl: 1, tos: 0, df: 'set', deviceIndex: lo.index };

function loopbackIndex(): number {
  const netlink = new NetlinkSocket();
  try {
    return findLink(netlink, 'lo')?.index ?? 0;
  } finally {
    netlink.close();
  }
}

function closedAfterwards(fd: number): number {
  onTestFinished(() => {
    close(fd);
  });
  return fd;
}

const unicast = (address: IpAddress, port = 0): number => closedAfterwards(openUnicastSocket(address, port));
const sender = (changed: Partial<SendOptions> = {}): number =>
  closedAfterwards(openSendSocket(LOCAL, 0, { ...options, ...changed }));
const group = (port = 0): number => closedAfterwards(openGroupSocket(GROUP, port, lo));

function portOf(fd: number): number {
  const name = Buffer.alloc(16);
  check(getsockname(fd, name, Buffer.from([16, 0, 0, 0])), 'port');
  return name.readUInt16BE(2);
}

/** A port of `OTHER` that nobody listens on. */
function closedPort(): number {
  const fd = openUnicastSocket(OTHER, 0);
  try {
    return portOf(fd);
  } finally {
    close(fd);
  }
}

/** Sends a datagram of `length` octets, `count` times. 0, or the errno of the first that failed. */
function send(fd: number, address: IpAddress, port: number, { length = 1, count = 1 } = {}): number {
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
function waiting(fd: number): number {
  const octet = Buffer.alloc(1);
  let count = 0;
  while (recv(fd, octet, 1, 0) >= 0) count++;
  expect(errno()).toBe(ERRNO.EAGAIN);
  return count;
}

function option(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4);
  check(getsockopt(fd, level, name, value, Buffer.from([4, 0, 0, 0])), 'option');
  return value.readInt32LE(0);
}

function openSockets(): number {
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
function refusal(call: () => number): SysError {
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

describe.each([
  ['openUnicastSocket', () => openUnicastSocket(LOCAL, 0)],
  ['openGroupSocket', () => openGroupSocket(GROUP, 0, lo)],
  ['openSendSocket', () => openSendSocket(LOCAL, 0, options)],
])('%s', (_name, open) => {
  it('opens an fd that never blocks and is closed on exec', () => {
    const fd = closedAfterwards(open());
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
    expect(Number.parseInt(flags, 8) & 0o2004000).toBe(0o2004000);
  });
});

describe('openUnicastSocket', () => {
  it('receives what is sent to its address, and not what is sent to another', () => {
    const fd = unicast(LOCAL);
    const other = unicast(OTHER, portOf(fd));
    expect(send(sender(), LOCAL, portOf(fd), { count: 3 })).toBe(0);
    expect([waiting(fd), waiting(other)]).toEqual([3, 0]);
  });

  it('refuses an address and port that are taken, and leaves no fd open', () => {
    const port = portOf(unicast(LOCAL));
    const error = refusal(() => openUnicastSocket(LOCAL, port));
    expect(error.errno).toBe(ERRNO.EADDRINUSE);
    expect(error.message).toBe(
      `UDP 127.83.1.1:${port}: EADDRINUSE (address already in use): stop what uses it, or choose another one`,
    );
  });

  it('refuses an address of another host, saying what to do, and leaves no fd open', () => {
    const error = refusal(() => openUnicastSocket(NOT_HERE, 4789));
    expect(error.errno).toBe(ERRNO.EADDRNOTAVAIL);
    expect(error.message).toMatch(/^UDP 203\.0\.113\.83:4789: EADDRNOTAVAIL .*--local$/);
  });
});

describe('openUnicastSockets', () => {
  const SO_REUSEPORT = 15;
  const shared = (count: number) => openUnicastSockets(LOCAL, closedPort(), count).map(closedAfterwards);

  it('share what comes, each flow to one of them', () => {
    const fds = shared(3);
    const port = portOf(fds[0] as number);
    for (let flow = 0; flow < 64; flow++) {
      expect(send(sender(), LOCAL, port, { count: 2 })).toBe(0);
    }
    const counts = fds.map(waiting);
    expect(counts.reduce((total, count) => total + count)).toBe(128);
    // 64 flows at random: that one socket gets less than four is less likely than one in a million.
    for (const count of counts) {
      expect(count % 2).toBe(0);
      expect(count).toBeGreaterThan(6);
    }
  });

  it.each([1, 2, 3])('refuse to share with those of another daemon, %i of ours, and leave no fd open', (count) => {
    const port = portOf(shared(count)[0] as number);
    for (const theirs of [1, 2, 3]) {
      const error = refusal(() => openUnicastSockets(LOCAL, port, theirs)[0] as number);
      expect(error.errno).toBe(ERRNO.EADDRINUSE);
    }
  });

  it('is one that nobody can share, where one is asked for', () => {
    const [fd = -1, ...others] = shared(1);
    expect(others).toEqual([]);
    expect(option(fd, 1, SO_REUSEPORT)).toBe(0);
  });
});

describe('mergeReceived', () => {
  it('is agreed to by this kernel, and sets the option', () => {
    expect(receiveMergeRefusal()).toBe(0);
    for (const fd of [unicast(LOCAL), group()]) {
      expect(option(fd, 17, 104)).toBe(0);
      mergeReceived(fd);
      expect(option(fd, 17, 104)).toBe(1);
    }
  });

  it('leaves no fd open when asked whether', () => {
    const before = openSockets();
    receiveMergeRefusal();
    expect(openSockets()).toBe(before);
  });
});

describe('openSendSocket', () => {
  it('receives nothing, though it is bound', () => {
    const fd = sender();
    expect(send(sender(), LOCAL, portOf(fd), { count: 5 })).toBe(0);
    expect(waiting(fd)).toBe(0);
  });

  it('keeps its address and port from others', () => {
    const fd = sender();
    const error = refusal(() => openUnicastSocket(LOCAL, portOf(fd)));
    expect(error.errno).toBe(ERRNO.EADDRINUSE);
  });

  it.each([
    ['the TTL', 2, { ttl: 17 }, 17],
    ['the TOS', 1, { tos: 0xb8 }, 0xb8],
    ['the TOS without its ECN bits', 1, { tos: 0xff }, 0xfc],
    ['DF', 10, { df: 'set' }, 2],
    ['no DF, and no fragments', 10, { df: 'unset' }, 4],
    ['the TTL of multicast', 33, { mcastTtl: 9 }, 9],
    ['no copies of own multicast', 34, {}, 0],
    ['errors of queues in the way', 11, {}, 1],
  ] as const)('sets %s (IP option %i)', (_what, name, changed, value) => {
    expect(option(sender(changed), 0, name)).toBe(value);
  });

  it.each([
    ['the hop limit', 16, { ttl: 17 }, 17],
    ['the traffic class without its ECN bits', 67, { tos: 0xff }, 0xfc],
    ['no fragments', 23, { df: 'set' }, 2],
    ['no fragments, and no belief in path MTUs', 23, { df: 'unset' }, 4],
    ['the hop limit of multicast', 18, { mcastTtl: 9 }, 9],
    ['no copies of own multicast', 19, {}, 0],
    ['errors of queues in the way', 25, {}, 1],
    ['the interface of multicast', 17, {}, lo.index],
    ['IPv6 alone', 26, {}, 1],
  ] as const)('sets %s (IPv6 option %i)', (_what, name, changed, value) => {
    const fd = closedAfterwards(openSendSocket('::1' as IpAddress, 0, { ...options, ...changed }));
    expect(option(fd, 41, name)).toBe(value);
  });

  it('refuses an interface that does not exist, naming it, and leaves no fd open', () => {
    const error = refusal(() => openSendSocket(LOCAL, 0, { ...options, deviceIndex: NO_INDEX }));
    expect(error.message).toMatch(new RegExp(`^interface ${NO_INDEX}: E`));
  });
});

describe('receiving sockets of IPv6', () => {
  const LOOPBACK = '::1' as IpAddress;
  const LINK_GROUP = 'ff02::8372' as IpAddress;

  it('take zero checksums and tell the traffic class, unicast and group alike', () => {
    for (const fd of [unicast(LOOPBACK), closedAfterwards(openGroupSocket(LINK_GROUP, 0, lo))]) {
      expect([option(fd, 17, 102), option(fd, 41, 66), option(fd, 41, 26)]).toEqual([1, 1, 1]);
    }
  });

  it('join a group of the link, and are deaf to what others joined', () => {
    const fd = closedAfterwards(openGroupSocket(LINK_GROUP, 0, lo));
    expect(option(fd, 41, 29)).toBe(0);
    const isJoined = () =>
      readFileSync('/proc/self/net/igmp6', 'utf8').includes(`lo${' '.repeat(14)}ff02${'0'.repeat(24)}8372`);
    expect(isJoined()).toBe(false);
    joinGroup(fd, LINK_GROUP, lo);
    expect(isJoined()).toBe(true);
  });

  it('share an address as those of IPv4 do, and keep it from others', () => {
    const fds = openUnicastSockets(LOOPBACK, 0, 1);
    for (const fd of fds) closedAfterwards(fd);
    const error = refusal(() => openUnicastSocket(LOOPBACK, portOf(fds[0] as number)));
    expect([error.errno, error.message.startsWith('UDP [::1]:')]).toEqual([ERRNO.EADDRINUSE, true]);
  });
});

describe('setMulticastInterface', () => {
  it('refuses an interface that does not exist, and lets the socket be as it was', () => {
    const fd = sender();
    const receiver = group();
    joinGroup(receiver, GROUP, lo);
    expect(() => setMulticastInterface(fd, 4, NO_INDEX)).toThrow(SysError);
    expect(send(fd, GROUP, portOf(receiver))).toBe(0);
    expect(waiting(receiver)).toBe(1);
  });
});

describe('drainErrorQueue', () => {
  it('lets the next send pass that an ICMP port-unreachable would fail', () => {
    const fd = sender();
    const open = unicast(LOCAL);
    const closed = closedPort();
    expect(send(fd, OTHER, closed)).toBe(0);
    expect(send(fd, LOCAL, portOf(open))).toBe(ECONNREFUSED);
    expect(send(fd, OTHER, closed)).toBe(0);
    expect(drainErrorQueue(fd)).toBe(true);
    expect(send(fd, LOCAL, portOf(open))).toBe(0);
    expect(waiting(open)).toBe(1);
  });

  it('leaves a send to fail just once where it is not called', () => {
    const fd = sender();
    const open = unicast(LOCAL);
    expect(send(fd, OTHER, closedPort())).toBe(0);
    const results = [1, 2, 3].map(() => send(fd, LOCAL, portOf(open)));
    expect(results).toEqual([ECONNREFUSED, 0, 0]);
    expect(waiting(open)).toBe(2);
  });

  it('takes all errors that wait at once, and then says that there are none', () => {
    const fd = sender();
    const closed = closedPort();
    for (let i = 0; i < 3; i++) {
      expect(send(fd, OTHER, closed)).toBe(0);
      // Takes the pending error off the socket and leaves it in the queue, so that the next datagram goes out.
      expect(send(fd, OTHER, closed)).toBe(ECONNREFUSED);
    }
    expect(drainErrorQueue(fd)).toBe(true);
    expect(drainErrorQueue(fd)).toBe(false);
  });

  it('says so where there is no error', () => {
    expect(drainErrorQueue(sender())).toBe(false);
  });
});

describe('droppedByKernel', () => {
  it('counts what did not fit into the receive buffer: received and dropped make up what was sent', () => {
    const fd = unicast(LOCAL);
    expect(droppedByKernel(fd)).toBe(0);
    // 400 × 60,000 octets are more than any buffer that the socket asks for, and take the kernel some milliseconds.
    expect(send(sender(), LOCAL, portOf(fd), { length: 60_000, count: 400 })).toBe(0);
    const dropped = droppedByKernel(fd);
    expect(dropped).toBeGreaterThan(0);
    expect(waiting(fd) + dropped).toBe(400);
    expect(droppedByKernel(fd)).toBe(dropped);
  });

  it('is 0 for an fd that is no socket any more', () => {
    expect(droppedByKernel(-1)).toBe(0);
  });
});

/** Whether a group is joined on an interface, as /proc/net/igmp tells: devices, and under each its groups. */
function isJoined(address: IpAddress, device: string): boolean {
  const hex = Buffer.from(ipBytes(address)).readUInt32LE(0).toString(16).toUpperCase().padStart(8, '0');
  let current = '';
  for (const line of readFileSync('/proc/net/igmp', 'utf8').split('\n')) {
    current = /^\d+\s+(\S+)/.exec(line)?.[1] ?? current;
    if (current.replace(/:$/, '') === device && line.trim().startsWith(`${hex} `)) return true;
  }
  return false;
}

describe('openGroupSocket and joinGroup', () => {
  it('join the group on the interface until the socket is closed', () => {
    // A group that no other test joins, here or in another process.
    const own = `239.83.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}` as IpAddress;
    const fd = openGroupSocket(own, 0, lo);
    try {
      expect(isJoined(own, 'lo')).toBe(false);
      joinGroup(fd, own, lo);
      expect(isJoined(own, 'lo')).toBe(true);
    } finally {
      close(fd);
    }
    expect(isJoined(own, 'lo')).toBe(false);
  });

  it('receive what is sent to the group on the interface, and no unicast', () => {
    const fd = group();
    joinGroup(fd, GROUP, lo);
    const out = sender();
    expect(send(out, GROUP, portOf(fd), { count: 2 })).toBe(0);
    send(out, LOCAL, portOf(fd));
    expect(waiting(fd)).toBe(2);
  });

  it('stay deaf to a group that only others have joined', () => {
    const joined = group();
    joinGroup(joined, GROUP, lo);
    const deaf = group();
    const out = sender();
    expect(send(out, GROUP, portOf(deaf))).toBe(0);
    expect(send(out, GROUP, portOf(joined))).toBe(0);
    expect([waiting(deaf), waiting(joined)]).toEqual([0, 1]);
  });

  it('refuse a second socket for a group and port, and leave no fd open', () => {
    const port = portOf(group());
    expect(refusal(() => openGroupSocket(GROUP, port, lo)).errno).toBe(ERRNO.EADDRINUSE);
  });

  it('refuse an interface that does not exist, naming both, and leave no fd open', () => {
    const error = refusal(() => openGroupSocket(GROUP, 4789, { name: 'vtepd-none', index: NO_INDEX }));
    expect(error.message).toBe(
      'UDP 239.83.1.7:4789 on vtepd-none: ENODEV (no such device): name an interface that exists',
    );
    const fd = group();
    expect(() => joinGroup(fd, GROUP, { name: 'vtepd-none', index: NO_INDEX })).toThrow(
      'group 239.83.1.7 on vtepd-none: ENODEV',
    );
  });

  it('refuse to join a group twice on one socket', () => {
    const fd = group();
    joinGroup(fd, GROUP, lo);
    expect(() => joinGroup(fd, GROUP, lo)).toThrow('group 239.83.1.7 on lo: EADDRINUSE');
  });
});
