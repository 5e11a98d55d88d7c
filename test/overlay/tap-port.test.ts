/**
 * What any TAP port does, asked of the one in memory and of the kernel's alike. The kernel's frames cross a bridge to a cable without any
 * offload, so that its own segmentation and checksums are what says whether a super-frame was right:
 *
 *     the port ── tap0 ── br0 ── near ════ far ── a packet socket, which sends and sees
 */
import { describe, expect, onTestFinished, test } from 'vitest';
import { ReadableCounters } from '../../src/forward/counters-rig.ts';
import { RX_DROP } from '../../src/forward/drop-reason.ts';
import { naiveFrame, naiveSegments, type Packet, scrambled, TCP, UDP } from '../../src/offload/naive-frames.ts';
import { OffloadSwitch } from '../../src/offload/offload-switch.ts';
import { KernelTapPort } from '../../src/overlay/kernel-tap-port.ts';
import { MemoryTapPort } from '../../src/overlay/memory-tap-port.ts';
import { FRAME_BATCH, FRAME_HEADROOM, TAP_GONE, type TapPort } from '../../src/overlay/tap-port.ts';
import { plainSegment } from '../../src/segment/segment-rig.ts';
import { close } from '../../src/sys/libc.ts';
import { octetSums } from '../../src/sys/simd-sums.ts';
import { Slab } from '../../src/sys/slab.ts';
import { openTap } from '../../src/sys/tun.ts';
import { createNamespace, deleteNamespace, inNamespace, ip } from '../support/host/namespaces.ts';
import { describeSystem, forceMtuTrue } from '../support/lab/lab.ts';
import { PacketSocket } from '../support/traffic/packet-socket.ts';

const TAP = 7;
const BYTES = 100;
const VNET_HDR_BYTES = 10;
const EINVAL = 22;

const SEGMENT = plainSegment({ index: 3, tap: TAP, tapMtuBytes: 1_500, maxFrameBytes: 1_514, maxMacs: 1 });

/** A port and the world around it. */
interface World {
  readonly slab: Slab;
  readonly port: TapPort;
  readonly counters: ReadableCounters;
  /** Resolves when the frames wait at the TAP. */
  readonly inject: (...frames: readonly number[][]) => Promise<void>;
  /** Resolves with all frames that came out, once there are so many; super-frames are cut. */
  readonly delivered: (count: number) => Promise<number[][]>;
}

const merging = () => new OffloadSwitch(true, () => {});

function newMemoryWorld(): World {
  const slab = new Slab(8_388_608);
  const counters = new ReadableCounters();
  const port = new MemoryTapPort(slab, octetSums(slab), { counters, merging: merging() });
  const cut = ({ vnetHeader, frame }: (typeof port.delivered)[number]) => {
    const [, type, , , sizeLow = 0, sizeHigh = 0, start = 0, , offset] = vnetHeader;
    const header = { start, segmentBytes: sizeLow + 256 * sizeHigh, protocol: offset === 16 ? TCP : UDP } as const;
    return type === 0 ? [[...frame]] : naiveSegments([...frame], header);
  };
  return {
    slab,
    port,
    counters,
    inject: async (...frames) => {
      for (const octets of frames) port.inject(TAP, Uint8Array.from(octets));
    },
    delivered: async () => port.delivered.flatMap(cut),
  };
}

