import { describe, expect, it } from 'vitest';
import { MAX_SEGMENTS } from '../lib/limits.ts';
import { Counters, NO_SEGMENT } from './counters.ts';
import { RX_DROP, RX_REASONS, TX_DROP, TX_REASONS } from './drop-reason.ts';

const LAST = MAX_SEGMENTS - 1;

function nonZero(names: readonly string[], counts: Float64Array): Record<string, number> {
  return Object.fromEntries([...counts].flatMap((count, i) => (count === 0 ? [] : [[names[i], count]])));
}

function dropsOf(counters: Counters, segment: number) {
  const { rx, tx } = counters.drops(segment);
  return { rx: nonZero(RX_REASONS, rx), tx: nonZero(TX_REASONS, tx) };
}

describe('drops', () => {
  it('has a count for every reason and starts at zero', () => {
    const { rx, tx } = new Counters(Counters.createMemory()).drops(0);
    expect([rx.length, tx.length]).toEqual([RX_REASONS.length, TX_REASONS.length]);
    expect([...rx, ...tx].every((count) => count === 0)).toBe(true);
  });

  it.each([NO_SEGMENT, 0, 1, LAST])('counts each reason of segment %i in a cell of its own', (segment) => {
    const counters = new Counters(Counters.createMemory());
    for (const [i, name] of RX_REASONS.entries()) {
      for (let n = 0; n <= i; n++) counters.rxDropped(segment, RX_DROP[name]);
    }
    for (const [i, name] of TX_REASONS.entries()) {
      for (let n = 0; n <= i; n++) counters.txDropped(segment, TX_DROP[name]);
    }
    counters.received(segment, 1_000, 3);
    counters.sent(segment, 1_000, 3);
    const { rx, tx } = counters.drops(segment);
    expect([...rx]).toEqual(RX_REASONS.map((_, i) => i + 1));
    expect([...tx]).toEqual(TX_REASONS.map((_, i) => i + 1));
  });

  it('counts several packets for one reason at once', () => {
    const counters = new Counters(Counters.createMemory());
    counters.rxDropped(2, RX_DROP['tap-down'], 64);
    counters.rxDropped(2, RX_DROP['tap-down']);
    expect(dropsOf(counters, 2)).toEqual({ rx: { 'tap-down': 65 }, tx: {} });
  });

  it('keeps neighbouring segments, and packets of none, apart', () => {
    const counters = new Counters(Counters.createMemory());
    counters.rxDropped(NO_SEGMENT, RX_DROP.short);
    counters.txDropped(0, TX_DROP['send-error']);
    counters.rxDropped(1, RX_DROP['tap-down']);
    expect([NO_SEGMENT, 0, 1, 2].map((segment) => dropsOf(counters, segment))).toEqual([
      { rx: { short: 1 }, tx: {} },
      { rx: {}, tx: { 'send-error': 1 } },
      { rx: { 'tap-down': 1 }, tx: {} },
      { rx: {}, tx: {} },
    ]);
  });

  it('are a copy: they do not change under the reader', () => {
    const counters = new Counters(Counters.createMemory());
    const { rx } = counters.drops(0);
    counters.rxDropped(0, RX_DROP.short);
    expect(rx[RX_DROP.short]).toBe(0);
  });

  it('are seen by every reader of the same memory', () => {
    const memory = Counters.createMemory();
    new Counters(memory).txDropped(5, TX_DROP.local);
    expect(dropsOf(new Counters(memory), 5)).toEqual({ rx: {}, tx: { local: 1 } });
  });
});

it('resets one segment’s row and no other', () => {
  const memory = Counters.createMemory();
  const counters = new Counters(memory);
  for (const segment of [NO_SEGMENT, 0, 1, 2]) {
    counters.received(segment, 10, 1);
    counters.sent(segment, 10, 1);
    counters.flooded(segment, 1);
    counters.rxDropped(segment, RX_DROP.short);
    counters.txDropped(segment, TX_DROP['send-error']);
  }
  const sum = () => new Float64Array(memory).reduce((total, cell) => total + cell);
  expect(sum()).toBe(4 * 25);
  counters.reset(1);
  expect(sum()).toBe(3 * 25);
  expect(dropsOf(counters, 1)).toEqual({ rx: {}, tx: {} });
  expect(dropsOf(counters, 2)).toEqual({ rx: { short: 1 }, tx: { 'send-error': 1 } });
});

it('tells what passed through each segment', () => {
  const counters = new Counters(Counters.createMemory());
  const nothing = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, flooded: 0 };
  counters.received(LAST, 300, 3);
  counters.sent(LAST, 140, 2);
  counters.flooded(LAST, 5);
  counters.flooded(LAST, 1);
  counters.txDropped(LAST, TX_DROP.short);
  expect(counters.passages(LAST)).toEqual({ rxPackets: 3, rxBytes: 300, txPackets: 2, txBytes: 140, flooded: 6 });
  expect(counters.passages(LAST - 1)).toEqual(nothing);
  expect(counters.passages(NO_SEGMENT)).toEqual(nothing);
});

it('counts packets and their bytes as given, past what 32 bits hold', () => {
  const memory = Counters.createMemory();
  const counters = new Counters(memory);
  const before = new Float64Array(memory).slice(0, 100);
  counters.received(NO_SEGMENT, 2 ** 40, 2 ** 33);
  counters.received(NO_SEGMENT, 5, 1);
  counters.sent(NO_SEGMENT, 7, 64);
  const changed = [...new Float64Array(memory).slice(0, 100)].filter((cell, i) => cell !== before[i]);
  expect(changed).toEqual([2 ** 33 + 1, 2 ** 40 + 5, 64, 7]);
});
