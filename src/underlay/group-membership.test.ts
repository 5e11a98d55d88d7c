import { describe, expect, it } from 'vitest';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { type Device, GroupMembership, type GroupSockets } from './group-membership.ts';

const PORT = 4_789;
const ETH0: Device = { name: 'eth0', index: 2 };
/** The same name after the interface was deleted and made anew. */
const ETH0_ANEW: Device = { name: 'eth0', index: 9 };

const [ONE, TWO, THREE] = ['239.1.1.1', '239.1.1.2', '239.1.1.3'].map((text) => parseIp(text)) as [
  IpAddress,
  IpAddress,
  IpAddress,
];

/** Sockets in memory, and what was done with them. */
class MemoryGroupSockets implements GroupSockets {
  readonly opened: {
    readonly fd: number;
    readonly group: IpAddress;
    readonly port: number;
    readonly device: Device;
  }[] = [];
  readonly closed: number[] = [];
  readonly lost = new Map<number, number>();
  /** Groups that the kernel refuses. */
  readonly refused = new Set<IpAddress>();
  #nextFd = 50;

  open(group: IpAddress, port: number, device: Device): number {
    if (this.refused.has(group)) throw new Error(`refused ${group}`);
    const fd = this.#nextFd++;
    this.opened.push({ fd, group, port, device });
    return fd;
  }

  close(fd: number): void {
    if (this.closed.includes(fd) || !this.opened.some((socket) => socket.fd === fd)) throw new Error(`EBADF ${fd}`);
    this.closed.push(fd);
  }

  dropped(fd: number): number {
    if (this.closed.includes(fd)) throw new Error(`EBADF ${fd}`);
    return this.lost.get(fd) ?? 0;
  }
}

function newMembership() {
  const sockets = new MemoryGroupSockets();
  let number = 100;
  const membership = new GroupMembership(sockets, { port: PORT, device: ETH0, nextNumber: () => number++ });
  return { sockets, membership };
}

describe('joining and leaving', () => {
  it('opens one socket for the first user of a group, on the device and port', () => {
    const { sockets, membership } = newMembership();
    expect(membership.join(ONE)).toEqual({ number: 100, opened: 50 });
    expect(sockets.opened).toEqual([{ fd: 50, group: ONE, port: PORT, device: ETH0 }]);
    expect(membership.joined).toEqual([{ number: 100, group: ONE, fd: 50 }]);
    expect([membership.isJoined(ONE), membership.isJoined(TWO)]).toEqual([true, false]);
  });

  it('counts further users, who get the same number and no socket (T16)', () => {
    const { sockets, membership } = newMembership();
    const { number } = membership.join(ONE);
    expect(membership.join(ONE)).toEqual({ number, opened: undefined });
    expect(membership.join(TWO).number).not.toBe(number);
    expect(sockets.opened).toHaveLength(2);
  });

  it('hands the socket out to be closed when the last user leaves, and not before (T16)', () => {
    const { sockets, membership } = newMembership();
    for (let user = 0; user < 3; user++) membership.join(ONE);
    expect([membership.leave(ONE), membership.leave(ONE)]).toEqual([undefined, undefined]);
    expect(membership.isJoined(ONE)).toBe(true);
    expect(membership.leave(ONE)).toBe(50);
    expect(membership.isJoined(ONE)).toBe(false);
    expect(membership.joined).toEqual([]);
    // A worker may still read it: closing is the caller's.
    expect(sockets.closed).toEqual([]);
    membership.close(50);
    expect(sockets.closed).toEqual([50]);
  });

  it('takes a leave too many, and one of a group that nobody joined, as nothing', () => {
    const { membership } = newMembership();
    membership.join(ONE);
    membership.leave(ONE);
    expect([membership.leave(ONE), membership.leave(TWO)]).toEqual([undefined, undefined]);
    expect(membership.join(ONE).opened).toBe(51);
  });

  it('has changed nothing when the kernel refuses', () => {
    const { sockets, membership } = newMembership();
    sockets.refused.add(ONE);
    expect(() => membership.join(ONE)).toThrow('refused 239.1.1.1');
    expect(membership.joined).toEqual([]);
    sockets.refused.clear();
    expect(membership.join(ONE)).toEqual({ number: 100, opened: 50 });
    expect(membership.leave(ONE)).toBe(50);
  });
});

