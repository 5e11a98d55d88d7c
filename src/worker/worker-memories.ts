import { Counters } from '../forward/counters.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { BusyTime } from './busy-time.ts';
import type { WorkerSetup } from './messages.ts';

/** The memory that each worker writes alone. */
export type WorkerMemories = Pick<WorkerSetup, 'countersMemory' | 'remoteCountersMemory' | 'busyTimeMemory'>;

export function newWorkerMemories(): WorkerMemories {
  return {
    countersMemory: Counters.createMemory(),
    remoteCountersMemory: RemoteCounters.createMemory(),
    busyTimeMemory: BusyTime.createMemory(),
  };
}
