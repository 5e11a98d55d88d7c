import { VtepError } from '../../lib/errors.ts';

/** How long a request for a change waits for a worker that hangs. */
const PATIENCE_MS = 2_000;

/** A worker that hangs, as last seen. */
export interface Hang {
  readonly worker: number;
  /** Since its last loop turn. */
  readonly seconds: number;
}

/** Interval of the checks whether a worker has begun to hang. */
const LOOK_MS = 250;

/**
 * Makes a change that the workers have to confirm, and waits for them, but not for a worker that hangs. If a worker is known to hang, the change is
 * not started. If a worker begins to hang meanwhile, the change stays in progress as a whole: it is in force everywhere once that worker runs again,
 * and later changes follow in order. No change stays half in force.
 *
 * @param hang the worker that hangs, if there is one
 * @throws VtepError ERR_VTEP_BUSY that names the worker
 */
export async function whileWorkersAnswer<Result>(
  object: string,
  hang: () => Hang | undefined,
  change: () => Promise<Result>,
): Promise<Result> {
  const before = hang();
  if (before !== undefined) throw refusal(object, before, 'nothing was changed');
  const result = change();
  const startMs = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const outOfPatience = new Promise<never>((_resolve, reject) => {
    timer = setInterval(() => {
      const seen = hang();
      if (seen === undefined || performance.now() - startMs < PATIENCE_MS) return;
      reject(refusal(object, seen, 'the change is made when it runs again'));
    }, LOOK_MS);
  });
  try {
    return await Promise.race([result, outOfPatience]);
  } finally {
    clearInterval(timer);
    // The caller has received an answer already.
    result.catch(() => {});
  }
}

function refusal(object: string, { worker, seconds }: Hang, consequence: string): VtepError {
  return new VtepError('ERR_VTEP_BUSY', {
    object,
    cause: `worker ${worker} has not run for ${seconds} s: ${consequence}`,
    remedy: '`vtepctl status` shows when it does; restart vtepd if it does not continue',
  });
}
