import { expect, it } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import { explainAddress } from './port-clash.ts';

const address = 'fd00:18::77' as IpAddress;
const there = { address, index: 2, isTentative: false, isDuplicate: false };
const links = [
  { index: 2, name: 'eth0', kind: 'veth', master: 5 },
  { index: 5, name: 'red', kind: 'vrf', master: 0 },
];

it.each([
  ['absent', [], 'no interface of this host has fd00:18::77', '--local'],
  ['tentative', [{ ...there, isTentative: true }], 'is on eth0, but still tentative', 'start again'],
  ['a duplicate', [{ ...there, isTentative: true, isDuplicate: true }], 'another host has it too', 'another address'],
  ['in a VRF', [there], 'is on eth0 in the VRF red', '--dev eth0'],
  ['fit', [{ ...there, index: 3 }], 'the kernel refuses it', 'ip -6 addr show dev interface 3'],
])('an address that cannot be bound and is %s', (_what, addresses, cause, remedy) => {
  const told = explainAddress(address, addresses, links);
  expect(told.cause).toContain(cause);
  expect(told.remedy).toContain(remedy);
});
