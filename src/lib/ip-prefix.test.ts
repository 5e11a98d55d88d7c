import { expect, it } from 'vitest';
import { formatIp, type IpAddress } from './addresses.ts';
import { formatPrefix, networkBytes, parseWrittenPrefix } from './ip-prefix.ts';

it.each<[text: string, address: string, bits: number]>([
  ['198.18.0.0/15', '198.18.0.0', 15],
  ['198.18.0.1', '198.18.0.1', 32],
  ['198.18.0.1/24', '198.18.0.1', 24],
  ['0.0.0.0/0', '0.0.0.0', 0],
  ['FD00:18::/64', 'fd00:18::', 64],
  ['::1', '::1', 128],
  ['::/0', '::', 0],
])('reads %s', (text, address, bits) => {
  expect(parseWrittenPrefix(text)).toEqual({ address, bits });
});

it.each([
  '',
  '/',
  '/24',
  '198.18.0.0/',
  '198.18.0.0/33',
  '198.18.0.0/-1',
  '198.18.0.0/+1',
  '198.18.0.0/08',
  '198.18.0.0/ 8',
  '198.18.0.0 /8',
  '198.18.0.0/8/8',
  '198.18.0.0/255.255.0.0',
  '198.18/16',
  '198.18.0.0/1e1',
  'fd00::/129',
  'fd00::%eth0/64',
  '::ffff:198.18.0.0/112',
  '::ffff:198.18.0.1',
  'eth0',
])('takes %j as none', (text) => {
  expect(parseWrittenPrefix(text)).toBeUndefined();
});

it.each([
  ['198.18.7.9', 24, '198.18.7.0'],
  ['198.18.7.9', 21, '198.18.0.0'],
  ['198.18.7.9', 31, '198.18.7.8'],
  ['198.18.7.9', 32, '198.18.7.9'],
  ['198.18.7.9', 0, '0.0.0.0'],
  ['fd00:18::ffff', 113, 'fd00:18::8000'],
  ['fd00:18::ffff', 0, '::'],
])('cuts %s to its first %i bits', (address, bits, network) => {
  expect(formatIp(networkBytes(address as IpAddress, bits))).toBe(network);
});

it('prints as it is written', () => {
  expect(formatPrefix({ address: 'fd00::' as IpAddress, bits: 8 })).toBe('fd00::/8');
});
