/**
 * The packet path makes no garbage: a collection would stop the worker, and its TAPs would overflow. Each load runs in a process of its
 * own, over the compiled code: between ports that allocate nothing themselves, and through the kernel's TAPs and sockets.
 *
 * All numbers that can be are chosen above 2^31: V8 keeps smaller ones without a heap object, and a test with those alone sees nothing.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { CaptureFilter } from '../../src/forward/capture/capture-writer.ts';
import { type IpPrefix, parseWrittenPrefix } from '../../src/lib/ip-prefix.ts';
import { MAX_STORM_PPS } from '../../src/lib/limits.ts';
import { naiveFrame, type Packet, scrambled, TCP, UDP, vnetHeader } from '../../src/offload/naive-frames.ts';
import { INNER_VLAN } from '../../src/segment/segment.ts';
import { plainSegment } from '../../src/segment/segment-rig.ts';
import { naiveArp } from '../../src/wire/answers/naive-neighbours.ts';
import { createNamespace, deleteNamespace, ip } from '../support/host/namespaces.ts';
import { describeSystem } from '../support/lab/lab.ts';
import { vxlan } from '../support/traffic/frames.ts';

const STEADY_STATE = fileURLToPath(new URL('./steady-state.mjs', import.meta.url));
const CAROUSEL = fileURLToPath(new URL('./kernel-carousel.mjs', import.meta.url));

const PACKETS = 1_000_000;
/** A super-frame is one call for many packets, so that the optimizing compiler sees it late. */
const WARM_UP = { single: 1_000_000, super: 12_000_000 };
const CAROUSEL_PACKETS = 300_000;
/** A number on the heap has 12 octets, and one packet in a hundred may not have one. */
const MAX_BYTES_A_PACKET = 0.1;

const SEGMENT = plainSegment({ index: 3, tap: 7, suppress: true, maxMacs: 100 });

const ALLOWED = ['10.0.0.0/8', '192.0.2.0/24', 'fd00::/8', '198.18.0.0/15'].map(
  (text) => parseWrittenPrefix(text) as IpPrefix,
);

interface Load {
  readonly direction: 'send' | 'receive';
  readonly packets: readonly Packet[];
  /** Payload of a super-frame's segments, or 0. */
  readonly gsoBytes?: number;
  /** Whether the receiver's packets come as one message of UDP_GRO. */
  readonly isTrain?: boolean;
  /** Whether the destination is known; else frames are flooded to two VTEPs. */
  readonly isKnown?: boolean;
  readonly innerVlan?: number;
  readonly stormPps?: number;
  /** Whose datagrams are taken, the sender's among them; else anybody's. */
  readonly allowedVteps?: readonly IpPrefix[];
  readonly captures?: readonly CaptureFilter[];
  /** Frames beside the packets. */
  readonly others?: readonly (readonly number[])[];
  /** Whether the main thread listens to neighbours behind the TAP. */
  readonly isListenedTo?: boolean;
}

const hex = (octets: readonly number[]) => Buffer.from(octets).toString('hex');

/** With MACs above 2^31. */
const highFrame = (packet: Packet) => {
  const frame = naiveFrame(packet);
  for (const at of [0, 6]) frame.octets[at] = 0xfe;
  return frame;
};

function planOf({ direction, packets, gsoBytes = 0, isTrain = false, isKnown = true, ...load }: Load) {
  const { innerVlan = SEGMENT.innerVlan, stormPps = 0, allowedVteps = [], captures = [] } = load;
  const { others = [], isListenedTo = false } = load;
  const frames = packets.map(highFrame);
  const sent = frames.map(({ octets, transportAt }, i) => {
    const { version, protocol, checksum } = packets[i] as Packet;
    const header = { start: transportAt, protocol, segmentBytes: gsoBytes };
    const type = gsoBytes === 0 ? 0 : protocol === UDP ? 5 : version === 4 ? 1 : 4;
    const isPartial = checksum === 'partial';
    return { vnetHeader: isPartial ? hex(vnetHeader(type, header)) : '00'.repeat(10), octets: hex(octets) };
  });
  sent.push(...others.map((octets) => ({ vnetHeader: '00'.repeat(10), octets: hex(octets) })));
  const datagrams = frames.map(({ octets }) => vxlan({ vni: SEGMENT.vni, inner: Buffer.from(octets) }));
  const messages = isTrain ? [Buffer.concat(datagrams)] : datagrams;
  const received = messages.map((octets) => ({ vnetHeader: '', octets: octets.toString('hex') }));
  return {
    direction,
    segment: { ...SEGMENT, innerVlan, stormPps },
    allowedVteps,
    captures,
    isListenedTo,
    packets: PACKETS,
    warmUpPackets: gsoBytes > 0 ? WARM_UP.super : WARM_UP.single,
    buffers: direction === 'send' ? sent : received,
    segmentBytes: isTrain ? datagrams[0]?.length : 0,
    known: isKnown ? [[0xfe00_0000, 0x99]] : [],
    remotes: [0x0a00_0004, 0x0a00_0005],
  };
}

