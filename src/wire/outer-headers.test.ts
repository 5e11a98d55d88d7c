import { describe, expect, it } from 'vitest';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { naiveSum } from './naive-sum.ts';
import { outerHeaders } from './outer-headers.ts';

const ip = (text: string) => parseIp(text) as IpAddress;
const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex');

const IPV4 = {
  ...{ source: ip('198.18.0.1'), destination: ip('239.1.1.1'), sourcePort: 0xc123, port: 4789, tos: 0xb9, ttl: 64 },
  dontFragment: true,
};
const IPV6 = { ...IPV4, source: ip('fd00:18::1'), destination: ip('ff05::1') };

describe('over IPv4', () => {
  it('says all that is known, and has a valid header checksum', () => {
    const octets = outerHeaders(IPV4, new Uint8Array(100), 100);
    expect(hex(octets)).toBe(
      ['45b9', '0080', '0000', '4000', '40', '11', hex(octets.subarray(10, 12)), 'c6120001', 'ef010101']
        .concat(['c123', '12b5', '006c', '0000'])
        .join(''),
    );
    expect(naiveSum(octets.subarray(0, 20))).toBe(0xffff);
    expect(hex(outerHeaders({ ...IPV4, dontFragment: false }, new Uint8Array(0), 0)).slice(12, 16)).toBe('0000');
  });

  it('is as long as its fields can say, and no longer', () => {
    const lengths = (bytes: number) => {
      const view = new DataView(outerHeaders(IPV4, new Uint8Array(8), bytes).buffer);
      return [view.getUint16(2), view.getUint16(24)];
    };
    expect(lengths(65_507)).toEqual([65_535, 65_515]);
    expect(lengths(65_508)).toEqual([65_535, 65_515]);
    expect(lengths(70_000)).toEqual([65_535, 65_515]);
  });
});

describe('over IPv6', () => {
  it.each([[0], [1], [99], [100]])('has the UDP checksum of %i octets', (bytes) => {
    const payload = Uint8Array.from({ length: bytes }, (_, i) => 7 * i);
    const octets = outerHeaders(IPV6, payload, bytes);
    expect(hex(octets).slice(0, 16)).toBe(`6b900000${(8 + bytes).toString(16).padStart(4, '0')}1140`);
    expect(hex(octets.subarray(8, 40))).toBe('fd000018000000000000000000000001' + 'ff050000000000000000000000000001');
    const pseudo = Buffer.concat([octets.subarray(8, 40), Uint8Array.of(0, 0, 0, 8 + bytes, 0, 0, 0, 17)]);
    expect(naiveSum(Buffer.concat([pseudo, octets.subarray(40), payload]))).toBe(0xffff);
  });

  it('leaves it out of what is not whole', () => {
    expect(hex(outerHeaders(IPV6, new Uint8Array(8), 70_000)).slice(80)).toBe('c12312b5' + 'ffff0000');
  });
});
