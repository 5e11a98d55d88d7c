/** Many flows at once through the frame queue: cut again, what was written is what was delivered, in order within each flow. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  DF,
  FLAG,
  type Frame,
  get16,
  long,
  naiveFrame,
  networkStart,
  type Packet,
  put16,
  scrambled,
  TCP,
  UDP,
} from '../offload/naive-frames.ts';
import { framesOf, isSuper, newQueueRig, SEGMENT, type Written } from './frame-queue-rig.ts';

const FLOWS = 24;
const SEGMENTS = [SEGMENT, { ...SEGMENT, index: 4, tap: 8 }] as const;

/** What happens to a flow next; those named first are what makes long runs. */
const EVENTS = {
  next: {},
  more: {},
  again: {},
  push: { flags: FLAG.ack | FLAG.psh },
  tos: { tos: 1 },
  fin: { flags: FLAG.ack | FLAG.fin },
  window: { window: 9 },
  wrong: { checksum: 'wrong' },
  partial: { checksum: 'partial' },
  none: { checksum: 'none' },
  options: { ipOptions: [1, 1, 1, 0] },
  tcpOptions: { tcpOptions: [1, 1, 1, 1] },
  extension: { extensionUnits: 1 },
  padding: { padding: 3 },
  empty: { payload: [] },
} as const satisfies Record<string, Partial<Packet>>;
type Event = keyof typeof EVENTS | 'gap' | 'short' | 'long' | 'fragment' | 'arp' | 'flush';

interface Step {
  readonly flow: number;
  readonly event: Event;
}

interface Delivered {
  readonly tap: number;
  readonly octets: number[];
  /** Any flow's, perhaps: it must come when it came. */
  readonly isOrdered: boolean;
}

/** The last eight flows have the addresses and ports of one another: TAP, station or tag tells them apart. */
function flowOf(flow: number): Omit<Packet, 'payload'> {
  const twin = Math.max(flow, FLOWS - 8) - (FLOWS - 8);
  return {
    version: flow < 16 && flow % 2 === 1 ? 6 : 4,
    protocol: flow < 16 && flow % 4 >= 2 ? UDP : TCP,
    sourcePort: flow < 16 ? 1_000 + flow : 2_000,
    station: 1 + (twin >> 1),
    tags: flow % 5 === 0 ? [0x81, 0, 0, 5] : [],
    fragment: flow % 3 === 0 ? 0 : DF,
  };
}

function play(steps: readonly Step[], rig: ReturnType<typeof newQueueRig>): Delivered[] {
  const delivered: Delivered[] = [];
  const state = Array.from({ length: FLOWS }, (_, flow) => ({ sequence: 2 ** 32 - 300 - flow, id: 65_530 }));
  for (const [n, { flow, event }] of steps.entries()) {
    if (event === 'flush') {
      rig.queue.flush();
      continue;
    }
    const own = state[flow] as (typeof state)[number];
    const size = 40 + (flow % 3) * 7;
    const length = event === 'short' ? size - 1 : event === 'long' ? size + 1 : size;
    if (event === 'gap') own.sequence += 1;
    const packet: Packet = {
      ...flowOf(flow),
      payload: scrambled(length, n),
      sequence: own.sequence % 2 ** 32,
      id: own.id % 65_536,
      ...(event in EVENTS ? EVENTS[event as keyof typeof EVENTS] : {}),
      ...(event === 'fragment' ? { fragment: 0x2000 } : {}),
    };
    const frame = event === 'arp' ? arp(n) : naiveFrame(packet);
    if (event !== 'arp') own.sequence += packet.payload.length;
    own.id += 1;
    const of = SEGMENTS[flow % 2 === 0 ? 0 : 1];
    const isOrdered = event === 'arp' || (packet.version === 4 ? event === 'fragment' : event === 'extension');
    rig.deliver([frame], { of });
    delivered.push({ tap: of.tap, octets: frame.octets, isOrdered });
  }
  rig.queue.flush();
  return delivered;
}

function arp(n: number): Frame {
  const octets = [...Array<number>(6).fill(0xff), 2, 0, 0, 0, 0, 9, 8, 6, ...long(n), ...Array<number>(42).fill(0)];
  return { octets, networkAt: 14, transportAt: 14, checksumAt: 14, payloadAt: 14 };
}

