import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { bind, close, recv, socket } from '../libc.ts';
import { check, ERRNO } from '../sys-error.ts';
import { sendUnixDatagram } from './unix-datagram.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vtepd-unix-'));
  return () => rmSync(directory, { recursive: true });
});

/** @param name path as sun_path has it: an abstract one begins with NUL */
function listen(name: string): number {
  const fd = check(socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'unix socket');
  onTestFinished(() => {
    close(fd);
  });
  const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(name)]);
  check(bind(fd, address, address.length), name);
  return fd;
}

/** The text of the next datagram, undefined if there is none. */
function received(fd: number): string | undefined {
  const octets = Buffer.alloc(4096);
  const length = recv(fd, octets, octets.length, 0);
  return length < 0 ? undefined : octets.toString('utf8', 0, length);
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

describe('sendUnixDatagram', () => {
  it('delivers one datagram, whole and in UTF-8, to a socket at a path', () => {
    const path = join(directory, 'notify');
    const fd = listen(path);
    expect(sendUnixDatagram(path, 'READY=1\nSTATUS=grün')).toBe(0);
    expect(received(fd)).toBe('READY=1\nSTATUS=grün');
    expect(received(fd)).toBeUndefined();
  });

  it('delivers to a socket in the abstract namespace, written with @', () => {
    const name = `vtepd-test-${process.pid}`;
    const fd = listen(`\0${name}`);
    expect(sendUnixDatagram(`@${name}`, 'READY=1')).toBe(0);
    expect(received(fd)).toBe('READY=1');
  });

  it('keeps an @ inside a path as it is', () => {
    const path = join(directory, 'a@b');
    const fd = listen(path);
    expect(sendUnixDatagram(path, 'x')).toBe(0);
    expect(received(fd)).toBe('x');
  });

  it('answers ENOENT where nothing is at the path', () => {
    expect(sendUnixDatagram(join(directory, 'none'), 'x')).toBe(ERRNO.ENOENT);
  });

  it('answers ECONNREFUSED where nobody listens any more', () => {
    const path = join(directory, 'left');
    const fd = check(socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'unix socket');
    const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(path)]);
    const bound = bind(fd, address, address.length);
    close(fd);
    expect(bound).toBe(0);
    expect(sendUnixDatagram(path, 'x')).toBe(constants.errno.ECONNREFUSED);
  });

  it('answers ECONNREFUSED where no socket has the abstract name', () => {
    expect(sendUnixDatagram(`@vtepd-nobody-${process.pid}`, 'x')).toBe(constants.errno.ECONNREFUSED);
  });

  it('answers EINVAL to a path longer than an address holds', () => {
    expect(sendUnixDatagram(join(directory, 'x'.repeat(120)), 'x')).toBe(ERRNO.EINVAL);
  });

  it('leaves no socket open, neither after success nor after failure', () => {
    const path = join(directory, 'notify');
    listen(path);
    const before = openSockets();
    for (let i = 0; i < 5; i++) {
      expect(sendUnixDatagram(path, 'x')).toBe(0);
      expect(sendUnixDatagram(`${path}.none`, 'x')).toBe(ERRNO.ENOENT);
    }
    expect(openSockets()).toBe(before);
  });
});
