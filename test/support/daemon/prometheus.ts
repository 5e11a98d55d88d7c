/** A Prometheus in a host's namespace, with its data in a folder of the lab. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../lab/lab.ts';
import { waitFor } from '../wait.ts';
import { askApi, overTcp } from './api-client.ts';

const PORT = 9090;

export interface PrometheusOptions {
  /** `ADDRESS:PORT`s, all of the job vtepd. */
  readonly targets: readonly string[];
  readonly ruleFile: string;
}

/** What a tool says, and whether it is content. */
export function promtool(words: readonly string[], input = ''): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', words, { input, encoding: 'utf8', timeout: 60_000 });
  return { ok: status === 0, output: `${stdout}${stderr}` };
}

/** Starts Prometheus; it ends with the current scope of the lab. @returns a query of its API */
export async function startPrometheus(
  host: Host,
  { targets, ruleFile }: PrometheusOptions,
): Promise<<T>(path: string) => Promise<T>> {
  const folder = join(host.lab.folder, `prometheus-${host.namespace}`);
  const file = join(folder, 'prometheus.yml');
  mkdirSync(folder);
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [ruleFile],
    scrape_configs: [{ job_name: 'vtepd', static_configs: [{ targets }] }],
  };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config));
  const address = `127.0.0.1:${PORT}`;
  const words = [`--config.file=${file}`, `--storage.tsdb.path=${join(folder, 'data')}`];
  const child = host.spawn('prometheus', [...words, `--web.listen-address=${address}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  host.lab.scope.defer(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const connect = overTcp(host, '127.0.0.1', PORT);
  const isReady = async () => {
    if (child.exitCode !== null) throw new Error(`prometheus ended:\n${log}`);
    return askApi(connect, 'GET', '/-/ready').then(
      ({ status }) => status === 200,
      () => false,
    );
  };
  await waitFor('Prometheus is ready', isReady, (ok) => ok, { timeoutMs: 30_000, everyMs: 100 });
  return async <T>(path: string) => (JSON.parse((await askApi(connect, 'GET', path)).text) as { data: T }).data;
}
