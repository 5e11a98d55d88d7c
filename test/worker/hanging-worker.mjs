/**
 * A data-plane thread that the test holds still. On a number of orders: gives them, and says what the heap has come to. Says when the thread has
 * died, and what became of an order that somebody waits for.
 */
import { createFdbMemory } from '../../dist/fdb/layout.js';
import { NeighbourTable } from '../../dist/forward/answers/neighbours.js';
import { Counters } from '../../dist/forward/counters.js';
import { RemoteCounters } from '../../dist/forward/remote-counters.js';
import { StormControl } from '../../dist/forward/storm-control.js';
import { BusyTime } from '../../dist/worker/busy-time.js';
import { monotonicMs } from '../../dist/worker/clock.js';
import { DataPlaneWorker } from '../../dist/worker/worker.js';

const ORDER = { kind: 'pool-scope', underlay: 0, scope: 1 };
const noop = () => {};

const worker = new DataPlaneWorker(
  {
    owner: 2,
    fdbMemory: createFdbMemory(1, 300),
    countersMemory: Counters.createMemory(),
    remoteCountersMemory: RemoteCounters.createMemory(),
    busyTimeMemory: BusyTime.createMemory(),
    worker: 0,
    neighboursMemory: NeighbourTable.createMemory(1),
    epochMs: monotonicMs(),
    port: 4_789,
    stormMemory: StormControl.createMemory(),
    offload: { udpGso: true, udpGro: false },
  },
  {
    tapGone: noop,
    remoteInGroup: noop,
    offloadOff: noop,
    died: ({ message }) => process.send({ died: message }),
  },
);

process.on('message', ({ orders, end }) => {
  if (end) process.exit();
  for (let i = 0; i < orders; i++) worker.tell(ORDER);
  void worker.order(ORDER).then((inForce) => process.send({ inForce }));
  process.send({ residentBytes: process.memoryUsage.rss() });
});
await worker.order({ kind: 'own-addresses', added: new Int32Array(0), removed: new Int32Array(0) });
process.send({ started: true });
