/**
 * A data-plane thread that the test holds still. On a number of orders: gives them, and says what the heap has come to. Says when the thread has
 * died, and what became of an order that somebody waits for.
 */
import { SharedTables } from '../../dist/vtep/workers/shared-tables.js';
import { DataPlaneWorker } from '../../dist/worker/worker.js';
import { newWorkerMemories } from '../../dist/worker/worker-memories.js';

const ORDER = { kind: 'pool-scope', underlay: 0, scope: 1 };
const noop = () => {};

const worker = new DataPlaneWorker(
  {
    owner: 2,
    ...new SharedTables({ workers: 1, ageingSeconds: 300 }).setup,
    ...newWorkerMemories(),
    worker: 0,
    port: 4_789,
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
