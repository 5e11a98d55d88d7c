import { describe, expect, it } from 'vitest';
import {
  CAP_NET_ADMIN,
  CAP_NET_RAW,
  hasCapability,
  isInUserNamespace,
  openFilesLimit,
  ownsNetNamespace,
  serviceOf,
} from './privileges.ts';

describe('hasCapability', () => {
  it.each([
    ['CapEff:\t0000000000001000\n', true, false],
    ['CapPrm:\t0000000000003000\nCapEff:\t0000000000002000\n', false, true],
    ['CapEff:\t000001ffffffffff\n', true, true],
    ['', false, false],
  ])('%j', (status, admin, raw) => {
    expect([hasCapability(CAP_NET_ADMIN, status), hasCapability(CAP_NET_RAW, status)]).toEqual([admin, raw]);
  });
});

it.each([
  ['         0          0 4294967295\n', false],
  ['         0       1000          1\n', true],
  ['         0     100000      65536\n', true],
  // Of one that nobody has written yet.
  ['', false],
])('a user namespace by its map %j: %s', (map, expected) => {
  expect(isInUserNamespace(map)).toBe(expected);
});

it.each([
  ['0::/system.slice/vtepd.service\n', 'vtepd.service'],
  ['0::/system.slice/system-vtepd.slice/vtepd@blue.service\n', 'vtepd@blue.service'],
  ['5:cpu:/x\n1:name=systemd:/system.slice/vtepd.service\n', 'vtepd.service'],
  ['0::/user.slice/user-0.slice/session-1.scope\n', undefined],
  ['0::/user.slice/user-0.slice/user@0.service\n', undefined],
  ['0::/system.slice/docker-0123.scope\n', undefined],
  ['0::/\n', undefined],
  ['', undefined],
])('the service of %j: %s', (cgroup, expected) => {
  expect(serviceOf(cgroup)).toBe(expected);
});

it('owns the network namespace of the tests’ own user namespace', () => {
  expect(ownsNetNamespace()).toBe(true);
});

it('knows the limit of open files', () => {
  expect(
    openFilesLimit('Limit  Soft\nMax open files            1024                 524288               files\n'),
  ).toBe('1024');
  expect(openFilesLimit('')).toBeUndefined();
});
