import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatIp, type IpAddress } from '../../lib/addresses.ts';
import { compareIps, compareSequences, isPreferred, laterSequence, nextSequence } from './sequence.ts';

const number = fc.nat({ max: 0xffff_ffff });

it('a number is before each of the 2147483647 after it, over the wrap too', () => {
  fc.assert(
    fc.property(number, fc.integer({ min: 1, max: 0x7fff_ffff }), (first, steps) => {
      const later = nextSequence(first, steps);
      expect(later).toBe(Number((BigInt(first) + BigInt(steps)) % 0x1_0000_0000n));
      expect(compareSequences(later, first)).toBeGreaterThan(0);
      expect(compareSequences(first, later)).toBeLessThan(0);
      expect([laterSequence(first, later), laterSequence(later, first)]).toEqual([later, later]);
    }),
  );
  expect([nextSequence(0xffff_ffff), compareSequences(0, 0xffff_ffff)]).toEqual([0, 1]);
});

it('numbers half the range apart are in no order', () => {
  expect([compareSequences(0, 0x8000_0000), compareSequences(0x8000_0000, 0)]).toEqual([0, 0]);
});

it('addresses are in the order of their numbers, IPv4 first', () => {
  const ip = fc
    .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
    .map((octets) => {
      if (octets.length === 16) octets[0] = 0x20;
      const value = octets.reduce((sum, octet) => sum * 256n + BigInt(octet), octets.length === 16 ? 1n : 0n);
      return { ip: formatIp(octets), value };
    });
  fc.assert(
    fc.property(ip, ip, (one, other) => {
      const expected = one.value < other.value ? -1 : one.value > other.value ? 1 : 0;
      expect(Math.sign(compareIps(one.ip, other.ip))).toBe(expected);
    }),
  );
  expect(compareIps('10.0.0.9' as IpAddress, '10.0.0.10' as IpAddress)).toBeLessThan(0);
});

it('of two VTEPs exactly one has the MAC', () => {
  const ips = ['192.0.2.1', '192.0.2.9', '192.0.2.10', '2001:db8::1'] as IpAddress[];
  const claim = fc.record({ vtep: fc.constantFrom(...ips), sequence: number, isSticky: fc.boolean() });
  fc.assert(
    fc.property(claim, claim, (one, other) => {
      fc.pre(one.vtep !== other.vtep);
      expect(isPreferred(one, other)).toBe(!isPreferred(other, one));
    }),
  );
  const [low, high] = [ips[1], ips[2]] as [IpAddress, IpAddress];
  const preferred = (one: [IpAddress, number, boolean], other: [IpAddress, number, boolean]) =>
    isPreferred(
      { vtep: one[0], sequence: one[1], isSticky: one[2] },
      { vtep: other[0], sequence: other[1], isSticky: other[2] },
    );
  expect(preferred([low, 1, false], [high, 1, false])).toBe(true);
  expect(preferred([low, 1, false], [high, 2, false])).toBe(false);
  expect(preferred([low, 9, false], [high, 0, true])).toBe(false);
});
