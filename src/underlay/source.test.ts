import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { IpAddress } from '../lib/addresses.ts';
import { close, getsockopt } from '../sys/libc.ts';
import type { Listeners } from './listeners.ts';
import { closePool, openSource, type Source } from './source.ts';

/** An address of loopback that no other test, nor another run, binds on. */
const LOCAL = `127.4.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}` as IpAddress;
const OPTIONS = { ttl: 64, mcastTtl: 1, tos: 0, df: 'set', deviceIndex: 1 } as const;
const RANGE = { first: 49_152, last: 65_535 };
const IP_MTU_DISCOVER = 10;
const [DO, INTERFACE] = [2, 4];

const DEVICES = { heardIn: undefined, sentBy: undefined };

const opened: number[] = [];

afterEach(() => {
  for (const fd of opened.splice(0)) close(fd);
});

/** Nothing listens here. */
const listeners = {
  take: () => ({ listener: { socket: 0, fds: [] }, isNew: true }),
  release: () => true,
  close: () => {},
} as unknown as Listeners;

function open(df: 'set' | 'unset' | 'inherit', differs: { address?: IpAddress; range?: typeof RANGE } = {}): Source {
  const { address = LOCAL, range = RANGE } = differs;
  const plan = { address, devices: DEVICES, port: 4_789, isHeardAlone: false, count: 3, range, preferred: [] };
  const source = openSource(listeners, { plan, options: { ...OPTIONS, df } });
  opened.push(...source.ownFds);
  return source;
}

function discovery(fd: number): number {
  const value = Buffer.alloc(4);
  expect(getsockopt(fd, 0, IP_MTU_DISCOVER, value, Buffer.from([4, 0, 0, 0]))).toBe(0);
  return value.readInt32LE(0);
}

describe('the send sockets of a source', () => {
  it.each([
    ['set', [DO, DO, DO], 0],
    ['unset', [INTERFACE, INTERFACE, INTERFACE], 0],
    ['inherit', [DO, DO, DO, INTERFACE, INTERFACE, INTERFACE], 3],
  ] as const)(
    'are, with --df %s, as many as are needed, those without DF last, on ports of their own',
    (df, modes, last) => {
      const { fds, ports, fragmentable } = open(df);
      expect([fds.map(discovery), fragmentable]).toEqual([modes, last]);
      expect(new Set(ports).size).toBe(modes.length);
    },
  );

  it('are refused over IPv4 where the range has no room for two pools', () => {
    expect(() => open('inherit', { range: { first: 62_000, last: 62_004 } })).toThrow(
      '--source-port-range 62000-62004: it holds 5 ports, and --df inherit needs 6 over IPv4: widen it, or give --df set or --df unset',
    );
    expect(open('inherit', { range: { first: 62_000, last: 62_004 }, address: '::1' as IpAddress }).fds).toHaveLength(
      3,
    );
  });

  it('are one pool over IPv6, which has no such bit', () => {
    const { fds, fragmentable } = open('inherit', { address: '::1' as IpAddress });
    expect([fds.length, fragmentable]).toEqual([3, 0]);
  });

  it('are none where there are free ports for one of two pools alone', () => {
    open('set', { range: { first: 51_000, last: 51_002 } });
    const before = readdirSync('/proc/self/fd').length;
    expect(() => open('inherit', { range: { first: 51_000, last: 51_005 } })).toThrow(/only 0 of 3 UDP ports/);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});

describe('the successor of a source', () => {
  const plan = { address: LOCAL, devices: DEVICES, port: 4_789, isHeardAlone: false, preferred: [] };
  const narrow = { first: 52_000, last: 52_003 };

  it('takes over what fits of its sockets, so that no port has to be free twice', () => {
    const before = openSource(listeners, { plan: { ...plan, count: 4, range: narrow }, options: OPTIONS });
    const files = readdirSync('/proc/self/fd').length;
    const needs = { plan: { ...plan, count: 2, range: narrow }, before };
    const after = openSource(listeners, { ...needs, options: { ...OPTIONS, df: 'set' } });
    expect(after.fds).toEqual(before.fds.slice(0, 2));
    closePool(before, after);
    expect(readdirSync('/proc/self/fd').length).toBe(files - 2);
    const both = openSource(listeners, { ...needs, before: after, options: { ...OPTIONS, df: 'inherit' } });
    opened.push(...both.ownFds);
    expect([both.fds.slice(0, 2), both.fragmentable, new Set(both.ports).size]).toEqual([after.fds, 2, 4]);
    expect(both.fds.map(discovery)).toEqual([DO, DO, INTERFACE, INTERFACE]);
  });

  it('leaves nothing open that was not, and all that was, if it is refused', () => {
    const before = openSource(listeners, { plan: { ...plan, count: 3, range: narrow }, options: OPTIONS });
    opened.push(...before.ownFds);
    const files = readdirSync('/proc/self/fd').length;
    const options = { ...OPTIONS, df: 'inherit' } as const;
    expect(() => openSource(listeners, { plan: { ...plan, count: 3, range: narrow }, options, before })).toThrow(
      /it holds 4 ports, and --df inherit needs 6/,
    );
    expect(readdirSync('/proc/self/fd').length).toBe(files);
    expect(before.fds.map(discovery)).toEqual([DO, DO, DO]);
  });
});
