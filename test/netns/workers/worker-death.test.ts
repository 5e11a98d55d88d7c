/**
 * A data-plane thread dies: its successor takes over its queue of the TAP, and the other threads do not notice.
 *
 *     frames of many flows ──► tap0 ─┬─ queue 0 ── thread 0
 *                                    └─ queue 1 ── thread 1 ✝, then thread 1'
 */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { ENCAP } from '../../../src/encap/encapsulation.ts';
import { Fdb } from '../../../src/fdb/fdb.ts';
import { createFdbMemory } from '../../../src/fdb/layout.ts';
import { NeighbourTable } from '../../../src/forward/answers/neighbours.ts';
import { CaptureRing } from '../../../src/forward/capture/capture-ring.ts';
import { TX_DROP } from '../../../src/forward/drop-reason.ts';
import { StormControl } from '../../../src/forward/storm-control.ts';
import { createLog } from '../../../src/observe/log.ts';
import { NO_GROUP } from '../../../src/segment/segment.ts';
import { plainSegment } from '../../../src/segment/segment-rig.ts';
import { close } from '../../../src/sys/libc.ts';
import { openTap } from '../../../src/sys/tun.ts';
import { monotonicMs } from '../../../src/worker/clock.ts';
import { inNamespace } from '../../support/host/namespaces.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, ETHERTYPE, ethernet, udpInIpv4 } from '../../support/traffic/frames.ts';
import { settle } from '../../support/traffic/probes.ts';
import { waitUntil } from '../../support/wait.ts';

const COMPILED = fileURLToPath(new URL('../../../dist/vtep/workers/worker-pool.js', import.meta.url));
const FLOWS = 64;
/** All frames of a run, and more. */
const RING_BYTES = 1 << 20;

/** It floods to nobody: every frame is counted where it was read. */
const SEGMENT = plainSegment();

describeSystem('the death of a thread', () => {
  const lab = useLab({ hosts: 1 });
  const host = lab.host(1);
  let compiled: typeof import('../../../src/vtep/workers/worker-pool.ts');

  beforeAll(async () => {
    if (!existsSync(COMPILED)) throw new Error(`${COMPILED} is missing: run npm run build first`);
    compiled = (await import(COMPILED)) as typeof import('../../../src/vtep/workers/worker-pool.ts');
  });

  test('loses no frame of its flows, nor of others, nor any that is captured; a TAP that goes is told by each', async () => {
    const tap = inNamespace(host.namespace, () => openTap('tap0', 'create', { queues: 2, gso: false, gro: false }));
    lab.scope.defer(() => {
      for (const fd of tap.fds) close(fd);
    });
    const fdbMemory = createFdbMemory(1, 300);
    const neighboursMemory = NeighbourTable.createMemory(1);
    const setup = { fdbMemory, neighboursMemory, epochMs: monotonicMs(), port: 4_789 };
    const [threads, gone]: [number[], number[]] = [[], []];
    const rings = [0, 1].map(() => new CaptureRing(CaptureRing.createMemory(RING_BYTES)));
    const filter = { vni: undefined, mac: undefined, vtep: undefined, dropsOnly: false };
    const pool = new compiled.WorkerPool(
      2,
      {
        ...setup,
        stormMemory: StormControl.createMemory(),
        offload: { udpGso: true, udpGro: false },
      },
      {
        firstOwner: 2,
        fdb: new Fdb(fdbMemory, 1),
        log: await createLog('silent', 'json'),
        state: (worker) => {
          threads.push(worker);
          return [
            { kind: 'segment', update: { kind: 'put', segment: SEGMENT } },
            { kind: 'start-capture', capture: 1, ring: (rings[worker] as CaptureRing).memory, filter },
            { kind: 'add-tap', tap: SEGMENT.tap, fd: tap.fds[worker] as number, mergesUdp: false },
          ];
        },
        tapGone: (number) => gone.push(number),
        remoteInGroup: () => {},
        died: () => {},
      },
    );
    lab.scope.defer(async () => {
      await pool.stop();
    });
    expect(await pool.start()).toBe(true);
    const counts = () =>
      pool.counters.map((counters) => counters.drops(SEGMENT.index).tx[TX_DROP['no-remote']] as number);
    const total = () => counts().reduce((sum, count) => sum + count);

    host.ip('link', 'set', 'tap0', 'up');
    const inside = host.packetSocket('tap0');
    inside.send(...flowFrames());
    await waitUntil('a frame of each flow', () => total() === FLOWS);
    const [first, second] = counts();
    expect(Math.min(first ?? 0, second ?? 0)).toBeGreaterThan(FLOWS / 8);

    void pool.orderOne(1, { kind: 'add-socket', socket: 1, fd: 1_000_000, group: NO_GROUP, encap: ENCAP.vxlan });
    for (let round = 0; round < 4; round++) inside.send(...flowFrames());
    await waitUntil('a successor', () => threads.length === 3);
    await waitUntil('all frames', () => total() === 5 * FLOWS);
    expect([threads, counts()]).toEqual([[0, 1, 1], [first, second].map((count) => 5 * (count ?? 0))]);

    expect(rings.map(countRecords)).toEqual(counts());

    host.ip('link', 'del', 'tap0');
    await waitUntil('both have let it go', () => gone.length === 2);
    await pool.orderAll({ kind: 'remove-tap', tap: SEGMENT.tap });
    await settle();
    expect(gone).toEqual([SEGMENT.tap, SEGMENT.tap]);
  });
});

function countRecords(ring: CaptureRing): number {
  let count = 0;
  for (; ring.next() >= 0; count++) ring.release();
  return count;
}

function flowFrames(): Buffer[] {
  return Array.from({ length: FLOWS }, (_, flow) => {
    const packet = { src: '192.0.2.1', dst: '192.0.2.2', sourcePort: 1000 + flow, destinationPort: 7 };
    const payload = udpInIpv4({ ...packet, payload: Buffer.alloc(64) });
    return ethernet({ dst: BROADCAST, src: '02:00:00:00:00:01', type: ETHERTYPE.ipv4, payload });
  });
}
