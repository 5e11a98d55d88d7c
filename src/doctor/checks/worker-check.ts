import type { Finding } from '../../api/schemas.ts';
import type { WorkerState } from '../../vtep/workers/worker-supervisor.ts';
import { failed, ok, warning } from './finding.ts';

/** Whether the data-plane threads run. */
export function checkWorkers(workers: readonly WorkerState[]): Finding[] {
  return workers.map(({ worker, state, deaths }) => {
    const object = `worker ${worker}`;
    if (state === 'hung') {
      const message =
        'it has not run for a second or more, and its share of the packets waits: restart vtepd if it does not continue';
      return failed('worker', object, message);
    }
    if (state === 'dead') return failed('worker', object, 'it died, and has no successor yet');
    if (deaths > 0) return warning('worker', object, `${deaths} of its predecessors died: the log has their errors`);
    return ok('worker', object, 'it runs');
  });
}
