import { isatty } from 'node:tty';
import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { isJournal, withPriority } from './journal.ts';
import { LogBudget } from './log-budget.ts';
import { LogOutput } from './log-output.ts';

export type Logger = PinoLogger;

const STDOUT = 1;

/** How often the end of an hour of the budget is checked. */
const BUDGET_LOOK_MS = 10_000;

/** The daemon's log. */
export interface Log {
  readonly log: Logger;
  /** Lines that could not be written so far. */
  readonly lost: () => number;
  /** Waits until all lines are written, at most this long. False: a thread still writes. */
  readonly drain: (patienceMs: number) => Promise<boolean>;
}

/**
 * The daemon's log, on standard output. Each line is one event with a fixed name in `event` (docs/logging.md); nothing is logged per packet,
 * and frequent events are counted instead. The caller never waits, and never sees a failed write. Lines for journald have a priority, and not the
 * time and process ID, which journald adds.
 *
 * @param format `auto` is pretty on a terminal and JSON elsewhere
 */
export async function openLog(level: string, format: 'json' | 'pretty' | 'auto'): Promise<Log> {
  const isPretty = format === 'pretty' || (format === 'auto' && isatty(STDOUT));
  const isJournald = isJournal(STDOUT, process.env.JOURNAL_STREAM);
  const toText = isPretty ? await prettyFormat(isJournald) : (line: string) => line;
  const output = new LogOutput(STDOUT, (lines) =>
    log.warn({ event: 'log-lines-lost', lines }, 'standard output can be written again'),
  );
  const budget = new LogBudget(performance.now());
  const log = pino(
    {
      level,
      ...(isJournald ? { base: null, timestamp: false } : { base: { pid: process.pid } }),
      hooks: {
        logMethod(values, method) {
          const [first] = values as unknown[];
          const event = (first as { event?: unknown } | undefined)?.event;
          if (budget.takes(typeof event === 'string' ? event : '', performance.now())) method.apply(this, values);
        },
      },
    },
    destinationOf(output, toText, isJournald),
  );
  const look = setInterval(() => {
    for (const { of, lines } of budget.leftOut(performance.now())) {
      log.warn({ event: 'log-limited', of, lines }, 'further lines of this event were left out within an hour');
    }
  }, BUDGET_LOOK_MS);
  look.unref();
  return { log, lost: () => output.lost, drain: (patienceMs) => output.drain(patienceMs) };
}

/** A log alone. */
export async function createLog(level: string, format: 'json' | 'pretty' | 'auto'): Promise<Logger> {
  return (await openLog(level, format)).log;
}

async function prettyFormat(isJournald: boolean): Promise<(line: string) => string> {
  const { isColorSupported, prettyFactory } = await import('pino-pretty');
  if (isJournald) return prettyFactory({ colorize: false });
  return prettyFactory({ colorize: isColorSupported, ignore: 'pid,hostname,name' });
}

function destinationOf(output: LogOutput, toText: (line: string) => string, isJournald: boolean): DestinationStream {
  if (!isJournald) return { write: (line: string) => output.write(toText(line)) };
  return {
    // Has pino set lastLevel before each line.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write(line: string) {
      output.write(withPriority(toText(line), this.lastLevel));
    },
  } as DestinationStream & { lastLevel: number };
}
