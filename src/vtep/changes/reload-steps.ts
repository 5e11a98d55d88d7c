import type { SettingKeys } from '../../config/config-diff.ts';
import { VtepError } from '../../lib/errors.ts';
import type { Logger } from '../../observe/log.ts';

/** One change and its reversal. */
export interface Step {
  /** What the step belongs to: setting keys, or a VNI by its number. */
  readonly of: SettingKeys | number;
  readonly take: () => Promise<unknown>;
  readonly undo: () => Promise<unknown>;
}

/** Takes all steps. If one fails, undoes all steps taken before. */
export async function takeAll(steps: readonly Step[], log: Logger): Promise<void> {
  const taken: Step[] = [];
  for (const step of steps) {
    const error = await take(step, taken);
    if (error === undefined) continue;
    await undo(taken, log);
    throw error;
  }
}

/**
 * Takes all possible steps. If the host refuses one step, all steps for the same object are undone.
 *
 * @returns the reasons for refusal, by object
 * @throws any error that is not a refusal by the host; all steps are undone first
 */
export async function takePossible(steps: readonly Step[], log: Logger): Promise<Map<Step['of'], VtepError>> {
  const refused = new Map<Step['of'], VtepError>();
  let taken: Step[] = [];
  for (const step of steps) {
    if (refused.has(step.of)) continue;
    const error = await take(step, taken);
    if (error === undefined) continue;
    const isOfIt = ({ of }: Step) => !(error instanceof VtepError) || of === step.of;
    await undo(taken.filter(isOfIt), log);
    if (!(error instanceof VtepError)) throw error;
    taken = taken.filter((each) => !isOfIt(each));
    refused.set(step.of, error);
  }
  return refused;
}

/** Takes one step. Returns the error if it failed; otherwise adds the step to those taken. */
async function take(step: Step, taken: Step[]): Promise<unknown> {
  try {
    await step.take();
    taken.push(step);
    return undefined;
  } catch (error) {
    return error ?? new Error(`${step.of}`);
  }
}

async function undo(taken: readonly Step[], log: Logger): Promise<void> {
  for (const step of taken.toReversed()) {
    // The host has changed meanwhile and refuses the reversal. The object is then missing, and the log says so.
    await step.undo().catch((err: unknown) => log.error({ event: 'reload-not-undone', err }));
  }
}
