import { describe, expect, it } from 'vitest';
import { BUSY_POLL_LOAD_PER_MS, BUSY_POLL_LOST_MS, BUSY_POLL_MS, BUSY_POLL_REST_MS } from '../lib/limits.ts';
import { BusyPoll } from './busy-poll.ts';
import { BusyTime } from './busy-time.ts';

const LOOK_MS = 0.01;
const TIMEOUT_MS = 250;

/** A worker on a clock of its own, on which only looks, sleep and other threads take time. */
function newRig(isOn = true) {
  const arrivals: number[] = [];
  const rig = { now: 1_000, slept: 0, lostPerYieldMs: 0 };
  const arrived = () => (arrivals[0] !== undefined && arrivals[0] <= rig.now ? 1 : 0);
  const epoll = {
    wait(timeoutMs: number): number {
      rig.now += LOOK_MS;
      if (timeoutMs > 0 && !arrived()) {
        rig.slept++;
        rig.now = Math.min(rig.now + timeoutMs, arrivals[0] ?? Number.POSITIVE_INFINITY);
      }
      return arrived();
    },
  };
  const giveWay = () => {
    rig.now += rig.lostPerYieldMs;
  };
  const busyTime = new BusyTime(BusyTime.createMemory(), rig.now);
  const poll = new BusyPoll({ epoll, giveWay, nowMs: () => rig.now, busyTime });
  poll.isOn = isOn;
  /** Packets of `load` each come `gapMs` after the last was done with; how often the worker slept. */
  const exchange = (gapMs: number, { packets = 20, load = 1 } = {}): number => {
    const before = rig.slept;
    for (let i = 0; i < packets; i++) {
      arrivals.push(rig.now + gapMs);
      while (poll.wait(TIMEOUT_MS) === 0);
      arrivals.shift();
      poll.moved(load);
    }
    return rig.slept - before;
  };
  return { rig, poll, exchange, busyTime };
}

describe('a worker that waits', () => {
  it('sleeps once, and then looks, where packets come often', () => {
    const { exchange } = newRig();
    expect(exchange(BUSY_POLL_MS / 2)).toBe(1);
    expect(exchange(BUSY_POLL_MS / 2)).toBe(0);
  });

  it('sleeps each time where packets are far between', () => {
    const { rig, exchange } = newRig();
    expect(exchange(BUSY_POLL_MS * 2, { packets: 20 })).toBe(20);
    const before = rig.now;
    expect(exchange(BUSY_POLL_MS * 2, { packets: 1 })).toBe(1);
    expect(rig.now - before).toBeCloseTo(BUSY_POLL_MS * 2);
  });

  it('gives up looking after BUSY_POLL_MS, and looks no more until packets come often again', () => {
    const { rig, poll, exchange } = newRig();
    exchange(BUSY_POLL_MS / 2);
    const before = rig.now;
    expect(poll.wait(TIMEOUT_MS)).toBe(0);
    expect(rig.now - before).toBeCloseTo(BUSY_POLL_MS + TIMEOUT_MS, 0);
    expect(poll.wait(TIMEOUT_MS)).toBe(0);
    expect(rig.now - before).toBeCloseTo(BUSY_POLL_MS + 2 * TIMEOUT_MS, 0);
    expect(exchange(BUSY_POLL_MS / 2)).toBe(1);
  });

  it('sleeps where packets are dense, and for a while after', () => {
    const { exchange } = newRig();
    exchange(0.5, { load: BUSY_POLL_LOAD_PER_MS * 10 });
    expect(exchange(0.5, { load: BUSY_POLL_LOAD_PER_MS * 10 })).toBe(20);
    exchange(0.5, { packets: BUSY_POLL_REST_MS * 3 });
    expect(exchange(0.5)).toBe(0);
  });

  it('sleeps for a while after another thread had the processor, and then tries again', () => {
    const { rig, exchange } = newRig();
    exchange(0.5);
    rig.lostPerYieldMs = BUSY_POLL_LOST_MS * 1.5;
    exchange(0.5, { packets: 1 });
    const gap = 0.5;
    const during = Math.floor(BUSY_POLL_REST_MS / (gap + 3 * LOOK_MS)) - 1;
    rig.lostPerYieldMs = 0;
    expect(exchange(gap, { packets: during })).toBe(during);
    exchange(gap, { packets: 10 });
    expect(exchange(gap)).toBe(0);
  });

  it('always sleeps when it is off', () => {
    const { exchange } = newRig(false);
    expect(exchange(0.5)).toBe(20);
  });

  it.each([true, false])('is not busy while it looks or sleeps, but while it works: busy polling %s', (isOn) => {
    const { rig, exchange, busyTime } = newRig(isOn);
    exchange(0.5, { packets: 100 });
    expect(busyTime.seconds).toBeCloseTo(0);
    rig.now += 3_000;
    exchange(0.5, { packets: 1 });
    expect(busyTime.seconds).toBeCloseTo(3);
  });
});
