import { describe, expect, it } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import type { RouteNumber } from '../../lib/route-numbers.ts';
import { exportTargets, OwnRds } from './own-numbers.ts';

const ROUTER = '192.0.2.1' as IpAddress;
const ADMIN = 0xc0_00_02_01;
const ipv4 = (value: number, admin = ADMIN): RouteNumber => ({ form: 'ipv4', admin, value });
const as2 = (admin: number, value: number): RouteNumber => ({ form: 'as2', admin, value });

function newRds(stored = {}, routerId = ROUTER) {
  const rds = new OwnRds(stored);
  rds.routerId = routerId;
  return rds;
}

describe('the route targets of a VNI', () => {
  const list = [as2(65_000, 7), { form: 'as4', admin: 4_200_000_000, value: 1 } as const];
  it.each([
    ['automatic', [], 65_000, 100, [as2(65_000, 100)]],
    ['automatic, the highest VNI', [], 1, 0xff_ffff, [as2(1, 0xff_ffff)]],
    ['automatic, an AS of 4 octets', [], 4_200_000_123, 100, [as2(4_200_000_123 % 65_536, 100)]],
    ['RFC 8365', 'rfc8365', 65_000, 100, [as2(65_000, 268_435_556)]],
    ['RFC 8365, the highest VNI', 'rfc8365', 65_000, 0xff_ffff, [as2(65_000, 0x10ff_ffff)]],
    ['RFC 8365, an AS of 4 octets', 'rfc8365', 65_536 + 9, 1, [as2(9, 0x1000_0001)]],
    ['configured', list, 65_000, 100, list],
  ] as const)('%s', (_, targets, asn, vni, expected) => {
    expect(exportTargets(targets, asn, vni)).toEqual(expected);
  });
});

describe('the route distinguisher of a VNI', () => {
  it('is the router id and the VNI', () => {
    const rds = newRds();
    for (const vni of [0, 1, 100, 65_535]) rds.add(vni, undefined);
    expect([0, 1, 100, 65_535].map((vni) => rds.of(vni))).toEqual([ipv4(0), ipv4(1), ipv4(100), ipv4(65_535)]);
    expect(rds.changes).toBe(4);
  });

  it('is not known before the router id, and has 32 bits without a sign', () => {
    const rds = new OwnRds({});
    rds.add(100, undefined);
    expect(rds.of(100)).toBe(undefined);
    rds.routerId = '255.255.255.254' as IpAddress;
    expect(rds.of(100)).toEqual(ipv4(100, 0xffff_fffe));
    rds.routerId = ROUTER;
    expect(rds.of(100)).toEqual(ipv4(100));
    expect(rds.changes).toBe(1);
  });

  it('has the lowest free number if the VNI does not fit, or its number is taken', () => {
    const rds = newRds();
    for (const vni of [1, 65_536, 0xff_ffff, 2, 3]) rds.add(vni, undefined);
    expect(rds.of(1)).toEqual(ipv4(1));
    expect(rds.of(65_536)).toEqual(ipv4(2));
    expect(rds.of(0xff_ffff)).toEqual(ipv4(3));
    expect(rds.of(2)).toEqual(ipv4(4));
    expect(rds.of(3)).toEqual(ipv4(5));
    expect(rds.numbers).toEqual({ 1: 1, 65536: 2, 16777215: 3, 2: 4, 3: 5 });
  });

  it('stays after a restart and after the VNI was deleted', () => {
    const rds = newRds({ 65536: 2, 70000: 9 });
    rds.add(2, undefined);
    rds.add(70_000, undefined);
    rds.remove(70_000);
    expect(rds.of(2)).toEqual(ipv4(1));
    rds.add(9, undefined);
    expect(rds.of(9)).toEqual(ipv4(3));
    rds.add(70_000, undefined);
    expect(rds.of(70_000)).toEqual(ipv4(9));
    expect(rds.numbers).toEqual({ 65536: 2, 70000: 9, 2: 1, 9: 3 });
  });

  it('ignores what is no number in what was stored', () => {
    const rds = newRds({ 5: -1, 6: 65_536, 7: 1.5, x: 3, 8: '9', 9: 4, 10: 4 } as never);
    expect(rds.numbers).toEqual({ 9: 4 });
  });

  it('is the configured one, which no other VNI gets', () => {
    const rds = newRds();
    rds.add(100, as2(65_000, 7));
    rds.add(101, ipv4(102));
    rds.add(102, undefined);
    expect([100, 101, 102].map((vni) => rds.of(vni))).toEqual([as2(65_000, 7), ipv4(102), ipv4(1)]);
  });

  it('makes way for a configured one', () => {
    const rds = newRds();
    rds.add(100, undefined);
    expect(rds.of(100)).toEqual(ipv4(100));
    expect(rds.add(200, ipv4(100))).toBe(100);
    expect([rds.of(100), rds.of(200)]).toEqual([ipv4(1), ipv4(100)]);
  });

  it('is not shared while two VNIs swap theirs', () => {
    const rds = newRds();
    rds.add(1, as2(1, 1));
    rds.add(2, as2(1, 2));
    expect(rds.add(1, as2(1, 2))).toBe(2);
    expect([rds.of(1), rds.of(2)]).toEqual([as2(1, 2), ipv4(2)]);
    expect(rds.add(2, as2(1, 1))).toBe(undefined);
    expect([rds.of(1), rds.of(2), rds.vniOf(as2(1, 1)), rds.vniOf(as2(1, 2))]).toEqual([as2(1, 2), as2(1, 1), 2, 1]);
  });

  it('is taken from a deleted VNI when all are used, and from no other', () => {
    const stored = Object.fromEntries(Array.from({ length: 65_536 }, (_, number) => [100_000 + number, number]));
    const rds = newRds(stored);
    rds.add(100_000, undefined);
    rds.add(1, undefined);
    expect(rds.of(1)).toEqual(ipv4(1));
    expect(rds.numbers[100_001]).toBe(undefined);
    rds.add(2, undefined);
    expect(rds.of(2)).toEqual(ipv4(2));
    const full = newRds(stored);
    for (let vni = 100_000; vni < 165_536; vni++) full.add(vni, undefined);
    full.add(1, undefined);
    expect(full.of(1)).toBe(undefined);
  });
});

it('knows its own route distinguishers, also of VNIs that are deleted, and no others', () => {
  const rds = newRds({ 70000: 9 });
  rds.add(100, as2(65_000, 7));
  rds.add(101, undefined);
  rds.of(101);
  const own = [as2(65_000, 7), ipv4(101), ipv4(9)].map((rd) => rds.vniOf(rd));
  expect(own).toEqual([100, 101, 70_000]);
  for (const rd of [ipv4(8), ipv4(9, 1), as2(9, 9), { form: 'as4', admin: ADMIN, value: 9 } as const]) {
    expect(rds.vniOf(rd)).toBe(undefined);
  }
  rds.remove(100);
  rds.remove(101);
  expect([rds.vniOf(as2(65_000, 7)), rds.vniOf(ipv4(101))]).toEqual([undefined, 101]);
});
