import { readFileSync } from 'node:fs';
import { flagObject, refuse } from '../config/written-value.ts';
import { VtepError } from '../lib/errors.ts';
import { MAX_CONFIG_CHARACTERS } from '../lib/limits.ts';
import { ERROR_LEVEL, isJournal, withPriority } from '../observe/journal.ts';
import { parseVtepdArguments, type VtepdInvocation } from './vtepd-flags.ts';

/** `vtepd`: reads the flags and runs the daemon in this very process. Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const isInJournal = isJournal(2, process.env.JOURNAL_STREAM);
  const complain = (message: string) => {
    const line = `vtepd: ${message}\n`;
    process.stderr.write(isInJournal ? withPriority(line, ERROR_LEVEL) : line);
  };
  let invocation: VtepdInvocation;
  try {
    invocation = await parseVtepdArguments(argv, readConfigText);
  } catch (error) {
    if (!(error instanceof VtepError)) throw error;
    complain(error.message);
    return error.exitCode;
  }
  if (invocation.kind === 'help') process.stdout.write(invocation.text);
  if (invocation.kind === 'version') process.stdout.write(`vtepd ${version()}\n`);
  if (invocation.kind !== 'run' || invocation.config.check) return 0;
  // Only here: help and refusals need none of it.
  const { runDaemon } = await import('../daemon/main.ts');
  return runDaemon(invocation, version(), complain);
}

function readConfigText(path: string): string {
  const object = flagObject('config', path);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    refuse(object, `it cannot be read: ${(error as Error).message}`, 'name a YAML file');
  }
  if (text.length <= MAX_CONFIG_CHARACTERS) return text;
  refuse(object, `it has more than ${MAX_CONFIG_CHARACTERS} characters`, 'name a YAML file');
}

function version(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return manifest.version;
}
