import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MAX_VTEP_SERIES } from '../lib/limits.ts';
import { Metrics, type MetricsReading, type VniReading, type VtepReading } from './metrics.ts';

const vni = (number: number): VniReading => ({
  ...{ vni: number, name: null, tap: `vxlan${number}`, isOk: true, macs: 5, statics: 1, controls: 2, maxMacs: 100 },
  ...{ rxPackets: 1, rxBytes: 2, txPackets: 3, txBytes: 4, flooded: 5, moves: 6, evictions: 7, full: 8, held: 9 },
});

const vtep = (address: string): VtepReading => ({
  ...{ vtep: address, macs: 1, rxPackets: 1, rxBytes: 2, txPackets: 3, txBytes: 4, drops: 5, lastHeard: undefined },
});

/** VTEPs that are known, each by the number that its address always has here. */
function known(vteps: readonly VtepReading[]): MetricsReading['vteps'] {
  const byKey = new Map(vteps.map((each) => [numberOf(each.vtep), each]));
  return { keys: [...byKey.keys()], read: (keys) => keys.map((key) => byKey.get(key) as VtepReading) };
}

const numbers = new Map<string, number>();
function numberOf(address: string): number {
  const number = numbers.get(address) ?? numbers.size;
  numbers.set(address, number);
  return number;
}

function reading(given: Partial<MetricsReading> = {}): MetricsReading {
  return {
    ...{
      version: '1.2.3',
      startTime: 1_000,
      vnis: [],
      vteps: known([]),
      drops: { rx: {}, tx: {} },
      workers: [],
      limits: [],
      lostLogLines: 0,
      offload: {},
      unmergedSockets: 0,
      fdbEventsLost: 0,
      localNeighboursLost: 0,
      fdbRepairs: 0,
      captureFramesLost: 0,
      connectionsCut: [],
    },
    ...{ cpuSeconds: 1.5, residentBytes: 4096 },
    ...given,
  };
}

async function page(metrics: Metrics, given?: Partial<MetricsReading>): Promise<string[]> {
  let text = '';
  for await (const piece of metrics.page(reading(given))) text += piece;
  return text.split('\n');
}

const of = (lines: readonly string[], name: string) => lines.filter((line) => line.startsWith(`${name}{`));