function newKernelWorld() {
  const namespace = createNamespace('tap-port');
  onTestFinished(() => deleteNamespace(namespace));
  // Without TSO: what the test reads was not cut by anyone.
  const { fds, mergesUdp } = inNamespace(namespace, () =>
    openTap('tap0', 'create', { queues: 1, gso: false, gro: true }),
  );
  const [fd] = fds;
  onTestFinished(() => {
    close(fd);
  });
  ip('-n', namespace, 'link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
  ip('-n', namespace, 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
  for (const name of ['near', 'tap0']) ip('-n', namespace, 'link', 'set', name, 'master', 'br0');
  for (const name of ['near', 'far']) forceMtuTrue(namespace, name, { receiveMerge: 0 });
  for (const name of ['br0', 'near', 'far', 'tap0']) ip('-n', namespace, 'link', 'set', name, 'up');
  for (const name of ['near', 'tap0']) waitUntilForwarding(namespace, name);
  const cable = new PacketSocket(namespace, 'far');
  const arrivals = new PacketSocket(namespace, 'tap0', { outgoing: true });
  onTestFinished(() => {
    cable.close();
    arrivals.close();
  });
  const slab = new Slab(8_388_608);
  const counters = new ReadableCounters();
  const offload = merging();
  const port = new KernelTapPort(slab, octetSums(slab), { counters, merging: offload });
  port.attach(TAP, fd, mergesUdp);
  let injected = 0;
  return {
    slab,
    port,
    counters,
    merging: offload,
    namespace,
    fd,
    inject: async (...frames: readonly number[][]) => {
      cable.send(...frames.map((octets) => Buffer.from(octets)));
      injected += frames.length;
      await arrivals.waitForFrames('frames at the TAP', ({ outgoing }) => outgoing, { count: injected });
    },
    delivered: async (count: number) => {
      const frames = await cable.waitForFrames('frames from the TAP', () => true, { count });
      return frames.map(({ bytes }) => [...bytes]);
    },
  };
}

/** A bridge passes nothing by a port whose carrier it has not yet noticed, which takes a while on a busy machine. */
function waitUntilForwarding(namespace: string, port: string): void {
  const deadline = Date.now() + 10_000;
  while (!ip('-n', namespace, '-d', 'link', 'show', port).includes('state forwarding')) {
    if (Date.now() > deadline) throw new Error(`${port} is not forwarding after 10 s`);
  }
}

const nth = (packet: Omit<Packet, 'payload'>, i: number, changes: Partial<Packet> = {}) =>
  naiveFrame({ payload: scrambled(BYTES, i), sequence: 5_000 + i * BYTES, id: 70 + i, ...packet, ...changes }).octets;

/** Delivers frames that stand one behind the other, and flushes. */
function deliver({ slab, port }: World, frames: readonly number[][]): void {
  const at = slab.allocate(frames.reduce((sum, { length }) => sum + 16 + length, 0));
  let next = at;
  for (const octets of frames) {
    slab.bytes.set(octets, next + 8);
    port.deliver(SEGMENT, next + 8, octets.length, 0);
    next += 8 + octets.length;
  }
  port.flush();
}

const RUNS: [string, number[][]][] = [
  ['TCP over IPv4', [0, 1, 2, 3, 4].map((i) => nth({ version: 4, protocol: TCP }, i))],
  ['TCP over IPv6', [0, 1, 2, 3, 4].map((i) => nth({ version: 6, protocol: TCP }, i))],
  ['UDP over IPv4', [0, 1, 2, 3, 4].map((i) => nth({ version: 4, protocol: UDP }, i))],
  ['UDP over IPv6', [0, 1, 2, 3, 4].map((i) => nth({ version: 6, protocol: UDP }, i))],
  ['UDP that may be fragmented', [0, 1, 2].map((i) => nth({ version: 4, protocol: UDP, fragment: 0 }, i))],
  [
    'TCP with options, a push and a shorter end',
    [0, 1, 2].map((i) =>
      nth({ version: 4, protocol: TCP, tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] }, i, {
        flags: i === 2 ? 0x18 : 0x10,
        ...(i === 2 ? { payload: scrambled(33) } : {}),
      }),
    ),
  ],
  [
    '64 frames of the MTU',
    Array.from({ length: 64 }, (_, i) => nth({ version: 4, protocol: UDP }, i, { payload: scrambled(1_000, i) })),
  ],
  [
    '65,535 octets',
    Array.from({ length: 45 }, (_, i) =>
      nth({ version: 4, protocol: TCP }, i, { payload: scrambled(1_448, i), sequence: i * 1_448 }),
    ),
  ],
];

describeSystem.each<[string, () => World]>([
  ['memory', newMemoryWorld],
  ['the kernel', newKernelWorld],
])('the TAP port of %s', (_name, newWorld) => {
  const frameOf = ({ slab, port }: World, i: number) => [
    ...slab.bytes.slice(port.frameAt(i), port.frameAt(i) + port.frameBytes(i)),
  ];

  test('brings the frames of a TAP, in order, each on 16 octets behind an empty vnet header', async () => {
    const world = newWorld();
    const { port, slab, inject } = world;
    const frames = [3, 400, 1_400].map((length, i) =>
      nth({ version: 4, protocol: UDP }, i, { payload: scrambled(length) }),
    );
    await inject(...frames);
    expect(port.read(TAP)).toBe(3);
    expect([0, 1, 2].map((i) => frameOf(world, i))).toEqual(frames);
    for (const i of [0, 1, 2]) {
      const at = port.frameAt(i);
      expect(at % 16).toBe(0);
      expect([...slab.bytes.slice(at - VNET_HDR_BYTES, at)]).toEqual(Array(VNET_HDR_BYTES).fill(0));
      if (i > 0) expect(at - FRAME_HEADROOM).toBeGreaterThanOrEqual(port.frameAt(i - 1) + port.frameBytes(i - 1));
    }
    expect(port.read(TAP)).toBe(0);
  });

  test(`brings at most ${FRAME_BATCH} at once, the rest the next time`, async () => {
    const world = newWorld();
    const frames = Array.from({ length: FRAME_BATCH + 3 }, (_, i) => nth({ version: 6, protocol: TCP }, i));
    await world.inject(...frames);
    expect(world.port.read(TAP)).toBe(FRAME_BATCH);
    const first = Array.from({ length: FRAME_BATCH }, (_, i) => frameOf(world, i));
    expect(world.port.read(TAP)).toBe(3);
    expect([...first, ...[0, 1, 2].map((i) => frameOf(world, i))]).toEqual(frames);
  });

  test('delivers what cannot be merged as it came, once it is flushed', async () => {
    const world = newWorld();
    const frames = [
      nth({ version: 4, protocol: TCP }, 0, { flags: 0x12 }),
      nth({ version: 4, protocol: UDP }, 0, { checksum: 'none' }),
      nth({ version: 6, protocol: UDP }, 0, { extensionUnits: 1 }),
      nth({ version: 4, protocol: UDP }, 1, { checksum: 'wrong' }),
      nth({ version: 6, protocol: UDP }, 2, { tags: [0x81, 0, 0, 5] }),
    ];
    deliver(world, frames);
    expect(await world.delivered(frames.length)).toEqual(frames);
    expect(world.counters.packets()).toBe(frames.length);
  });

  test.each(RUNS)('delivers the frames of a run, which it is given as one, as they were: %s', async (_what, frames) => {
    const world = newWorld();
    deliver(world, frames);
    expect(await world.delivered(frames.length)).toEqual(frames);
    const bytes = frames.reduce((sum, { length }) => sum + length, 0);
    expect(world.counters.passed).toEqual([{ segment: SEGMENT.index, bytes, packets: frames.length }]);
  });

  test('writes an answer at once, past what is queued, and does not count it', async () => {
    const world = newWorld();
    const { slab, port, counters } = world;
    const [queued, answer] = [nth({ version: 4, protocol: TCP }, 0), nth({ version: 4, protocol: UDP }, 1)];
    const at = slab.allocate(4_096);
    slab.bytes.set(queued, at + 8);
    port.deliver(SEGMENT, at + 8, queued.length, 0);
    slab.bytes.set(answer, at + 2_048);
    port.answer(SEGMENT, at + 2_048, answer.length);
    // The buffer is the caller's again.
    slab.bytes.fill(0xa5, at + 2_048, at + 4_096);
    expect(await world.delivered(1)).toEqual([answer]);
    port.flush();
    expect(await world.delivered(2)).toEqual([answer, queued]);
    expect(counters.passed).toEqual([{ segment: SEGMENT.index, bytes: queued.length, packets: 1 }]);
  });

  test('delivers flows that came mixed', async () => {
    const world = newWorld();
    const flows = RUNS.slice(0, 4).map(([, frames]) => frames);
    deliver(
      world,
      [0, 1, 2, 3, 4].flatMap((i) => flows.map((frames) => frames[i] as number[])),
    );
    expect(await world.delivered(20)).toEqual(flows.flat());
  });
});

describeSystem('the kernel’s TAP port', () => {
  test('writes no UDP runs to a TAP that takes none', async () => {
    const world = newKernelWorld();
    world.port.attach(TAP, world.fd, false);
    const [, frames = []] = RUNS[2] ?? [];
    deliver(world, frames);
    expect(await world.delivered(5)).toEqual(frames);
    expect(world.counters.passed).toHaveLength(5);
  });

  test('counts frames for a TAP that is down as lost, each, and goes on merging', () => {
    const world = newKernelWorld();
    ip('-n', world.namespace, 'link', 'set', 'tap0', 'down');
    for (const [, frames] of RUNS.slice(0, 2)) deliver(world, frames);
    expect(world.counters.drops(SEGMENT.index).rx[RX_DROP['tap-down']]).toBe(10);
    expect([world.counters.passed, world.merging.isOn]).toEqual([[], true]);
  });

  test('tells that a TAP is gone, deleted or never attached', () => {
    const world = newKernelWorld();
    expect(world.port.read(TAP)).toBe(0);
    expect(world.port.read(99)).toBe(TAP_GONE);
    ip('-n', world.namespace, 'link', 'del', 'tap0');
    expect(world.port.read(TAP)).toBe(TAP_GONE);
    deliver(world, RUNS[0]?.[1] ?? []);
    expect(world.counters.drops(SEGMENT.index).rx[RX_DROP['tap-down']]).toBe(5);
  });

  test('gives back the fd of a TAP that it lets go, and delivers no more to it', () => {
    const world = newKernelWorld();
    expect([world.port.detach(TAP), world.port.detach(TAP)]).toEqual([world.fd, undefined]);
    deliver(world, RUNS[0]?.[1] ?? []);
    expect(world.counters.drops(SEGMENT.index).rx[RX_DROP['tap-down']]).toBe(5);
  });
});

describe('an errno of a write', () => {
  test.each([
    [EINVAL, RX_DROP.oversize],
    [90, RX_DROP.oversize],
    [5, RX_DROP['tap-down']],
    [77, RX_DROP['tap-down']],
  ])('%i is counted as reason %i', (error, reason) => {
    const slab = new Slab(1_048_576);
    const port = new KernelTapPort(slab, octetSums(slab), { counters: new ReadableCounters(), merging: merging() });
    expect(port.dropReason(error)).toBe(reason);
  });
});
