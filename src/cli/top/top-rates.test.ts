import { describe, expect, it } from 'vitest';
import { sampleState } from '../../api/memory-daemon.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { MAX_HISTORY, RateHistories, type Reading, ratesBetween, unanswered } from './top-rates.ts';

const TIME = '2026-01-02T03:04:05.600Z';

/** What the sample daemon says `seconds` after a moment that is the same for all. */
function reading(seconds: number): Reading {
  const { status, stats, vteps, drops } = structuredClone(sampleState());
  return { at: 50_000 + seconds * 1000, status: { ...status, uptime: status.uptime + seconds }, stats, vteps, drops };
}

/** The same, of VNI 100, after `more` of everything. */
function later(seconds: number, more: number): Reading {
  const next = reading(seconds);
  const [vni] = next.stats.vnis;
  const [vtep] = next.vteps;
  for (const each of [vni, vtep]) {
    if (!each) throw new Error('unreachable');
    each.rxPackets += more;
    each.rxBytes += more * 100;
    each.txPackets += more * 2;
    each.txBytes += more * 200;
  }
  if (vni) vni.rxDrops += more;
  if (vtep) vtep.drops += more * 3;
  next.drops.rx.short = more;
  return next;
}

const unknown = {
  ...{ rxPacketsPerSecond: null, rxBitsPerSecond: null, txPacketsPerSecond: null, txBitsPerSecond: null },
  dropsPerSecond: null,
};

describe('rates', () => {
  it('are the mean of what was counted between two readings', () => {
    const top = ratesBetween(reading(0), later(2, 10), TIME);
    expect(top).toMatchObject({ time: TIME, seconds: 2, error: null, workers: [{ worker: 0, busy: 0.0123 }] });
    const rates = { rxPacketsPerSecond: 5, rxBitsPerSecond: 4_000, txPacketsPerSecond: 10, txBitsPerSecond: 8_000 };
    expect(top.vnis[0]).toEqual({ vni: 100, name: 'red', macs: 2, ...rates, dropsPerSecond: 5 });
    expect(top.vnis[1]).toMatchObject({ vni: 200, name: null, rxPacketsPerSecond: 0, dropsPerSecond: 0 });
    expect(top.vteps[0]).toEqual({ vtep: '198.18.0.2', macs: 1, lastHeard: 1, ...rates, dropsPerSecond: 15 });
    expect(top.vteps[1]).toMatchObject({ vtep: 'fd00:18::3', lastHeard: null, txBitsPerSecond: 0 });
  });

  it('of drops: every reason that ever occurred', () => {
    expect(ratesBetween(reading(0), later(2, 10), TIME).drops).toEqual([
      { direction: 'rx', reason: 'short', dropsPerSecond: 5, drops: 10 },
      { direction: 'rx', reason: 'unknown-vni', dropsPerSecond: 0, drops: 7 },
      { direction: 'tx', reason: 'no-remote', dropsPerSecond: 0, drops: 12 },
    ]);
  });

  it('are not known of the first reading', () => {
    const top = ratesBetween(undefined, reading(0), TIME);
    expect(top.seconds).toBeNull();
    for (const rates of [...top.vnis, ...top.vteps]) expect(rates).toMatchObject(unknown);
    expect(top.drops.map(({ dropsPerSecond }) => dropsPerSecond)).toEqual([null, null]);
  });

  it.each([
    ['another process', { pid: 4712 }],
    ['the same pid, as in a container, but younger', { uptime: 1 }],
    ['the same pid and older than it was at once, but not as old as it would be', { uptime: 3_726 }],
  ])('are not known of a daemon that was started meanwhile: %s', (_, status) => {
    const now = later(60, 1_000_000);
    const top = ratesBetween(reading(0), { ...now, status: { ...now.status, ...status } }, TIME);
    expect(top.seconds).toBeNull();
    expect(top.vnis[0]).toMatchObject(unknown);
  });

  it.each([0, -1, 2])('are known though the uptime is whole seconds: %i s off', (off) => {
    const now = later(10, 10);
    const status = { ...now.status, uptime: now.status.uptime + off };
    expect(ratesBetween(reading(0), { ...now, status }, TIME).seconds).toBe(10);
  });

  it('are not known of what came, or was deleted and made again', () => {
    const before = later(0, 10);
    before.stats.vnis.pop();
    const top = ratesBetween({ ...before, vteps: before.vteps.slice(0, 1) }, later(1, 5), TIME);
    expect(top.vnis.map(({ rxPacketsPerSecond }) => rxPacketsPerSecond)).toEqual([null, null]);
    expect(top.vteps.map(({ txBitsPerSecond }) => txBitsPerSecond)).toEqual([null, null]);
  });

  it('name nothing that went', () => {
    const now = reading(1);
    now.stats.vnis.shift();
    const top = ratesBetween(reading(0), { ...now, vteps: [] }, TIME);
    expect(top.vnis.map(({ vni }) => vni)).toEqual([200]);
    expect(top.vteps).toEqual([]);
  });
});

describe('histories', () => {
  const vtep = '198.18.0.2' as IpAddress;

  it('hold the last rates of each VNI and VTEP, with a gap where nothing is known', () => {
    const histories = new RateHistories();
    histories.add(ratesBetween(undefined, reading(0), TIME));
    histories.add(ratesBetween(reading(0), later(1, 10), TIME));
    histories.add(unanswered('gone', TIME));
    histories.add(ratesBetween(later(1, 10), later(3, 10), TIME));
    expect(histories.of(100)).toEqual([null, 24_000, null, 0]);
    expect(histories.of(vtep)).toEqual([null, 24_000, null, 0]);
    expect(histories.of(300)).toEqual([]);
  });

  it('forget what went, and are bounded', () => {
    const histories = new RateHistories();
    for (let n = 0; n < MAX_HISTORY + 5; n++) histories.add(ratesBetween(reading(n), later(n + 1, n), TIME));
    expect(histories.of(100)).toHaveLength(MAX_HISTORY);
    expect(histories.of(100).at(-1)).toBe((MAX_HISTORY + 4) * 2_400);
    const without = reading(100);
    without.stats.vnis.shift();
    histories.add(ratesBetween(reading(99), without, TIME));
    expect(histories.of(100)).toEqual([]);
    expect(histories.of(200)).toHaveLength(MAX_HISTORY);
  });
});
