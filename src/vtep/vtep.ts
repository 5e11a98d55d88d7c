import { randomInt } from 'node:crypto';
import type { Status } from '../api/schemas.ts';
import type { Config, StaticEntry } from '../config/config.ts';
import { Settings } from '../config/settings.ts';
import { Fdb } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { NeighbourTable } from '../forward/answers/neighbours.ts';
import type { Counters } from '../forward/counters.ts';
import type { RemoteCounters } from '../forward/remote-counters.ts';
import { StormControl } from '../forward/storm-control.ts';
import { HostAddresses } from '../host/host-addresses.ts';
import { possibleOffload } from '../host/offload.ts';
import { StateDir, tapAlias } from '../host/state-dir.ts';
import { type Bar, OwnAddresses } from '../host/underlay/own-addresses.ts';
import { narrowPaths } from '../host/underlay/path-mtu.ts';
import type { Underlay } from '../host/underlay/underlay.ts';
import type { IpAddress } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Link } from '../sys/netlink/links.ts';
import { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import type { BusyTime } from '../worker/busy-time.ts';
import { createClock, createFineClock, monotonicMs } from '../worker/clock.ts';
import { Captures } from './captures.ts';
import { LiveChanges } from './changes/live-changes.ts';
import { VniOpener } from './changes/vni-opener.ts';
import { DropHistory, readDropRows } from './drop-history.ts';
import { FdbEvents } from './entries/fdb-events.ts';
import { listStatics } from './entries/fdb-listing.ts';
import { FdbSnapshots } from './entries/fdb-snapshots.ts';
import { FdbSweep } from './entries/fdb-sweep.ts';
import type { Stopping } from './stopping.ts';
import { HostWatch } from './upkeep/host-watch.ts';
import { LazyJoin } from './upkeep/lazy-join.ts';
import { PathWatch } from './upkeep/path-watch.ts';
import { QuerierWatch } from './upkeep/querier-watch.ts';
import type { TapUpkeep } from './upkeep/tap-upkeep.ts';
import { Taps } from './vni/taps.ts';
import { Underlays } from './vni/underlays.ts';
import type { Vni } from './vni/vni.ts';
import { type StatusGround, vniStatus } from './vni/vni-status.ts';
import { VniStatuses } from './vni/vni-statuses.ts';
import { Vnis } from './vni/vnis.ts';
import type { Hang } from './workers/worker-patience.ts';
import { WorkerPool } from './workers/worker-pool.ts';
import { addressOrder, workerState } from './workers/worker-state.ts';
import type { WorkerState } from './workers/worker-supervisor.ts';

/** How long the end waits for a change under way, which no worker holds up any more. */
const CHANGE_PATIENCE_MS = 200;

/** How long the main thread waits for the FDB's lock, which nobody alive holds for a microsecond. */
const LOCK_PATIENCE_MS = 100;

/** The main thread's number in the FDB's lock; workers count up from there. */
const MAIN_OWNER = 1;

/** The VTEP: everything on the host that the daemon holds, put together. It opens every fd; the workers only borrow them. */
export class Vtep {
  readonly fdb: Fdb;
  readonly now: () => number;
  readonly changes: LiveChanges;
  readonly statuses: VniStatuses;
  /** What changes in the FDB. */
  readonly events: FdbEvents;
  readonly queriers: QuerierWatch;
  /** What is dropped now. */
  readonly drops = new DropHistory(() => readDropRows(this, this.#netlink));
  /** Who captures frames. */
  readonly captures: Captures;
  /** What the workers share beside the FDB. */
  readonly storm: StormControl;
  readonly neighbours: NeighbourTable;
  readonly settings: Settings;
  readonly #netlink = new NetlinkSocket();
  readonly #addresses: HostAddresses;
  readonly #own: OwnAddresses;
  readonly #underlays: Underlays;
  readonly #vnis = new Vnis();
  readonly #opener: VniOpener;
  readonly #offload: Status['offload'];
  readonly #workers: WorkerPool;
  readonly #host: HostWatch;
  readonly #paths: PathWatch;
  readonly #taps: Taps;
  readonly #sweep: FdbSweep;
  readonly #lazyJoin: LazyJoin;
  /** With `--persist`. */
  readonly #stateDir: StateDir | undefined;
  readonly #snapshots: FdbSnapshots | undefined;

  private constructor(config: Config, log: Logger, onDeath: (error: Error) => void) {
    this.settings = new Settings(config);
    this.#stateDir = config.persist ? StateDir.take(config.stateDir) : undefined;
    const epochMs = monotonicMs();
    const fdbMemory = createFdbMemory(randomInt(2 ** 48 - 1), config.ageingSeconds);
    this.fdb = new Fdb(fdbMemory, MAIN_OWNER, LOCK_PATIENCE_MS);
    this.now = createClock(epochMs);
    this.#sweep = new FdbSweep(this.fdb, this.now, log);
    this.events = new FdbEvents(this.fdb, this.now, log);
    const { workers, port, allowedVteps } = config;
    this.#offload = possibleOffload(config.offload, log);
    this.#taps = new Taps({
      netlink: this.#netlink,
      log,
      vnis: this.#vnis.list,
      isPersistent: config.persist,
      ownAlias: tapAlias(config.stateDir),
      tap: { queues: workers, gso: this.#offload.tapGso, gro: this.#offload.udpGro },
    });
    const neighboursMemory = NeighbourTable.createMemory(randomInt(2 ** 48 - 1));
    const stormMemory = StormControl.createMemory();
    this.neighbours = new NeighbourTable(neighboursMemory);
    this.storm = new StormControl(stormMemory);
    const setup = {
      fdbMemory,
      neighboursMemory,
      epochMs,
      port,
      stormMemory,
      offload: this.#offload,
    };
    this.#addresses = new HostAddresses(this.#netlink);
    const [netlink, addresses] = [this.#netlink, this.#addresses];
    const { settings } = this;
    const inForce = () => settings.config;
    this.#underlays = new Underlays({ netlink, log, settings, addresses, udpGro: this.#offload.udpGro });
    const { listeners, list: underlays } = this.#underlays;
    const vnis = this.#vnis.list;
    this.#own = new OwnAddresses(config.listen, addresses, underlays);
    const own = this.#own;
    this.#workers = new WorkerPool(workers, setup, {
      firstOwner: MAIN_OWNER + 1,
      fdb: this.fdb,
      log,
      state: (worker) => [
        ...workerState(worker, workers, {
          config: inForce(),
          own: own.told,
          broadcasts: own.toldBroadcasts,
          listeners: listeners.all,
          underlays,
          vnis,
        }),
        ...this.captures.orders(worker),
      ],
      tapGone: (tap) => this.#host.taps.tapGone(tap),
      remoteInGroup: (segment, remote) => this.changes.remoteInGroup(segment, remote),
      died: onDeath,
    });
    const nowMs = createFineClock(epochMs);
    const isOwnAddress = (address: IpAddress) => own.has(address);
    const barOf = (address: IpAddress) => own.barOf(address);
    this.captures = new Captures({ workers: this.#workers, config: inForce, underlays, vnis, isOwnAddress, nowMs });
    this.statuses = new VniStatuses({ vnis, log, statusOf: (vni) => vniStatus(vni, this.#seen) });
    const onHost = { netlink, log, addresses, listeners, underlays, vnis, workers: this.#workers };
    this.#paths = new PathWatch({
      netlink,
      addresses,
      log,
      vnis,
      config,
      move: (...to) => this.changes.moveVni(...to),
    });
    this.#host = new HostWatch({
      ...onHost,
      own,
      ownChanged: (changed) => this.changes.followOwnAddresses(changed),
      touchPaths: () => this.#paths.touch(),
      taps: this.#taps,
      onHeard: () => this.statuses.lookSoon(),
    });
    const watched = { addresses, log, underlays, vnis };
    this.queriers = new QuerierWatch({ ...watched, isCandidate: () => settings.config.querier });
    this.#lazyJoin = new LazyJoin({ fdb: this.fdb, log, vnis, host: this.#host });
    const opening = {
      netlink,
      log,
      fdb: this.fdb,
      now: this.now,
      barOf,
      registry: this.#vnis,
      opened: this.#underlays,
    };
    this.#opener = new VniOpener({ ...opening, taps: this.#taps });
    this.changes = new LiveChanges({
      ...onHost,
      ...opening,
      settings,
      sources: this.#host.underlays.sources,
      lazyJoin: this.#lazyJoin,
      queriers: this.queriers,
      settle: () => this.#host.settle(),
      lookAtPaths: (vni) => this.#paths.lookAt(vni),
      opener: this.#opener,
    });
    this.#snapshots =
      this.#stateDir &&
      new FdbSnapshots(
        {
          ...{ fdb: this.fdb, now: this.now, log, vnis, allowedVteps, ageingSeconds: config.ageingSeconds },
          isOwnAddress,
        },
        this.#stateDir.path,
      );
  }

  /**
   * Brings everything up: sockets bound, groups joined, TAPs up, forwarding. Throws VtepError with nothing of its own left behind.
   *
   * @param onDeath the data plane died and cannot be revived
   * @param stopping bounds the end of a start that fails
   */
  static async start(
    config: Config,
    log: Logger,
    { onDeath, stopping }: { onDeath: (error: Error) => void; stopping: Stopping },
  ): Promise<Vtep> {
    const vtep = new Vtep(config, log, onDeath);
    try {
      vtep.queriers.prepare();
      vtep.#taps.findFormer(config.vnis);
      vtep.#opener.openAll(config.vnis);
      await vtep.#snapshots?.restore();
      vtep.#host.start();
      if (!(await vtep.#workers.start())) {
        const remedy = 'the log has its error';
        throw new VtepError('ERR_VTEP_INTERNAL', {
          object: 'data plane',
          cause: 'a thread of it died at the start',
          remedy,
        });
      }
      vtep.#sweep.start();
      vtep.queriers.start();
      await vtep.#paths.start();
      void vtep.#lazyJoin.run();
      vtep.events.start();
      vtep.drops.start();
      vtep.statuses.start();
      vtep.#snapshots?.start();
      vtep.#taps.settle();
      return vtep;
    } catch (error) {
      await vtep.stop(stopping);
      throw error;
    }
  }

  /** Leaves the groups and removes the TAPs that vtepd made, unless they are to outlive it. */
  async stop(stopping: Stopping): Promise<void> {
    this.#sweep.stop();
    this.#lazyJoin.stop();
    this.events.stop();
    this.drops.stop();
    this.statuses.stop();
    this.queriers.stop();
    this.#host.stop();
    this.#paths.stop();
    stopping.begin();
    if (!(await this.#workers.stop())) stopping.cut('workers');
    await stopping.wait('change under way', this.changes.close(), CHANGE_PATIENCE_MS);
    // First what others see, then what a disk may hold up. The snapshot needs to know what there was.
    this.#underlays.closeAll();
    this.#taps.release();
    this.#netlink.close();
    if (this.#snapshots) await stopping.wait('snapshot', this.#snapshots.stop());
    this.#vnis.clear();
    this.#stateDir?.release();
  }

  /** What was asked for and is in force; VNIs as the file has them. */
  get config(): Config {
    return this.settings.config;
  }

  get workerStates(): readonly WorkerState[] {
    return this.#workers.states;
  }

  /** The first worker that hangs, if one does. */
  get hang(): Hang | undefined {
    return this.#workers.hang;
  }

  get hungWorker(): number | undefined {
    return this.hang?.worker;
  }

  get vnis(): readonly Vni[] {
    return this.#vnis.list;
  }

  get underlays(): readonly Underlay[] {
    return this.#underlays.list;
  }

  /** VTEPs that a worker knows to be behind a smaller MTU: of the one that knows most. */
  get pathLimits(): number {
    return this.#workers.pathLimits;
  }

  /** VNIs that workers are being told to forget. */
  get leaving(): ReadonlySet<Vni> {
    return this.#vnis.leaving;
  }

  /** One for each worker. */
  get counters(): readonly Counters[] {
    return this.#workers.counters;
  }

  /** Resolves once every worker has answered. What it is told, it knows. */
  answered(): Promise<void> {
    return this.#workers.orderAll(addressOrder('own-addresses', { added: [], removed: [] }));
  }

  /** Of each worker what it counted of each remote. */
  get remoteCounters(): readonly RemoteCounters[] {
    return this.#workers.remoteCounters;
  }

  get busyTimes(): readonly BusyTime[] {
    return this.#workers.busyTimes;
  }

  /** The offloads in force with all TAPs and all workers. */
  get offload(): Status['offload'] {
    return { tapGso: this.#taps.gso, ...this.#workers.offload };
  }

  /** Sockets that receive without merging for a while. */
  get unmerged(): Status['unmerged'] {
    return this.#workers.unmerged;
  }

  /** The TAPs and the bridges that they are ports of, as the kernel has them now. */
  links(): Link[] {
    return this.#taps.links();
  }

  /** Asks for the MTU of paths, as they and the interfaces are now. */
  paths(): (address: IpAddress) => number | null {
    const links = new Map(this.links().map((link) => [link.index, link]));
    return narrowPaths(this.#netlink, links, this.underlays);
  }

  /** The VNI of each segment. One that is just being deleted is as good as gone, with its entries. */
  numbers(): ReadonlyMap<number, number> {
    return this.#vnis.numbers();
  }

  /** All static entries of each VNI that has some, those included that were added while running. */
  statics(): Promise<ReadonlyMap<number, readonly StaticEntry[]>> {
    return listStatics({ fdb: this.fdb, now: this.now, numbers: () => this.numbers() });
  }

  get #seen(): StatusGround {
    const hasMacsElsewhere = (vni: Vni) => this.hasMacsElsewhere(vni);
    return { hungWorker: this.hungWorker, unseen: this.#host.unseen, hasMacsElsewhere };
  }

  /** Whether a VNI has MACs behind VTEPs that are sent to. */
  hasMacsElsewhere({ index, config }: Vni): boolean {
    const unsent = config.statics.filter(({ vtep }) => vtep !== 'local' && this.barOf(vtep) !== undefined).length;
    return this.fdb.countOf(index) - this.fdb.localsOf(index) - unsent > 0;
  }

  /** How many addresses of the host are known. */
  get hostAddresses(): number {
    return this.#addresses.count;
  }

  isBroadcast(address: IpAddress): boolean {
    return this.#own.isBroadcast(address);
  }

  /** Why nothing is sent to an address now; undefined: it is. */
  barOf(address: IpAddress): Bar | undefined {
    return this.#own.barOf(address);
  }

  isOwnAddress(address: IpAddress): boolean {
    return this.#own.has(address);
  }

  /** Datagrams that the kernel lost because vtepd did not read them in time. */
  get socketOverruns(): number {
    return this.#underlays.dropped;
  }

  get upkeep(): TapUpkeep {
    return this.#host.taps.upkeep;
  }
}
