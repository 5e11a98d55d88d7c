import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

export type { Logger };

/**
 * The daemon's log, on standard output. Each line is one event with a fixed name in `event`; nothing is logged per packet. Written
 * synchronously: a line that was logged is out even if the process ends on the spot.
 *
 * @param format `auto` is pretty on a terminal and JSON elsewhere
 */
export function createLog(level: string, format: 'json' | 'pretty' | 'auto'): Logger {
  const isPretty = format === 'pretty' || (format === 'auto' && process.stdout.isTTY === true);
  const stream = isPretty
    ? pretty({ sync: true, ignore: 'pid,hostname,name' })
    : pino.destination({ dest: 1, sync: true });
  return pino({ level, base: { pid: process.pid } }, stream);
}
