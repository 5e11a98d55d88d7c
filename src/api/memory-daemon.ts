/** The daemon's in-memory twin for tests of the API and of vtepctl: a real table, no packets. */

import type { LogLevel } from '../config/config.ts';
import { refuse } from '../config/keys/written-value.ts';
import { parseVniEntry } from '../config/vni-entry.ts';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { DEFAULT_MAX_MACS } from '../lib/limits.ts';
import { Metrics } from '../observe/metrics.ts';
import type {
  Capture,
  CapturedFrame,
  CaptureQuery,
  DaemonListener,
  DaemonView,
  EntryKey,
  FdbFilter,
  FloodRemote,
  StaticFdbEntry,
  TracedFrame,
} from './daemon-view.ts';
import type { Evpn, EvpnRoute, EvpnRoutesQuery } from './evpn-schemas.ts';
import { noEvpn } from './no-evpn.ts';
import type {
  ConfigFile,
  DaemonEvent,
  Drops,
  FdbEntry,
  FdbEvent,
  Finding,
  FloodMember,
  Stats,
  Status,
  Trace,
  VniStatus,
  Vtep,
} from './schemas.ts';
import { unknownVni } from './unknown-vni.ts';

export interface MemoryDaemonState {
  readonly entries: FdbEntry[];
  readonly vnis: VniStatus[];
  readonly vteps: Vtep[];
  readonly stats: Stats;
  readonly drops: Drops;
  readonly status: Status;
  readonly findings: Finding[];
  /** undefined: it has no EVPN. */
  evpn: Evpn | undefined;
  readonly evpnRoutes: EvpnRoute[];
}

/** More than tests look at, fewer than they pass. */
const MEMORY_SLICE_FRAMES = 64;

/** Follows the contract of {@link DaemonView}; `state` stays the caller's and is changed in place. */
export class MemoryDaemon implements DaemonView {
  readonly state: MemoryDaemonState;
  reloads = 0;
  /** Changes that a reload refuses. */
  refused: readonly string[] = [];
  logLevel: LogLevel = 'info';
  readonly #metrics = new Metrics();
  readonly #listeners = new Set<DaemonListener>();
  /** The running captures with their filters. */
  readonly captures = new Set<{ readonly query: CaptureQuery; readonly waiting: CapturedFrame[]; lost: number }>();

  constructor(state: MemoryDaemonState) {
    this.state = state;
  }

  async *fdbEntries(filter: FdbFilter): AsyncGenerator<readonly FdbEntry[], void, undefined> {
    const found = this.state.entries.filter((entry) => matches(entry, filter));
    found.sort((a, b) => a.vni - b.vni || (a.mac < b.mac ? -1 : 1));
    // One by one: whoever reads must not rely on getting all at once.
    for (const entry of found) yield [entry];
  }

  addStatic({ vni, mac, vtep }: StaticFdbEntry): void {
    this.#needVni(vni);
    const before = this.#find({ vni, mac });
    if (before?.type === 'static' && before.vtep !== vtep) {
      throw new VtepError('ERR_VTEP_CONFLICT', {
        object: `${mac} in VNI ${vni}`,
        cause: `static for ${before.vtep}`,
        remedy: 'delete that entry first',
      });
    }
    if (before) this.state.entries.splice(this.state.entries.indexOf(before), 1);
    this.state.entries.push({ vni, mac, vtep, type: 'static', age: null, moves: 0 });
    if (before?.type !== 'static') this.tell(change('add', { vni, mac, vtep, type: 'static' }, before?.vtep ?? null));
  }

  deleteEntry(key: EntryKey): void {
    const entry = this.#find(key);
    if (!entry) {
      throw new VtepError('ERR_VTEP_NOT_FOUND', { object: `${key.mac} in VNI ${key.vni}`, cause: 'no such entry' });
    }
    if (entry.type === 'evpn') {
      throw new VtepError('ERR_VTEP_CONFLICT', {
        object: `${key.mac} in VNI ${key.vni}`,
        cause: 'a control plane placed this entry',
        remedy: 'add a static entry, which takes precedence',
      });
    }
    this.state.entries.splice(this.state.entries.indexOf(entry), 1);
    this.tell(change('delete', entry));
  }

  flush({ all, ...filter }: FdbFilter & { readonly all: boolean }): number {
    const gone = this.state.entries.filter(
      (entry) => matches(entry, filter) && (entry.type === 'dynamic' || (all && entry.type === 'static')),
    );
    for (const entry of gone) this.state.entries.splice(this.state.entries.indexOf(entry), 1);
    this.tell(...gone.map((entry) => change('delete', entry)));
    return gone.length;
  }

