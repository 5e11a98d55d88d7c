/** Captures between workers in memory, whose rings the tests write into. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Capture } from '../api/daemon-view.ts';
import { CaptureRing, UNIT_BYTES, UNIT_WORDS } from '../forward/capture/capture-ring.ts';
import { NO_VNI, RECORD, RECORD_KIND } from '../forward/capture/capture-writer.ts';
import { FORWARDED, RX_DROP, TX_DROP } from '../forward/drop-reason.ts';
import { type IpAddress, ipWords, parseIp, parseMac } from '../lib/addresses.ts';
import { CAPTURE_SLICE_BYTES, CAPTURE_SLICE_FRAMES, MAX_CAPTURES } from '../lib/limits.ts';
import { NO_GROUP, NO_UNDERLAY } from '../segment/segment.ts';
import type { Order } from '../worker/messages.ts';
import { type CaptureGround, Captures } from './captures.ts';
import { FloodList } from './vni/flood-list.ts';

const ip = (text: string) => parseIp(text) as IpAddress;
const GROUP = 7;
const NOW_MS = 5_000.25;

/** Two workers, an underlay of each family, and VNI 100 on both. */
function newGround() {
  const orders: Order[][] = [[], []];
  const underlay = (number: number, family: 4 | 6, local: string) => ({
    ...{ number, family, local: ip(local), sendPorts: [50_000, 50_001, 50_002], fragmentable: 0 },
    membership: { joined: family === 4 ? [{ number: GROUP, group: ip('239.1.1.1'), fd: 9 }] : [] },
  });
  const vni = (number: number, ipv6: number) => ({
    config: { vni: number, remotes: [ip('198.18.0.1'), ip('198.18.0.8')] },
    flood: new FloodList(),
    reach: { ipv4: 1, ipv6 },
  });
  const ground = {
    workers: {
      size: orders.length,
      tellAll: (order: Order) => void orders.forEach((list) => void list.push(order)),
      orderOne: async (worker: number, order: Order) => void orders[worker]?.push(order),
    },
    config: () => ({ port: 4789, ttl: 64, mcastTtl: 3, df: 'set' as const }),
    underlays: [underlay(1, 4, '198.18.0.1'), underlay(2, 6, 'fd00:18::1')],
    vnis: [vni(100, 2), vni(200, NO_UNDERLAY)],
    isOwnAddress: (address: IpAddress) => address === '198.18.0.1',
    nowMs: () => NOW_MS,
  };
  return { orders, ground: ground as unknown as CaptureGround };
}

let orders: Order[][];
let captures: Captures;
let ground: CaptureGround;

beforeEach(() => {
  ({ orders, ground } = newGround());
  captures = new Captures(ground);
});

const opened: Capture[] = [];
afterEach(() => {
  for (const capture of opened.splice(0)) capture.close();
});

async function open(query: Parameters<Captures['open']>[0] = { drops: false }): Promise<Capture> {
  const capture = await captures.open(query);
  opened.push(capture);
  return capture;
}

/** A worker's end of the capture that was opened last. */
function ringOf(worker: number): CaptureRing {
  const order = orders[worker]?.findLast(({ kind }) => kind === 'start-capture');
  return new CaptureRing((order as Extract<Order, { kind: 'start-capture' }>).ring);
}

interface Written {
  readonly kind?: number;
  readonly timeMs?: number;
  readonly verdict?: number;
  readonly vni?: number;
  readonly vtep?: string;
  readonly copies?: number;
  readonly port?: number;
  readonly group?: number;
  readonly octets?: Uint8Array;
  readonly length?: number;
}

