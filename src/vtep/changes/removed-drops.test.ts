import { expect, it } from 'vitest';
import { Counters } from '../../forward/counters.ts';
import { RX_DROP, TX_DROP } from '../../forward/drop-reason.ts';
import { RemovedDrops } from './removed-drops.ts';

it('takes over the row of a segment from every worker, and leaves it at zero; other rows stay', () => {
  const workers = [new Counters(Counters.createMemory()), new Counters(Counters.createMemory())];
  const removed = new RemovedDrops();
  for (let round = 1; round <= 2; round++) {
    for (const counters of workers) {
      counters.rxDropped(3, RX_DROP['tap-down'], 5);
      counters.txDropped(3, TX_DROP['no-remote']);
      counters.rxDropped(4, RX_DROP['tap-down'], 100);
    }
    removed.take(workers, 3);
    expect(removed.rx[RX_DROP['tap-down']]).toBe(10 * round);
    expect(removed.tx[TX_DROP['no-remote']]).toBe(2 * round);
  }
  for (const counters of workers) {
    const { rx, tx } = counters.drops(3);
    expect([...rx, ...tx].filter((count) => count !== 0)).toEqual([]);
    expect(counters.drops(4).rx[RX_DROP['tap-down']]).toBe(200);
  }
});
