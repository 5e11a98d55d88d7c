import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { FdbEvent } from '../../api/schemas.ts';
import { Fdb, LOCAL_SOURCE, type SourceAddress } from '../../fdb/fdb.ts';
import { createFdbMemory, HEADER, mapFdb } from '../../fdb/layout.ts';
import { MAX_FDB_EVENTS, MAX_FLAP_LINES_PER_SECOND } from '../../lib/limits.ts';
import { FdbEvents } from './fdb-events.ts';

const HIGH = 0x0200_0000;
const [SEGMENT, VNI] = [0, 100];
const UNLIMITED = 100_000;

const vtep = (number: number): SourceAddress => ({ a: 0, b: 0, c: 0xffff, d: (198 << 24) | number });

function newEvents() {
  const memory = createFdbMemory(5, 300);
  const fdb = new Fdb(memory, 1, 20);
  fdb.nameSegment(SEGMENT, VNI);
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const clock = { now: 1_000 };
  const events = new FdbEvents(fdb, () => clock.now, log);
  const learn = (low: number, source: SourceAddress) => fdb.learn(SEGMENT, HIGH, low, source, UNLIMITED, clock.now);
  const told: FdbEvent[] = [];
  const watch = (into = told) => events.watch((some) => into.push(...some));
  const flap = (low: number) => {
    for (let i = 0; i < 7; i++) learn(low, vtep(1 + (i % 2)));
  };
  return { memory, fdb, events, lines, clock, learn, told, watch, flap };
}

describe('whoever watches', () => {
  it('is told of each change in words', () => {
    const { fdb, events, learn, told, watch, clock } = newEvents();
    watch();
    learn(0x0a, vtep(2));
    clock.now += 20;
    learn(0x0a, LOCAL_SOURCE);
    fdb.addStatic(SEGMENT, HIGH, 0x0b, { a: 0xfd00_0018 | 0, b: 0, c: 0, d: 3 }, clock.now);
    fdb.delete(SEGMENT, HIGH, 0x0a, clock.now);
    const placement = { high: HIGH, low: 0x0c, at: vtep(2), isSticky: false };
    fdb.placeAll(SEGMENT, [placement], clock.now);
    fdb.placeAll(SEGMENT, [{ ...placement, at: vtep(3) }], clock.now);
    fdb.withdrawAll(SEGMENT, [placement], clock.now);
    events.tell();
    const placed = { vni: VNI, mac: '02:00:00:00:00:0c', type: 'evpn' };
    const [mac, other, type] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', 'dynamic'];
    const times = told.map(({ time }) => Date.parse(time));
    expect(told.map(({ time, ...rest }) => rest)).toEqual([
      { event: 'add', vni: VNI, mac, vtep: '198.0.0.2', from: null, type },
      { event: 'move', vni: VNI, mac, vtep: 'local', from: '198.0.0.2', type },
      { event: 'add', vni: VNI, mac: other, vtep: 'fd00:18::3', from: null, type: 'static' },
      { event: 'delete', vni: VNI, mac, vtep: 'local', from: null, type },
      { event: 'add', ...placed, vtep: '198.0.0.2', from: null },
      { event: 'move', ...placed, vtep: '198.0.0.3', from: '198.0.0.2' },
      { event: 'delete', ...placed, vtep: '198.0.0.3', from: null },
    ]);
    expect(times.map((time) => time - (times[0] as number))).toEqual([0, ...new Array(6).fill(2_000)]);
    expect(Math.abs((times[3] as number) - Date.now())).toBeLessThan(1_000);
  });

  it('is told from the moment on that it began, until it stops', () => {
    const { events, learn, told, watch } = newEvents();
    const later: FdbEvent[] = [];
    learn(1, vtep(1));
    const stop = watch();
    learn(2, vtep(1));
    watch(later);
    learn(3, vtep(1));
    events.tell();
    stop();
    learn(4, vtep(1));
    events.tell();
    const ends = (of: FdbEvent[]) => of.map(({ mac }) => mac?.slice(-1));
    expect([ends(told), ends(later)]).toEqual([
      ['2', '3'],
      ['3', '4'],
    ]);
  });

  it('is told how many were overwritten before they were looked at', () => {
    const { fdb, events, learn, told, watch } = newEvents();
    watch();
    for (let i = 0; i < MAX_FDB_EVENTS / 2 + 3; i++) {
      learn(1, vtep(1));
      fdb.delete(SEGMENT, HIGH, 1, 1_000);
    }
    const late: FdbEvent[] = [];
    watch(late);
    events.tell();
    expect(told[0]).toMatchObject({
      event: 'lost',
      vni: null,
      mac: null,
      vtep: null,
      from: null,
      type: null,
      count: 6,
    });
    expect(told).toHaveLength(1 + MAX_FDB_EVENTS);
    expect(late).toEqual([]);
    expect(events.lost).toBe(6);
  });

  it('is told that one may be lost when a thread died in the middle of a change', () => {
    const { memory, fdb, events, told, watch } = newEvents();
    watch();
    mapFdb(memory).header[HEADER.lock] = 9;
    fdb.recover(9);
    events.tell();
    expect(fdb.repairs).toBe(1);
    expect(told).toMatchObject([{ event: 'lost', count: 1 }]);
  });

  it('is told later while a dead thread holds the lock', () => {
    const { memory, fdb, events, lines, learn, told, watch } = newEvents();
    watch();
    learn(1, vtep(1));
    mapFdb(memory).header[HEADER.lock] = 9;
    events.tell();
    expect([told.length, lines[0]?.event]).toEqual([0, 'fdb-locked']);
    fdb.recover(9);
    events.tell();
    expect(told.map(({ event }) => event)).toEqual(['add', 'lost']);
  });

  it('is told by itself, within a moment', async () => {
    const { events, learn, told, watch } = newEvents();
    events.start();
    watch();
    for (let low = 0; low < 3_000; low++) learn(low, vtep(1));
    await expect.poll(() => told.length).toBe(3_000);
    events.stop();
  });
});

describe('a MAC that flaps', () => {
  it('is one line of the log, whether or not somebody watches, and no event', () => {
    const { events, lines, told, watch, flap } = newEvents();
    flap(1);
    events.tell();
    watch();
    flap(2);
    events.tell();
    const vteps = ['198.0.0.2', '198.0.0.1'];
    expect(lines).toMatchObject([
      { event: 'mac-flapping', level: 40, vni: VNI, mac: '02:00:00:00:00:01', vteps },
      { event: 'mac-flapping', level: 40, vni: VNI, mac: '02:00:00:00:00:02', vteps },
    ]);
    expect(told.map(({ event }) => event)).toEqual(['add', 'move', 'move', 'move', 'move', 'move']);
  });

  it('is counted among many that do', () => {
    const { events, lines, clock, flap } = newEvents();
    for (let low = 0; low < 50; low++) flap(low);
    events.tell();
    expect(lines).toHaveLength(MAX_FLAP_LINES_PER_SECOND);
    clock.now += 10;
    flap(99);
    events.tell();
    expect(lines.slice(MAX_FLAP_LINES_PER_SECOND)).toMatchObject([
      { event: 'mac-flapping-more', macs: 50 - MAX_FLAP_LINES_PER_SECOND },
      { event: 'mac-flapping', mac: '02:00:00:00:00:63' },
    ]);
  });
});
