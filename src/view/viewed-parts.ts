import type { ExaminedParts } from '../doctor/vtep-facts.ts';
import type { Captures } from '../vtep/captures.ts';
import type { LiveChanges } from '../vtep/changes/live-changes.ts';
import type { FdbEvents } from '../vtep/entries/fdb-events.ts';
import type { QuerierWatch } from '../vtep/upkeep/querier-watch.ts';
import type { Taps } from '../vtep/vni/taps.ts';
import type { Underlays } from '../vtep/vni/underlays.ts';
import type { VniStatuses } from '../vtep/vni/vni-statuses.ts';
import type { Vnis } from '../vtep/vni/vnis.ts';
import type { SharedTables } from '../vtep/workers/shared-tables.ts';
import type { WorkerPool } from '../vtep/workers/worker-pool.ts';
import type { MeasuredParts } from './metrics-reading.ts';
import type { TracedParts } from './trace.ts';
import type { RemoteParts } from './vtep-listing.ts';

/** The parts that the API shows or asks. */
export interface ViewedParts extends MeasuredParts, TracedParts, ExaminedParts, RemoteParts {
  readonly tables: SharedTables;
  readonly vnis: Vnis;
  readonly taps: Taps;
  readonly underlays: Underlays;
  readonly workers: WorkerPool;
  readonly captures: Captures;
  readonly changes: LiveChanges;
  readonly events: FdbEvents;
  readonly statuses: VniStatuses;
  readonly queriers: QuerierWatch;
}
