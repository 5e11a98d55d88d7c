/**
 * gobgpd of later Debian releases for the tests: 3.36 of Debian 13, and 4.x, whose API is another, of the release after it. The packages are
 * unpacked to node_modules/.cache/gobgp/SUITE/ and not installed: gobgpd needs only the C library. Run it alone with `node scripts/gobgp.mjs`.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const FOLDER = join(ROOT, 'node_modules/.cache/gobgp');
const SUITES = ['trixie', 'forky'];
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Fetches what is missing. Prints a line for each suite that it cannot fetch: the tests that need it then fail by themselves. */
export function ensureGobgp() {
  for (const suite of SUITES) {
    if (existsSync(programOf(suite))) continue;
    console.log(`installing: gobgpd of Debian ${suite}, in node_modules/.cache/gobgp`);
    try {
      fetchGobgp(suite, debianMirror());
    } catch (error) {
      console.error(`gobgpd of Debian ${suite} cannot be had: ${error.message.trim().split('\n').at(-1)}`);
    }
  }
}

/** Where the gobgpd of a Debian release is, if it was fetched. */
export function programOf(suite) {
  return join(FOLDER, suite, 'usr/bin/gobgpd');
}

/** The mirror that the machine has Debian from. It may have the mirror's address from a file of sources or a proxy of its own. */
function debianMirror() {
  const { codename } =
    /^VERSION_CODENAME=(?<codename>.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.groups ?? {};
  const format = '$(REPO_URI) $(RELEASE) $(COMPONENT)';
  const targets = command('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']).split('\n');
  const found = targets.map((line) => line.split(' ')).find((row) => row[1] === codename && row[2] === 'main');
  if (!found) throw new Error(`no source of apt has the component main of ${codename}`);
  return found[0];
}

/** Uses lists, caches and sources of its own, so that the apt of the machine knows nothing of the other releases. */
function fetchGobgp(suite, mirror) {
  // apt fetches as a user of its own, to whom the folder of a checkout may be closed.
  const root = mkdtempSync(join(tmpdir(), 'vtepd-gobgp-'));
  try {
    for (const folder of ['lists/partial', 'cache/archives/partial'])
      mkdirSync(join(root, folder), { recursive: true });
    const sources = join(root, 'sources.list');
    writeFileSync(sources, `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`);
    const options = {
      'Dir::Etc::sourcelist': sources,
      'Dir::Etc::sourceparts': '-',
      'Dir::State::lists': join(root, 'lists'),
      'Dir::Cache': join(root, 'cache'),
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
    };
    const settings = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    command('apt-get', ['-qq', ...settings, 'update'], { cwd: root });
    command('apt-get', ['-qq', ...settings, 'download', 'gobgpd'], { cwd: root });
    const archive = readdirSync(root).find((name) => name.endsWith('.deb'));
    if (!archive) throw new Error('apt-get downloaded nothing');
    mkdirSync(FOLDER, { recursive: true });
    // Complete or not there at all.
    const fresh = mkdtempSync(join(FOLDER, `${suite}.`));
    command('dpkg-deb', ['-x', join(root, archive), fresh]);
    rmSync(join(FOLDER, suite), { recursive: true, force: true });
    renameSync(fresh, join(FOLDER, suite));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function command(program, args, options = {}) {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  ensureGobgp();
  if (!SUITES.every((suite) => existsSync(programOf(suite)))) process.exitCode = 1;
}
