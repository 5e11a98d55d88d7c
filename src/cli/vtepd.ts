import { readFileSync } from 'node:fs';
import { runDaemon } from '../daemon/main.ts';
import { VtepError } from '../lib/errors.ts';
import { parseVtepdArguments, type VtepdInvocation } from './vtepd-flags.ts';

/** `vtepd`: reads the flags and runs the daemon in this very process. Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const complain = (message: string) => process.stderr.write(`vtepd: ${message}\n`);
  let invocation: VtepdInvocation;
  try {
    invocation = parseVtepdArguments(argv);
  } catch (error) {
    if (!(error instanceof VtepError)) throw error;
    complain(error.message);
    return error.exitCode;
  }
  if (invocation.kind === 'help') process.stdout.write(invocation.text);
  if (invocation.kind === 'version') process.stdout.write(`vtepd ${version()}\n`);
  if (invocation.kind !== 'run' || invocation.config.check) return 0;
  return runDaemon(invocation.config, version(), complain);
}

function version(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return manifest.version;
}
