import { fstatSync } from 'node:fs';

/** Levels of pino and the syslog priority from that level on, highest first. */
const PRIORITIES = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
  [0, 7],
] as const;

/** The pino level of an error that ends the process. */
export const ERROR_LEVEL = 50;

/** Begins each line with the priority under which journald files it (sd-daemon(3)). @param level of pino */
export function withPriority(text: string, level: number): string {
  const [, priority] = PRIORITIES.find(([least]) => level >= least) ?? PRIORITIES[4];
  return text.replace(/^(?=.)/gm, `<${priority}>`);
}

/**
 * Whether output to a fd goes to journald. The variable alone is not enough: programs with another output inherit it.
 *
 * @param journalStream `DEVICE:INODE`, the variable JOURNAL_STREAM
 */
export function isJournal(fd: number, journalStream: string | undefined): boolean {
  if (!journalStream) return false;
  const { dev, ino } = fstatSync(fd);
  return journalStream === `${dev}:${ino}`;
}
