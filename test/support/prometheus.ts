/** A Prometheus of the test's own, on loopback, with its data in a folder that goes with it. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from './wait.ts';

type Defer = (end: () => void | Promise<void>) => void;

/** What a tool says, and whether it is content. */
export function promtool(words: readonly string[], input = ''): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', words, { input, encoding: 'utf8', timeout: 60_000 });
  return { ok: status === 0, output: `${stdout}${stderr}` };
}

/** Makes a unix socket reachable by TCP, which Prometheus needs. @returns the port, of 127.0.0.1 */
export async function forwardTcp(socketPath: string, defer: Defer): Promise<number> {
  const server = createServer((client) => {
    const upstream = connect(socketPath);
    client.pipe(upstream).pipe(client);
    for (const end of [client, upstream]) {
      end.on('error', () => {
        client.destroy();
        upstream.destroy();
      });
    }
  });
  const port = await listen(server);
  defer(() => void server.close());
  return port;
}

/** Starts Prometheus on targets of the job vtepd. @returns a query of its API */
export async function startPrometheus(
  { ports, ruleFile }: { ports: readonly number[]; ruleFile: string },
  defer: Defer,
): Promise<<T>(path: string) => Promise<T>> {
  const folder = mkdtempSync(join(tmpdir(), 'vtepd-prometheus-'));
  const targets = ports.map((port) => `127.0.0.1:${port}`);
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [ruleFile],
    scrape_configs: [{ job_name: 'vtepd', static_configs: [{ targets }] }],
  };
  // JSON is YAML.
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config));
  const probe = createServer();
  const port = await listen(probe);
  await new Promise((resolve) => probe.close(resolve));
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  defer(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  const query = async <T>(path: string): Promise<T> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return ((await response.json()) as { data: T }).data;
  };
  const isReady = async () => {
    if (child.exitCode !== null) throw new Error(`prometheus ended:\n${log}`);
    return fetch(`http://127.0.0.1:${port}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  };
  await waitFor('Prometheus is ready', isReady, (ok) => ok, { timeoutMs: 30_000, everyMs: 100 });
  return query;
}

function listen(server: ReturnType<typeof createServer>): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}
