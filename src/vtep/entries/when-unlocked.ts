import { setTimeout } from 'node:timers/promises';
import { LockTimeout } from '../../fdb/lock.ts';

/** When a thread dies with the lock of the FDB, the lock is freed in the next turn of the event loop. */
const LOCK_ATTEMPTS = 5;
const LOCK_PAUSE_MS = 100;

/** Runs a change that needs the lock of the FDB. If the holder of the lock has died, tries again. */
export async function whenUnlocked(change: () => void): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      change();
      return;
    } catch (error) {
      if (!(error instanceof LockTimeout) || attempt === LOCK_ATTEMPTS) throw error;
      await setTimeout(LOCK_PAUSE_MS);
    }
  }
}
