import { setTimeout } from 'node:timers/promises';
import { LockTimeout } from '../../fdb/lock.ts';

/** A thread that died with the FDB's lock is buried, and the lock freed, as soon as the event loop turns. */
const LOCK_ATTEMPTS = 5;
const LOCK_PAUSE_MS = 100;

/** Does what needs the FDB's lock, again if its holder died with it. */
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
