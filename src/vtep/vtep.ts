import type { Config } from '../config/config.ts';
import { Settings } from '../config/settings.ts';
import { HostAddresses } from '../host/host-addresses.ts';
import { possibleOffload } from '../host/offload.ts';
import { StateDir } from '../host/state-dir.ts';
import { OwnAddresses } from '../host/underlay/own-addresses.ts';
import { VtepError } from '../lib/errors.ts';
import type { Logger } from '../observe/log.ts';
import { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import { Captures } from './captures.ts';
import { LiveChanges } from './changes/live-changes.ts';
import { VniOpener } from './changes/vni-opener.ts';
import { ControlPlanes } from './control/control-planes.ts';
import { DropHistory, readDropRows } from './drop-history.ts';
import { FdbEvents } from './entries/fdb-events.ts';
import { FdbSnapshots } from './entries/fdb-snapshots.ts';
import { FdbSweep } from './entries/fdb-sweep.ts';
import { LocalMacs } from './entries/local-macs.ts';
import { LocalNeighbours } from './entries/local-neighbours.ts';
import type { Stopping } from './stopping.ts';
import { HostWatch } from './upkeep/host-watch.ts';
import { LazyJoin } from './upkeep/lazy-join.ts';
import { PathWatch } from './upkeep/path-watch.ts';
import { QuerierWatch } from './upkeep/querier-watch.ts';
import type { TapUpkeep } from './upkeep/tap-upkeep.ts';
import { Taps } from './vni/taps.ts';
import { Underlays } from './vni/underlays.ts';
import { hasMacsElsewhere, vniStatus } from './vni/vni-status.ts';
import { VniStatuses } from './vni/vni-statuses.ts';
import { Vnis } from './vni/vnis.ts';
import { SharedTables } from './workers/shared-tables.ts';
import { WorkerPool } from './workers/worker-pool.ts';
import { workerState } from './workers/worker-state.ts';

/** How long the shutdown waits for a change in progress. No worker delays it any more. */
const CHANGE_PATIENCE_MS = 200;

/**
 * The VTEP: it creates all parts of the daemon that use the host, and connects them. Each part owns its state and is passed to the parts that need
 * it. All fds are opened here; the workers only borrow them.
 */
export class Vtep {
  readonly settings: Settings;
  readonly tables: SharedTables;
  readonly vnis = new Vnis();
  readonly taps: Taps;
  readonly underlays: Underlays;
  readonly addresses: HostAddresses;
  readonly own: OwnAddresses;
  readonly workers: WorkerPool;
  readonly changes: LiveChanges;
  readonly statuses: VniStatuses;
  readonly events: FdbEvents;
  readonly queriers: QuerierWatch;
  readonly drops: DropHistory;
  readonly captures: Captures;
  /** Control planes are attached here. */
  readonly control: ControlPlanes;
  readonly upkeep: TapUpkeep;
  readonly #netlink = new NetlinkSocket();
  readonly #opener: VniOpener;
  readonly #host: HostWatch;
  readonly #paths: PathWatch;
  readonly #sweep: FdbSweep;
  readonly #lazyJoin: LazyJoin;
  /** With `--persist` or `--evpn`. */
  readonly #stateDir: StateDir | undefined;
  /** With `--persist`. */
  readonly #snapshots: FdbSnapshots | undefined;

  private constructor(config: Config, log: Logger, onDeath: (error: Error) => void) {
    const netlink = this.#netlink;
    const settings = new Settings(config);
    this.settings = settings;
    this.#stateDir = config.persist || config.evpn ? StateDir.take(config.stateDir) : undefined;

    // The resources. Their owners change the lists.
    this.tables = new SharedTables(config);
    const { fdb, now, nowMs } = this.tables;
    const offload = possibleOffload(config.offload, log);
    const vnis = this.vnis.list;
    this.taps = new Taps({ netlink, log, vnis, config, offload });
    const addresses = new HostAddresses(netlink);
    this.addresses = addresses;
    this.underlays = new Underlays({ netlink, log, settings, addresses, udpGro: offload.udpGro });
    const { listeners, list: underlays } = this.underlays;
    const own = new OwnAddresses(config.listen, addresses, underlays);
    this.own = own;
    const workers = new WorkerPool(
      config.workers,
      { ...this.tables.setup, port: config.port, offload },
      {
        firstOwner: this.tables.firstOwner,
        fdb,
        log,
        state: (worker) => [
          ...workerState(worker, config.workers, {
            ...{ config: settings.config, own: own.told, broadcasts: own.toldBroadcasts },
            ...{ listeners: listeners.all, underlays, vnis },
          }),
          ...this.captures.orders(worker),
        ],
        tapGone: (tap) => this.#host.taps.tapGone(tap),
        remoteInGroup: (segment, remote) => this.changes.remoteInGroup(segment, remote),
        died: onDeath,
      },
    );
    this.workers = workers;

    // The parts that keep the resources in step with the host.
    const held = { netlink, log, addresses, listeners, underlays, vnis, workers };
    this.#paths = new PathWatch({ ...held, config, move: (vni, link) => this.changes.moveVni(vni, link) });
    this.#host = new HostWatch({
      ...{ ...held, own, taps: this.taps },
      ownChanged: (changed) => this.changes.followOwnAddresses(changed),
      touchPaths: () => this.#paths.touch(),
      onHeard: () => {
        this.statuses.lookSoon();
        this.control.look();
      },
    });
    this.upkeep = this.#host.taps.upkeep;
    this.queriers = new QuerierWatch({ ...held, isCandidate: () => settings.config.querier });
    this.#lazyJoin = new LazyJoin({ fdb, log, vnis, host: this.#host });
    this.#sweep = new FdbSweep(fdb, now, log);

    // The parts that change the resources.
    const opening = { netlink, log, fdb, now, registry: this.vnis, opened: this.underlays, barOf: own.barOf.bind(own) };
    this.#opener = new VniOpener({ ...opening, taps: this.taps });
    this.changes = new LiveChanges({
      ...{ ...held, ...opening, settings, opener: this.#opener, neighbours: this.tables.neighbours },
      ...{ sources: this.#host.underlays.sources, lazyJoin: this.#lazyJoin, queriers: this.queriers },
      settle: () => this.#host.settle(),
      lookAtPaths: (vni) => this.#paths.lookAt(vni),
      vnisChanged: () => this.control.look(),
    });

    const localMacs = new LocalMacs({ fdb, now, log, vnis: () => [...this.vnis.numbers().values()] });
    const localNeighbours = new LocalNeighbours(this.tables.told, log);
    this.control = new ControlPlanes({ log, vnis, changes: this.changes, localMacs, localNeighbours });

    // The parts that report on the resources.
    const isOwnAddress = own.has.bind(own);
    this.events = new FdbEvents(fdb, now, log);
    this.drops = new DropHistory(() => readDropRows(this, netlink));
    this.captures = new Captures({ workers, config: () => settings.config, underlays, vnis, isOwnAddress, nowMs });
    this.statuses = new VniStatuses({
      ...{ vnis, log },
      statusOf: (vni) =>
        vniStatus(vni, {
          hungWorker: workers.hang?.worker,
          unseen: this.#host.unseen,
          hasMacsElsewhere: (of) => hasMacsElsewhere({ fdb, own }, of),
        }),
    });
    const { allowedVteps, ageingSeconds } = config;
    const snapshotted = { fdb, now, log, vnis, isOwnAddress, allowedVteps, ageingSeconds };
    this.#snapshots = config.persist && this.#stateDir ? new FdbSnapshots(snapshotted, this.#stateDir.path) : undefined;
  }

  /**
   * Starts everything: binds sockets, joins groups, brings TAPs up, forwards. Throws VtepError and leaves nothing behind if it fails.
   *
   * @param onDeath called when the data plane died and cannot be restarted
   * @param stopping limits the duration of the cleanup after a failed start
   */
  static async start(
    config: Config,
    log: Logger,
    { onDeath, stopping }: { onDeath: (error: Error) => void; stopping: Stopping },
  ): Promise<Vtep> {
    const vtep = new Vtep(config, log, onDeath);
    try {
      await vtep.#start(config);
      return vtep;
    } catch (error) {
      await vtep.stop(stopping);
      throw error;
    }
  }

  async #start({ vnis }: Config): Promise<void> {
    this.queriers.prepare();
    this.taps.findFormer(vnis);
    this.#opener.openAll(vnis);
    await this.#snapshots?.restore();
    this.#host.start();
    if (!(await this.workers.start())) throw diedAtStart();
    this.#sweep.start();
    this.queriers.start();
    await this.#paths.start();
    void this.#lazyJoin.run();
    this.events.start();
    this.drops.start();
    this.statuses.start();
    this.#snapshots?.start();
    this.taps.settle();
  }

  /** Leaves the groups and deletes the TAPs that vtepd created, unless they are to outlive it. */
  async stop(stopping: Stopping): Promise<void> {
    this.#sweep.stop();
    this.#lazyJoin.stop();
    this.control.stop();
    this.events.stop();
    this.drops.stop();
    this.statuses.stop();
    this.queriers.stop();
    this.#host.stop();
    this.#paths.stop();
    stopping.begin();
    if (!(await this.workers.stop())) stopping.cut('workers');
    await stopping.wait('change under way', this.changes.close(), CHANGE_PATIENCE_MS);
    // What other hosts and programs see ends first, then what a disk may delay. The snapshot needs the VNIs and their entries.
    this.underlays.closeAll();
    this.taps.release();
    this.#netlink.close();
    if (this.#snapshots) await stopping.wait('snapshot', this.#snapshots.stop());
    this.vnis.clear();
    this.#stateDir?.release();
  }
}

function diedAtStart(): VtepError {
  const [cause, remedy] = ['a thread of it died at the start', 'the log has its error'];
  return new VtepError('ERR_VTEP_INTERNAL', { object: 'data plane', cause, remedy });
}
