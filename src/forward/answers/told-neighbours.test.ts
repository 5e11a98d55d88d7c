import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MAX_TOLD_NEIGHBOURS, NEIGHBOUR_TOLD_AGAIN_SECONDS } from '../../lib/limits.ts';
import type { Segment } from '../../segment/segment.ts';
import { mapNeighbours, RING, ringOf, TOLD } from './neighbour-memory.ts';
import { NeighbourTable } from './neighbours.ts';
import { NeighbourTeller, ToldNeighbours } from './told-neighbours.ts';

const NOW = 5_000;
const HIGH = 0xfe00_0001;
const AGAIN = NEIGHBOUR_TOLD_AGAIN_SECONDS * 10;

function newTold(workers = 1) {
  const memory = NeighbourTable.createMemory(7);
  const told = new ToldNeighbours(memory, workers);
  const tellers = Array.from({ length: workers }, (_, worker) => new NeighbourTeller(memory, worker));
  const words = new Int32Array(100 * TOLD.words);
  /** A worker hears. */
  const hear = (address: number, low: number, { segment = 1, now = NOW, worker = 0 } = {}) =>
    tellers[worker]?.tell({ index: segment, vni: 100 + segment } as Segment, 0, 0, 0xffff, address, HIGH, low, now);
  /** The main thread reads all. */
  const read = () => {
    const found: string[] = [];
    for (let count = told.read(words); count > 0; count = told.read(words)) {
      for (let at = 0; at < count * TOLD.words; at += TOLD.words) {
        const [segment, vni, a, b, c, d, high, low] = words.subarray(at, at + TOLD.words);
        expect([vni, a, b, c, high]).toEqual([100 + (segment as number), 0, 0, 0xffff, HIGH | 0]);
        found.push(`${segment}: ${d} is at ${low}`);
      }
    }
    return found;
  };
  return { memory, told, tellers, hear, read };
}

it('tells nothing of a segment that nobody listens to', () => {
  const { told, tellers, hear, read } = newTold();
  hear(1, 1);
  told.listenTo(2);
  hear(1, 1);
  expect([tellers[0]?.listened[1], tellers[0]?.listened[2]]).toEqual([0, 1]);
  told.ignore(2);
  hear(1, 1, { segment: 2 });
  expect([read(), told.news]).toEqual([[], 0]);
});

it('tells an address at once when it is new or has another MAC, and again after a while', () => {
  const { told, hear, read } = newTold();
  told.listenTo(1);
  for (let time = 0; time < 5; time++) hear(1, 1);
  hear(2, 1);
  expect(read()).toEqual(['1: 1 is at 1', '1: 2 is at 1']);
  hear(1, 2);
  hear(1, 1);
  expect(read()).toEqual(['1: 1 is at 2', '1: 1 is at 1']);
  hear(1, 1, { now: NOW + AGAIN - 1 });
  expect(read()).toEqual([]);
  hear(1, 1, { now: NOW + AGAIN });
  expect(read()).toEqual(['1: 1 is at 1']);
});

it('tells anew whom it told before, once it is listened to anew', () => {
  const { told, hear, read } = newTold();
  told.listenTo(1);
  hear(1, 1);
  read();
  told.ignore(1);
  hear(1, 1);
  told.listenTo(1);
  expect(read()).toEqual([]);
  hear(1, 1);
  expect(read()).toEqual(['1: 1 is at 1']);
});

it('has each worker tell for itself', () => {
  const { told, hear, read } = newTold(3);
  told.listenTo(1);
  for (const worker of [2, 0, 2, 1]) hear(worker, worker, { worker });
  expect(read()).toEqual(['1: 0 is at 0', '1: 1 is at 1', '1: 2 is at 2']);
  hear(1, 1, { worker: 2 });
  expect(read()).toEqual(['1: 1 is at 1']);
});

it('goes on in its predecessor’s ring after a thread has died', () => {
  const { memory, told, hear, read } = newTold();
  told.listenTo(1);
  hear(1, 1);
  const successor = new NeighbourTeller(memory, 0);
  successor.tell({ index: 1, vni: 101 } as Segment, 0, 0, 0xffff, 2, HIGH, 2, NOW);
  expect(read()).toEqual(['1: 1 is at 1', '1: 2 is at 2']);
});

it('loses what a full ring has no room for, counts it, and tells it when it is heard again', () => {
  const { told, hear, read } = newTold();
  told.listenTo(1);
  for (let address = 0; address < MAX_TOLD_NEIGHBOURS + 3; address++) hear(address, 1);
  expect(told.lost).toBe(3);
  expect(read()).toHaveLength(MAX_TOLD_NEIGHBOURS);
  for (let address = MAX_TOLD_NEIGHBOURS - 5; address < MAX_TOLD_NEIGHBOURS + 3; address++) hear(address, 1);
  expect(read().slice(-3)).toEqual([0, 1, 2].map((each) => `1: ${MAX_TOLD_NEIGHBOURS + each} is at 1`));
});

it('goes on where its numbers wrap', () => {
  const { memory, told, hear, read } = newTold();
  told.listenTo(1);
  const ring = ringOf(mapNeighbours(memory), 0);
  ring[RING.told] = 0x7fff_ffff;
  ring[RING.read] = 0x7fff_ffff;
  for (let address = 0; address < 5; address++) hear(address, 1);
  expect([read().length, told.lost]).toEqual([5, 0]);
});

it('wakes who waits for news, and lets nobody wait who has not seen the last', async () => {
  const { told, hear } = newTold();
  told.listenTo(1);
  const seen = told.news;
  let isWoken = false;
  const waiting = told.change(seen, 60_000).then(() => {
    isWoken = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(isWoken).toBe(false);
  hear(1, 1);
  await waiting;
  await told.change(seen, 60_000);
});

it('tells the last of each address, whatever is heard, read, ignored and listened to', () => {
  const command = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({
        kind: fc.constant('hear' as const),
        address: fc.nat({ max: 9 }),
        low: fc.nat({ max: 2 }),
        segment: fc.nat({ max: 1 }),
        after: fc.nat({ max: 120 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('listen' as const),
        segment: fc.nat({ max: 1 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('ignore' as const), segment: fc.nat({ max: 1 }) }) },
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80, size: 'max' }), (commands) => {
      const { told, hear, read } = newTold();
      const [listened, toldAt, expected] = [new Set<number>(), new Map<string, number>(), [] as string[]];
      let now = NOW;
      for (const step of commands) {
        if (step.kind === 'listen') {
          told.listenTo(step.segment);
          listened.add(step.segment);
          for (const key of toldAt.keys()) if (key.startsWith(`${step.segment}: `)) toldAt.delete(key);
        } else if (step.kind === 'ignore') {
          told.ignore(step.segment);
          listened.delete(step.segment);
        } else if (step.kind === 'read') {
          expect(read()).toEqual(expected.splice(0));
        } else if (step.kind === 'hear') {
          const { address, low, segment } = step;
          now += step.after;
          hear(address, low, { segment, now });
          const prefix = `${segment}: ${address} `;
          const line = `${prefix}is at ${low}`;
          if (!listened.has(segment) || now - (toldAt.get(line) ?? -AGAIN) < AGAIN) continue;
          expected.push(line);
          for (const key of toldAt.keys()) if (key.startsWith(prefix)) toldAt.delete(key);
          toldAt.set(line, now);
        }
      }
      expect(read()).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});
