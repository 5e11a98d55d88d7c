/**
 * A data-plane thread of dist/ behind a real TAP, without a daemon around it:
 *
 *     packet socket ── tap0 in a namespace of its own ── thread ── FDB that the test maps too
 */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { Fdb } from '../../../src/fdb/fdb.ts';
import { createFdbMemory } from '../../../src/fdb/layout.ts';
import { NeighbourTable } from '../../../src/forward/answers/neighbours.ts';
import { StormControl } from '../../../src/forward/storm-control.ts';
import { createLog } from '../../../src/observe/log.ts';
import type { Segment } from '../../../src/segment/segment.ts';
import { plainSegment } from '../../../src/segment/segment-rig.ts';
import { close } from '../../../src/sys/libc.ts';
import { openTap } from '../../../src/sys/tun.ts';
import { createClock, monotonicMs } from '../../../src/worker/clock.ts';
import { createNamespace, deleteNamespace, inNamespace, ip } from '../host/namespaces.ts';
import { PacketSocket } from '../traffic/packet-socket.ts';

const COMPILED = fileURLToPath(new URL('../../../dist/vtep/workers/worker-pool.js', import.meta.url));

export const TAP_VNI = 100;
export const TAP_SEGMENT = 3;
const TAP = 7;

/** Started, and stopped when the test ends. What it would send to the underlay is counted as `send-error`, and teaches all the same. */
export async function startTapWorker(segment: Partial<Segment> = {}) {
  if (!existsSync(COMPILED)) throw new Error(`${COMPILED} is missing: run npm run build first`);
  // The compiled one, since it starts the thread beside itself.
  const { WorkerPool } = (await import(COMPILED)) as typeof import('../../../src/vtep/workers/worker-pool.ts');
  const log = await createLog('silent', 'json');
  const namespace = createNamespace('tap-worker');
  onTestFinished(() => deleteNamespace(namespace));
  const { fds, mergesUdp } = inNamespace(namespace, () =>
    openTap('tap0', 'create', { queues: 1, gso: false, gro: true }),
  );
  const [fd] = fds as [number];
  onTestFinished(() => void close(fd));
  ip('-n', namespace, 'link', 'set', 'tap0', 'up');

  const epochMs = monotonicMs();
  const fdbMemory = createFdbMemory(1, 300);
  const fdb = new Fdb(fdbMemory, 1, 100);
  const neighboursMemory = NeighbourTable.createMemory(1);
  fdb.nameSegment(TAP_SEGMENT, TAP_VNI);
  const remote = fdb.retainRemote({ a: 0, b: 0, c: 0xffff, d: 0x0a00_0001 });
  const pool = new WorkerPool(
    1,
    {
      fdbMemory,
      neighboursMemory,
      epochMs,
      port: 4_789,
      stormMemory: StormControl.createMemory(),
      offload: { udpGso: false, udpGro: false },
    },
    {
      firstOwner: 2,
      fdb,
      log,
      state: () => [
        { kind: 'add-tap', tap: TAP, fd, mergesUdp },
        {
          kind: 'segment',
          update: { kind: 'put', segment: { ...newSegment(remote), ...segment } },
        },
      ],
      tapGone: () => {},
      remoteInGroup: () => {},
      died: (error) => {
        throw error;
      },
    },
  );
  onTestFinished(async () => void (await pool.stop()));
  if (!(await pool.start())) throw new Error('the thread died at the start');
  const socket = new PacketSocket(namespace, 'tap0');
  onTestFinished(() => socket.close());
  return { fdb, neighboursMemory, now: createClock(epochMs), log, socket, namespace };
}

function newSegment(remote: number): Segment {
  return plainSegment({ index: TAP_SEGMENT, vni: TAP_VNI, floodRemotes: [remote], tap: TAP, maxMacs: 100 });
}
