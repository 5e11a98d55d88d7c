/** A peer, a tenant or the host can make an event happen without end, and not fill a disk with it. */
import { expect, it } from 'vitest';
import { MAX_LOG_LINES_PER_HOUR } from '../lib/limits.ts';
import { LogBudget } from './log-budget.ts';

const HOUR_MS = 3_600_000;

function taken(budget: LogBudget, event: string, times: number, nowMs: number): number {
  let lines = 0;
  for (let i = 0; i < times; i++) if (budget.takes(event, nowMs)) lines++;
  return lines;
}

it('takes so many lines of an event in an hour, and tells then once how many more there were', () => {
  const budget = new LogBudget(0);
  expect(taken(budget, 'mac-flapping', 10_000, 1)).toBe(MAX_LOG_LINES_PER_HOUR);
  expect(budget.leftOut(HOUR_MS - 1)).toEqual([]);
  expect(budget.leftOut(HOUR_MS)).toEqual([{ of: 'mac-flapping', lines: 10_000 - MAX_LOG_LINES_PER_HOUR }]);
  expect(budget.leftOut(HOUR_MS)).toEqual([]);
});

it('counts each event, and those without a name, by itself', () => {
  const budget = new LogBudget(0);
  for (const event of ['vni-status', 'tap-gone', '']) {
    expect(taken(budget, event, 1_000, 1)).toBe(MAX_LOG_LINES_PER_HOUR);
  }
});

it('begins anew each hour, and has nothing to tell of an hour with less', () => {
  const budget = new LogBudget(0);
  taken(budget, 'vni-status', MAX_LOG_LINES_PER_HOUR, 1);
  expect(budget.leftOut(HOUR_MS)).toEqual([]);
  expect(taken(budget, 'vni-status', 1_000, HOUR_MS + 1)).toBe(MAX_LOG_LINES_PER_HOUR);
  expect(budget.leftOut(2 * HOUR_MS)).toEqual([{ of: 'vni-status', lines: 1_000 - MAX_LOG_LINES_PER_HOUR }]);
});

it('takes every line of what somebody asked for', () => {
  expect(taken(new LogBudget(0), 'vni-added', 20_000, 1)).toBe(20_000);
});
