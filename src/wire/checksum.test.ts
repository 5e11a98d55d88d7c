import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldSum, pseudoHeaderSum, sumOctets } from './checksum.ts';
import { naiveSum } from './naive-sum.ts';
import { placedAt } from './octets-rig.ts';

const TCP = 6;
const UDP = 17;

const word = (value: number) => [value >> 8, value & 0xff];

const places = fc.nat({ max: 5 });

describe('sumOctets and foldSum', () => {
  it.each([
    ['nothing', [], 0],
    ['the example of RFC 1071 §3', [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0xddf2],
    ['one octet, the high half of a word', [0xab], 0xab00],
    ['three octets', [0x00, 0x01, 0xab], 0xab01],
    ['a carry that carries again', [0xff, 0xff, 0xff, 0xff, 0x00, 0x01], 0x0001],
    ['zeros, which stay the positive zero', [0, 0, 0, 0], 0],
  ])('sum %s', (_name, octets, sum) => {
    expect(foldSum(sumOctets(placedAt(Uint8Array.from(octets), 3), 3, octets.length))).toBe(sum);
  });

  it('agree with RFC 1071 octet by octet, at any place and length, odd ones too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), places, (octets, at) => {
        expect(foldSum(sumOctets(placedAt(octets, at), at, octets.length))).toBe(naiveSum(octets));
      }),
      { numRuns: 500 },
    );
  });

  it('read neither behind nor in front of what they are to sum, at every length', () => {
    const octets = Uint8Array.from({ length: 99 }, (_, i) => 255 - i);
    const view = placedAt(octets, 1);
    for (let length = 0; length <= octets.length; length++) {
      const cut = octets.subarray(0, length);
      expect(foldSum(sumOctets(view, 1, length)), `inside a longer buffer, ${length}`).toBe(naiveSum(cut));
      expect(foldSum(sumOctets(placedAt(cut, 1), 1, length)), `at the buffer's end, ${length}`).toBe(naiveSum(cut));
    }
  });

  it.each([65_536, 65_535, 65_521])('%i octets of 0xff do not overflow', (length) => {
    const octets = new Uint8Array(length).fill(0xff);
    const sum = sumOctets(placedAt(octets, 2), 2, length);
    expect(sum).toBe((length >> 1) * 0xffff + (length % 2) * 0xff00);
    expect(sum).toBeLessThan(2 ** 32);
    expect(foldSum(sum)).toBe(naiveSum(octets));
  });

  it.each([
    [0, 0],
    [0xffff, 0xffff],
    [0x1_0000, 1],
    [0x1_ffff, 1],
    [0x8000_0000, 0x8000],
    [0xffff_fffe, 0xfffe],
    [0xffff_ffff, 0xffff],
  ])('fold %i to %i', (sum, folded) => {
    expect(foldSum(sum)).toBe(folded);
  });

  it('fold any sum below 2^32 to its remainder modulo 0xffff, never to zero unless it is zero', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0xffff_ffff }), (sum) => {
        expect(foldSum(sum)).toBe(((sum - 1) % 0xffff) + 1);
      }),
    );
  });
});

describe('pseudoHeaderSum', () => {
  const protocols = fc.constantFrom(TCP, UDP);
  const lengths = fc.oneof(fc.nat({ max: 0xffff }), fc.constantFrom(0, 8, 20, 0xffff));

  it('sums 192.0.2.1, 198.51.100.2, TCP and a length as RFC 9293 §3.1 lays them out', () => {
    const header = new Uint8Array(20).fill(0xa5);
    header.set([192, 0, 2, 1, 198, 51, 100, 2], 12);
    // c000 + 0201 + c633 + 6402 + 0006 + 0014
    expect(pseudoHeaderSum(placedAt(header, 0), 0, 4, TCP, 20)).toBe(0xec51);
  });

  it('agrees with the naive sum of an IPv4 pseudo-header', () => {
    const headers = fc.uint8Array({ minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(headers, places, protocols, lengths, (header, at, protocol, length) => {
        const pseudo = [...header.subarray(12, 20), 0, protocol, ...word(length)];
        expect(pseudoHeaderSum(placedAt(header, at), at, 4, protocol, length)).toBe(naiveSum(pseudo));
      }),
    );
  });

  it('agrees with the naive sum of an IPv6 pseudo-header', () => {
    const headers = fc.uint8Array({ minLength: 40, maxLength: 40 });
    fc.assert(
      fc.property(headers, places, protocols, lengths, (header, at, protocol, length) => {
        const pseudo = [...header.subarray(8, 40), 0, 0, ...word(length), 0, 0, 0, protocol];
        expect(pseudoHeaderSum(placedAt(header, at), at, 6, protocol, length)).toBe(naiveSum(pseudo));
      }),
    );
  });

  it.each([4, 6])('stays within 16 bits with every octet of IPv%i at its highest', (version) => {
    const header = new Uint8Array(version === 4 ? 20 : 40).fill(0xff);
    const sum = pseudoHeaderSum(placedAt(header, 0), 0, version, 255, 0xffff);
    // Words of 0xffff add nothing to a sum that is not zero.
    expect(sum).toBe(255);
  });
});
