/**
 * `npm run test:package`, as root: the Debian package in a Debian 13 of its own. Installs it, runs the daemon on a real TAP,
 * upgrades and purges it. The system is made by debootstrap from the mirror that this machine's apt has, in a folder that is
 * removed again, and runs in namespaces of its own. `-- --base FOLDER` copies one that was made before.
 * The last line is `N passed, N failed`.
 */
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureNodeModules, ensureSystemPackages, fail, isRoot, run } from './setup.mjs';

const NEEDED = 'nodejs,adduser,iproute2';
/** $1: the system; what follows is run in it. */
const DEVICES = `
  root=$1; shift
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o mode=755 dev "$root/dev"
  mknod -m 666 "$root/dev/null" c 1 3
  mknod -m 666 "$root/dev/zero" c 1 5
  mknod -m 666 "$root/dev/random" c 1 8
  mknod -m 666 "$root/dev/urandom" c 1 9
  mkdir "$root/dev/net"
  mknod -m 666 "$root/dev/net/tun" c 10 200
  ln -s /proc/self/fd "$root/dev/fd"
  exec chroot "$root" "$@"
`;
const { values } = parseArgs({ options: { base: { type: 'string' } } });

if (!isRoot) fail('only root can make a system and enter it');
ensureSystemPackages({ debootstrap: 'debootstrap', unshare: 'util-linux' });
ensureNodeModules();

// Not /tmp, which may be mounted nodev and be small.
const folder = mkdtempSync('/var/tmp/vtepd-package-');
const root = join(folder, 'root');
let status = 1;
try {
  const first = build('0.0.1~test1', []);
  const second = build('0.0.1~test2', ['--built']);
  if (values.base ? run('cp', ['-a', values.base, root]) : bootstrap()) fail('there is no system to test in');
  for (const file of [first, second]) copyFileSync(file, join(root, 'root', basename(file)));
  copyFileSync('scripts/test-package.sh', join(root, 'root/test-package.sh'));
  status = enter(['bash', '/root/test-package.sh', `/root/${basename(first)}`, `/root/${basename(second)}`]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(status);

function build(version, flags) {
  const words = ['scripts/package-deb.mjs', '--version', version, '--out', folder, ...flags];
  if (run(process.execPath, words) !== 0) fail('the package could not be built');
  const file = readdirSync(folder).find((name) => name.includes(version));
  return join(folder, file ?? fail('there is no package'));
}

function bootstrap() {
  const flags = ['--variant=minbase', `--include=${NEEDED}`, 'trixie', root, mirror()];
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

/** Runs a command in the system: processes, mounts and network are its own, and of devices only those that are made here. */
function enter(words) {
  const own = ['--mount', '--pid', '--net', '--ipc', '--uts', '--fork', '--kill-child'];
  return run('unshare', [...own, 'sh', '-ec', DEVICES, 'sh', root, ...words]);
}
