import { createSocket, type Socket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { close, getsockname } from '../sys/libc.ts';
import { openSourcePorts } from './source-ports.ts';

/** An address of loopback that no other test, nor another run, binds on; the ports are above those that the kernel gives away. */
const LOCAL = parseIp(`127.3.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`) as IpAddress;
const OPTIONS = { ttl: 64, mcastTtl: 1, tos: 0, df: 'set', deviceIndex: 1 } as const;

const opened: number[] = [];
const busy: Socket[] = [];

afterEach(() => {
  for (const fd of opened.splice(0)) close(fd);
  for (const socket of busy.splice(0)) socket.close();
});

function open(count: number, range: { first: number; last: number }): number[] {
  const fds = openSourcePorts({ local: LOCAL, count, range }, OPTIONS);
  opened.push(...fds);
  return fds;
}

/** The address and port that a socket is bound to. */
function boundTo(fd: number): { address: string; port: number } {
  const name = Buffer.alloc(16);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(name.length);
  expect(getsockname(fd, name, length)).toBe(0);
  return { address: [...name.subarray(4, 8)].join('.'), port: name.readUInt16BE(2) };
}

const portsOf = (fds: readonly number[]) => fds.map((fd) => boundTo(fd).port).sort((a, b) => a - b);

async function occupy(...ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const socket = createSocket('udp4');
    busy.push(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject).bind(port, LOCAL, resolve);
    });
  }
}

function countOpenFds(): number {
  return readdirSync('/proc/self/fd').length;
}

describe('the pool', () => {
  it.each([1, 16, 256])('has as many ports as asked for, %i, distinct, on the local address, in the range', (count) => {
    const fds = open(count, { first: 49_152, last: 65_535 });
    const names = fds.map(boundTo);
    expect(fds).toHaveLength(count);
    expect(new Set(names.map(({ port }) => port)).size).toBe(count);
    expect(names.filter(({ address, port }) => address !== LOCAL || port < 49_152)).toEqual([]);
  });

  it('lies spread over the range, not in one corner of it', () => {
    const ports = portsOf(open(16, { first: 49_152, last: 65_535 }));
    const gaps = ports.slice(1).map((port, i) => port - (ports[i] as number));
    expect(Math.max(...gaps)).toBeLessThan(3 * 1_024);
  });

  it('begins elsewhere the next time', () => {
    const seen = new Set<string>();
    for (let run = 0; run < 5; run++) {
      seen.add(portsOf(open(4, { first: 49_152, last: 65_535 })).join());
      for (const fd of opened.splice(0)) close(fd);
    }
    expect(seen.size).toBeGreaterThan(1);
  });

  it('takes a whole range, both ends of it', () => {
    expect(portsOf(open(5, { first: 62_001, last: 62_005 }))).toEqual([62_001, 62_002, 62_003, 62_004, 62_005]);
  });

  it('passes over the ports that others use', async () => {
    await occupy(62_001, 62_002, 62_004);
    expect(portsOf(open(2, { first: 62_001, last: 62_005 }))).toEqual([62_003, 62_005]);
  });

  /** With a size that the count does not divide, a walk by equal strides would miss some ports. */
  it.each([
    [10, 3],
    [10, 4],
    [7, 2],
    [12, 5],
    [100, 7],
  ])('finds the free ports of %i wherever they are, to the last %i', async (size, count) => {
    const first = 63_000;
    const all = Array.from({ length: size }, (_, i) => first + i);
    for (const free of [all.slice(0, count), all.slice(-count), all.slice(1, count + 1)]) {
      await occupy(...all.filter((port) => !free.includes(port)));
      expect(portsOf(open(count, { first, last: first + size - 1 }))).toEqual(free);
      for (const fd of opened.splice(0)) close(fd);
      for (const socket of busy.splice(0)) socket.close();
    }
  });
});

describe('a range with too few free ports', () => {
  it('is refused with how many there are, and leaves nothing open', async () => {
    await occupy(62_011, 62_013);
    const before = countOpenFds();
    let error: unknown;
    try {
      open(4, { first: 62_010, last: 62_014 });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(VtepError);
    expect(error).toMatchObject({
      code: 'ERR_VTEP_PORT_IN_USE',
      message: `--source-port-range 62010-62014: only 3 of 4 UDP ports on ${LOCAL} are free: widen the range or lower --source-ports`,
    });
    expect(countOpenFds()).toBe(before);
    expect(portsOf(open(3, { first: 62_010, last: 62_014 }))).toEqual([62_010, 62_012, 62_014]);
  });

  it('that is smaller than the pool is refused likewise', () => {
    expect(() => open(3, { first: 62_020, last: 62_021 })).toThrow(
      `--source-port-range 62020-62021: only 2 of 3 UDP ports on ${LOCAL} are free`,
    );
  });
});

it('an address that is not this host’s is refused as what it is, and leaves nothing open', () => {
  const before = countOpenFds();
  const pool = { local: parseIp('203.0.113.77') as IpAddress, count: 2, range: { first: 62_000, last: 62_010 } };
  expect(() => openSourcePorts(pool, OPTIONS)).toThrow(/^UDP 203\.0\.113\.77:\d+: EADDRNOTAVAIL/);
  expect(countOpenFds()).toBe(before);
});

it('an interface that there is not is refused, and leaves nothing open', () => {
  const before = countOpenFds();
  const pool = { local: LOCAL, count: 2, range: { first: 62_000, last: 62_010 } };
  expect(() => openSourcePorts(pool, { ...OPTIONS, deviceIndex: 2_000_000 })).toThrow(/EADDRNOTAVAIL|ENODEV/);
  expect(countOpenFds()).toBe(before);
});
