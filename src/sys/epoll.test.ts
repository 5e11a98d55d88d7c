import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { clearEventFd, Epoll, openEventFd, signalEventFd } from './epoll.ts';
import { close, connect, errno, read, recv, send, socket, whenReadable } from './libc.ts';
import { Slab } from './slab.ts';
import { ERRNO, SysError } from './sys-error.ts';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT = 0x40;
const ECONNREFUSED = 111;

const slab = new Slab(65_536);
const scratchAt = slab.allocate(8);
const scratch = slab.address(scratchAt);

function closedAfterwards(fd: number): number {
  onTestFinished(() => {
    close(fd);
  });
  return fd;
}

function eventFd(): number {
  return closedAfterwards(openEventFd());
}

function epollOf(capacity: number, ...members: readonly [fd: number, token: number][]): Epoll {
  const epoll = new Epoll(slab, capacity);
  onTestFinished(() => epoll.close());
  for (const [fd, token] of members) epoll.add(fd, token);
  return epoll;
}

/** Tokens of the events that a wait tells, in ascending order. */
function tokens(epoll: Epoll, timeoutMs = 0): number[] {
  const count = epoll.wait(timeoutMs);
  return Array.from({ length: count }, (_, i) => epoll.token(i)).sort((a, b) => a - b);
}

