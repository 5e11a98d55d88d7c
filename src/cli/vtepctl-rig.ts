/** `vtepctl` within a test's process. */
import { Writable } from 'node:stream';
import { main } from './vtepctl.ts';

export class Sink extends Writable {
  text = '';
  isTTY?: boolean;
  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.text += chunk.toString();
    done();
  }
}

export interface Terminal {
  readonly isTTY?: boolean;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runVtepctl(
  argv: readonly string[],
  { isTTY = false, env = {}, timeoutMs = 10_000 }: Terminal = {},
): Promise<Outcome> {
  const [stdout, stderr] = [new Sink(), new Sink()];
  stdout.isTTY = isTTY;
  const exitCode = await main(argv, { stdout, stderr, env, timeoutMs });
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}
