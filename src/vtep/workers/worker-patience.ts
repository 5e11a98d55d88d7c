import { VtepError } from '../../lib/errors.ts';

/** How long whoever asks for a change waits for a worker that hangs. */
const PATIENCE_MS = 2_000;

/** A worker that hangs, as it was seen. */
export interface Hang {
  readonly worker: number;
  /** Since its last turn. */
  readonly seconds: number;
}

/** How soon it is seen then that a worker has begun to hang. */
const LOOK_MS = 250;

/**
 * Makes a change that the workers have to answer, and waits for it, but not for a worker that hangs. With one that is known to hang the change
 * is not begun. With one that begins to hang meanwhile it stays under way, whole: it is in force everywhere once that worker turns again, and
 * the changes after it are made then, in their order. Nothing is ever half in force for good.
 *
 * @param hang the worker that hangs, if one does
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
    // Whoever asked has his answer.
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
