import type { Counters } from '../../forward/counters.ts';
import { RX_REASONS, TX_REASONS } from '../../forward/drop-reason.ts';

/** Drops of the VNIs that were deleted: their rows are used again, and the daemon's totals must not go backwards. */
export class RemovedDrops {
  readonly rx = new Float64Array(RX_REASONS.length);
  readonly tx = new Float64Array(TX_REASONS.length);
  /** What their TAPs lost. */
  tapOverrun = 0;

  /** Takes over the row of a segment that no worker knows any more, and starts it at zero. */
  take(counters: readonly Counters[], segment: number): void {
    for (const each of counters) {
      const { rx, tx } = each.drops(segment);
      for (const [reason, count] of rx.entries()) this.rx[reason] = (this.rx[reason] as number) + count;
      for (const [reason, count] of tx.entries()) this.tx[reason] = (this.tx[reason] as number) + count;
      each.reset(segment);
    }
  }
}
