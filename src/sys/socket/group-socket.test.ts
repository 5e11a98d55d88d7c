import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type IpAddress, ipBytes } from '../../lib/addresses.ts';
import { close } from '../libc.ts';
import { ERRNO, SysError } from '../sys-error.ts';
import {
  joinGroup,
  openGroupSocket,
  openUnicastSocket,
  openUnicastSockets,
  setMulticastInterface,
} from './udp-socket.ts';
import {
  closedAfterwards,
  GROUP,
  group,
  LOCAL,
  lo,
  NO_INDEX,
  option,
  portOf,
  refusal,
  send,
  sender,
  unicast,
  waiting,
} from './udp-socket-rig.ts';

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