describe('a page of metrics', () => {
  it('has each counter of a VNI under its direction', async () => {
    const lines = await page(new Metrics(), { vnis: [vni(100)] });
    expect(lines).toEqual(
      expect.arrayContaining([
        '# TYPE vtep_packets_total counter',
        'vtep_packets_total{vni="100",direction="rx"} 1',
        'vtep_packets_total{vni="100",direction="tx"} 3',
        'vtep_bytes_total{vni="100",direction="rx"} 2',
        'vtep_bytes_total{vni="100",direction="tx"} 4',
        'vtep_flooded_packets_total{vni="100"} 5',
        'vtep_fdb_entries{vni="100",type="dynamic"} 2',
        'vtep_fdb_entries{vni="100",type="static"} 1',
        'vtep_fdb_entries{vni="100",type="evpn"} 2',
        'vtep_fdb_moves_total{vni="100"} 6',
        'vtep_fdb_evictions_total{vni="100"} 7',
        'vtep_fdb_not_learned_total{vni="100",reason="full"} 8',
        'vtep_fdb_not_learned_total{vni="100",reason="held"} 9',
        'vtep_vni_up{vni="100"} 1',
        '# TYPE vtep_vni_up gauge',
      ]),
    );
  });

  it('has every reason for a drop, zeros too, and a name whatever is in it', async () => {
    const lines = await page(new Metrics(), {
      drops: { rx: { short: 0, ecn: 2 }, tx: { short: 1 } },
      vnis: [{ ...vni(1), name: 'a "b"\n\\', isOk: false }],
    });
    expect(of(lines, 'vtep_drops_total')).toEqual([
      'vtep_drops_total{direction="rx",reason="short"} 0',
      'vtep_drops_total{direction="rx",reason="ecn"} 2',
      'vtep_drops_total{direction="tx",reason="short"} 1',
    ]);
    expect(lines).toContain('vtep_vni_info{vni="1",name="a \\"b\\"\\n\\\\",tap="vxlan1"} 1');
    expect(lines).toContain('vtep_vni_up{vni="1"} 0');
  });

  it('has a count of each thing that can be lost, and what is in force of the offloads', async () => {
    const lines = await page(new Metrics(), {
      ...{ lostLogLines: 1, fdbEventsLost: 2, localNeighboursLost: 6, fdbRepairs: 3, captureFramesLost: 4 },
      connectionsCut: [{ server: 'http', cut: 5 }],
      offload: { tapGso: true, udpGro: false },
      unmergedSockets: 8,
      limits: [{ limit: 'neighbours', used: 6, max: 7 }],
    });
    expect(lines).toEqual(
      expect.arrayContaining([
        'vtep_log_lines_lost_total 1',
        'vtep_fdb_events_lost_total 2',
        'vtep_local_neighbours_lost_total 6',
        'vtep_fdb_repairs_total 3',
        'vtep_capture_frames_lost_total 4',
        'vtep_api_connections_cut_total{server="http"} 5',
        'vtep_offload_enabled{offload="tapGso"} 1',
        'vtep_offload_enabled{offload="udpGro"} 0',
        'vtep_unmerged_sockets 8',
        'vtep_limit_used{limit="neighbours"} 6',
        'vtep_limit_max{limit="neighbours"} 7',
      ]),
    );
  });

  it('has the state of EVPN if there is EVPN', async () => {
    expect((await page(new Metrics())).filter((line) => line.startsWith('vtep_evpn_'))).toEqual([]);
    const lines = await page(new Metrics(), {
      evpn: {
        ...{ isUp: true, connections: 2, peers: 3, pending: 4, refused: 5 },
        routes: [{ direction: 'in', type: 'other', count: 6 }],
        vnis: [{ vni: 100, vteps: 7, macsIn: 8, macsOut: 9, isAnnounced: false }],
      },
    });
    expect(lines.filter((line) => line.startsWith('vtep_evpn_'))).toEqual([
      'vtep_evpn_session_up 1',
      'vtep_evpn_connections_total 2',
      'vtep_evpn_peers_established 3',
      'vtep_evpn_routes{direction="in",type="other"} 6',
      'vtep_evpn_pending_changes 4',
      'vtep_evpn_refused_routes 5',
      'vtep_evpn_vteps{vni="100"} 7',
      'vtep_evpn_mac_routes{vni="100",direction="in"} 8',
      'vtep_evpn_mac_routes{vni="100",direction="out"} 9',
      'vtep_evpn_vni_announced{vni="100"} 0',
    ]);
  });

  it('says when a VTEP was heard, or nothing', async () => {
    const vteps = [{ ...vtep('198.18.0.2'), lastHeard: 1_767_323_045.6 }, vtep('fd00::1')];
    const lines = await page(new Metrics(), { vteps: known(vteps) });
    expect(of(lines, 'vtep_remote_last_heard_timestamp_seconds')).toEqual([
      'vtep_remote_last_heard_timestamp_seconds{vtep="198.18.0.2"} 1767323045.6',
    ]);
  });

  it('has each family once, in one piece, whatever its length, and others have their turn in between', async () => {
    const vnis = Array.from({ length: 10_000 }, (_, i) => vni(i));
    let turns = 0;
    let isDone = false;
    const others = (async () => {
      for (; !isDone; turns++) await setImmediate();
    })();
    const lines = await page(new Metrics(), { vnis });
    isDone = true;
    await others;
    expect(of(lines, 'vtep_packets_total')).toHaveLength(20_000);
    const families = lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split(/[{ ]/)[0]);
    const runs = families.filter((name, i) => name !== families[i - 1]);
    expect(new Set(runs).size).toBe(runs.length);
    expect(lines.filter((line) => line.startsWith('# TYPE vtep_packets_total'))).toHaveLength(1);
    expect(turns).toBeGreaterThan(100);
  });

  it('is whole for each of those who ask at the same time', async () => {
    const metrics = new Metrics();
    const vnis = Array.from({ length: 1_200 }, (_, i) => vni(i));
    const [one, other] = await Promise.all([page(metrics, { vnis }), page(metrics, { vnis })]);
    expect(of(one, 'vtep_bytes_total')).toHaveLength(2_400);
    expect(one.filter((line) => !line.startsWith('vtep_process'))).toEqual(
      other.filter((line) => !line.startsWith('vtep_process')),
    );
  });
});

describe('VTEPs beyond the limit', () => {
  const many = Array.from({ length: MAX_VTEP_SERIES }, (_, i) => vtep(`198.18.${i >> 8}.${i & 255}`));

  it('are not even read', async () => {
    const { keys, read } = known([...many, vtep('10.0.0.1')]);
    const asked: number[] = [];
    await page(new Metrics(), {
      vteps: {
        keys,
        read: (chosen) => {
          asked.push(...chosen);
          return read(chosen);
        },
      },
    });
    expect(asked).toHaveLength(MAX_VTEP_SERIES);
  });

  it('have no series, and those that have keep them, until they are forgotten', async () => {
    const metrics = new Metrics();
    const first = await page(metrics, { vteps: known(many) });
    expect(of(first, 'vtep_remote_drops_total')).toHaveLength(MAX_VTEP_SERIES);
    const more = await page(metrics, { vteps: known([vtep('10.0.0.1'), ...many]) });
    expect(of(more, 'vtep_remote_drops_total')).toEqual(of(first, 'vtep_remote_drops_total'));
    expect(more).toContain(`vtep_limit_used{limit="vtep-series"} ${MAX_VTEP_SERIES}`);
    const fewer = await page(metrics, { vteps: known([vtep('10.0.0.1'), ...many.slice(1)]) });
    expect(of(fewer, 'vtep_remote_drops_total')).toContain('vtep_remote_drops_total{vtep="10.0.0.1"} 5');
  });
});
