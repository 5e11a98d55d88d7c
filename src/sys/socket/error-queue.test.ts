import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { drainErrorQueue } from './error-queue.ts';
import { closedPort, LOCAL, OTHER, portOf, send, sender, unicast, waiting } from './udp-socket-rig.ts';

const { ECONNREFUSED } = constants.errno;

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
