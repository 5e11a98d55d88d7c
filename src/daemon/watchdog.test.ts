import { expect, test } from 'vitest';
import { watchdogLimitMs } from './watchdog.ts';

test.each([
  [{ WATCHDOG_USEC: '30000000' }, 30_000],
  [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 30_000],
  [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, undefined],
  [{ WATCHDOG_USEC: '0' }, undefined],
  [{ WATCHDOG_USEC: '30s' }, undefined],
  [{}, undefined],
])('what systemd asks of process 7 by %o', (env, limitMs) => {
  expect(watchdogLimitMs(env, 7)).toBe(limitMs);
});