/** Both ends of a pipe, through a FIFO; the writer is closed by the test. */
function fifo(): { reader: number; writer: number } {
  const directory = mkdtempSync(join(tmpdir(), 'vtepd-epoll-'));
  try {
    const path = join(directory, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = closedAfterwards(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    return { reader, writer: openSync(path, constants.O_WRONLY) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe('eventfd', () => {
  it('is readable from signal to clear, however often it was signalled', () => {
    const fd = eventFd();
    const epoll = epollOf(4, [fd, 7]);
    expect(tokens(epoll)).toEqual([]);
    signalEventFd(fd);
    signalEventFd(fd);
    expect(tokens(epoll)).toEqual([7]);
    clearEventFd(fd, scratch);
    expect(tokens(epoll)).toEqual([]);
  });

  it('counts one a signal', () => {
    const fd = eventFd();
    for (let i = 0; i < 3; i++) signalEventFd(fd);
    expect(read(fd, scratch, 8)).toBe(8);
    expect(slab.view.getBigUint64(scratchAt, true)).toBe(3n);
  });

  it('does not block where there is nothing to clear, and is closed on exec', () => {
    const fd = eventFd();
    // A read that blocks would hold the test for ever, so the flags come first.
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
    expect(Number.parseInt(flags, 8) & 0o2004000).toBe(0o2004000);
    clearEventFd(fd, scratch);
    expect(read(fd, scratch, 8)).toBe(-1);
    expect(errno()).toBe(ERRNO.EAGAIN);
  });
});

describe('Epoll', () => {
  it('tells the token of each ready fd, and of no other', () => {
    const fds = [eventFd(), eventFd(), eventFd(), eventFd()] as const;
    const epoll = epollOf(8, [fds[0], 0], [fds[1], 0x1234_5678], [fds[2], 3], [fds[3], 0xffff_ffff]);
    signalEventFd(fds[1]);
    expect(tokens(epoll)).toEqual([0x1234_5678]);
    signalEventFd(fds[0]);
    signalEventFd(fds[3]);
    expect(tokens(epoll)).toEqual([0, 0x1234_5678, 0xffff_ffff]);
  });

  it('keeps telling what is not cleared', () => {
    const fd = eventFd();
    const epoll = epollOf(2, [fd, 5]);
    signalEventFd(fd);
    for (let i = 0; i < 3; i++) expect(tokens(epoll)).toEqual([5]);
  });

  it('tells no more than its capacity in a wait, and the others in the next', () => {
    const members = Array.from({ length: 5 }, (_, i): [number, number] => [eventFd(), i]);
    const epoll = epollOf(2, ...members);
    for (const [fd] of members) signalEventFd(fd);
    const told = new Set<number>();
    for (let i = 0; i < 3; i++) {
      const some = tokens(epoll);
      expect(some).toHaveLength(2);
      for (const token of some) told.add(token);
    }
    expect([...told].sort()).toEqual([0, 1, 2, 3, 4]);
  });

  it('writes its events nowhere but in its own part of the slab', () => {
    const members = Array.from({ length: 8 }, (_, i): [number, number] => [eventFd(), i]);
    const before = slab.allocate(64);
    const epoll = epollOf(8, ...members);
    const after = slab.allocate(64);
    for (const at of [before, after]) slab.bytes.fill(0xa5, at, at + 64);
    for (const [fd] of members) signalEventFd(fd);
    expect(tokens(epoll)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    for (const at of [before, after]) {
      expect(slab.bytes.subarray(at, at + 64).every((octet) => octet === 0xa5)).toBe(true);
    }
  });

  it('returns at once with timeout 0, and after the timeout otherwise', () => {
    const epoll = epollOf(1, [eventFd(), 1]);
    const start = performance.now();
    for (let i = 0; i < 20; i++) expect(epoll.wait(0)).toBe(0);
    const polled = performance.now();
    expect(epoll.wait(60)).toBe(0);
    const waited = performance.now() - polled;
    expect(waited).toBeGreaterThanOrEqual(55);
    expect(polled - start).toBeLessThan(20 * 55);
  });

  it('forgets an fd that is removed, and may be given it again', () => {
    const [gone, stays] = [eventFd(), eventFd()];
    const epoll = epollOf(4, [gone, 1], [stays, 2]);
    signalEventFd(gone);
    signalEventFd(stays);
    epoll.remove(gone);
    expect(tokens(epoll)).toEqual([2]);
    epoll.add(gone, 3);
    expect(tokens(epoll)).toEqual([2, 3]);
  });

  it('lets an fd be removed that is not in the set, or closed', () => {
    const epoll = epollOf(1);
    const closed = openEventFd();
    close(closed);
    expect(() => epoll.remove(eventFd())).not.toThrow();
    expect(() => epoll.remove(closed)).not.toThrow();
  });

  it('knows an fd that is added again by its last token', () => {
    const fd = eventFd();
    const epoll = epollOf(1, [fd, 1]);
    epoll.add(fd, 2);
    signalEventFd(fd);
    expect([epoll.wait(0), epoll.token(0)]).toEqual([1, 2]);
  });

  it('refuses an fd that is closed, naming it', () => {
    const epoll = epollOf(1);
    const fd = openEventFd();
    close(fd);
    expect(() => epoll.add(fd, 1)).toThrow(`epoll, fd ${fd}: EBADF`);
  });

  it('throws instead of spinning when it is closed', () => {
    const epoll = new Epoll(slab, 1);
    epoll.close();
    expect(() => epoll.wait(0)).toThrow(SysError);
    expect(() => epoll.wait(0)).toThrow('epoll_wait: EBADF');
  });

  it('tells of an fd whose other side has hung up, until it is removed', () => {
    const { reader, writer } = fifo();
    let open = true;
    onTestFinished(() => {
      if (open) close(writer);
    });
    const epoll = epollOf(2, [reader, 9]);
    writeSync(writer, 'x');
    expect(tokens(epoll)).toEqual([9]);
    close(writer);
    open = false;
    readSync(reader, Buffer.alloc(1));
    expect(tokens(epoll)).toEqual([9]);
    epoll.remove(reader);
    expect(tokens(epoll)).toEqual([]);
  });
});

describe('whenReadable', () => {
  it('calls on the event loop when the fd becomes readable, and no more once it was ended', async () => {
    const fd = eventFd();
    let calls = 0;
    let called = (): void => undefined;
    const first = new Promise<void>((resolve) => {
      called = resolve;
    });
    const stop = whenReadable(fd, () => {
      calls++;
      clearEventFd(fd, scratch);
      called();
    });
    try {
      await new Promise((resolve) => setTimeout(resolve, 10));
      expect(calls).toBe(0);
      signalEventFd(fd);
      await first;
      expect(calls).toBe(1);
    } finally {
      stop();
    }
    signalEventFd(fd);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toBe(1);
  });

  it('has what its callback throws be an uncaught exception, none of the next system call, and calls again', async () => {
    const fd = eventFd();
    const caught: unknown[] = [];
    process.setUncaughtExceptionCaptureCallback((error) => caught.push(error));
    onTestFinished(() => process.setUncaughtExceptionCaptureCallback(null));
    let calls = 0;
    const stop = whenReadable(fd, () => {
      clearEventFd(fd, scratch);
      throw new Error(`call ${++calls}`);
    });
    onTestFinished(stop);
    for (const count of [1, 2]) {
      signalEventFd(fd);
      await vi.waitFor(() => expect(caught).toHaveLength(count));
      expect(closedAfterwards(openEventFd())).toBeGreaterThan(0);
    }
    expect(caught.map(String)).toEqual(['Error: call 1', 'Error: call 2']);
  });

  it('calls when the fd has an error, and goes on after it', async () => {
    const [server, client] = [createSocket('udp4'), socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0)];
    closedAfterwards(client);
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
    const name = Buffer.alloc(16);
    name.writeUInt16LE(AF_INET, 0);
    name.writeUInt16BE(server.address().port, 2);
    name.set([127, 0, 0, 1], 4);
    expect(connect(client, name, name.length)).toBe(0);
    server.close();
    const received = Buffer.alloc(16);
    const told: number[] = [];
    const stop = whenReadable(client, () => {
      told.push(recv(client, received, received.length, MSG_DONTWAIT) < 0 ? errno() : 0);
    });
    onTestFinished(stop);
    // Nobody is there: ICMP comes back, and with it an error of the socket.
    for (const count of [1, 2, 3]) {
      expect(send(client, received, 1, 0)).toBe(1);
      await vi.waitFor(() => expect(told).toHaveLength(count));
    }
    expect(new Set(told)).toEqual(new Set([ECONNREFUSED]));
  });

  it('looks at an fd whose error stays now and then, not all the time', async () => {
    const { reader, writer } = fifo();
    closeSync(reader);
    closedAfterwards(writer);
    let calls = 0;
    const stop = whenReadable(writer, () => calls++);
    onTestFinished(stop);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(calls).toBeGreaterThan(1);
    expect(calls).toBeLessThan(60);
  });
});