  watchFdb(listener: DaemonListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** How many watch the table. */
  get watchers(): number {
    return this.#listeners.size;
  }

  /** Tells whoever watches the table. */
  tell(...events: DaemonEvent[]): void {
    for (const listener of this.#listeners) listener(events);
  }

  vnis(): VniStatus[] {
    return this.state.vnis;
  }

  addVni(entry: string): VniStatus {
    const object = `vni add ${entry}`;
    const { vni, name, group, remotes, tap, mtuBytes, bridge, learning } = parseVniEntry(entry, {
      object,
      maxMacs: DEFAULT_MAX_MACS,
    });
    if (this.state.vnis.some((status) => status.vni === vni)) refuse(object, `VNI ${vni} is already given`);
    const status: VniStatus = {
      ...{ vni, name: name ?? null, group: group ?? null, remotes: [...remotes], tap, mtu: mtuBytes ?? 1450 },
      ...{
        device: tap,
        namespace: null,
        bridge: bridge ?? null,
        vlan: null,
        learning,
        macs: 0,
        joined: group !== undefined,
        status: 'ok',
      },
    };
    this.state.vnis.push(status);
    this.state.vnis.sort((a, b) => a.vni - b.vni);
    return status;
  }

  deleteVni(vni: number): void {
    this.state.vnis.splice(this.state.vnis.indexOf(this.#needVni(vni)), 1);
  }

  floodMembers(only: number | undefined): AsyncIterable<readonly FloodMember[]> {
    const vnis = only === undefined ? this.state.vnis : [this.#needVni(only)];
    return listed(
      vnis.map(({ vni, remotes }) =>
        remotes.map((remote) => ({ vni, remote, origin: 'static', sent: true, inGroup: false })),
      ),
    );
  }

  addRemote({ vni, remote }: FloodRemote): void {
    const { remotes } = this.#needVni(vni);
    if (!remotes.includes(remote)) remotes.push(remote);
  }

  deleteRemote({ vni, remote }: FloodRemote): void {
    const { remotes } = this.#needVni(vni);
    if (!remotes.includes(remote)) {
      const object = `remote ${remote} of VNI ${vni}`;
      throw new VtepError('ERR_VTEP_NOT_FOUND', { object, cause: 'it is not in the flood list' });
    }
    remotes.splice(remotes.indexOf(remote), 1);
  }

  evpn(): Evpn {
    return this.state.evpn ?? refuseEvpn();
  }

  evpnRoutes({ vni, type, unused }: EvpnRoutesQuery): AsyncIterable<readonly EvpnRoute[]> {
    this.evpn();
    if (vni !== undefined) this.#needVni(vni);
    const found = this.state.evpnRoutes.filter(
      (route) =>
        (vni === undefined || route.vni === vni) &&
        (type === undefined || route.type === type) &&
        (unused === undefined || (route.unused !== null) === unused),
    );
    return listed(found.map((route) => [route]));
  }

  drops(vni: number | undefined): Drops {
    if (vni !== undefined) this.#needVni(vni);
    return this.state.drops;
  }

  async *vteps(only: IpAddress | undefined): AsyncGenerator<readonly Vtep[], void, undefined> {
    yield this.state.vteps.filter(({ vtep }) => only === undefined || vtep === only);
  }

  stats(vni: number | undefined): Stats {
    if (vni !== undefined) this.#needVni(vni);
    const { vnis, workers } = this.state.stats;
    return { vnis: vnis.filter((stats) => vni === undefined || stats.vni === vni), workers };
  }

  metrics(): AsyncIterable<string> {
    const { vnis, stats, vteps, drops, status } = this.state;
    return this.#metrics.page({
      ...{
        version: status.version,
        startTime: 1_767_323_045,
        drops,
        limits: [],
        cpuSeconds: 1,
        lostLogLines: 0,
        offload: status.offload,
        unmergedSockets: status.unmerged.sockets,
        fdbEventsLost: 0,
        localNeighboursLost: 0,
        fdbRepairs: 0,
        captureFramesLost: 0,
        connectionsCut: [],
        residentBytes: 2 ** 27,
      },
      vnis: stats.vnis.map((each, i) => ({
        ...each,
        tap: vnis[i]?.tap ?? null,
        isOk: true,
        statics: 0,
        controls: 0,
        maxMacs: 100,
      })),
      vteps: {
        keys: [...vteps.keys()],
        read: (keys) =>
          keys.map((key) => vteps[key] as Vtep).map((vtep) => ({ ...vtep, lastHeard: vtep.lastHeard ?? undefined })),
      },
      workers: stats.workers.map((worker) => ({ ...worker, state: 'ok' as const, deaths: 0, busySeconds: 2.5 })),
    });
  }

  status(): Status {
    return this.state.status;
  }

  trace({ vni, dst, vtep }: TracedFrame): Trace {
    const { tap, group, remotes } = this.#needVni(vni);
    if (vtep)
      return {
        direction: 'rx',
        verdict: 'forwarded',
        reason: null,
        detail: null,
        destinations: [tap ?? ''],
        steps: [],
      };
    const known = this.#find({ vni, mac: dst })?.vtep;
    if (known === 'local')
      return { direction: 'tx', verdict: 'dropped', reason: 'local', detail: null, destinations: [], steps: [] };
    const steps = [`destination ${dst}: ${known ? `known at ${known}` : 'unknown'}`];
    const destinations = known ? [known] : [...(group ? [group] : []), ...remotes];
    return {
      direction: 'tx',
      verdict: known ? 'forwarded' : 'flooded',
      reason: null,
      detail: null,
      destinations,
      steps,
    };
  }

  capture(query: CaptureQuery): Capture {
    if (query.vni !== undefined) this.#needVni(query.vni);
    const open = { query, waiting: [] as CapturedFrame[], lost: 0 };
    this.captures.add(open);
    return {
      read: () => ({ frames: open.waiting.splice(0, MEMORY_SLICE_FRAMES), isMore: open.waiting.length > 0 }),
      get lost() {
        return open.lost;
      },
      close: () => void this.captures.delete(open),
    };
  }

  /** Frames pass by whoever captures; so many more find no room. */
  pass(frames: readonly CapturedFrame[], lost = 0): void {
    for (const capture of this.captures) {
      capture.waiting.push(...frames);
      capture.lost += lost;
    }
  }

  doctor(): Finding[] {
    return this.state.findings;
  }

  config(): ConfigFile {
    return { vnis: this.state.vnis.map(({ vni }) => ({ vni })) };
  }

  async reload({ partial }: { readonly partial: boolean }): Promise<readonly string[]> {
    this.reloads++;
    if (partial) return this.refused;
    const [first, ...others] = this.refused.map(
      (line) => new VtepError('ERR_VTEP_USAGE', { object: 'reload', cause: line }),
    );
    if (first) throw Object.assign(first, { others: others.map(({ message }) => message) });
    return [];
  }

  setLogLevel(level: LogLevel): void {
    this.logLevel = level;
  }

  #find({ vni, mac }: EntryKey): FdbEntry | undefined {
    return this.state.entries.find((entry) => entry.vni === vni && entry.mac === mac);
  }

  #needVni(vni: number): VniStatus {
    const found = this.state.vnis.find((status) => status.vni === vni);
    if (!found) throw unknownVni(vni);
    return found;
  }
}

function change(
  event: 'add' | 'delete',
  { vni, mac, vtep, type }: Pick<FdbEntry, 'vni' | 'mac' | 'vtep' | 'type'>,
  from: FdbEntry['vtep'] | null = null,
): FdbEvent {
  return { time: '2026-01-02T03:04:05.600Z', event, vni, mac, vtep, from, type };
}

function matches(entry: FdbEntry, filter: FdbFilter): boolean {
  return (
    (filter.vni === undefined || entry.vni === filter.vni) &&
    (filter.mac === undefined || entry.mac === filter.mac) &&
    (filter.vtep === undefined || entry.vtep === filter.vtep) &&
    (filter.type === undefined || entry.type === filter.type)
  );
}

/** A session with two routes, one of which is used. */
function sampleEvpn(): Pick<MemoryDaemonState, 'evpn' | 'evpnRoutes'> {
  const vtep = '198.18.0.2' as IpAddress;
  const route = { rd: '198.18.0.2:100', mac: null, ip: null, label: 100, sequence: null, sticky: false };
  return {
    evpn: {
      session: {
        ...{ address: '127.0.0.1:50051', state: 'up', since: 65, error: null, dialect: 'v4', asn: 65_000 },
        ...{ routerId: '198.18.0.1' as IpAddress, connections: 1 },
        peers: [{ address: '198.18.0.9', established: true, evpn: true, endOfRib: true }],
      },
      ...{ routesIn: { type2: 1, type3: 1, other: 0 }, routesOut: { type2: 2, type3: 1 }, pending: 0, refused: 0 },
      vnis: [
        {
          ...{
            vni: 100,
            control: 'both',
            rd: '198.18.0.1:100',
            importTargets: ['*:100'],
            exportTargets: ['65000:100'],
          },
          ...{ vteps: 1, macsIn: 0, neighboursIn: 0, macsOut: 1, neighboursOut: 1, announced: true },
        },
      ],
    },
    evpnRoutes: [
      { ...route, type: 3, vni: 100, ip: vtep, vtep, targets: ['65000:100'], unused: null },
      {
        ...{ ...route, type: 2, vni: null, mac: '02:00:00:00:00:0e' as MacAddress, vtep, targets: ['65000:7'] },
        ...{ sequence: 3, sticky: true, unused: 'no-target' },
      },
    ],
  };
}

/** Two VNIs with a learned local, a learned remote and a static entry. */
export function sampleState(): MemoryDaemonState {
  const mac = (last: string) => `02:00:00:00:00:${last}` as FdbEntry['mac'];
  const ip = (text: string) => text as Status['local'][number];
  return {
    entries: [
      { vni: 200, mac: mac('01'), vtep: ip('fd00:18::3'), type: 'static', age: null, moves: 0 },
      { vni: 100, mac: mac('02'), vtep: ip('198.18.0.2'), type: 'dynamic', age: 1, moves: 0 },
      { vni: 100, mac: mac('01'), vtep: 'local', type: 'dynamic', age: 3, moves: 0 },
    ],
    vnis: [
      {
        ...{ vni: 100, name: 'red', group: ip('239.1.1.1'), remotes: [], tap: 'vxlan100', mtu: 1450, bridge: 'br0' },
        ...{ device: 'vxlan100', namespace: null, vlan: null, learning: true, macs: 2, joined: true, status: 'ok' },
      },
      {
        ...{ vni: 200, name: null, group: null, remotes: [ip('198.18.0.2'), ip('198.18.0.3')], tap: 'vxlan200' },
        ...{
          device: 'vxlan200',
          namespace: null,
          mtu: 1450,
          bridge: null,
          vlan: null,
          learning: false,
          macs: 1,
          joined: false,
          status: 'TAP is down',
        },
      },
    ],
    vteps: [
      {
        ...{ vtep: ip('198.18.0.2'), macs: 1, rxPackets: 10, rxBytes: 980, txPackets: 12, txBytes: 1_176 },
        ...{ lastHeard: 1, drops: 2, pathMtu: 1_400 },
      },
      {
        ...{ vtep: ip('fd00:18::3'), macs: 1, rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 },
        ...{ lastHeard: null, drops: 0, pathMtu: null },
      },
    ],
    stats: {
      vnis: [
        {
          ...{ vni: 100, name: 'red', macs: 2, rxPackets: 10, rxBytes: 980, txPackets: 12, txBytes: 1_176, flooded: 3 },
          ...{ moves: 1, evictions: 0, full: 0, held: 0, rxDrops: 7, txDrops: 12 },
        },
        {
          ...{ vni: 200, name: null, macs: 1, rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, flooded: 0 },
          ...{ moves: 0, evictions: 0, full: 0, held: 0, rxDrops: 0, txDrops: 0 },
        },
      ],
      workers: [{ worker: 0, busy: 0.0123 }],
    },
    drops: { rx: { short: 0, 'unknown-vni': 7 }, tx: { short: 0, 'no-remote': 12 } },
    status: {
      ...{
        version: '0.1.0',
        pid: 4711,
        uptime: 3725,
        local: [ip('198.18.0.1')],
        dev: ['eth0'],
        port: 4789,
        workers: 1,
        workerStates: [{ worker: 0, state: 'ok', deaths: 0 }],
      },
      ...{ offload: { tapGso: true, udpGso: true, udpGro: false }, vnis: 2, macs: 3, vteps: 2 },
      unmerged: { sockets: 0, vteps: [] },
      limits: [{ limit: 'fdb-entries', used: 3, max: 1_048_576 }],
      queriers: [
        {
          ...{ dev: 'eth0', family: 4, watching: true },
          ...{ since: 3720, querier: ip('198.18.0.9'), lastHeard: 3, own: false },
        },
      ],
    },
    findings: [
      { check: 'tun', status: 'ok', object: '/dev/net/tun', message: 'can be opened', remedy: null },
      { check: 'mtu', status: 'warning', object: 'veth1', message: 'MTU 1500', remedy: 'ip link set veth1 mtu 1450' },
      { check: 'querier', status: 'unknown', object: 'eth0, IGMP', message: 'none heard yet', remedy: null },
    ],
    ...sampleEvpn(),
  };
}

function refuseEvpn(): never {
  throw noEvpn();
}

async function* listed<Row>(slices: readonly (readonly Row[])[]): AsyncGenerator<readonly Row[], void, undefined> {
  yield* slices;
}
