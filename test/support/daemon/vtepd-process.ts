/** The daemon as a child process of the test, and `vtepctl` beside it. */
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../lab/lab.ts';
import { sleep, waitFor } from '../wait.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const VTEPD = join(ROOT, 'bin/vtepd');
export const VTEPCTL = join(ROOT, 'bin/vtepctl');

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Stopped extends Ended {
  /** From the signal to the end of the process. */
  readonly ms: number;
}

export interface VtepdOptions {
  /** Control socket. Default: a path of its own in the lab's folder. */
  readonly socket?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Program and arguments that run the daemon, e.g. `setpriv …`; it must become the daemon by exec. */
  readonly wrapper?: readonly string[];
}

let socketCount = 0;

/** A running daemon. Stopped at the end of the test that started it, or of its lab. */
export class VtepdProcess {
  readonly socket: string;
  readonly pid: number;
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #output: { stdout: string; stderr: string };

  /** Starts the daemon without waiting for anything. */
  constructor(host: Namespace, args: readonly string[], options: VtepdOptions = {}) {
    const { wrapper = [], env = {} } = options;
    if (!existsSync(VTEPD)) throw new Error(`${VTEPD} does not exist: run npm run build`);
    socketCount += 1;
    this.socket = options.socket ?? join(host.lab.folder, `vtepd${socketCount}.sock`);
    const words = [...wrapper, process.execPath, VTEPD, '--socket', this.socket, ...args];
    const [program = '', ...rest] = words;
    this.#child = host.spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...env },
    });
    this.pid = this.#child.pid ?? 0;
    const output = { stdout: '', stderr: '' };
    this.#output = output;
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output.stdout += text;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      // `close` rather than `exit`: then the output is complete too.
      this.#child.once('close', (code, signal) => resolve({ code, signal, ...output }));
    });
    host.lab.scope.defer(() => this.#end());
    host.lab.scope.reports.push(() => this.report(`${words.slice(1).join(' ')} in ${host.namespace}`));
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get stdout(): string {
    return this.#output.stdout;
  }

  get stderr(): string {
    return this.#output.stderr;
  }

  report(title: string): string {
    return `${title}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`;
  }

  /** Until the control socket answers, which by contract is after every TAP, socket and group. */
  async ready(timeoutMs = 30_000): Promise<this> {
    await waitFor(
      `${this.socket} answers`,
      async () => {
        if (!this.running) throw new Error(`vtepd ended before it was ready\n${this.report('output')}`);
        return answersStatus(this.socket);
      },
      (answers) => answers,
      { timeoutMs, everyMs: 10 },
    );
    return this;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends the signal and waits for the end; a daemon that is still there after 10 s is killed and reported. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Stopped> {
    const start = performance.now();
    this.#child.kill(signal);
    const ended = await Promise.race([this.ended, sleep(10_000)]);
    if (!ended) {
      this.#child.kill('SIGKILL');
      throw new Error(`vtepd did not end within 10 s of ${signal}\n${this.report('output')}`);
    }
    return { ...ended, ms: performance.now() - start };
  }

  /** `vtepctl --json …` against this daemon, parsed; anything but exit code 0 throws. */
  async ctl<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.runCtl('--json', ...args);
    if (code !== 0) throw new Error(`vtepctl ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** Reads from the API as `vtepctl` does, without the time that a process takes to start. */
  async get<T>(path: string): Promise<T> {
    return JSON.parse(await this.getText(path)) as T;
  }

  getText(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.socket, path, timeout: 10_000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.once('end', () => {
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`GET ${path}: ${response.statusCode} ${text}`));
        });
      });
      call.on('error', reject);
      call.on('timeout', () => call.destroy(new Error(`GET ${path}: no answer`)));
      call.end();
    });
  }

  runCtl(...args: string[]): Promise<Ended> {
    return runVtepctl('--socket', this.socket, ...args);
  }

  async #end(): Promise<void> {
    if (this.running) await this.stop();
  }
}

/**
 * Runs `vtepctl` to its end, whatever its exit code: in this process, because starting one takes longer than most answers. It must not be a
 * command that goes on. VTEPCTL is the program itself.
 */
export async function runVtepctl(...args: string[]): Promise<Ended> {
  // Only here: many tests never ask.
  const { main } = await import('../../../src/cli/vtepctl.ts');
  const [stdout, stderr] = [new TextSink(), new TextSink()];
  const code = await main(args, { stdout, stderr, env: { ...process.env, NO_COLOR: '1' } });
  return { code, signal: null, stdout: stdout.text, stderr: stderr.text };
}

class TextSink extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Starts a daemon and waits until it is ready. */
export function startVtepd(host: Namespace, args: readonly string[], options?: VtepdOptions): Promise<VtepdProcess> {
  return new VtepdProcess(host, args, options).ready();
}

/** Runs a daemon that is expected to refuse, to its end. One that does not end is stopped and shows in the code. */
export async function runVtepd(host: Namespace, args: readonly string[], options?: VtepdOptions): Promise<Ended> {
  const daemon = new VtepdProcess(host, args, options);
  const ended = await Promise.race([daemon.ended, sleep(30_000)]);
  if (ended) return ended;
  await daemon.stop();
  throw new Error(`vtepd ${args.join(' ')} was not refused\n${daemon.report('output')}`);
}

function answersStatus(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: '/v1/status', timeout: 1000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('error', () => resolve(false));
    call.on('timeout', () => call.destroy());
    call.end();
  });
}
