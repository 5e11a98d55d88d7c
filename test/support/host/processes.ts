import { readFileSync } from 'node:fs';
import { command } from './namespaces.ts';

/** User and system time of all threads of a process, from /proc/PID/stat (fields 14 and 15, in clock ticks). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticksPerSecond = Number(command('getconf', ['CLK_TCK']));
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}
