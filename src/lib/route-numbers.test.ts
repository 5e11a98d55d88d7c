import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatRouteNumber, parseRouteNumber, type RouteNumber } from './route-numbers.ts';

it.each<[text: string, number: RouteNumber, canonical?: string]>([
  ['65000:100', { form: 'as2', admin: 65_000, value: 100 }],
  ['0:4294967295', { form: 'as2', admin: 0, value: 0xffff_ffff }],
  ['65536:65535', { form: 'as4', admin: 65_536, value: 65_535 }],
  ['4294967295:0', { form: 'as4', admin: 0xffff_ffff, value: 0 }],
  ['1.10:5', { form: 'as4', admin: 65_546, value: 5 }, '65546:5'],
  ['0.100:5', { form: 'as4', admin: 100, value: 5 }],
  ['192.0.2.1:100', { form: 'ipv4', admin: 0xc000_0201, value: 100 }],
  ['255.255.255.255:65535', { form: 'ipv4', admin: 0xffff_ffff, value: 65_535 }],
])('%s', (text, number, canonical = text) => {
  expect(parseRouteNumber(text)).toEqual(number);
  expect(formatRouteNumber(number)).toBe(canonical);
});

it.each([
  ...['', ':', '100', '100:', ':100', '1:2:3', 'a:1', '1:a', '-1:1', '1:-1', '01:1', '1:01', '1e1:1', ' 1:1', '1: 1'],
  ...['4294967296:1', '1:4294967296', '65536:65536', '1.10:65536', '65536.1:1', '1.65536:1', '1.2.3:1', '1.2.3.4.5:1'],
  ...['192.0.2.256:1', '192.0.2.1:65536', 'fd00::1:1', '*:1', '1.:1', '.1:1', '\u0661:1'],
])('%j is none', (text) => {
  expect(parseRouteNumber(text)).toBeUndefined();
});

it('every number is printed in one way, and reads back', () => {
  const numbers: fc.Arbitrary<RouteNumber> = fc.oneof(
    fc.record({ form: fc.constant('as2' as const), admin: fc.nat(0xffff), value: fc.nat(0xffff_ffff) }),
    fc.record({ form: fc.constantFrom('ipv4', 'as4'), admin: fc.nat(0xffff_ffff), value: fc.nat(0xffff) }),
    fc.record({ form: fc.constantFrom('ipv4', 'as4'), admin: fc.nat(0xffff), value: fc.nat(0xffff) }),
  );
  fc.assert(
    fc.property(numbers, (number) => {
      expect(parseRouteNumber(formatRouteNumber(number))).toEqual(number);
    }),
  );
});
