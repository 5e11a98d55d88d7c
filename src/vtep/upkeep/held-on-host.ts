import type { VniConfig } from '../../config/config.ts';
import type { HostAddresses } from '../../host/host-addresses.ts';
import type { Tap, TapPlan } from '../../host/tap.ts';
import type { Underlay } from '../../host/underlay.ts';
import type { Logger } from '../../observe/log.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import type { Listeners } from '../../underlay/listeners.ts';
import type { Vni } from '../vni/vni.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';

/** What is kept in step with the host. The lists are the VTEP's own and change while it runs. */
export interface HeldOnHost {
  readonly netlink: NetlinkSocket;
  readonly log: Logger;
  readonly addresses: HostAddresses;
  readonly listeners: Listeners;
  readonly underlays: readonly Underlay[];
  readonly vnis: readonly Vni[];
  readonly workers: WorkerPool;
}

/** The same with what TAPs are kept by. */
export interface HeldTaps extends HeldOnHost {
  /** Alias of the TAPs that vtepd makes to outlive it. */
  readonly ownAlias: string;
  /** Makes the TAP of a VNI anew, or adopts what has its name by now. @throws VtepError */
  readonly makeTap: (vni: Vni, config: VniConfig, before: NonNullable<TapPlan['before']>) => Tap;
}
