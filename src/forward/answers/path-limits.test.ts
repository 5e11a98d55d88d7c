import { describe, expect, it } from 'vitest';
import { ENCAP } from '../../encap/encapsulation.ts';
import { Fdb } from '../../fdb/fdb.ts';
import { createFdbMemory } from '../../fdb/layout.ts';
import { MAX_PATH_LIMITS, PATH_LIMIT_SECONDS } from '../../lib/limits.ts';
import { PathLimits } from './path-limits.ts';

const NOW = 100;
const TENTHS = 10 * PATH_LIMIT_SECONDS;
const IPV6 = { a: 0x2001_0db8, b: 0, c: 0, d: 2 };

const ipv4 = (d: number) => ({ a: 0, b: 0, c: 0xffff, d });

function newLimits() {
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const limits = new PathLimits(fdb.remotes);
  return {
    limits,
    learn: ({ a, b, c, d }: typeof IPV6, mtuBytes: number) => limits.learn(a, b, c, d, mtuBytes),
    /** undefined where no limit is known. */
    of(address: typeof IPV6, now = NOW, mayFragment = false): number | undefined {
      const frameBytes = limits.frameBytes(ENCAP.vxlan, fdb.retainRemote(address), mayFragment, now);
      return frameBytes > 100_000 ? undefined : frameBytes;
    },
  };
}

describe('a path', () => {
  it('has no limit unless one was learned', () => {
    const { limits, learn, of } = newLimits();
    expect([limits.isEmpty, of(ipv4(1))]).toEqual([true, undefined]);
    learn(ipv4(1), 1_400);
    expect([limits.isEmpty, of(ipv4(2))]).toEqual([false, undefined]);
  });

  it('takes frames less the outer headers: 36 octets over IPv4, 56 over IPv6', () => {
    const { learn, of } = newLimits();
    learn(ipv4(-1), 1_400);
    learn(IPV6, 1_400);
    expect([of(ipv4(-1)), of(IPV6)]).toEqual([1_364, 1_344]);
  });

  it('has the limit that was learned last', () => {
    const { learn, of } = newLimits();
    learn(ipv4(1), 1_400);
    learn(ipv4(1), 1_300);
    expect(of(ipv4(1))).toBe(1_264);
    learn(ipv4(1), 1_450);
    expect(of(ipv4(1))).toBe(1_414);
  });

  it(`is free again ${PATH_LIMIT_SECONDS} s after the first look`, () => {
    const { limits, learn, of } = newLimits();
    learn(ipv4(1), 1_400);
    expect(of(ipv4(1), NOW)).toBe(1_364);
    expect(of(ipv4(1), NOW + TENTHS - 1)).toBe(1_364);
    expect(of(ipv4(1), NOW + TENTHS)).toBeUndefined();
    expect(limits.isEmpty).toBe(true);
    learn(ipv4(1), 1_300);
    expect(of(ipv4(1), NOW + 2 * TENTHS)).toBe(1_264);
  });

  it('has no limit that would leave nothing', () => {
    const { limits, learn } = newLimits();
    for (const mtuBytes of [0, 1, 36]) learn(ipv4(1), mtuBytes);
    expect(limits.isEmpty).toBe(true);
  });
});

it('a limit does not hold for what routers may fragment, which those of IPv6 never do', () => {
  const { learn, of } = newLimits();
  for (const address of [ipv4(1), IPV6]) learn(address, 1_400);
  expect([of(ipv4(1), NOW, true), of(IPV6, NOW, true)]).toEqual([undefined, 1_344]);
});

it('more paths than there is room for cost limits, never mix them up', () => {
  const { limits, learn, of } = newLimits();
  const count = 2 * MAX_PATH_LIMITS;
  for (let i = 1; i <= count; i++) learn(ipv4(i), 1_000 + (i % 400));
  const known = Array.from({ length: count }, (_, i) => of(ipv4(i + 1)));
  expect(known.filter((limit) => limit !== undefined).length).toBeGreaterThan(MAX_PATH_LIMITS / 2);
  for (const [i, limit] of known.entries()) expect([undefined, 1_000 + ((i + 1) % 400) - 36]).toContain(limit);
  for (let i = 1; i <= count; i++) of(ipv4(i), NOW + TENTHS);
  expect(limits.isEmpty).toBe(true);
});