/** TAP, MACs, tags, addresses, protocol and ports; all octets of what is of no flow. */
function keyOf({ tap, octets }: Pick<Written, 'tap' | 'octets'>): string {
  const at = networkStart(octets);
  const version = (octets[at] as number) >> 4;
  const type = get16(octets, at - 2);
  const isIpv4 = type === 0x0800 && version === 4 && (get16(octets, at + 6) & 0x3fff) === 0;
  const isIpv6 = type === 0x86dd && octets[at + 6] !== 60;
  if (!isIpv4 && !isIpv6) return octets.join();
  const transportAt = at + (isIpv4 ? ((octets[at] as number) & 15) * 4 : 40);
  const addresses = isIpv4 ? octets.slice(at + 12, at + 20) : octets.slice(at + 8, at + 40);
  const protocol = octets[at + (isIpv4 ? 9 : 6)];
  return [tap, protocol, ...octets.slice(0, at), ...addresses, ...octets.slice(transportAt, transportAt + 4)].join();
}

function byFlow(frames: readonly Pick<Delivered, 'tap' | 'octets'>[]): Map<string, number[][]> {
  const flows = new Map<string, number[][]>();
  for (const frame of frames) flows.set(keyOf(frame), [...(flows.get(keyOf(frame)) ?? []), frame.octets]);
  return flows;
}

/** The ids of packets that may not be fragmented are regenerated when they are merged. */
function withoutId(octets: readonly number[]): number[] {
  const at = networkStart(octets);
  const copy = [...octets];
  if (get16(octets, at - 2) !== 0x0800 || (get16(octets, at + 6) & DF) === 0) return copy;
  put16(copy, at + 4, 0);
  put16(copy, at + 10, 0);
  return copy;
}

const likely = fc.constantFrom<Event>('next', 'more', 'again');
const events = fc.oneof(
  { arbitrary: likely, weight: 12 },
  {
    arbitrary: fc.constantFrom<Event>(
      ...(Object.keys(EVENTS) as (keyof typeof EVENTS)[]),
      ...(['gap', 'short', 'long', 'fragment', 'arp', 'flush'] as const),
    ),
    weight: 2,
  },
);

/** So that flows are few, or more than the table holds. */
const steps = fc.integer({ min: 1, max: FLOWS }).chain((flows) => {
  const flow = fc.oneof(
    fc.nat({ max: flows - 1 }),
    fc.nat({ max: flows - 1 }).map((n) => FLOWS - 1 - n),
  );
  return fc.array(fc.record({ flow, event: events }), { maxLength: 150, size: 'max' });
});

it('cut again, what was written is what was delivered: all of it, once, in order within each flow', () => {
  let merged = 0;
  let longest = 0;
  fc.assert(
    fc.property(steps, fc.boolean(), (all, takesUdpRuns) => {
      const rig = newQueueRig({ takesUdpRuns });
      const delivered = play(all, rig);
      const cut = rig.written.flatMap((each) => framesOf(each).map((octets) => ({ tap: each.tap, octets, of: each })));
      expect(cut.length).toBe(delivered.length);

      const [wanted, found] = [byFlow(delivered), byFlow(cut)];
      expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
      for (const [key, frames] of wanted) expect(found.get(key)?.map(withoutId)).toEqual(frames.map(withoutId));
      // What was not merged has not even another id.
      const came = new Set(delivered.map(({ octets }) => octets.join()));
      for (const each of rig.written) if (!isSuper(each)) expect(came.has(each.octets.join())).toBe(true);

      for (const [i, { isOrdered, octets }] of delivered.entries())
        if (isOrdered) expect(cut[i]?.octets).toEqual(octets);

      const bytes = delivered.reduce((sum, { octets }) => sum + octets.length, 0);
      expect([rig.counters.packets(), rig.counters.bytes()]).toEqual([delivered.length, bytes]);
      for (const { tap, index } of SEGMENTS) {
        expect(rig.counters.packets(index)).toBe(delivered.filter((each) => each.tap === tap).length);
      }
      expect(rig.isUntouched()).toBe(true);
      merged += delivered.length - rig.written.length;
      longest = Math.max(longest, ...rig.written.map((each) => framesOf(each).length));
    }),
    { numRuns: 300 },
  );
  // Otherwise nothing was put to the test.
  expect(merged).toBeGreaterThan(500);
  expect(longest).toBeGreaterThan(10);
});

it.each([1, 16, 17, 24])(
  '%i flows in turn, of TCP and UDP, come out whole; as many as are open at once are merged',
  (flows) => {
    const rig = newQueueRig();
    const turns = Array.from({ length: 10 }, () =>
      Array.from({ length: flows }, (_, flow) => ({ flow, event: 'next' as const })),
    );
    const delivered = play(turns.flat(), rig);
    const cut = rig.written.flatMap((each) => framesOf(each).map((octets) => ({ tap: each.tap, octets })));
    expect([...byFlow(cut).values()].map((frames) => frames.map(withoutId)).sort()).toEqual(
      [...byFlow(delivered).values()].map((frames) => frames.map(withoutId)).sort(),
    );
    if (flows <= 16) expect(rig.written).toHaveLength(flows);
  },
);
