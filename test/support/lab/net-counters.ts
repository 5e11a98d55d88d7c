/** The kernel's protocol counters of a namespace, and how counters rose. */
import type { Namespace } from './lab.ts';

/** `Tcp InCsumErrors` and so on of /proc/net/snmp and netstat, `Udp6InCsumErrors` and so on of snmp6. */
export function readNetCounters(namespace: Namespace): Record<string, number> {
  const counters: Record<string, number> = {};
  for (const file of ['snmp', 'netstat']) {
    const lines = namespace.read(`/proc/thread-self/net/${file}`).trim().split('\n');
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const [names = [], values = []] = [lines[i]?.split(' '), lines[i + 1]?.split(' ')];
      const protocol = names[0]?.replace(':', '');
      for (const [at, name] of names.entries()) if (at > 0) counters[`${protocol} ${name}`] = Number(values[at]);
    }
  }
  for (const line of namespace.read('/proc/thread-self/net/snmp6').trim().split('\n')) {
    const [name = '', value] = line.split(/\s+/);
    counters[name] = Number(value);
  }
  return counters;
}

/** Counters that rose, by how much. */
export function risen(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> {
  const rose = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  return Object.fromEntries(rose.filter(([, count]) => count !== 0));
}
