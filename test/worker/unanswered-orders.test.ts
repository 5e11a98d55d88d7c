/**
 * A thread that hangs is told no more than MAX_UNANSWERED_ORDERS, and ends when it turns again.
 *
 *     test ── ptrace ──► thread of hanging-worker.mjs ◄── orders ── its main thread
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { MAX_UNANSWERED_ORDERS } from '../../src/lib/limits.ts';
import { StoppedThread } from '../support/host/stopped-thread.ts';
import { describeSystem } from '../support/lab/lab.ts';
import { waitUntil } from '../support/wait.ts';

const PROGRAM = fileURLToPath(new URL('hanging-worker.mjs', import.meta.url));
/** What a quarter of a million of them would come to beyond the limit is more: some hundred octets each. */
const MAX_GROWTH_BYTES = 16e6;

interface Said {
  readonly started?: boolean;
  readonly residentBytes?: number;
  readonly inForce?: boolean;
  readonly died?: string;
}

describeSystem('a thread that hangs', () => {
  test('has a bounded number of orders wait for it, ends when it turns, and answers then who waits', async () => {
    const child = fork(PROGRAM);
    const said: Said[] = [];
    child.on('message', (message: Said) => said.push(message));
    try {
      await waitUntil('the thread', () => said.length === 1, { timeoutMs: 30_000 });
      const hanging = await StoppedThread.worker(child.pid as number);
      const give = async (orders: number) => {
        const count = said.length;
        child.send({ orders });
        await waitUntil('they are given', () => said.length > count, { timeoutMs: 30_000 });
        return said.at(-1)?.residentBytes ?? 0;
      };
      const full = await give(MAX_UNANSWERED_ORDERS);
      const later = await give(2 * MAX_UNANSWERED_ORDERS);
      expect(later - full).toBeLessThan(MAX_GROWTH_BYTES);
      expect(said.some(({ died, inForce }) => died !== undefined || inForce !== undefined)).toBe(false);
      hanging.close();
      await waitUntil('the end and both answers', () => said.length === 6, { timeoutMs: 30_000 });
      expect(said.slice(3)).toEqual(
        expect.arrayContaining([
          { died: `it hung, with ${MAX_UNANSWERED_ORDERS} orders waiting for it` },
          { inForce: false },
          { inForce: false },
        ]),
      );
    } finally {
      child.kill('SIGKILL');
    }
  });
});
