import { randomInt } from 'node:crypto';
import type { Config } from '../../config/config.ts';
import { Fdb } from '../../fdb/fdb.ts';
import { createFdbMemory } from '../../fdb/layout.ts';
import { NeighbourTable } from '../../forward/answers/neighbours.ts';
import { ToldNeighbours } from '../../forward/answers/told-neighbours.ts';
import { StormControl } from '../../forward/storm-control.ts';
import { createClock, createFineClock, monotonicMs } from '../../worker/clock.ts';
import type { WorkerSetup } from '../../worker/messages.ts';

/** How long the main thread waits for the lock of the FDB. A living thread holds it for less than a microsecond. */
const LOCK_PATIENCE_MS = 100;

/** The owner number of the main thread in the lock of the FDB. Workers have the numbers above it. */
const MAIN_OWNER = 1;

/** What all threads share: the tables in shared memory, and the clock of their times. */
export class SharedTables {
  readonly fdb: Fdb;
  readonly neighbours: NeighbourTable;
  /** Neighbours behind the own TAP, as workers hear them. */
  readonly told: ToldNeighbours;
  readonly storm: StormControl;
  /** Tenths of a second since the start. */
  readonly now: () => number;
  /** Milliseconds since the start, with microseconds. */
  readonly nowMs: () => number;
  /** Owner number of the first worker in the lock of the FDB. */
  readonly firstOwner = MAIN_OWNER + 1;
  /** What a worker needs to use the tables too. */
  readonly setup: Pick<WorkerSetup, 'fdbMemory' | 'neighboursMemory' | 'stormMemory' | 'epochMs'>;

  /** @param ageingSeconds 0: entries never age */
  constructor({ ageingSeconds, workers }: Pick<Config, 'ageingSeconds' | 'workers'>) {
    const epochMs = monotonicMs();
    const fdbMemory = createFdbMemory(randomInt(2 ** 48 - 1), ageingSeconds);
    const neighboursMemory = NeighbourTable.createMemory(randomInt(2 ** 48 - 1));
    const stormMemory = StormControl.createMemory();
    this.setup = { fdbMemory, neighboursMemory, stormMemory, epochMs };
    this.fdb = new Fdb(fdbMemory, MAIN_OWNER, LOCK_PATIENCE_MS);
    this.neighbours = new NeighbourTable(neighboursMemory);
    this.told = new ToldNeighbours(neighboursMemory, workers);
    this.storm = new StormControl(stormMemory);
    this.now = createClock(epochMs);
    this.nowMs = createFineClock(epochMs);
  }
}
