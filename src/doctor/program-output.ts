import { execFile } from 'node:child_process';
import { MAX_PROGRAM_OUTPUT_BYTES, PROGRAM_TIMEOUT_MS } from '../lib/limits.ts';

export type ProgramOutput =
  | { readonly text: string }
  /** Why there is no output, for a message; `isAbsent` if there is no such program. */
  | { readonly error: string; readonly isAbsent: boolean };

/** The output of a program. One that takes too long or writes too much is killed. The event loop is not blocked. */
export function outputOf(program: string, args: readonly string[]): Promise<ProgramOutput> {
  return new Promise((resolve) => {
    const options = {
      // A service's PATH may lack the folders of `nft`.
      env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`, LC_ALL: 'C' },
      timeout: PROGRAM_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_PROGRAM_OUTPUT_BYTES,
    } as const;
    execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) resolve({ text: stdout });
      else if (error.code === 'ENOENT') resolve({ error: `${program} is not installed`, isAbsent: true });
      else resolve({ error: `${program}: ${reasonOf(error, stderr)}`, isAbsent: false });
    });
  });
}

function reasonOf(error: Error & { code?: unknown; killed?: boolean }, stderr: string): string {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'its output is too long';
  if (error.killed) return `no answer within ${PROGRAM_TIMEOUT_MS / 1000} s`;
  return stderr.trim().split('\n')[0]?.slice(0, 200) || error.message;
}
