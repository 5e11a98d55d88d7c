/**
 * `npm run test:package`, as root: the Debian package in a Debian 13 of its own, once without and once with a systemd that
 * runs there: installed, run on real TAPs, upgraded and purged; and the npm package in a folder of its own. lintian reads the
 * Debian package. The system is made by debootstrap from the mirror that this machine's apt has, in a folder that is removed
 * again, and what is done in it stays in memory, in namespaces. `-- --base FOLDER` takes one that was made before.
 * The last line is `N passed, N failed`.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ensureNodeModules, ensureSystemPackages, fail, isRoot, run } from './setup.mjs';

const TOOLS = {
  debootstrap: 'debootstrap',
  pgrep: 'procps',
  unshare: 'util-linux',
  lintian: 'lintian',
  ip: 'iproute2',
  man: 'man-db',
};
const NEEDED = 'nodejs,adduser,iproute2,iputils-ping,systemd,systemd-sysv';
/** Of this machine's environment nothing is meant for the system. */
const BASH = ['/usr/bin/env', '-i', '/usr/bin/bash'];
/** $1: a folder, $2: the system; what follows is run in an overlay of it that nothing but memory is written to. */
const ENTER = `
  folder=$1 system=$2; shift 2
  mount -t tmpfs tmpfs "$folder"
  mkdir "$folder/upper" "$folder/work" "$folder/root"
  mount -t overlay overlay -o lowerdir="$system",upperdir="$folder/upper",workdir="$folder/work" "$folder/root"
  cd "$folder/root"
  mount -t proc proc proc
  mount --bind "\${folder%/*}" mnt
  mount -t tmpfs -o mode=755 dev dev
  mknod -m 666 dev/null c 1 3
  mknod -m 666 dev/zero c 1 5
  mknod -m 666 dev/random c 1 8
  mknod -m 666 dev/urandom c 1 9
  mkdir dev/net
  mknod -m 666 dev/net/tun c 10 200
  ln -s /proc/self/fd dev/fd
  exec chroot . "$@"
`;
const { values } = parseArgs({ options: { base: { type: 'string' } } });

if (!isRoot) fail('only root can make a system and enter it');
ensureSystemPackages(TOOLS);
ensureNodeModules();

// Not /tmp, which may be mounted nodev and be small.
const folder = mkdtempSync('/var/tmp/vtepd-package-');
// What runs in namespaces has to end before its folder goes, or a branch of the control groups is left.
const interrupt = new AbortController();
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => interrupt.abort());
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const totals = { passed: 0, failed: 0 };

const first = build('0.0.1~test1', []);
const second = build('0.0.1~test2', ['--built']);
const system = values.base ? resolve(values.base) : join(folder, 'system');
if (!values.base && bootstrap() !== 0) fail('there is no system to test in');
cpSync('scripts/test-package', folder, { recursive: true });
const packages = [first, second].map((file) => `/mnt/${basename(file)}`);

await part('lintian', 'bash', join(folder, 'lintian.sh'), second);
await part('the npm package', 'bash', join(folder, 'npm.sh'), process.cwd(), folder);
await part('the Debian package, without systemd', ...within(...BASH, '/mnt/without-systemd.sh', ...packages));
await onSystemd(async (enter) => {
  await part('the Debian package, with systemd', ...enter, ...BASH, '/mnt/with-systemd.sh', ...packages);
});
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exit(totals.failed > 0 || interrupt.signal.aborted ? 1 : 0);

function build(version, flags) {
  const words = ['scripts/package-deb.mjs', '--version', version, '--out', folder, ...flags];
  const env = { DEBFULLNAME: 'vtepd contributors', DEBEMAIL: 'vtepd@example.org', ...process.env };
  if (run(process.execPath, words, { env }) !== 0) fail('the package could not be built');
  const file = readdirSync(folder).find((name) => name.includes(version));
  return join(folder, file ?? fail('there is no package'));
}

function bootstrap() {
  const flags = ['--variant=minbase', `--include=${NEEDED}`, 'trixie', system, mirror()];
  return run('debootstrap', flags, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** The first Debian archive that apt is set to use. */
function mirror() {
  const names = readdirSync('/etc/apt/sources.list.d').map((name) => `/etc/apt/sources.list.d/${name}`);
  for (const name of [...names, '/etc/apt/sources.list']) {
    if (!existsSync(name)) continue;
    const [, url] = /^(?:URIs:|deb(?: \[[^\]]*\])?) *(\S+\/debian\/?)(?: |$)/m.exec(readFileSync(name, 'utf8')) ?? [];
    if (url !== undefined) return url;
  }
  return fail('/etc/apt names no Debian archive');
}

/** Runs a script of checks, whose last line is `N passed, N failed`, and adds that up. One that breaks off is one failure. */
async function part(name, ...words) {
  if (interrupt.signal.aborted) return;
  console.log(`# ${name}`);
  const options = { stdio: ['ignore', 'pipe', 'inherit'], signal: interrupt.signal, killSignal: 'SIGKILL' };
  const child = spawn(words[0], words.slice(1), options).on('error', ({ message }) => console.error(message));
  let last = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text);
    last = (last + text).slice(-1000);
  });
  const code = await new Promise((settled) => child.once('close', settled));
  const [, passed = 0, failed = 0] = /^(\d+) passed, (\d+) failed\n$/m.exec(last) ?? [];
  totals.passed += Number(passed);
  totals.failed += Number(failed) || (code === 0 ? 0 : 1);
}

/** The words that run a command in the system: processes, mounts and network are its own, and of devices only those that are made. */
function within(...words) {
  const own = ['--mount', '--pid', '--net', '--ipc', '--uts', '--fork', '--kill-child'];
  const plain = join(folder, 'plain');
  mkdirSync(plain);
  return ['unshare', ...own, 'sh', '-ec', ENTER, 'sh', plain, system, ...words];
}

/** Boots the system's systemd, lets something be done with the words that enter it, and ends it. */
async function onSystemd(act) {
  if (interrupt.signal.aborted) return;
  // Control groups are named after it, and are the machine's.
  const host = join(folder, basename(folder));
  mkdirSync(host);
  const words = ['test/support/host/boot-systemd.sh', host, system, 'mount', '--bind', folder, 'mnt'];
  const log = join(folder, 'boot.log');
  // Detached, so that Ctrl-C leaves it to remove what it made.
  const boot = spawn('sh', words, { stdio: ['ignore', 'ignore', openSync(log, 'w')], detached: true });
  const ended = new Promise((settled) => boot.once('close', settled));
  let pid = '';
  // Again is no fault; all that was started in there goes with it.
  const end = () => run('kill', ['-KILL', pid], { stdio: 'ignore' });
  const enter = () => ['nsenter', '-t', pid, '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup'];
  const isUp = () =>
    run(enter()[0], [...enter().slice(1), 'systemctl', '-q', 'is-active', 'basic.target'], { stdio: 'ignore' }) === 0;
  try {
    for (const until = Date.now() + 60_000; !(pid && (interrupt.signal.aborted || isUp())); await sleep(100)) {
      if (existsSync(join(host, 'pid'))) pid = readFileSync(join(host, 'pid'), 'utf8').trim();
      if (boot.exitCode !== null || Date.now() > until) {
        throw new Error(`systemd does not come up\n${readFileSync(log, 'utf8')}`);
      }
    }
    interrupt.signal.addEventListener('abort', end);
    await act(enter());
  } finally {
    end();
    await ended;
  }
}
