import { describe, expect, it } from 'vitest';
import { BusyTime } from './busy-time.ts';

/** A worker on a clock of its own, and somebody who reads. */
function newRig() {
  const memory = BusyTime.createMemory();
  let now = 500;
  const worker = new BusyTime(memory, now);
  const cycle = (workMs: number, waitMs: number) => {
    now += workMs + waitMs;
    worker.waited(now - waitMs, now);
  };
  return { memory, cycle, reader: new BusyTime(memory), now: () => now };
}

describe('a worker’s busy time', () => {
  it('is what is not waited, and nothing before the first second is over', () => {
    const { cycle, reader } = newRig();
    for (let i = 0; i < 9; i++) cycle(25, 75);
    expect(reader.seconds).toBeCloseTo(0.225);
    expect(reader.ratio).toBe(0);
    cycle(25, 75);
    expect(reader.ratio).toBeCloseTo(0.25);
  });

  it('is told of the last whole second alone', () => {
    const { cycle, reader } = newRig();
    for (let i = 0; i < 10; i++) cycle(100, 0);
    expect(reader.ratio).toBe(1);
    for (let i = 0; i < 3; i++) cycle(0, 250);
    expect(reader.ratio).toBe(1);
    cycle(0, 250);
    expect(reader.ratio).toBe(0);
    expect(reader.seconds).toBeCloseTo(1);
  });

  it('goes on where a worker died and a successor takes over', () => {
    const { memory, cycle, reader, now } = newRig();
    cycle(200, 0);
    const successor = new BusyTime(memory, now() + 5_000);
    successor.waited(now() + 5_100, now() + 5_100);
    expect(reader.seconds).toBeCloseTo(0.3);
  });
});