/** As a worker writes. Whether there was room. */
function write(ring: CaptureRing, record: Written = {}): boolean {
  const { kind = 0, timeMs = NOW_MS, verdict = FORWARDED, vni = 100, vtep = '198.18.0.2', copies = 0 } = record;
  const { port = 4_000, group = NO_GROUP, octets = new Uint8Array(30), length = octets.length } = record;
  const bytes = RECORD.words * 4 + octets.length;
  const units = Math.ceil(bytes / UNIT_BYTES);
  const unit = ring.reserve(units);
  if (unit < 0) return false;
  const at = unit * UNIT_WORDS;
  const { a, b, c, d } = vtep === '' ? { a: 0, b: 0, c: 0, d: 0 } : ipWords(ip(vtep));
  ring.words.set([kind, 0, 0, verdict, vni, a, b, c, d, copies, 1, 0x28, port, group], at + RECORD.kind);
  ring.words.set([RECORD.words * 4, octets.length, length], at + RECORD.at);
  ring.doubles[unit + RECORD.time / 2] = timeMs;
  ring.bytes.set(octets, unit * UNIT_BYTES + RECORD.words * 4);
  ring.commit(units);
  return true;
}

const TX = RECORD_KIND.tx;
const FLOOD = RECORD_KIND.tx | RECORD_KIND.flooded;

describe('a frame', () => {
  const outer = { port: 4789, tos: 0x28 };
  it.each<[string, Written, object]>([
    [
      'received by unicast',
      {},
      {
        ...{
          direction: 'rx',
          verdict: 'forwarded',
          reason: null,
          vni: 100,
          vtep: '198.18.0.2',
          copies: 0,
          segments: 1,
        },
        outer: { ...outer, source: '198.18.0.2', destination: '198.18.0.1', sourcePort: 4_000 },
      },
    ],
    ['received by a group', { group: GROUP }, { outer: { destination: '239.1.1.1' } }],
    [
      'received over IPv6 and dropped',
      { vtep: 'fd00:18::2', verdict: RX_DROP['own-mac'] },
      { verdict: 'dropped', reason: 'own-mac', outer: { source: 'fd00:18::2', destination: 'fd00:18::1' } },
    ],
    [
      'received of no VNI',
      { vni: NO_VNI, verdict: RX_DROP.short },
      { vni: null, outer: { destination: '198.18.0.1' } },
    ],
    ['received of a VNI that is gone', { vni: 300 }, { vni: 300, outer: { destination: '198.18.0.1' } }],
    [
      'sent to a VTEP',
      { kind: TX, port: 5 },
      {
        ...{ direction: 'tx', verdict: 'forwarded', vtep: '198.18.0.2' },
        outer: { ...outer, source: '198.18.0.1', destination: '198.18.0.2', sourcePort: 50_002, ttl: 64 },
      },
    ],
    [
      'flooded to a group',
      { kind: FLOOD, vtep: '239.1.1.1', copies: 2 },
      { verdict: 'flooded', vtep: '239.1.1.1', copies: 2, outer: { destination: '239.1.1.1', ttl: 3 } },
    ],
    [
      'flooded to remotes alone',
      { kind: FLOOD, vtep: '', copies: 2 },
      { verdict: 'flooded', vtep: null, outer: { destination: '198.18.0.8' } },
    ],
    [
      'that was not sent',
      { kind: TX, vtep: '', verdict: TX_DROP['no-remote'] },
      { verdict: 'dropped', reason: 'no-remote', vtep: null, outer: undefined, length: 30 },
    ],
  ])('%s', async (_, written, expected) => {
    const capture = await open();
    write(ringOf(0), written);
    expect(capture.read()).toMatchObject({ frames: [expected], isMore: false });
  });

  it('for a VTEP of a family that there is no underlay of stands alone, without a header', async () => {
    const { ground: narrow, orders: its } = newGround();
    captures = new Captures({ ...narrow, underlays: narrow.underlays.slice(0, 1) });
    orders = its;
    const capture = await open();
    write(ringOf(0), { kind: TX, vtep: 'fd00:18::2', octets: Uint8Array.from({ length: 30 }, (_, i) => i) });
    const [frame] = capture.read().frames;
    expect(frame).toMatchObject({ outer: undefined, length: 22 });
    expect([...(frame?.octets ?? [])]).toEqual(Array.from({ length: 22 }, (_, i) => i + 8));
  });

  it('has the time of the wall, to a microsecond of the worker’s clock', async () => {
    const before = Date.now();
    const capture = await open();
    const after = Date.now();
    write(ringOf(0), { timeMs: NOW_MS });
    write(ringOf(0), { timeMs: NOW_MS + 1.003 });
    const [first, second] = capture.read().frames.map(({ timeUs }) => timeUs);
    expect(first).toBeGreaterThanOrEqual(before * 1_000);
    expect(first).toBeLessThanOrEqual((after + 1) * 1_000);
    expect((second ?? 0) - (first ?? 0)).toBe(1_003);
  });
});

