/**
 * `npm run package:deb`: a Debian package in `dist-deb/`, of what was built and the installed production dependencies.
 * The same sources, dependencies and SOURCE_DATE_EPOCH (default: the last commit) give the same bytes. DEBFULLNAME and DEBEMAIL
 * name its maintainer. `-- --version V` gives it another version, `-- --out FOLDER` another place; `--built` trusts dist/.
 * Prints the path.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { fail, run } from './setup.mjs';

const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const { values } = parseArgs({
  options: {
    version: { type: 'string', default: manifest.version },
    out: { type: 'string', default: 'dist-deb' },
    built: { type: 'boolean', default: false },
  },
});
if (!values.built && run(process.execPath, ['scripts/build.mjs'], { stdio: ['ignore', 2, 2] }) !== 0)
  fail('the build failed');

// koffi's library for this machine is the one that is installed, so the package is for this architecture alone.
const architecture = output('dpkg', ['--print-architecture']);
const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? output('git', ['log', '-1', '--format=%ct']));
const { DEBFULLNAME = 'vtepd contributors', DEBEMAIL = 'vtepd@localhost' } = process.env;
const root = mkdtempSync(join(tmpdir(), 'vtepd-deb-'));
try {
  stageProgram();
  stageDocuments();
  stageService();
  prune(root);
  const { size, digests } = settle(root);
  stageControl(size, digests);
  settle(join(root, 'DEBIAN'));
  mkdirSync(values.out, { recursive: true });
  const file = join(values.out, `vtepd_${values.version}_${architecture}.deb`);
  const env = { ...process.env, SOURCE_DATE_EPOCH: `${epoch}` };
  if (run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', root, file], { env, stdio: ['ignore', 2, 2] }) !== 0)
    fail('dpkg-deb failed');
  console.log(file);
} finally {
  rmSync(root, { recursive: true, force: true });
}

function stageProgram() {
  const lib = 'usr/lib/vtepd';
  copy('bin', `${lib}/bin`);
  write(`${lib}/package.json`, `${JSON.stringify({ ...manifest, version: values.version }, null, 2)}\n`);
  // Maps and declarations are for those who build; the pages and completion go where they are looked for.
  copy('dist', `${lib}/dist`, (path) => !/\.map$|^dist\/(man|completion)$/.test(path));
  for (const path of productionModules()) copy(path, `${lib}/${path}`, (from) => from === path || isOfUse(from));
  link('../lib/vtepd/bin/vtepd', 'usr/sbin/vtepd');
  link('../lib/vtepd/bin/vtepctl', 'usr/bin/vtepctl');
}

/**
 * Whether our programs may load it, or a licence asks for it: of a dependency neither its own programs, sources and tests, nor
 * what is there to be read. A nested node_modules is a dependency of its own in the list.
 */
function isOfUse(path) {
  const name = basename(path);
  if (statSync(path).isDirectory()) {
    return !/^(node_modules|musl_.*|tests?|fixtures?|integration|benchmarks?|examples?|docs|scripts|\..*)$/.test(name);
  }
  if (/^licen[cs]e/i.test(name)) return true;
  if (!/\.([cm]?js|json|node|wasm)$/.test(name) || /^(\.|tsconfig|example\.)/.test(name)) return false;
  return readFileSync(path).toString('latin1', 0, 2) !== '#!';
}

function stageDocuments() {
  for (const page of readdirSync('dist/man')) {
    write(`usr/share/man/man${page.at(-1)}/${page}.gz`, gzipSync(readFileSync(`dist/man/${page}`), { level: 9 }));
  }
  for (const program of ['vtepd', 'vtepctl']) {
    copy(`dist/completion/${program}.bash`, `usr/share/bash-completion/completions/${program}`);
    copy(`dist/completion/_${program}`, `usr/share/zsh/vendor-completions/_${program}`);
    copy(`dist/completion/${program}.fish`, `usr/share/fish/vendor_completions.d/${program}.fish`);
  }
  copy('debian/copyright', 'usr/share/doc/vtepd/copyright');
  copy('examples/vtepd.yaml', 'usr/share/doc/vtepd/examples/vtepd.yaml');
  write('usr/share/doc/vtepd/NEWS.gz', gzipSync(readFileSync('CHANGELOG.md'), { level: 9 }));
  write('usr/share/doc/vtepd/changelog.gz', gzipSync(filled('debian/changelog'), { level: 9 }));
}

function stageService() {
  for (const unit of readdirSync('systemd').filter((name) => name.endsWith('.service'))) {
    copy(`systemd/${unit}`, `usr/lib/systemd/system/${unit}`);
  }
  copy('debian/vtepd.yaml', 'etc/vtepd/vtepd.yaml');
  copy('debian/default', 'etc/default/vtepd');
}

/** @param size of the installed files in bytes, @param digests lines of `md5sum` */
function stageControl(size, digests) {
  write('DEBIAN/control', filled('debian/control').replace('@SIZE@', `${Math.ceil(size / 1024)}`));
  write('DEBIAN/md5sums', digests.sort().join(''));
  write('DEBIAN/conffiles', '/etc/vtepd/vtepd.yaml\n/etc/default/vtepd\n');
  for (const script of ['postinst', 'prerm', 'postrm']) {
    copy(`debian/${script}`, `DEBIAN/${script}`);
    chmodSync(join(root, 'DEBIAN', script), 0o755);
  }
}

function filled(file) {
  return readFileSync(file, 'utf8')
    .replace('@VERSION@', values.version)
    .replace('@ARCHITECTURE@', architecture)
    .replace('@MAINTAINER@', `${DEBFULLNAME} <${DEBEMAIL}>`)
    .replace('@DATE@', new Date(epoch * 1000).toUTCString().replace('GMT', '+0000'));
}

/** The folders of the dependencies that `npm ci --omit=dev` would install: the lock has those of other platforms too. */
function productionModules() {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  return Object.keys(packages).filter((path) => path !== '' && !packages[path].dev && existsSync(path));
}

function copy(from, to, filter = () => true) {
  mkdirSync(dirname(join(root, to)), { recursive: true });
  cpSync(from, join(root, to), { recursive: true, filter: (path) => filter(relative(process.cwd(), path)) });
}

function write(to, content) {
  mkdirSync(dirname(join(root, to)), { recursive: true });
  writeFileSync(join(root, to), content);
}

function link(target, at) {
  mkdirSync(dirname(join(root, at)), { recursive: true });
  symlinkSync(target, join(root, at));
}

/** Folders that nothing is left in. */
function prune(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) prune(join(folder, entry.name));
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}

/** Modes and times that do not depend on who builds. Returns the size of the files in bytes, and the lines of their md5sums. */
function settle(folder, sum = { size: 0, digests: [] }) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) settle(path, sum);
    else if (entry.isFile()) {
      const executable = basename(dirname(path)) === 'bin' || basename(dirname(path)) === 'DEBIAN';
      const content = readFileSync(path);
      sum.size += content.length;
      sum.digests.push(`${createHash('md5').update(content).digest('hex')}  ${relative(root, path)}\n`);
      chmodSync(path, executable && statSync(path).mode & 0o100 ? 0o755 : 0o644);
    }
    lutimesSync(path, epoch, epoch);
  }
  chmodSync(folder, 0o755);
  lutimesSync(folder, epoch, epoch);
  return sum;
}

function output(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) fail(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout.trim();
}
