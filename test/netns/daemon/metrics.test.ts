/**
 * What is counted, as `vtepctl` and as Prometheus see it.
 *
 *     192.0.2.1 vxlan100 ── host 1: vtepd 198.18.0.1 ───┬── VNI 100 = 239.1.1.1
 *     192.0.2.2 vxlan100 ── host 2: vtepd 198.18.0.2 ───┘
 *                      --http 198.18.0.1:9477  <── Prometheus on host 2
 */
import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { promtool, startPrometheus } from '../../support/daemon/prometheus.ts';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { waitFor } from '../../support/wait.ts';

const RULES = new URL('../../../docs/prometheus/vtepd.rules.yml', import.meta.url).pathname;
const RULES_TEST = new URL('../../../docs/prometheus/vtepd.rules.test.yml', import.meta.url).pathname;
const DASHBOARD = new URL('../../../docs/grafana/vtepd.json', import.meta.url).pathname;

const HTTP = '198.18.0.1:9477';
const MTU_PAYLOAD = 1_000;

interface Counts {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
}

type Vtep = Counts & { vtep: string; macs: number; lastHeard: number | null; drops: number };
type Stats = { vnis: (Counts & { vni: number; flooded: number })[]; workers: { worker: number; busy: number }[] };
type Status = {
  limits: { limit: string; used: number; max: number }[];
  offload: Record<string, boolean>;
};
type Samples = { result: { metric: Record<string, string>; value: [number, string] }[] };