describe('frames', () => {
  it('of all workers come in the order of their time, a slice at a time', async () => {
    const capture = await open();
    const count = CAPTURE_SLICE_FRAMES - 50;
    for (let i = 0; i < count; i++) {
      for (const worker of [0, 1]) write(ringOf(worker), { timeMs: NOW_MS + i + worker / 2, port: 2 * i + worker });
    }
    const first = capture.read();
    expect([first.frames.length, first.isMore]).toEqual([CAPTURE_SLICE_FRAMES, true]);
    const rest = capture.read();
    expect([rest.frames.length, rest.isMore]).toEqual([2 * count - CAPTURE_SLICE_FRAMES, false]);
    const ports = [...first.frames, ...rest.frames].map(({ outer }) => outer?.sourcePort);
    expect(ports).toEqual(Array.from({ length: 2 * count }, (_, i) => i));
  });

  it('that are long make a shorter slice', async () => {
    const capture = await open();
    const octets = new Uint8Array(CAPTURE_SLICE_BYTES / 4);
    for (let i = 0; i < 6; i++) write(ringOf(0), { octets });
    expect(capture.read()).toMatchObject({ frames: { length: 4 }, isMore: true });
    expect(capture.read()).toMatchObject({ frames: { length: 2 }, isMore: false });
  });

  it('that are lost are counted over all workers', async () => {
    const capture = await open();
    for (const worker of [0, 0, 1]) ringOf(worker).countLost();
    expect(capture.lost).toBe(3);
  });

  it('that are lost stay counted when their capture has ended', async () => {
    const [one, other] = [await open(), await open()];
    ringOf(0).countLost();
    one.close();
    one.close();
    expect([captures.count, captures.lost]).toEqual([1, one.lost + other.lost]);
    expect(captures.lost).toBe(1);
    other.close();
    expect([captures.count, captures.lost]).toEqual([0, 1]);
  });
});

describe('captures', () => {
  it('are told to every worker, to those that come later too, and ended everywhere', async () => {
    const mac = parseMac('02:00:00:00:00:01') ?? expect.fail();
    const capture = await open({ vni: 100, mac, vtep: ip('198.18.0.2'), drops: true });
    const filter = {
      vni: 100,
      mac: { high: 0x0200_0000, low: 1 },
      vtep: { d: ipWords(ip('198.18.0.2')).d },
      dropsOnly: true,
    };
    expect(orders).toMatchObject([[{ kind: 'start-capture', filter }], [{ kind: 'start-capture', filter }]]);
    expect(captures.orders(1)).toEqual(orders[1]);
    expect(ringOf(0).memory).not.toBe(ringOf(1).memory);
    capture.close();
    capture.close();
    for (const list of orders) expect(list.slice(1)).toMatchObject([{ kind: 'stop-capture' }]);
    expect(captures.orders(1)).toEqual([]);
  });

  it('are refused beyond a bound, until one ends', async () => {
    for (let i = 0; i < MAX_CAPTURES; i++) await open();
    const message = `GET /v1/capture: ${MAX_CAPTURES} captures already run: stop one of them`;
    await expect(open()).rejects.toMatchObject({ code: 'ERR_VTEP_LIMIT', message });
    opened[0]?.close();
    await open();
  });
});
