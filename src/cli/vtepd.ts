import { readFileSync } from 'node:fs';
import { VtepError } from '../lib/errors.ts';
import { ERROR_LEVEL, isJournal, withPriority } from '../observe/journal.ts';
import { LogOutput } from '../observe/log-output.ts';
import { exitNow } from '../sys/libc.ts';
import { ConfigSource } from './config-source.ts';
import { parseVtepdArguments, type VtepdInvocation } from './vtepd-flags.ts';

const STDERR = 2;

/** How long an error message waits for a slow reader. */
const DRAIN_MS = 1_000;

/** `vtepd`: reads the flags and runs the daemon in this very process. Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const isInJournal = isJournal(2, process.env.JOURNAL_STREAM);
  const stderr = new LogOutput(STDERR, () => {});
  const complain = (message: string) => {
    const line = `vtepd: ${message}\n`;
    stderr.write(isInJournal ? withPriority(line, ERROR_LEVEL) : line);
  };
  /** @param isCut a thread may hang, which an ordinary exit waits for */
  const end = async (exitCode: number, isCut: boolean) => {
    const isOut = await stderr.drain(DRAIN_MS);
    if (isCut || !isOut || source.isReading) exitNow(exitCode);
    return exitCode;
  };
  const source = new ConfigSource();
  let invocation: VtepdInvocation;
  try {
    invocation = await parseVtepdArguments(argv, source);
  } catch (error) {
    if (!(error instanceof VtepError)) throw error;
    complain(error.message);
    return end(error.exitCode, false);
  }
  if (invocation.kind === 'help') process.stdout.write(invocation.text);
  if (invocation.kind === 'version') process.stdout.write(`vtepd ${version()}\n`);
  if (invocation.kind === 'help' || invocation.kind === 'version' || invocation.config.check) return 0;
  if (invocation.kind === 'withdraw') {
    const { withdrawRoutes } = await import('../daemon/withdraw.ts');
    return end(await withdrawRoutes(invocation.config, complain), false);
  }
  // Loaded only here: help and errors do not need it.
  const { runDaemon } = await import('../daemon/main.ts');
  const { exitCode, isCut } = await runDaemon(invocation, version(), complain);
  return end(exitCode, isCut);
}

function version(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return manifest.version;
}
