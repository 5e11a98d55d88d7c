import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { NumberPool } from './number-pool.ts';
import { Serial } from './serial.ts';

it('runs one change after the other, in the order asked for', async () => {
  const serial = new Serial();
  const events: string[] = [];
  const change = (name: string, ms: number) =>
    serial.run(async () => {
      events.push(`${name} begins`);
      await setTimeout(ms);
      events.push(`${name} ends`);
      return name;
    });
  expect(await Promise.all([change('one', 20), change('two', 1), change('three', 0)])).toEqual(['one', 'two', 'three']);
  expect(events).toEqual(['one begins', 'one ends', 'two begins', 'two ends', 'three begins', 'three ends']);
});

it('goes on after a change that failed, which alone hears of it', async () => {
  const serial = new Serial();
  const failing = serial.run(() => {
    throw new Error('refused');
  });
  const next = serial.run(() => 'done');
  await expect(failing).rejects.toThrow('refused');
  expect(await next).toBe('done');
});

it('gives each number to one user at a time, and given-back ones before new ones', () => {
  const pool = new NumberPool();
  expect([pool.take(), pool.take(), pool.take()]).toEqual([0, 1, 2]);
  pool.give(1);
  expect([pool.take(), pool.take()]).toEqual([1, 3]);
});
