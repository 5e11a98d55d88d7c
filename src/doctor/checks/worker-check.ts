import type { Finding } from '../../api/schemas.ts';
import type { WorkerState } from '../../vtep/workers/worker-supervisor.ts';
import { failed, ok, warning } from './finding.ts';

/** Whether the data-plane threads turn. */
export function checkWorkers(workers: readonly WorkerState[]): Finding[] {
  return workers.map(({ worker, state, deaths }) => {
    const object = `worker ${worker}`;
    if (state === 'hung') {
      const message =
        'it has not turned for a second or more, and its share of the packets waits: restart vtepd if it stays so';
      return failed('worker', object, message);
    }
    if (state === 'dead') return failed('worker', object, 'it died, and its successor is not there yet');
    if (deaths > 0) return warning('worker', object, `${deaths} of its predecessors died: the log has their errors`);
    return ok('worker', object, 'it turns');
  });
}
