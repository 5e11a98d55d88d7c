import { setImmediate } from 'node:timers/promises';
import type {
  Capture,
  CaptureQuery,
  DaemonListener,
  DaemonView,
  EntryKey,
  FdbFilter,
  FloodRemote,
  StaticFdbEntry,
  TracedFrame,
} from '../api/daemon-view.ts';
import type { Evpn, EvpnRoute, EvpnRoutesQuery } from '../api/evpn-schemas.ts';
import { noEvpn } from '../api/no-evpn.ts';
import type {
  ConfigFile,
  Drops,
  FdbEntry,
  Finding,
  FloodMember,
  Stats,
  Status,
  Trace,
  VniStatus,
  Vtep as VtepStats,
} from '../api/schemas.ts';
import type { ApiServers } from '../api/server/api-servers.ts';
import type { LogLevel } from '../config/config.ts';
import { toFileValue } from '../config/config-text.ts';
import { shown } from '../config/keys/written-value.ts';
import { parseVniEntry } from '../config/vni-entry.ts';
import type { EvpnSource } from '../evpn/evpn-status.ts';
import { type EntryView, LEARNED } from '../fdb/fdb.ts';
import { type IpAddress, ipFamily, macWords } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import type { Logger } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { NO_GROUP, NO_UNDERLAY } from '../segment/segment.ts';
import type { Reload } from '../vtep/changes/reload.ts';
import { broadcastAddress } from '../vtep/changes/vni-setup.ts';
import { ENTRY_TYPE } from '../vtep/entries/entry-type.ts';
import { listFdb, listStatics } from '../vtep/entries/fdb-listing.ts';
import { seenTap, type Vni } from '../vtep/vni/vni.ts';
import { addressOf, sourceOf } from '../vtep/vni/vtep-address.ts';
import { whileWorkersAnswer } from '../vtep/workers/worker-patience.ts';
import { describeEvpn, listRoutes } from './evpn-view.ts';
import { listFloodMembers } from './flood-listing.ts';
import { readMetrics } from './metrics-reading.ts';
import { dropsOf, limitsOf, offloadOf, statsOf } from './statistics.ts';
import { traceThrough } from './trace.ts';
import type { ViewedParts } from './viewed-parts.ts';
import { listVteps } from './vtep-listing.ts';

/** Work of one slice of a flush: it blocks the event loop for a few milliseconds at most. */
const FLUSH_SLICE_RECORDS = 1_000;

export interface ViewOptions {
  readonly version: string;
  readonly reload: Pick<Reload, 'run'>;
  readonly log: Logger;
  readonly lostLogLines: () => number;
  readonly servers: Pick<ApiServers, 'open'>;
  /** undefined: there is no EVPN. */
  readonly evpn?: EvpnSource | undefined;
}

/** What the API shows of the running VTEP and asks of it. */
export class VtepView implements DaemonView {
  readonly #vtep: ViewedParts;
  readonly #version: string;
  readonly #reload: Pick<Reload, 'run'>;
  readonly #log: Logger;
  readonly #lostLogLines: () => number;
  readonly #servers: Pick<ApiServers, 'open'>;
  readonly #evpn: EvpnSource | undefined;
  readonly #startedMs = performance.now();
  /** Unix time in seconds. */
  readonly #startTime = Date.now() / 1000;
  readonly #metrics = new Metrics();
  /** The running examination. Requests that arrive meanwhile get its findings too. */
  #examination: Promise<Finding[]> | undefined;

  constructor(vtep: ViewedParts, { version, reload, log, lostLogLines, servers, evpn }: ViewOptions) {
    this.#vtep = vtep;
    this.#version = version;
    this.#reload = reload;
    this.#log = log;
    this.#lostLogLines = lostLogLines;
    this.#servers = servers;
    this.#evpn = evpn;
  }

