/** What the figures were taken on, without which they say nothing. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { command } from './processes.mjs';

/** Daemons, iperf3 and the kernel's work on their behalf share this many cores, whatever the machine has. */
const CORES = 2;

/** Confines this process, and so all that it starts, to the first cores it may use. */
export function confineToCores() {
  if (availableParallelism() <= CORES) return;
  const allowed = /Cpus_allowed_list:\s+(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1];
  const numbers = allowed.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  command('taskset', '-a', '-c', '-p', numbers.slice(0, CORES).join(','), `${process.pid}`);
}

export function describeMachine() {
  return {
    cpu: cpus()[0]
      .model.replace(/\((R|TM)\)/g, '')
      .trim(),
    cores: availableParallelism(),
    kernel: release(),
    node: process.version,
  };
}

/** What the traffic is made by. The namespaces of the lab take the congestion control over. */
export function describeTraffic() {
  return {
    iperf3: command('iperf3', '--version').split(/\s/, 2)[1],
    congestionControl: readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim(),
  };
}

/** Version and commit; a commit whose tree was changed says so. */
export function describeVtepd() {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  return { version, commit: commit() };
}

function commit() {
  try {
    return command('git', 'describe', '--always', '--dirty', '--exclude=*').trim();
  } catch {
    // An unpacked archive has no history.
    return null;
  }
}
