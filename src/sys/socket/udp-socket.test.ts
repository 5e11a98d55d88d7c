import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import { ERRNO } from '../sys-error.ts';
import {
  droppedByKernel,
  hasQueued,
  mergeReceived,
  openGroupSocket,
  openSendSocket,
  openUnicastSocket,
  openUnicastSockets,
  receiveMergeRefusal,
} from './udp-socket.ts';
import {
  closedAfterwards,
  closedPort,
  GROUP,
  group,
  LOCAL,
  lo,
  NO_INDEX,
  NOT_HERE,
  OTHER,
  openSockets,
  option,
  options,
  portOf,
  refusal,
  send,
  sender,
  unicast,
  waiting,
} from './udp-socket-rig.ts';

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
    expect(error.message).toMatch(/^UDP 203\.0\.113\.83:4789: EADDRNOTAVAIL .*`ip addr`\)$/);
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

describe('hasQueued', () => {
  it('says whether a datagram waits', () => {
    const fd = unicast(LOCAL);
    expect(hasQueued(fd)).toBe(false);
    expect(send(sender(), LOCAL, portOf(fd), { count: 2 })).toBe(0);
    expect(hasQueued(fd)).toBe(true);
    expect(waiting(fd)).toBe(2);
    expect(hasQueued(fd)).toBe(false);
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
    ['no fragments, whatever DF is over IPv4', 23, { df: 'unset' }, 2],
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