/** Runs a script; what it says of the steady state, and the collections there were. */
function run<Result>(program: string, args: readonly string[], plan: unknown): Result & { collections: string[] } {
  const output = execFileSync(program, args, { input: JSON.stringify(plan), encoding: 'utf8' });
  const [, steady = ''] = output.split('steady\n');
  const collections = steady.split('\n').filter((line) => /Scavenge|Mark-/.test(line));
  return { ...(JSON.parse(/^\{.*\}$/m.exec(steady)?.[0] ?? '{}') as Result), collections };
}

const flow = (i: number, packet: Partial<Packet>): Packet => ({
  version: 4,
  protocol: TCP,
  payload: scrambled(1_200, i),
  sequence: 0xffff_f000 + i * 1_200,
  id: i,
  ...packet,
});
const flowOf = (count: number, packet: Partial<Packet>) =>
  Array.from({ length: count }, (_, i) => flow(i, { ...packet, sequence: (0xffff_f000 + i * 1_200) % 2 ** 32 }));
const mixed = (count: number, packet: Partial<Packet>) =>
  Array.from({ length: count }, (_, i) => flow(i, { payload: scrambled(64, i), sourcePort: 1_000 + i, ...packet }));

const superFrames = (packet: Partial<Packet>) =>
  Array.from({ length: 8 }, (_, i) =>
    flow(i, { payload: scrambled(60_000, i), sourcePort: 1_000 + i, checksum: 'partial', ...packet }),
  );

/** Of many stations, some of which have one address and are told each time. Their ring is full in the end. */
const ARP_FRAMES = Array.from({ length: 28 }, (_, i) =>
  naiveArp({ src: `fe 00 00 00 00 ${16 + i}`, senderIp: `203.0.113.${i >> 1 === 0 ? 1 : i}` }),
);

const LOADS: [string, Load][] = [
  [
    'sends small UDP frames of many flows',
    { direction: 'send', packets: mixed(32, { protocol: UDP, checksum: 'partial' }) },
  ],
  ['sends finished IPv6 frames', { direction: 'send', packets: mixed(32, { version: 6 }) }],
  ['floods frames', { direction: 'send', packets: mixed(32, { protocol: UDP }), isKnown: false }],
  [
    'floods frames within their rate',
    { direction: 'send', packets: mixed(32, { protocol: UDP }), isKnown: false, stormPps: MAX_STORM_PPS },
  ],
  [
    'receives flooded frames within their rate, of VTEPs that are allowed',
    { direction: 'receive', packets: mixed(32, { protocol: UDP }), stormPps: MAX_STORM_PPS, allowedVteps: ALLOWED },
  ],
  [
    'sends frames whose tags are taken off',
    { direction: 'send', packets: mixed(32, { tags: [0x81, 0, 0, 5] }), innerVlan: INNER_VLAN.strip },
  ],
  ['sends TCP super-frames', { direction: 'send', packets: superFrames({}), gsoBytes: 1_348 }],
  ['sends TCP super-frames over IPv6', { direction: 'send', packets: superFrames({ version: 6 }), gsoBytes: 1_328 }],
  ['sends UDP super-frames', { direction: 'send', packets: superFrames({ protocol: UDP }), gsoBytes: 1_000 }],
  [
    'tells of neighbours behind the TAP',
    { direction: 'send', packets: mixed(4, { protocol: UDP }), others: ARP_FRAMES, isListenedTo: true },
  ],
  ['receives small UDP datagrams of many flows', { direction: 'receive', packets: mixed(32, { protocol: UDP }) }],
  [
    'receives unfinished frames',
    { direction: 'receive', packets: mixed(32, { version: 6, protocol: UDP, checksum: 'partial' }) },
  ],
  ['receives a flow in single datagrams', { direction: 'receive', packets: flowOf(32, {}) }],
  ['receives a train of TCP', { direction: 'receive', packets: flowOf(44, {}), isTrain: true }],
  ['receives a train of TCP over IPv6', { direction: 'receive', packets: flowOf(44, { version: 6 }), isTrain: true }],
  ['receives a train of UDP', { direction: 'receive', packets: flowOf(44, { protocol: UDP }), isTrain: true }],
  [
    'receives a train of flows that cannot be merged',
    { direction: 'receive', packets: mixed(44, { flags: 0x12 }), isTrain: true },
  ],
];

