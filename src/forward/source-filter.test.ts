import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIp, type IpAddress, ipBytes, parseIp } from '../lib/addresses.ts';
import { type IpPrefix, networkBytes, parseWrittenPrefix } from '../lib/ip-prefix.ts';
import { SourceFilter } from './source-filter.ts';

const prefix = (text: string) => parseWrittenPrefix(text) as IpPrefix;
const filter = (...texts: string[]) => new SourceFilter(texts.map(prefix));

/** An address as the data path has it: four signed words, IPv4 as ::ffff:a.b.c.d. */
function source(text: string) {
  const octets = ipBytes(parseIp(text) as IpAddress);
  const all = octets.length === 4 ? [...new Uint8Array(10), 0xff, 0xff, ...octets] : [...octets];
  const view = new DataView(Uint8Array.from(all).buffer);
  const [a, b, c, d] = [0, 4, 8, 12].map((at) => view.getInt32(at)) as [number, number, number, number];
  return { a, b, c, d };
}

describe('the filter', () => {
  it.each<[prefixes: string[], allowed: string[], refused: string[]]>([
    [['198.18.0.0/24'], ['198.18.0.0', '198.18.0.255'], ['198.18.1.0', '198.17.255.255', '::198.18.0.1', 'fd00::1']],
    [['198.18.0.7'], ['198.18.0.7'], ['198.18.0.6', '198.18.0.8']],
    [['0.0.0.0/0'], ['0.0.0.0', '127.255.255.255', '128.0.0.0', '255.255.255.255'], ['fd00::1', '::1']],
    [['::/0'], ['::', 'fd00::1', '198.18.0.1', 'ffff:ffff::'], []],
    [['128.0.0.0/1'], ['128.0.0.0', '255.0.0.1'], ['127.255.255.255']],
    [
      ['fd00:18::/64'],
      ['fd00:18::', 'fd00:18::ffff:ffff:ffff:ffff'],
      ['fd00:18:0:1::', 'fd00:17:ffff::', '198.18.0.1'],
    ],
    [['fd00::/33', '8000::/1'], ['fd00:0:7fff::', '8000::', 'ffff::'], ['7fff::']],
    [
      ['10.0.0.0/31', '10.0.0.4/30', '9.0.0.0/8'],
      ['10.0.0.1', '10.0.0.7', '9.9.9.9'],
      ['10.0.0.2', '10.0.0.8', '11.0.0.0'],
    ],
  ])('of %j', (prefixes, allowed, refused) => {
    const { size } = filter(...prefixes);
    expect(size).toBeGreaterThan(0);
    for (const text of allowed) expect([text, filter(...prefixes).allows(source(text))]).toEqual([text, true]);
    for (const text of refused) expect([text, filter(...prefixes).allows(source(text))]).toEqual([text, false]);
  });

  it('leaves out what lies in another prefix', () => {
    expect(filter('10.0.0.0/8', '10.1.0.0/16', '10.1.1.1', '10.0.0.0/8', '11.0.0.0/8').size).toBe(2);
    expect(filter('10.1.0.0/16', '0.0.0.0/0').size).toBe(1);
    expect(filter('fd00::/8', '0.0.0.0/0', '::/0').size).toBe(1);
  });
});

it('agrees with asking every prefix bit by bit', () => {
  // Few distinct octets, so that addresses lie in prefixes, at their edges and in several.
  const octet = fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff);
  const addresses = fc
    .oneof(
      fc.array(octet, { minLength: 4, maxLength: 4, size: 'max' }),
      fc.array(octet, { minLength: 16, maxLength: 16, size: 'max' }),
    )
    .map((octets) => formatIp(Uint8Array.from(octets)));
  const prefixes = fc.tuple(addresses, fc.nat({ max: 128 })).map(([address, wanted]): IpPrefix => {
    const bits = Math.min(wanted, ipBytes(address).length * 8);
    return { address: formatIp(networkBytes(address, bits)), bits };
  });
  // Bits that formatIp would read as IPv4-mapped are another family's.
  const sameFamily = ({ address, bits }: IpPrefix) => bits <= ipBytes(address).length * 8;
  const isIn = (text: IpAddress, { address, bits }: IpPrefix) => {
    const [mine, its] = [ipBytes(text), ipBytes(address)];
    if (mine.length !== its.length) {
      // Only ::/0 and the like hold an IPv4-mapped address.
      return (
        its.length === 16 &&
        [...new Uint8Array(10), 0xff, 0xff].every((byte, i) => sameBits(byte, its[i] as number, bits - 8 * i)) &&
        bits <= 96
      );
    }
    return mine.every((byte, i) => sameBits(byte, its[i] as number, bits - 8 * i));
  };
  fc.assert(
    fc.property(
      fc.array(prefixes.filter(sameFamily), { minLength: 1, maxLength: 12, size: 'max' }),
      fc.array(addresses, { minLength: 1, maxLength: 20, size: 'max' }),
      (list, asked) => {
        const sources = new SourceFilter(list);
        for (const address of asked) {
          expect([address, sources.allows(source(address))]).toEqual([
            address,
            list.some((each) => isIn(address, each)),
          ]);
        }
      },
    ),
    { numRuns: 500 },
  );
});

/** Whether the first `count` bits of two octets are the same. */
function sameBits(one: number, other: number, count: number): boolean {
  const bits = Math.max(0, Math.min(8, count));
  return one >> (8 - bits) === other >> (8 - bits);
}
