import type { HostAddresses } from '../../host/host-addresses.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import type { Logger } from '../../observe/log.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import type { Listeners } from '../../underlay/listeners.ts';
import type { Taps } from '../vni/taps.ts';
import type { Vni } from '../vni/vni.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';

/** What is kept in step with the host. Only their owners write the lists, which change while the VTEP runs. */
export interface HeldOnHost {
  readonly netlink: NetlinkSocket;
  readonly log: Logger;
  readonly addresses: HostAddresses;
  readonly listeners: Listeners;
  readonly underlays: readonly Underlay[];
  readonly vnis: readonly Vni[];
  readonly workers: WorkerPool;
}

/** The same, with what the upkeep of TAPs needs. */
export interface HeldTaps extends HeldOnHost {
  readonly taps: Pick<Taps, 'ownAlias' | 'make'>;
}
