/** `vtepctl fdb monitor --json` as a child process of the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { request } from 'node:http';
import type { Host } from '../lab/lab.ts';
import { waitFor, waitUntil } from '../wait.ts';
import { VTEPCTL, type VtepdProcess } from './vtepd-process.ts';

export interface FdbEvent {
  readonly time: string;
  readonly event: 'add' | 'move' | 'age' | 'delete' | 'lost';
  readonly vni: number | null;
  readonly mac: string | null;
  readonly vtep: string | null;
  readonly from: string | null;
  readonly type: string | null;
  readonly count?: number;
}

/** Behind no machine of any test: entries that tell whether a monitor listens yet. */
const MARKER = '02:ff:ff:ff:ff:ff';

export class FdbMonitor {
  readonly ended: Promise<{ code: number | null; stderr: string }>;
  readonly #child: ChildProcess;
  #text = '';
  #stderr = '';

  constructor(host: Host, socket: string) {
    const args = [VTEPCTL, '--socket', socket, '--json', 'fdb', 'monitor'];
    this.#child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('close', (code) => resolve({ code, stderr: this.#stderr }));
    });
    host.lab.scope.defer(async () => {
      this.#child.kill('SIGKILL');
      await this.ended;
    });
  }

  /** All events so far, but for the marker's. A line that is not whole yet is none. */
  get events(): FdbEvent[] {
    const lines = this.#text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as FdbEvent).filter(({ mac }) => mac !== MARKER);
  }

  get hasMarker(): boolean {
    return this.#text.includes(MARKER);
  }

  /** What happened to a MAC, in short: `add 198.18.0.2`, `move local from 198.18.0.2`, `delete static local`. */
  of(mac: string): string[] {
    return this.events.filter((event) => event.mac === mac).map(inShort);
  }

  /** Waits for as many events of a MAC; all of them. */
  waitFor(mac: string, count: number): Promise<string[]> {
    const accepts = (events: string[]) => events.length >= count;
    return waitFor(`${count} events of ${mac}`, () => this.of(mac), accepts, { timeoutMs: 30_000, everyMs: 20 });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

/** Starts monitors, and waits until they are told of what happens. The daemon needs a VNI 100. */
export async function startMonitors(host: Host, daemon: VtepdProcess, count = 1): Promise<FdbMonitor[]> {
  const monitors = Array.from({ length: count }, () => new FdbMonitor(host, daemon.socket));
  await waitUntil(
    'the monitors to listen',
    async () => {
      await api(daemon, 'POST', '/v1/fdb', { vni: 100, mac: MARKER, vtep: 'local' });
      await api(daemon, 'DELETE', `/v1/fdb/100/${MARKER}`);
      return monitors.every(({ hasMarker }) => hasMarker);
    },
    { everyMs: 100, timeoutMs: 30_000 },
  );
  return monitors;
}

export async function startMonitor(host: Host, daemon: VtepdProcess): Promise<FdbMonitor> {
  const [monitor] = await startMonitors(host, daemon);
  if (!monitor) throw new Error('unreachable');
  return monitor;
}

/** One request of the API, without a process for it. */
export function api(daemon: VtepdProcess, method: string, path: string, body?: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const text = body && JSON.stringify(body);
    const headers = text ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } : {};
    const call = request({ socketPath: daemon.socket, method, path, headers, agent: false }, async (response) => {
      let answer = '';
      for await (const chunk of response) answer += chunk;
      if ((response.statusCode ?? 0) >= 300) reject(new Error(`${method} ${path}: ${response.statusCode} ${answer}`));
      else resolve(answer === '' ? undefined : JSON.parse(answer));
    });
    call.once('error', reject);
    call.end(text);
  });
}

function inShort({ event, type, vtep, from }: FdbEvent): string {
  const words = [event, ...(type === 'dynamic' ? [] : [type]), vtep, ...(from === null ? [] : ['from', from])];
  return words.join(' ');
}