/** Takes all, and takes what the VTEP is asked for of each. */
const CAPTURES: readonly CaptureFilter[] = [
  { vni: undefined, mac: undefined, vtep: undefined, dropsOnly: false },
  {
    vni: SEGMENT.vni,
    mac: { high: 0xfe00_0000, low: 0x99 },
    vtep: { a: 0, b: 0, c: 0xffff, d: 0x0a00_0003 },
    dropsOnly: true,
  },
];

const CAPTURED_LOADS: [string, Load][] = [
  ['sends small frames', { direction: 'send', packets: mixed(32, { protocol: UDP, checksum: 'partial' }) }],
  ['floods frames', { direction: 'send', packets: mixed(32, { protocol: UDP }), isKnown: false }],
  ['receives datagrams', { direction: 'receive', packets: mixed(32, { protocol: UDP }) }],
  ['receives a train', { direction: 'receive', packets: flowOf(44, {}), isTrain: true }],
];

const NODE_FLAGS = ['--expose-gc', '--trace-gc'];

describe('a worker makes no garbage while it', () => {
  test.each(LOADS)('%s', (_what, load) => {
    const { bytes, collections } = run<{ bytes: number }>(
      process.execPath,
      [...NODE_FLAGS, STEADY_STATE],
      planOf(load),
    );
    expect(collections).toEqual([]);
    expect(bytes / PACKETS).toBeLessThan(MAX_BYTES_A_PACKET);
  });
});

describe('a worker that is captured makes none either while it', () => {
  test.each(CAPTURED_LOADS)('%s', (_what, load) => {
    const plan = planOf({ ...load, captures: CAPTURES });
    const { bytes, collections } = run<{ bytes: number }>(process.execPath, [...NODE_FLAGS, STEADY_STATE], plan);
    expect(collections).toEqual([]);
    expect(bytes / PACKETS).toBeLessThan(MAX_BYTES_A_PACKET);
  });
});

interface Carousel {
  readonly bytes: number;
  readonly packets: number;
  readonly refusals: readonly number[];
  readonly drops: readonly unknown[];
  /** Octets a packet by the functions that allocated them. */
  readonly profile: Readonly<Record<string, number>>;
}

describeSystem('the kernel’s ports make no garbage while there go round', () => {
  test.each<[string, Packet[], boolean]>([
    ['small UDP packets', mixed(24, { protocol: UDP }), false],
    ['small UDP packets, with offloads', mixed(24, { protocol: UDP }), true],
    ['small IPv6 packets, with offloads', mixed(24, { version: 6 }), true],
    ['packets of one TCP flow, merged and cut again', flowOf(24, { payload: scrambled(1_000), window: 9 }), true],
  ])('%s', (_what, packets, isOffloaded) => {
    const namespace = createNamespace('carousel');
    onTestFinished(() => deleteNamespace(namespace));
    const plan = {
      segment: { ...SEGMENT, learning: true },
      packets: CAROUSEL_PACKETS,
      frames: packets.map((packet) => hex(highFrame(packet).octets)),
      isOffloaded,
      isProfiled: false,
    };
    const args = ['netns', 'exec', namespace, process.execPath, ...NODE_FLAGS, CAROUSEL];
    const { bytes, collections, refusals, drops } = run<Carousel>('ip', args, plan);
    expect([refusals, drops]).toEqual([[], []]);
    // Who it was, if there is somebody.
    if (collections.length > 0) {
      ip('-n', namespace, 'link', 'del', 'br0');
      expect(run<Carousel>('ip', args, { ...plan, isProfiled: true }).profile).toEqual({});
    }
    expect(collections).toEqual([]);
    expect(bytes / CAROUSEL_PACKETS).toBeLessThan(MAX_BYTES_A_PACKET);
  });
});
