/** A worker that hangs keeps the sockets of few sources, however often the address changes meanwhile. */
import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { Underlay } from '../../host/underlay/underlay.ts';
import type { Listeners } from '../../underlay/listeners.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';
import { SourceWatch } from './source-watch.ts';

function underlayOf(counts: { followed: number }): Underlay {
  const followAddresses = () => {
    counts.followed++;
    return { from: `198.18.0.${counts.followed}`, to: `198.18.0.${counts.followed + 1}`, retired: undefined };
  };
  return {
    name: 'eth0',
    family: 4,
    status: 'ok',
    number: 0,
    link: { index: 2 },
    source: undefined,
    followAddresses,
  } as unknown as Underlay;
}

it('goes on with the present address once a worker answers', async () => {
  const counts = { followed: 0 };
  const answers: (() => void)[] = [];
  const orderAll = () => new Promise<void>((resolve) => answers.push(resolve));
  const underlay = underlayOf(counts);
  const watch = new SourceWatch({
    log: pino({ level: 'silent' }),
    workers: { size: 1, orderAll } as unknown as WorkerPool,
    listeners: {} as Listeners,
    underlays: [underlay],
  });
  for (let i = 0; i < 100; i++) watch.followAll();
  expect(counts.followed).toBe(4);
  for (const answer of answers.splice(0)) answer();
  await expect.poll(() => counts.followed).toBe(5);
  for (const answer of answers.splice(0)) answer();
  watch.followAll();
  expect(counts.followed).toBe(6);
  for (const answer of answers.splice(0)) answer();
});