describe('a device that goes and comes back (T20)', () => {
  it('voids every membership, and joins all again on the device as it is then, under the same numbers', () => {
    const { sockets, membership } = newMembership();
    const numbers = [membership.join(ONE).number, membership.join(TWO).number];
    const before = membership.joined;
    expect(membership.suspend()).toEqual(before);
    expect(before.map(({ fd }) => fd)).toEqual([50, 51]);
    expect([membership.joined, membership.isJoined(ONE)]).toEqual([[], false]);
    expect(membership.suspend()).toEqual([]);

    const { joined, errors } = membership.resume(ETH0_ANEW);
    expect(errors).toEqual([]);
    expect(joined).toEqual([
      { group: ONE, number: numbers[0], fd: 52 },
      { group: TWO, number: numbers[1], fd: 53 },
    ]);
    expect(sockets.opened.slice(2).map(({ device }) => device)).toEqual([ETH0_ANEW, ETH0_ANEW]);
    expect(membership.joined).toEqual(joined);
  });

  it('joins nothing twice', () => {
    const { sockets, membership } = newMembership();
    membership.join(ONE);
    expect(membership.resume(ETH0)).toEqual({ joined: [], errors: [] });
    expect(sockets.opened).toHaveLength(1);
  });

  it('lets users come and go meanwhile, without a socket', () => {
    const { sockets, membership } = newMembership();
    membership.join(ONE);
    membership.suspend();
    const two = membership.join(TWO);
    expect(two.opened).toBeUndefined();
    membership.join(TWO);
    expect(membership.leave(ONE)).toBeUndefined();
    expect(sockets.opened).toHaveLength(1);
    expect(membership.resume(ETH0_ANEW).joined).toEqual([{ group: TWO, number: two.number, fd: 51 }]);
    expect(membership.leave(TWO)).toBeUndefined();
    expect(membership.leave(TWO)).toBe(51);
  });

  it('tells the errors of those that cannot be joined, joins the others, and the rest when asked again', () => {
    const { sockets, membership } = newMembership();
    for (const group of [ONE, TWO, THREE]) membership.join(group);
    membership.suspend();
    sockets.refused.add(TWO);
    const first = membership.resume(ETH0_ANEW);
    expect(first.joined.map(({ group }) => group)).toEqual([ONE, THREE]);
    expect(first.errors.map(({ message }) => message)).toEqual(['refused 239.1.1.2']);
    expect([ONE, TWO, THREE].map((group) => membership.isJoined(group))).toEqual([true, false, true]);
    expect(membership.resume(ETH0_ANEW).errors).toHaveLength(1);

    sockets.refused.clear();
    expect(membership.resume(ETH0_ANEW)).toEqual({ joined: [{ group: TWO, number: 101, fd: 55 }], errors: [] });
    expect(membership.resume(ETH0_ANEW)).toEqual({ joined: [], errors: [] });
  });

  it('joins new groups on the device that came back', () => {
    const { sockets, membership } = newMembership();
    membership.suspend();
    membership.resume(ETH0_ANEW);
    membership.join(ONE);
    expect(sockets.opened[0]?.device).toEqual(ETH0_ANEW);
  });
});

