import type { Counters } from '../../forward/counters.ts';
import { RX_REASONS, TX_REASONS } from '../../forward/drop-reason.ts';

/** Drops of the VNIs that were deleted. Their counter rows are reused, and the totals of the daemon must not decrease. */
export class RemovedDrops {
  readonly rx = new Float64Array(RX_REASONS.length);
  readonly tx = new Float64Array(TX_REASONS.length);
  /** Frames that their TAPs lost. */
  tapOverrun = 0;

  /** Takes over the counter row of a segment that no worker uses any more, and sets it to zero. */
  take(counters: readonly Counters[], segment: number): void {
    for (const each of counters) {
      const { rx, tx } = each.drops(segment);
      for (const [reason, count] of rx.entries()) this.rx[reason] = (this.rx[reason] as number) + count;
      for (const [reason, count] of tx.entries()) this.tx[reason] = (this.tx[reason] as number) + count;
      each.reset(segment);
    }
  }
}
