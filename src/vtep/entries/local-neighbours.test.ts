/** What listeners are told of the neighbours behind the own TAP. */
import { afterEach, expect, it } from 'vitest';
import { NeighbourTable } from '../../forward/answers/neighbours.ts';
import { NeighbourTeller, ToldNeighbours } from '../../forward/answers/told-neighbours.ts';
import { type IpAddress, ipWords } from '../../lib/addresses.ts';
import { MAX_TOLD_NEIGHBOURS } from '../../lib/limits.ts';
import { createLog } from '../../observe/log.ts';
import type { Segment } from '../../segment/segment.ts';
import { type LocalNeighbourBatch, LocalNeighbours } from './local-neighbours.ts';

const log = await createLog('silent', 'json');

const running: LocalNeighbours[] = [];
afterEach(() => {
  for (const each of running.splice(0)) each.stop();
});

function newNeighbours() {
  const memory = NeighbourTable.createMemory(7);
  const teller = new NeighbourTeller(memory, 0);
  const neighbours = new LocalNeighbours(new ToldNeighbours(memory, 1), log);
  running.push(neighbours);
  const told: string[] = [];
  const listener = ({ vni, neighbours: batch }: LocalNeighbourBatch) =>
    void told.push(`${vni}: ${batch.map(({ mac, ip }) => `${ip} ${mac.slice(-2)}`).join(', ')}`);
  const hear = (ip: string, low: number, { segment = 1, vni = 100, now = 1_000 } = {}) => {
    const { a, b, c, d } = ipWords(ip as IpAddress);
    teller.tell({ index: segment, vni } as Segment, a, b, c, d, 0x0200_0000, low, now);
  };
  return { neighbours, teller, told, listener, hear };
}

it('are told by VNI, each address once, with the MAC that was heard last', () => {
  const { neighbours, told, listener, hear } = newNeighbours();
  neighbours.listen(1, 100, listener);
  neighbours.listen(2, 200, listener);
  hear('192.0.2.1', 1);
  hear('192.0.2.2', 2);
  hear('2001:db8::1', 1, { segment: 2, vni: 200 });
  hear('192.0.2.1', 3);
  expect(neighbours.slice()).toBe(false);
  expect(told).toEqual(['100: 192.0.2.1 03, 192.0.2.2 02', '200: 2001:db8::1 01']);
});

it('are told while somebody listens to their segment alone, and not under a VNI that had its number', () => {
  const { neighbours, teller, told, listener, hear } = newNeighbours();
  const stop = neighbours.listen(1, 100, listener);
  hear('192.0.2.1', 1);
  stop();
  expect(teller.listened[1]).toBe(0);
  hear('192.0.2.2', 1);
  neighbours.listen(1, 300, listener);
  hear('192.0.2.3', 1, { vni: 300 });
  // It has nothing to do with whoever listens now.
  stop();
  neighbours.slice();
  expect(told).toEqual(['300: 192.0.2.3 01']);
});

it('are told anew to who listens anew', () => {
  const { neighbours, told, listener, hear } = newNeighbours();
  neighbours.listen(1, 100, listener)();
  neighbours.listen(1, 100, listener);
  hear('192.0.2.1', 1);
  neighbours.slice();
  neighbours.listen(1, 100, listener);
  hear('192.0.2.1', 1);
  neighbours.slice();
  expect(told).toEqual(['100: 192.0.2.1 01', '100: 192.0.2.1 01']);
});

it('are told in slices, without those for which there was no room', () => {
  const { neighbours, told, listener, hear } = newNeighbours();
  neighbours.listen(1, 100, listener);
  for (let low = 0; low < MAX_TOLD_NEIGHBOURS + 5; low++) hear(`10.0.${low >> 8}.${low & 255}`, low & 255);
  while (neighbours.slice());
  expect(told.length).toBeGreaterThan(1);
  expect(told.join().split(',').length).toBe(MAX_TOLD_NEIGHBOURS);
});

it('are told by themselves, soon, until nobody listens', async () => {
  const { neighbours, told, listener, hear } = newNeighbours();
  const stop = neighbours.listen(1, 100, listener);
  // The loop sleeps by then.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const start = performance.now();
  hear('192.0.2.1', 1);
  await expect.poll(() => told, { interval: 2 }).toEqual(['100: 192.0.2.1 01']);
  expect(performance.now() - start).toBeLessThan(1_000);
  stop();
  hear('192.0.2.2', 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(told).toHaveLength(1);
  neighbours.listen(1, 100, listener);
  hear('192.0.2.3', 1);
  await expect.poll(() => told).toContain('100: 192.0.2.3 01');
  neighbours.stop();
  expect(neighbours.slice()).toBe(false);
});
