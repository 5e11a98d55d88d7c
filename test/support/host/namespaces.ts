/**
 * Network namespaces of one test run. Names begin with a prefix that holds this process's id, so that runs can share a
 * machine; everything made here goes when the process ends, however it ends, and what a killed run left is swept by the next.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { close, O_CLOEXEC, open, setNetworkNamespace } from './libc.ts';

const FAMILY = 'vtepd-test-';
const DIRECTORY = '/run/netns';

/** Unique per process; also fit for temporary folder names. */
export const RUN_PREFIX = `${FAMILY}${process.pid}-${randomBytes(2).toString('hex')}-`;

const created = new Set<string>();
const cleanups = new Set<() => void>();
let hooked = false;

/** Creates a namespace with loopback up and without IPv6 unless asked for, so that tests see no unasked frames. */
export function createNamespace(label: string, { ipv6 = false }: { ipv6?: boolean } = {}): string {
  hookExit();
  const name = `${RUN_PREFIX}${label}`;
  ip('netns', 'add', name);
  created.add(name);
  if (!ipv6 && existsSync('/proc/sys/net/ipv6')) {
    setSysctl(name, 'net/ipv6/conf/all/disable_ipv6', '1');
    setSysctl(name, 'net/ipv6/conf/default/disable_ipv6', '1');
  }
  ip('-n', name, 'link', 'set', 'lo', 'up');
  return name;
}

export function deleteNamespace(name: string): void {
  created.delete(name);
  if (existsSync(`${DIRECTORY}/${name}`)) ip('netns', 'del', name);
}

/**
 * Runs the synchronous `work` on this thread inside the namespace and comes back, also after an error. A socket opened
 * there stays in that namespace for good, which is why no helper process is needed.
 */
export function inNamespace<T>(name: string, work: () => T extends Promise<unknown> ? never : T): T {
  const home = open('/proc/thread-self/ns/net', O_CLOEXEC);
  try {
    const target = open(`${DIRECTORY}/${name}`, O_CLOEXEC);
    try {
      setNetworkNamespace(target);
    } finally {
      close(target);
    }
    try {
      return work();
    } finally {
      setNetworkNamespace(home);
    }
  } finally {
    close(home);
  }
}

/** Runs `ip` with these arguments and returns its output; a failure throws with its message. */
export function ip(...args: string[]): string {
  return command('ip', args);
}

/** `ip -j`, parsed. The caller names the shape it expects. */
export function ipJson<T>(...args: string[]): T {
  const text = ip('-j', ...args).trim();
  return JSON.parse(text === '' ? '[]' : text) as T;
}

export function command(program: string, args: readonly string[], input?: string): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(input === undefined ? {} : { input }),
  });
}

/** Sets a sysctl of the namespace, named with slashes, e.g. `net/ipv4/ip_forward`. */
export function setSysctl(namespace: string, name: string, value: string): void {
  inNamespace(namespace, () => writeFileSync(`/proc/sys/${name}`, value));
}

/** Something to do when the process ends unexpectedly; call the returned function once it has been done in order. */
export function onAbnormalExit(cleanup: () => void): () => void {
  hookExit();
  cleanups.add(cleanup);
  return () => cleanups.delete(cleanup);
}

function hookExit(): void {
  if (hooked) return;
  hooked = true;
  sweepDeadRuns();
  process.once('exit', cleanUp);
  // The test runner replaces process.exit by one that throws: a signal is dealt with here and then takes its course.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      cleanUp();
      process.kill(process.pid, signal);
    });
  }
  // The runner is gone, perhaps killed: nobody waits for this process any more.
  process.once('disconnect', () => {
    cleanUp();
    process.kill(process.pid, 'SIGKILL');
  });
}

function cleanUp(): void {
  for (const cleanup of cleanups) attempt(cleanup);
  cleanups.clear();
  for (const name of created) attempt(() => deleteNamespace(name));
}

/** Namespaces of test processes that no longer live. Their names carry the process id. */
function sweepDeadRuns(): void {
  if (!existsSync(DIRECTORY)) return;
  for (const name of readdirSync(DIRECTORY)) {
    const pid = name.startsWith(FAMILY) ? Number.parseInt(name.slice(FAMILY.length), 10) : Number.NaN;
    if (Number.isInteger(pid) && !existsSync(`/proc/${pid}`)) attempt(() => ip('netns', 'del', name));
  }
}

function attempt(work: () => void): void {
  try {
    work();
  } catch {
    // On the way out there is nobody left to tell, and the next cleanup must still run.
  }
}