describe('a group that is joined by need', () => {
  it('has a number from the first user on, and a socket from the first need on', () => {
    const { sockets, membership } = newMembership();
    expect(membership.join(ONE, false)).toEqual({ number: 100, opened: undefined });
    expect([sockets.opened, membership.joined, membership.isJoined(ONE)]).toEqual([[], [], false]);
    membership.need(ONE);
    expect(membership.resume(ETH0)).toEqual({ joined: [{ group: ONE, number: 100, fd: 50 }], errors: [] });
    expect(membership.release(ONE)).toEqual([{ group: ONE, number: 100, fd: 50 }]);
    expect([membership.joined, membership.isJoined(ONE), sockets.closed]).toEqual([[], false, []]);
    membership.close(50);
    membership.need(ONE);
    expect(membership.resume(ETH0).joined).toEqual([{ group: ONE, number: 100, fd: 51 }]);
  });

  it('is shared: who needs it keeps it, and so its number', () => {
    const { membership } = newMembership();
    membership.join(ONE, false);
    expect(membership.join(ONE)).toEqual({ number: 100, opened: 50 });
    membership.need(ONE);
    expect(membership.resume(ETH0).joined).toEqual([]);
    expect(membership.release(ONE)).toEqual([]);
    expect(membership.isJoined(ONE)).toBe(true);
    expect(membership.leave(ONE)).toBe(50);
    expect(membership.isJoined(ONE)).toBe(false);
    expect(membership.join(ONE)).toEqual({ number: 100, opened: 51 });
    expect([membership.leave(ONE, false), membership.isJoined(ONE)]).toEqual([undefined, true]);
    expect(membership.leave(ONE)).toBe(51);
    expect(membership.join(ONE).number).toBe(101);
  });

  it('comes back with its device only while it is needed', () => {
    const { membership } = newMembership();
    membership.join(ONE, false);
    membership.join(TWO, false);
    membership.need(TWO);
    membership.resume(ETH0);
    expect(membership.suspend().map(({ group }) => group)).toEqual([TWO]);
    membership.need(ONE);
    expect(membership.release(TWO)).toEqual([]);
    expect(membership.resume(ETH0_ANEW).joined.map(({ group }) => group)).toEqual([ONE]);
  });

  it('is tried again after the kernel refused it', () => {
    const { sockets, membership } = newMembership();
    membership.join(ONE, false);
    sockets.refused.add(ONE);
    membership.need(ONE);
    expect(membership.resume(ETH0).errors).toHaveLength(1);
    expect(membership.release(ONE)).toEqual([]);
    sockets.refused.clear();
    expect(membership.resume(ETH0)).toEqual({ joined: [], errors: [] });
    membership.need(ONE);
    expect(membership.resume(ETH0).joined).toHaveLength(1);
  });

  it('takes a need of a group that nobody has as nothing', () => {
    const { membership } = newMembership();
    membership.need(ONE);
    expect([membership.release(ONE), membership.resume(ETH0).joined]).toEqual([[], []]);
  });
});

describe('the datagrams that the kernel lost', () => {
  it('are those of all sockets, of closed ones too', () => {
    const { sockets, membership } = newMembership();
    for (const group of [ONE, TWO]) membership.join(group);
    sockets.lost.set(50, 3).set(51, 4);
    expect(membership.dropped).toBe(7);
    membership.close(membership.leave(ONE) as number);
    sockets.lost.delete(50);
    expect(membership.dropped).toBe(7);
    sockets.lost.set(51, 6);
    expect(membership.dropped).toBe(9);
  });

  it.each([
    ['left', (membership: GroupMembership) => [membership.leave(ONE) as number]],
    ['void', (membership: GroupMembership) => membership.suspend().map(({ fd }) => fd)],
  ])('never become fewer while a socket that is %s waits to be closed', (_, end) => {
    const { sockets, membership } = newMembership();
    membership.join(ONE);
    sockets.lost.set(50, 3);
    const fds = end(membership);
    expect(membership.dropped).toBe(3);
    sockets.lost.set(50, 5);
    expect(membership.dropped).toBe(5);
    for (const fd of fds) membership.close(fd);
    expect(membership.dropped).toBe(5);
  });
});
