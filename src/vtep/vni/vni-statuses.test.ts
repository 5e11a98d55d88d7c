/** Changes of statuses are told once each, however they came about. */
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { DaemonEvent } from '../../api/schemas.ts';
import { STATUS_SLICE } from '../../lib/limits.ts';
import type { Vni } from './vni.ts';
import { VniStatuses } from './vni-statuses.ts';

let statuses: VniStatuses | undefined;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setImmediate', 'clearImmediate', 'performance'] });
});

afterEach(() => {
  statuses?.stop();
  vi.useRealTimers();
});

function watch(count: number) {
  const vnis = Array.from({ length: count }, (_, i) => ({ config: { vni: 100 + i } })) as unknown as Vni[];
  const status = new Map<Vni, string>();
  const lines: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const told: DaemonEvent[] = [];
  const watched = new VniStatuses({ vnis, log, statusOf: (vni) => status.get(vni) ?? 'ok' });
  statuses = watched;
  const unwatch = watched.watch((events) => told.push(...events));
  const set = (at: number, text: string) => status.set(vnis[at] as Vni, text);
  const words = () =>
    told.map((event) => (event.event === 'status' ? `${event.vni} ${event.from} → ${event.status}` : ''));
  return { watched, vnis, set, lines, told, words, unwatch };
}

it('says nothing of what is well from the beginning, and what is not once', () => {
  const { watched, set, words } = watch(2);
  set(1, 'eth0 is down');
  watched.start();
  vi.advanceTimersByTime(5_000);
  expect(words()).toEqual(['101 null → eth0 is down']);
});

it('tells each change, in the log too, whoever made it', () => {
  const { watched, set, words, lines, told } = watch(2);
  watched.start();
  set(0, 'vxlan100 is down');
  vi.advanceTimersByTime(500);
  set(0, 'ok');
  vi.advanceTimersByTime(500);
  expect(words()).toEqual(['100 ok → vxlan100 is down', '100 vxlan100 is down → ok']);
  expect(lines.map(({ level, event, vni, from, to }) => [level, event, vni, from, to])).toEqual([
    [40, 'vni-status', 100, 'ok', 'vxlan100 is down'],
    [30, 'vni-status', 100, 'vxlan100 is down', 'ok'],
  ]);
  expect(Object.keys(told[0] ?? {})).toEqual(['time', 'event', 'vni', 'status', 'from']);
});

it('looks at once when something was heard, and no more than twice a second', () => {
  const { watched, set, words } = watch(1);
  watched.start();
  vi.advanceTimersByTime(499);
  set(0, 'a');
  watched.lookSoon();
  expect(words()).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(words()).toHaveLength(1);
  for (const text of ['b', 'c', 'd']) {
    set(0, text);
    watched.lookSoon();
  }
  vi.advanceTimersByTime(500);
  expect(words()).toEqual(['100 ok → a', '100 a → d']);
});

it('writes one line of many VNIs that change alike', () => {
  const { watched, vnis, set, lines } = watch(STATUS_SLICE + 5);
  watched.start();
  vi.advanceTimersByTime(400);
  for (const at of vnis.keys()) set(at, at === 3 ? 'vxlan103 is down' : 'eth0 is down');
  vi.advanceTimersByTime(150);
  const last = 100 + STATUS_SLICE + 4;
  expect(lines.map(({ vni, vnis: some, count, to }) => [vni, some, count, to])).toEqual([
    [undefined, `100-102, 104-${last}`, STATUS_SLICE + 4, 'eth0 is down'],
    [103, undefined, undefined, 'vxlan103 is down'],
  ]);
});

it('takes many VNIs in slices', () => {
  const { watched, vnis, set, told } = watch(3 * STATUS_SLICE);
  watched.start();
  vi.advanceTimersByTime(400);
  for (const at of vnis.keys()) set(at, 'eth0 is down');
  vi.advanceTimersByTime(100);
  const first = told.length;
  vi.advanceTimersByTime(50);
  expect([first % STATUS_SLICE, told.length]).toEqual([0, 3 * STATUS_SLICE]);
});

it('tells those no more that have stopped to watch', () => {
  const { watched, set, told, unwatch } = watch(1);
  watched.start();
  unwatch();
  set(0, 'down');
  vi.advanceTimersByTime(1_000);
  expect(told).toEqual([]);
});
