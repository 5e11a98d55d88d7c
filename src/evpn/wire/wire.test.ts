import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import type { EvpnRoute } from '../route.ts';
import { anyFloodRoute, anyMacRoute, floodRoute, macRoute } from '../routes-rig.ts';
import { writeAttributes, writeMinimalAttributes } from './attributes.ts';
import { readNaively } from './naive-bgp.ts';
import { writeNlri } from './nlri.ts';

const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex');

const VTEP6 = 'fd00:18::1' as IpAddress;

test('a MAC route in octets', () => {
  expect(hex(writeNlri(macRoute()))).toBe(
    `0221${'0001c61200010064'}${'00'.repeat(10)}00000000${'30020000000a01'}00000064`,
  );
  expect(writeAttributes(macRoute()).map(hex)).toEqual([
    '40010100',
    '400304c6120001',
    'c010100002fde800000064030c000000000008',
  ]);
});

test('a MAC+IP route has the length of the address in bits', () => {
  expect(hex(writeNlri(macRoute({ ip: '192.0.2.1' as IpAddress })))).toMatch(/^0225.*30020000000a0120c0000201000064$/);
  expect(hex(writeNlri(macRoute({ ip: VTEP6 })))).toMatch(/^0231.*0a0180fd0000180000000000000000000000010{4}64$/);
});

test('a flood route in octets, with its tunnel', () => {
  expect(hex(writeNlri(floodRoute()))).toBe('0311' + '0001c61200010064' + '00000000' + '20c6120001');
  expect(hex(writeAttributes(floodRoute()).at(-1) as Uint8Array)).toBe('c01609' + '0006000064' + 'c6120001');
});

test('MAC mobility is there only if it says something', () => {
  const last = (route: EvpnRoute) => hex(writeAttributes(route)[2] as Uint8Array).slice(-16);
  expect(last(macRoute())).toBe('030c000000000008');
  expect(last(macRoute({ sequence: 0xfffffffe }))).toBe('06000000fffffffe');
  expect(last(macRoute({ isSticky: true }))).toBe('0600010000000000');
});

test('32 communities need a length of two octets', () => {
  const targets = Array.from({ length: 32 }, (_, value) => ({ form: 'as2' as const, admin: 65000, value }));
  expect(hex(writeAttributes(macRoute({ targets: targets.slice(0, 31), tunnels: [] }))[2] as Uint8Array)).toMatch(
    /^c010f8/,
  );
  expect(hex(writeAttributes(macRoute({ targets, tunnels: [] }))[2] as Uint8Array)).toMatch(/^d0100100/);
});

test('a next hop may be of IPv6, and must be there', () => {
  expect(writeMinimalAttributes(floodRoute({ nextHop: VTEP6 })).map(hex)).toEqual([
    '40010100',
    '400310fd000018000000000000000000000001',
  ]);
  expect(() => writeAttributes(macRoute({ nextHop: undefined }))).toThrow('next hop');
});

test('a naive reader reads what was written, of any route', () => {
  fc.assert(
    fc.property(fc.oneof(anyMacRoute, anyFloodRoute), (route) => {
      expect(readNaively(writeNlri(route), writeAttributes(route))).toEqual(route);
    }),
    { numRuns: 500 },
  );
});