  fdbEntries(filter: FdbFilter): AsyncIterable<readonly FdbEntry[]> {
    if (filter.vni !== undefined) this.#vtep.vnis.need(filter.vni);
    const { tables, vnis } = this.#vtep;
    return listFdb({ ...tables, numbers: () => vnis.numbers(), matches: this.#matcher(filter) });
  }

  addStatic({ vni, mac, vtep }: StaticFdbEntry): void {
    const { fdb, now } = this.#vtep.tables;
    const found = this.#vtep.vnis.need(vni);
    const { index, reach, underlay } = found;
    const object = `${mac} in VNI ${vni}`;
    const conflict = (cause: string, remedy: string) => new VtepError('ERR_VTEP_CONFLICT', { object, cause, remedy });
    if (seenTap(found)?.mac === mac) throw conflict('this is the TAP’s own MAC', 'name the MAC of a station');
    if (vtep !== 'local') {
      const bar = this.#vtep.own.barOf(vtep);
      if (bar === 'broadcast') throw broadcastAddress(`${mac} at ${vtep} in VNI ${vni}`);
      if (bar === 'own') throw conflict(`${vtep} is this host’s own address`, "give 'local' instead");
      const family = ipFamily(vtep);
      if ((family === 4 ? reach.ipv4 : reach.ipv6) === NO_UNDERLAY) {
        const cause = `${vtep} is IPv${family}, and the underlay is IPv${underlay.family}`;
        throw conflict(cause, `name an IPv${underlay.family} VTEP`);
      }
    }
    const { high, low } = macWords(mac);
    const result = fdb.addStatic(index, high, low, sourceOf(vtep), now());
    if (result === LEARNED.conflict) {
      const present = fdb.entryOf(index, high, low, now());
      const place = present ? addressOf(fdb, present.remote) : 'another VTEP';
      throw conflict(`it is static at ${place}`, 'delete that entry first');
    }
    if (result === LEARNED.full) {
      const remedy = 'flush entries, or delete static ones';
      throw new VtepError('ERR_VTEP_LIMIT', { object, cause: 'the forwarding database is full', remedy });
    }
  }

  deleteEntry({ vni, mac }: EntryKey): void {
    const { fdb, now } = this.#vtep.tables;
    const { index } = this.#vtep.vnis.need(vni);
    const { high, low } = macWords(mac);
    if (fdb.delete(index, high, low, now())) return;
    const object = `${mac} in VNI ${vni}`;
    if (fdb.entryOf(index, high, low, now())?.kind === 'control') {
      const remedy = 'add a static entry, which takes precedence';
      throw new VtepError('ERR_VTEP_CONFLICT', { object, cause: 'a control plane placed this entry', remedy });
    }
    throw new VtepError('ERR_VTEP_NOT_FOUND', { object, cause: 'there is no such entry' });
  }

  async flush({ all, ...filter }: FdbFilter & { readonly all: boolean }): Promise<number> {
    if (filter.vni !== undefined) this.#vtep.vnis.need(filter.vni);
    const { tables, events } = this.#vtep;
    const { fdb, now } = tables;
    let removed = 0;
    for (let from = 0; ; ) {
      // Made again for each slice: the index of a VNI that was deleted meanwhile may belong to another.
      const matches = this.#matcher(filter);
      const slice = fdb.flushSlice(
        from,
        FLUSH_SLICE_RECORDS,
        (entry) => (entry.kind === 'learned' || (all && entry.kind === 'static')) && matches(entry),
        now(),
      );
      removed += slice.removed;
      from = slice.next;
      if (from === 0) return removed;
      // What is told now is not overwritten by what follows.
      events.tell();
      await setImmediate();
    }
  }

  watchFdb(listener: DaemonListener): () => void {
    const endings = [this.#vtep.events.watch(listener), this.#vtep.statuses.watch(listener)];
    return () => {
      for (const end of endings) end();
    };
  }

  vnis(): VniStatus[] {
    return this.#vtep.vnis.list.map((vni) => this.#describeVni(vni)).sort((a, b) => a.vni - b.vni);
  }

  async addVni(entry: string): Promise<VniStatus> {
    const { settings, changes } = this.#vtep;
    const { config } = settings;
    const object = `vni add ${shown(entry)}`;
    const { maxMacs, trunk, evpn } = config;
    const asked = parseVniEntry(entry, { object, maxMacs, trunk, evpn });
    const vni = await this.#answered(object, () => changes.addVni(asked, object));
    return this.#describeVni(vni);
  }

  async deleteVni(vni: number): Promise<void> {
    await this.#answered(`vni del ${vni}`, () => this.#vtep.changes.removeVni(vni));
  }

  addRemote({ vni, remote }: FloodRemote): Promise<void> {
    return this.#answered(`remote add ${remote}`, () => this.#vtep.changes.addRemote(vni, remote));
  }

  deleteRemote({ vni, remote }: FloodRemote): Promise<void> {
    return this.#answered(`remote del ${remote}`, () => this.#vtep.changes.removeRemote(vni, remote));
  }

  drops(vni: number | undefined): Drops {
    return dropsOf(this.#vtep, vni === undefined ? undefined : this.#vtep.vnis.need(vni), this.#vtep.taps.links());
  }

  metrics(): AsyncGenerator<string, void, undefined> {
    return this.#metrics.page(
      readMetrics(this.#vtep, {
        ...{ version: this.#version, startTime: this.#startTime, lostLogLines: this.#lostLogLines() },
        servers: this.#servers.open,
        evpn: this.#evpn,
      }),
    );
  }

  floodMembers(only: number | undefined): AsyncIterable<readonly FloodMember[]> {
    const { vnis } = this.#vtep;
    return listFloodMembers(vnis.list, only === undefined ? undefined : vnis.need(only));
  }

  evpn(): Evpn {
    return describeEvpn(this.#needEvpn().status(), Date.now());
  }

  evpnRoutes(filter: EvpnRoutesQuery): AsyncIterable<readonly EvpnRoute[]> {
    const evpn = this.#needEvpn();
    if (filter.vni !== undefined) this.#vtep.vnis.need(filter.vni);
    return listRoutes(evpn.rows(), filter);
  }

  vteps(only: IpAddress | undefined): AsyncIterable<readonly VtepStats[]> {
    return listVteps(this.#vtep, only);
  }

  stats(vni: number | undefined): Stats {
    const { vnis, taps } = this.#vtep;
    return statsOf(this.#vtep, vni === undefined ? vnis.list : [vnis.need(vni)], taps.links());
  }

  status(): Status {
    const { settings, tables, workers } = this.#vtep;
    const { config } = settings;
    const { fdb } = tables;
    const [underlays, vnis] = [this.#vtep.underlays.list, this.#vtep.vnis.list];
    return {
      version: this.#version,
      pid: process.pid,
      uptime: Math.floor((performance.now() - this.#startedMs) / 1000),
      local: [...new Set(underlays.map(({ local }) => local))],
      dev: [...new Set(underlays.map(({ name }) => name))],
      port: config.port,
      workers: config.workers,
      workerStates: [...workers.states],
      offload: offloadOf(this.#vtep),
      unmerged: workers.unmerged,
      vnis: vnis.length,
      macs: vnis.reduce((total, { index }) => total + fdb.counts.totalOf(index), 0),
      vteps: fdb.remotes.count,
      queriers: this.#vtep.queriers.status(),
      limits: limitsOf(this.#vtep, this.#servers.open),
    };
  }

  trace(frame: TracedFrame): Trace {
    return traceThrough(this.#vtep, frame);
  }

  async capture(query: CaptureQuery): Promise<Capture> {
    if (query.vni !== undefined) this.#vtep.vnis.need(query.vni);
    return this.#answered('capture', () => this.#vtep.captures.open(query));
  }

  doctor(): Promise<Finding[]> {
    this.#examination ??= this.#examine().finally(() => {
      this.#examination = undefined;
    });
    return this.#examination;
  }

  async #examine(): Promise<Finding[]> {
    // Loaded only here, so that the daemon starts without it.
    const { examineVtep } = await import('../doctor/vtep-doctor.ts');
    return examineVtep(this.#vtep, this.#vtep.queriers.status(), this.#evpn);
  }

  async config(): Promise<ConfigFile> {
    const { tables, settings, vnis } = this.#vtep;
    const statics = await listStatics({ ...tables, numbers: () => vnis.numbers() });
    const running = vnis.list
      .map(({ config: vni }) => ({ ...vni, statics: statics.get(vni.vni) ?? [] }))
      .sort((one, other) => one.vni - other.vni);
    return toFileValue({ ...settings.config, logLevel: this.#log.level as LogLevel, vnis: running });
  }

  reload(how: { readonly partial: boolean }): Promise<readonly string[]> {
    return this.#answered('reload', () => this.#reload.run(how));
  }

  setLogLevel(level: LogLevel): void {
    this.#log.level = level;
    this.#log.info({ event: 'log-level', level });
  }

  #answered<Result>(object: string, change: () => Promise<Result>): Promise<Result> {
    return whileWorkersAnswer(object, () => this.#vtep.workers.hang, change);
  }

  #needEvpn(): EvpnSource {
    if (this.#evpn) return this.#evpn;
    throw noEvpn();
  }

  #matcher({ vni, mac, vtep, type }: FdbFilter): (entry: EntryView) => boolean {
    const index = vni === undefined ? undefined : (this.#vtep.vnis.find(vni)?.index ?? -1);
    const words = mac && macWords(mac);
    return (entry) =>
      (index === undefined || entry.segment === index) &&
      (words === undefined || (entry.high === words.high && entry.low === words.low)) &&
      (type === undefined || ENTRY_TYPE[entry.kind] === type) &&
      (vtep === undefined || addressOf(this.#vtep.tables.fdb, entry.remote) === vtep);
  }

  #describeVni(vni: Vni): VniStatus {
    const { config, index, underlay, group, elsewhere, master, tap } = vni;
    const seen = seenTap(vni);
    return {
      vni: config.vni,
      name: config.name ?? null,
      group: config.group ?? null,
      remotes: [...config.remotes],
      tap: config.tap,
      device: seen?.name ?? null,
      namespace: elsewhere ? (elsewhere.namespace ?? '?') : null,
      mtu: (seen ?? tap.link).mtuBytes,
      bridge: master?.name ?? null,
      vlan: config.vlan ?? null,
      learning: config.learning,
      macs: this.#vtep.tables.fdb.counts.totalOf(index),
      joined: group !== NO_GROUP && config.group !== undefined && underlay.membership.isJoined(config.group),
      status: this.#vtep.statuses.of(vni),
    };
  }
}
