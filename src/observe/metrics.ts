import { setImmediate } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { EVPN_FAMILIES, type EvpnReading } from './evpn-metrics.ts';
import { type Definition, defineFamily } from './metric-definition.ts';
import { MetricFamily, type Sample } from './metric-family.ts';
import { VtepSeries } from './vtep-series.ts';

/** The counters of one VNI, as `vtepctl stats` shows them, and its other measurements. */
export interface VniReading {
  readonly vni: number;
  readonly name: string | null;
  readonly tap: string | null;
  readonly isOk: boolean;
  readonly macs: number;
  readonly statics: number;
  /** Entries that a control plane placed. */
  readonly controls: number;
  readonly maxMacs: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly flooded: number;
  readonly moves: number;
  readonly evictions: number;
  readonly full: number;
  readonly held: number;
}

/** The same for a remote VTEP. */
export interface VtepReading {
  readonly vtep: string;
  readonly macs: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly drops: number;
  /** Unix time in seconds, undefined if never. */
  readonly lastHeard: number | undefined;
}

interface WorkerReading {
  readonly worker: number;
  readonly state: 'ok' | 'hung' | 'dead';
  /** Of its predecessors. */
  readonly deaths: number;
  readonly busy: number;
  readonly busySeconds: number;
}

export interface MetricsReading {
  readonly version: string;
  /** Unix time in seconds. */
  readonly startTime: number;
  readonly vnis: readonly VniReading[];
  /** There may be 65,535. One that is not shown costs one number. */
  readonly vteps: {
    /** One number for each known VTEP; numbers are not reused. */
    readonly keys: readonly number[];
    readonly read: (keys: readonly number[]) => readonly VtepReading[];
  };
  readonly drops: { readonly [Direction in 'rx' | 'tx']: Readonly<Record<string, number>> };
  readonly workers: readonly WorkerReading[];
  readonly limits: readonly { readonly limit: string; readonly used: number; readonly max: number }[];
  readonly lostLogLines: number;
  readonly offload: Readonly<Record<string, boolean>>;
  readonly unmergedSockets: number;
  readonly fdbEventsLost: number;
  readonly localNeighboursLost: number;
  readonly fdbRepairs: number;
  readonly captureFramesLost: number;
  /** undefined: there is no EVPN. */
  readonly evpn?: EvpnReading | undefined;
  readonly connectionsCut: readonly { readonly server: string; readonly cut: number }[];
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** The contents of a page. Only VTEPs with series of their own are in it. */
type Page = Omit<MetricsReading, 'vteps'> & { readonly vteps: readonly VtepReading[] };

/** Content type of a page. */
export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

const vnis = ({ vnis }: Page) => vnis;
const vteps = ({ vteps }: Page) => vteps;
const one = (page: Page) => [page];
const both = (labels: Sample['labels'], rx: number, tx: number): Sample[] => [
  { labels: { ...labels, direction: 'rx' }, value: rx },
  { labels: { ...labels, direction: 'tx' }, value: tx },
];

const define = <Item>(definition: Definition<Page, Item>) => defineFamily(definition);

const FAMILIES = [
  define({
    ...{ name: 'vtep_build_info', help: 'Always 1; the labels have the versions', type: 'gauge' },
    items: one,
    samples: ({ version }) => [{ labels: { version, node: process.versions.node }, value: 1 }],
  }),
  define({
    ...{ name: 'vtep_start_time_seconds', help: 'Start of the daemon, as Unix time', type: 'gauge' },
    items: one,
    samples: ({ startTime }) => [{ labels: {}, value: startTime }],
  }),
  define({
    ...{ name: 'vtep_packets_total', help: 'VXLAN datagrams by VNI', type: 'counter' },
    items: vnis,
    samples: ({ vni, rxPackets, txPackets }) => both({ vni }, rxPackets, txPackets),
  }),
  define({
    ...{ name: 'vtep_bytes_total', help: 'Bytes of inner frames by VNI', type: 'counter' },
    items: vnis,
    samples: ({ vni, rxBytes, txBytes }) => both({ vni }, rxBytes, txBytes),
  }),
  define({
    ...{ name: 'vtep_flooded_packets_total', help: 'VXLAN datagrams sent as floods, each copy', type: 'counter' },
    items: vnis,
    samples: ({ vni, flooded }) => [{ labels: { vni }, value: flooded }],
  }),
  define({
    ...{ name: 'vtep_drops_total', help: 'Dropped frames and datagrams, by reason', type: 'counter' },
    items: ({ drops }) => [['rx', drops.rx] as const, ['tx', drops.tx] as const],
    samples: ([direction, counts]) =>
      Object.entries(counts).map(([reason, value]) => ({ labels: { direction, reason }, value })),
  }),
  define({
    ...{ name: 'vtep_fdb_entries', help: 'Known MAC addresses, local ones included', type: 'gauge' },
    items: vnis,
    samples: ({ vni, macs, statics, controls }) => [
      { labels: { vni, type: 'dynamic' }, value: Math.max(0, macs - statics - controls) },
      { labels: { vni, type: 'static' }, value: statics },
      { labels: { vni, type: 'evpn' }, value: controls },
    ],
  }),
  define({
    ...{ name: 'vtep_fdb_max_entries', help: 'Bound on dynamic entries (max-macs)', type: 'gauge' },
    items: vnis,
    samples: ({ vni, maxMacs }) => [{ labels: { vni }, value: maxMacs }],
  }),
  define({
    ...{ name: 'vtep_fdb_moves_total', help: 'Moves of learned MAC addresses between VTEPs', type: 'counter' },
    items: vnis,
    samples: ({ vni, moves }) => [{ labels: { vni }, value: moves }],
  }),
  define({
    ...{ name: 'vtep_fdb_evictions_total', help: 'Entries that were evicted to make room for others', type: 'counter' },
    items: vnis,
    samples: ({ vni, evictions }) => [{ labels: { vni }, value: evictions }],
  }),
  define({
    ...{
      name: 'vtep_fdb_not_learned_total',
      help: 'Frames whose source address was not learned: no room, or it moved too often',
      type: 'counter',
    },
    items: vnis,
    samples: ({ vni, full, held }) => [
      { labels: { vni, reason: 'full' }, value: full },
      { labels: { vni, reason: 'held' }, value: held },
    ],
  }),
  define({
    ...{ name: 'vtep_vni_up', help: '1 if the status of the VNI is ok, else 0', type: 'gauge' },
    items: vnis,
    samples: ({ vni, isOk }) => [{ labels: { vni }, value: isOk ? 1 : 0 }],
  }),
  define({
    ...{ name: 'vtep_vni_info', help: 'Always 1; the labels have the names of the VNI and its TAP', type: 'gauge' },
    items: vnis,
    samples: ({ vni, name, tap }) => [{ labels: { vni, name: name ?? '', tap: tap ?? '' }, value: 1 }],
  }),
  define({
    ...{ name: 'vtep_remote_packets_total', help: 'VXLAN datagrams by remote VTEP', type: 'counter' },
    items: vteps,
    samples: ({ vtep, rxPackets, txPackets }) => both({ vtep }, rxPackets, txPackets),
  }),
  define({
    ...{ name: 'vtep_remote_bytes_total', help: 'Bytes of inner frames by remote VTEP', type: 'counter' },
    items: vteps,
    samples: ({ vtep, rxBytes, txBytes }) => both({ vtep }, rxBytes, txBytes),
  }),
  define({
    ...{ name: 'vtep_remote_drops_total', help: 'Datagrams dropped from, or not sent to, a VTEP', type: 'counter' },
    items: vteps,
    samples: ({ vtep, drops }) => [{ labels: { vtep }, value: drops }],
  }),
  define({
    ...{ name: 'vtep_remote_fdb_entries', help: 'MAC addresses behind a remote VTEP', type: 'gauge' },
    items: vteps,
    samples: ({ vtep, macs }) => [{ labels: { vtep }, value: macs }],
  }),
  define({
    name: 'vtep_remote_last_heard_timestamp_seconds',
    ...{ help: 'When a datagram of the VTEP was last forwarded, as Unix time', type: 'gauge' },
    items: vteps,
    samples: ({ vtep, lastHeard }) => (lastHeard === undefined ? [] : [{ labels: { vtep }, value: lastHeard }]),
  }),
  define({
    ...{ name: 'vtep_worker_busy_ratio', help: 'Share of the last second not spent waiting', type: 'gauge' },
    items: ({ workers }) => workers,
    samples: ({ worker, busy }) => [{ labels: { worker }, value: busy }],
  }),
  define({
    ...{ name: 'vtep_worker_busy_seconds_total', help: 'Time not spent waiting for packets', type: 'counter' },
    items: ({ workers }) => workers,
    samples: ({ worker, busySeconds }) => [{ labels: { worker }, value: busySeconds }],
  }),
  define({
    ...{ name: 'vtep_worker_up', help: '1 while the worker runs, 0 while it hangs or is dead', type: 'gauge' },
    items: ({ workers }) => workers,
    samples: ({ worker, state }) => [{ labels: { worker }, value: state === 'ok' ? 1 : 0 }],
  }),
  define({
    ...{ name: 'vtep_worker_deaths_total', help: 'Threads of this worker that died', type: 'counter' },
    items: ({ workers }) => workers,
    samples: ({ worker, deaths }) => [{ labels: { worker }, value: deaths }],
  }),
  define({
    ...{ name: 'vtep_log_lines_lost_total', help: 'Log lines that could not be written', type: 'counter' },
    items: one,
    samples: ({ lostLogLines }) => [{ labels: {}, value: lostLogLines }],
  }),
  define({
    name: 'vtep_fdb_events_lost_total',
    ...{ help: 'Changes of the forwarding database that came too fast to be reported', type: 'counter' },
    items: one,
    samples: ({ fdbEventsLost }) => [{ labels: {}, value: fdbEventsLost }],
  }),
  define({
    name: 'vtep_local_neighbours_lost_total',
    ...{ help: 'Reports of neighbours behind the own TAPs that came too fast for the main thread', type: 'counter' },
    items: one,
    samples: ({ localNeighboursLost }) => [{ labels: {}, value: localNeighboursLost }],
  }),
  define({
    name: 'vtep_fdb_repairs_total',
    ...{ help: 'Repairs of the forwarding database after a change that failed', type: 'counter' },
    items: one,
    samples: ({ fdbRepairs }) => [{ labels: {}, value: fdbRepairs }],
  }),
  define({
    name: 'vtep_capture_frames_lost_total',
    ...{ help: 'Frames that captures missed, since they came faster than they were read', type: 'counter' },
    items: one,
    samples: ({ captureFramesLost }) => [{ labels: {}, value: captureFramesLost }],
  }),
  define({
    name: 'vtep_api_connections_cut_total',
    ...{ help: 'API connections closed: too many, or a client that does not read', type: 'counter' },
    items: ({ connectionsCut }) => connectionsCut,
    samples: ({ server, cut }) => [{ labels: { server }, value: cut }],
  }),
  define({
    ...{ name: 'vtep_offload_enabled', help: '1 while the offload is in force, else 0', type: 'gauge' },
    items: ({ offload }) => Object.entries(offload),
    samples: ([offload, inForce]) => [{ labels: { offload }, value: inForce ? 1 : 0 }],
  }),
  define({
    name: 'vtep_unmerged_sockets',
    ...{ help: 'Sockets without UDP_GRO for a minute after a message of several VNIs', type: 'gauge' },
    items: one,
    samples: ({ unmergedSockets }) => [{ labels: {}, value: unmergedSockets }],
  }),
  ...EVPN_FAMILIES,
  define({
    ...{ name: 'vtep_limit_used', help: 'Entries of a bounded table in use', type: 'gauge' },
    items: ({ limits }) => limits,
    samples: ({ limit, used }) => [{ labels: { limit }, value: used }],
  }),
  define({
    ...{ name: 'vtep_limit_max', help: 'Most entries that a bounded table holds', type: 'gauge' },
    items: ({ limits }) => limits,
    samples: ({ limit, max }) => [{ labels: { limit }, value: max }],
  }),
  define({
    ...{ name: 'vtep_process_cpu_seconds_total', help: 'Processor time of all threads', type: 'counter' },
    items: one,
    samples: ({ cpuSeconds }) => [{ labels: {}, value: cpuSeconds }],
  }),
  define({
    ...{ name: 'vtep_process_resident_memory_bytes', help: 'Memory of the process', type: 'gauge' },
    items: one,
    samples: ({ residentBytes }) => [{ labels: {}, value: residentBytes }],
  }),
];

/** The daemon's metrics in a registry of its own. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #series = new VtepSeries();
  readonly #families = FAMILIES.map(({ text, slices }) => ({ family: new MetricFamily(this.#registry, text), slices }));

  /** The page that Prometheus reads, in pieces, so that other work continues between them. */
  page(reading: MetricsReading): AsyncGenerator<string, void, undefined> {
    const { keys, read } = reading.vteps;
    const vteps = read(this.#series.choose(keys));
    return this.#write({ ...reading, vteps, limits: [...reading.limits, this.#series.limit] });
  }

  async *#write(page: Page): AsyncGenerator<string, void, undefined> {
    for (const { family, slices } of this.#families) {
      let isFirst = true;
      for (const samples of slices(page)) {
        if (!isFirst) await setImmediate();
        yield await family.write(samples, isFirst);
        isFirst = false;
      }
    }
  }
}
