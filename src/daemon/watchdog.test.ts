import { expect, onTestFinished, test, vi } from 'vitest';
import { Watchdog, watchdogLimitMs } from './watchdog.ts';

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

test('a question that failed is asked again', async () => {
  vi.useFakeTimers();
  vi.stubEnv('WATCHDOG_USEC', '3000000');
  let asked = 0;
  const watchdog = new Watchdog(async () => {
    asked++;
    if (asked === 1) throw new Error('the worker died');
  });
  onTestFinished(() => {
    watchdog.stop();
    vi.unstubAllEnvs();
    vi.useRealTimers();
  });
  watchdog.start();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(asked).toBe(3);
});
