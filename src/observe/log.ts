import { type DestinationStream, type Logger, pino } from 'pino';
import { isJournal, withPriority } from './journal.ts';

export type { Logger };

/**
 * The daemon's log, on standard output. Each line is one event with a fixed name in `event` (docs/logging.md); nothing is logged per packet.
 * Written synchronously: a line that was logged is out even if the process ends on the spot. To journald it goes with a priority, and without
 * the time and process id that journald adds.
 *
 * @param format `auto` is pretty on a terminal and JSON elsewhere
 */
export async function createLog(level: string, format: 'json' | 'pretty' | 'auto'): Promise<Logger> {
  const isPretty = format === 'pretty' || (format === 'auto' && process.stdout.isTTY === true);
  const stdout = pino.destination({ dest: 1, sync: true });
  if (isJournal(1, process.env.JOURNAL_STREAM)) {
    return pino({ level, base: null, timestamp: false }, await journalStream(stdout, isPretty));
  }
  const stream = isPretty ? (await import('pino-pretty')).default({ sync: true, ignore: 'pid,hostname,name' }) : stdout;
  return pino({ level, base: { pid: process.pid } }, stream);
}

async function journalStream(stdout: DestinationStream, isPretty: boolean): Promise<DestinationStream> {
  const format = isPretty ? (await import('pino-pretty')).prettyFactory({ colorize: false }) : (line: string) => line;
  return {
    // Has pino set lastLevel before each line.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write(line: string) {
      stdout.write(withPriority(format(line), this.lastLevel));
    },
  } as DestinationStream & { lastLevel: number };
}
