/** `vtepctl capture` as a child process of the test, and what tshark reads in its files. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Lab } from '../lab/lab.ts';
import { waitFor, waitUntil } from '../wait.ts';
import { VTEPCTL, type VtepdProcess } from './vtepd-process.ts';

const run = promisify(execFile);

/** An event of `/v1/capture`, as far as tests look. */
export interface CaptureEvent {
  readonly event: 'frame' | 'lost';
  readonly direction: string;
  readonly verdict: string;
  readonly reason: string | null;
  readonly vni: number | null;
  readonly vtep: string | null;
  readonly src: string | null;
  readonly dst: string | null;
  readonly summary: string;
}

export interface CaptureEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let files = 0;

/** A capture that runs until it is told to end, at the latest with its test. */
export class FrameCaptureProcess {
  readonly ended: Promise<CaptureEnd>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';

  constructor(lab: Lab, daemon: VtepdProcess, flags: readonly string[]) {
    this.#child = spawn(process.execPath, [VTEPCTL, '--socket', daemon.socket, 'capture', ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('close', (code) => resolve({ code, stdout: this.#stdout, stderr: this.#stderr }));
    });
    lab.scope.defer(async () => {
      // A stopped process ends by this alone.
      this.#child.kill('SIGKILL');
      await this.ended;
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  /** Of `--json`: what has come so far. */
  get events(): CaptureEvent[] {
    const lines = this.#stdout.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as CaptureEvent);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** As with Ctrl-C. */
  async interrupt(): Promise<CaptureEnd> {
    this.kill('SIGINT');
    return this.ended;
  }
}

/** A capture into a file, which captures by now. */
export async function captureTo(
  lab: Lab,
  daemon: VtepdProcess,
  flags: readonly string[] = [],
): Promise<FrameCaptureProcess & { readonly file: string }> {
  const file = newCaptureFile(lab);
  const capture = new FrameCaptureProcess(lab, daemon, ['-w', file, ...flags]);
  await waitUntil('the capture to begin', () => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0, {
    timeoutMs: 20_000,
  });
  return Object.assign(capture, { file });
}

export function newCaptureFile(lab: Lab): string {
  return join(lab.folder, `capture${files++}.pcapng`);
}

/** Waits until a file has so many packets that a display filter takes; they, as `tshark` reads them. */
export function packetsIn<Field extends string>(
  file: string,
  fields: readonly Field[],
  { filter = '', count = 0 }: { filter?: string; count?: number } = {},
): Promise<Record<Field, string>[]> {
  const look = () => readPackets(file, fields, filter);
  return waitFor(`${count} packets in ${file}`, look, ({ length }) => length >= count, {
    timeoutMs: 30_000,
    everyMs: 100,
  });
}

/** Values of a field that is there several times are separated by commas, the outermost first. */
export async function readPackets<Field extends string>(
  file: string,
  fields: readonly Field[],
  filter = '',
): Promise<Record<Field, string>[]> {
  const args = ['-n', '-r', file, '-o', 'ip.check_checksum:TRUE', '-o', 'udp.check_checksum:TRUE', '-T', 'fields'];
  const { stdout } = await run('tshark', [...args, ...fields.flatMap((field) => ['-e', field]), '-Y', filter], {
    maxBuffer: 2 ** 28,
  });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const values = line.split('\t');
      return Object.fromEntries(fields.map((field, i) => [field, values[i] ?? ''])) as Record<Field, string>;
    });
}
