/**
 * A host with a real systemd and journald, for the units: namespaces of its own, the machine's files seen through an overlay in memory, this
 * repository as /opt/vtepd, `eth0` with 198.18.0.1/24.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../wait.ts';
import { onAbnormalExit, RUN_PREFIX } from './namespaces.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BOOT = fileURLToPath(new URL('boot-systemd.sh', import.meta.url));
const INSTALL = fileURLToPath(new URL('install-checkout.sh', import.meta.url));

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A line of `journalctl -o json`. */
export interface JournalLine {
  readonly PRIORITY: string;
  readonly MESSAGE: string;
}

export class SystemdHost {
  readonly #folder: string;
  readonly #boot: ChildProcess;
  readonly #forget: () => void;
  #output = '';
  #pid = 0;

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), RUN_PREFIX));
    const words = [BOOT, this.#folder, '/', 'sh', INSTALL, ROOT, process.execPath];
    this.#boot = spawn('sh', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#boot.stdout, this.#boot.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
    this.#forget = onAbnormalExit(() => this.#kill());
  }

  /** Booted as far as basic.target. */
  static async boot(): Promise<SystemdHost> {
    const host = new SystemdHost();
    await waitFor('systemd is up', () => host.#isUp(), Boolean, { timeoutMs: 60_000, everyMs: 50 }).catch(
      async (error: Error) => {
        await host.close();
        throw new Error(`${error.message}\n${host.#output}`);
      },
    );
    return host;
  }

  /** Runs a program on the host to its end, whatever its exit code. */
  run(program: string, ...args: string[]): Promise<Output> {
    const namespaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup'];
    return new Promise((resolve) => {
      const words = ['-t', `${this.#pid}`, ...namespaces, program, ...args];
      const env = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', SYSTEMD_PAGER: '', NO_COLOR: '1' };
      const child = execFile('nsenter', words, { env, timeout: 60_000 }, (_, stdout, stderr) =>
        resolve({ code: child.exitCode ?? -1, stdout, stderr }),
      );
    });
  }

  /** Runs a shell script on the host; a failure throws. */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run('sh', '-ec', script);
    if (code !== 0) throw new Error(`${script}: exit code ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Properties of a unit as `systemctl show` tells them. */
  async show(unit: string, ...properties: string[]): Promise<Record<string, string>> {
    const text = await this.sh(`systemctl show ${unit} -p ${properties.join(',')}`);
    return Object.fromEntries(text.trim().split('\n').map(splitAssignment));
  }

  async journal(unit: string, ...options: string[]): Promise<JournalLine[]> {
    const { stdout } = await this.run('journalctl', '--sync').then(() =>
      this.run('journalctl', '-u', unit, '-o', 'json', ...options),
    );
    return stdout
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as JournalLine);
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#boot.once('close', resolve));
    if (this.#boot.exitCode === null) {
      this.#kill();
      await ended;
    }
    this.#forget();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #isUp(): Promise<boolean> {
    if (this.#boot.exitCode !== null) throw new Error(`booting ended with ${this.#boot.exitCode}`);
    this.#pid ||= readPid(join(this.#folder, 'pid'));
    return this.#pid !== 0 && (await this.run('systemctl', 'is-active', 'basic.target')).code === 0;
  }

  /** Ends the service manager, and all its processes with it. */
  #kill(): void {
    this.#pid ||= readPid(join(this.#folder, 'pid'));
    if (this.#pid !== 0) process.kill(this.#pid, 'SIGKILL');
    else this.#boot.kill('SIGKILL');
  }
}

function readPid(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return 0;
  }
}

function splitAssignment(line: string): [string, string] {
  const at = line.indexOf('=');
  return [line.slice(0, at), line.slice(at + 1)];
}