/** Values by name and labels as written. */
function readPage(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

describeSystem('what is counted', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;
  let far: VtepdVtep;

  /** Once both daemons have counted the last packet. */
  const settled = () =>
    waitFor(
      'both ends have counted the same',
      async () => {
        const [here, there] = await Promise.all([vtep, far].map(({ daemon }) => daemon.get<Stats>('/v1/stats')));
        return [here?.vnis[0], there?.vnis[0]] as const;
      },
      ([here, there]) =>
        here !== undefined && here.txPackets === there?.rxPackets && here.rxPackets === there.txPackets,
    );

  beforeAll(async () => {
    const segments = [{ vni: 100, group: '239.1.1.1', keys: ['name=red'] }];
    [vtep, far] = await Promise.all([
      startVtepdVtep(one, { segments, flags: ['--http', HTTP] }),
      startVtepdVtep(two, { segments }),
    ]);
    for (const host of [one, two]) {
      host.run('sysctl', '-qw', 'net.ipv6.conf.vxlan100.disable_ipv6=1');
      host.ip('addr', 'add', `192.0.2.${host.number}/24`, 'dev', 'vxlan100');
    }
    expect(one.ping('192.0.2.2', { count: 5, size: MTU_PAYLOAD })).toBe(5);
  }, 60_000);

  test('vtepctl shows it by VNI and by VTEP, and both ends agree', async () => {
    const [here, there] = await settled();
    expect(here?.flooded).toBeGreaterThan(0);
    expect(here?.txPackets).toBeGreaterThan(5);
    expect(here?.txBytes).toBe(there?.rxBytes);
    expect(here?.rxBytes).toBe(there?.txBytes);
    const [peer] = await vtep.daemon.ctl<Vtep[]>('vtep', 'show');
    // Floods go to the group, and so to no VTEP in particular.
    const sent = { txPackets: (here?.txPackets ?? 0) - (here?.flooded ?? 0) };
    expect(peer).toMatchObject({
      vtep: two.address,
      macs: 1,
      rxPackets: here?.rxPackets,
      rxBytes: here?.rxBytes,
      ...sent,
    });
    expect(peer?.lastHeard).toBeLessThan(60);
    const [{ busy } = { busy: -1 }] = (await vtep.daemon.ctl<Stats>('stats', '--vni', '100')).workers;
    expect(busy).toBeGreaterThanOrEqual(0);
    expect(busy).toBeLessThanOrEqual(1);
  });

  test('/metrics shows the same, and promtool has no complaint', async () => {
    const [here] = await settled();
    const text = await vtep.daemon.getText('/metrics');
    const page = readPage(text);
    expect(page.get('vtep_packets_total{vni="100",direction="tx"}')).toBe(here?.txPackets);
    expect(page.get('vtep_bytes_total{vni="100",direction="rx"}')).toBe(here?.rxBytes);
    expect(page.get('vtep_flooded_packets_total{vni="100"}')).toBe(here?.flooded);
    expect(page.get(`vtep_remote_packets_total{vtep="${two.address}",direction="rx"}`)).toBe(here?.rxPackets);
    expect(page.get('vtep_fdb_entries{vni="100",type="dynamic"}')).toBe(2);
    expect(page.get('vtep_vni_up{vni="100"}')).toBe(1);
    const heard = page.get(`vtep_remote_last_heard_timestamp_seconds{vtep="${two.address}"}`) ?? 0;
    expect(Math.abs(Date.now() / 1000 - heard)).toBeLessThan(60);
    const drops = await vtep.drops();
    for (const direction of ['rx', 'tx'] as const) {
      for (const reason of Object.keys(drops[direction])) {
        expect(page.has(`vtep_drops_total{direction="${direction}",reason="${reason}"}`)).toBe(true);
      }
    }
    const { limits, offload } = await vtep.daemon.ctl<Status>('status');
    const tables = [
      'fdb-entries',
      'remotes',
      'vnis',
      'underlays',
      'host-addresses',
      'neighbours',
      'placed-neighbours',
      'path-limits',
      'captures',
    ];
    expect(limits.map(({ limit }) => limit)).toEqual([...tables, 'http-connections', 'control-connections']);
    for (const { limit, used, max } of limits) {
      expect(used).toBeLessThanOrEqual(max);
      expect(page.get(`vtep_limit_max{limit="${limit}"}`)).toBe(max);
    }
    expect(limits.find(({ limit }) => limit === 'underlays')?.used).toBe(1);
    expect(page.get('vtep_limit_used{limit="control-connections"}')).toBe(1);
    for (const [name, inForce] of Object.entries(offload)) {
      expect(page.get(`vtep_offload_enabled{offload="${name}"}`)).toBe(Number(inForce));
    }
    for (const name of ['fdb_events', 'capture_frames', 'log_lines'])
      expect(page.get(`vtep_${name}_lost_total`)).toBe(0);
    expect(page.get('vtep_fdb_repairs_total')).toBe(0);
    expect(page.get('vtep_api_connections_cut_total{server="http"}')).toBe(0);
    expect(promtool(['check', 'metrics'], text)).toEqual({ ok: true, output: '' });
  });

  test('dashboard and rules name only metrics that there are, and the rules do what their test says', async () => {
    // Some have samples only with certain flags.
    const page = await vtep.daemon.getText('/metrics');
    const names = new Set([...page.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name));
    for (const file of [DASHBOARD, RULES]) {
      const named = readFileSync(file, 'utf8').match(/\bvtep_[a-z_]+/g) ?? [];
      expect(named.length).toBeGreaterThan(10);
      expect(named.filter((name) => !names.has(name))).toEqual([]);
    }
    expect(promtool(['check', 'rules', RULES])).toMatchObject({ ok: true });
    expect(promtool(['test', 'rules', RULES_TEST])).toMatchObject({ ok: true });
  });

  test('Prometheus reads it', async () => {
    const prometheus = await startPrometheus(two, { targets: [HTTP], ruleFile: RULES });
    const ask = (query: string) => prometheus<Samples>(`/api/v1/query?query=${encodeURIComponent(query)}`);
    const up = await waitFor(
      'the target is up',
      () => ask('up{job="vtepd"}'),
      ({ result }) => result[0]?.value[1] === '1',
      { timeoutMs: 30_000, everyMs: 200 },
    );
    expect(up.result).toHaveLength(1);
    const [here] = await settled();
    const { result } = await waitFor(
      'what was sent',
      () => ask('vtep_packets_total{vni="100",direction="tx"}'),
      ({ result: samples }) => samples[0]?.value[1] === `${here?.txPackets}`,
      { timeoutMs: 30_000, everyMs: 200 },
    );
    expect(result[0]?.metric.instance).toBe(HTTP);
    const { groups } = await prometheus<{ groups: { rules: { name: string; health: string }[] }[] }>('/api/v1/rules');
    expect(groups[0]?.rules.length).toBeGreaterThan(10);
  });
});
