/**
 * `npm run package:deb`: a Debian package in `dist-deb/`, of what was built and the installed production dependencies.
 * The same sources, dependencies and SOURCE_DATE_EPOCH (default: the last commit) give the same bytes.
 * `-- --version V` gives it another version, `-- --out FOLDER` another place; `--built` trusts dist/. Prints the path.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
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
const root = mkdtempSync(join(tmpdir(), 'vtepd-deb-'));
try {
  stageProgram();
  stageDocuments();
  stageService();
  const size = settle(root);
  stageControl(size);
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
  for (const path of ['bin', 'package.json']) copy(path, `${lib}/${path}`);
  // Maps and declarations are for those who build; the pages and completion go where they are looked for.
  copy('dist', `${lib}/dist`, (path) => !/\.map$|^dist\/(man|completion)$/.test(path));
  for (const path of productionModules()) copy(path, `${lib}/${path}`, (from) => from === path || isOfUse(from));
  link('../lib/vtepd/bin/vtepd', 'usr/sbin/vtepd');
  link('../lib/vtepd/bin/vtepctl', 'usr/bin/vtepctl');
}

/** Whether a program needs it, or a licence asks for it. A nested node_modules is a dependency of its own in the list. */
function isOfUse(path) {
  const name = basename(path);
  if (/^licen[cs]e/i.test(name)) return true;
  return !/^(node_modules|musl_.*|tests?|benchmarks?|examples?|docs|\..*|.*\.(map|[cm]?ts|md|markdown))$/.test(name);
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
  write('usr/share/doc/vtepd/changelog.gz', gzipSync(readFileSync('CHANGELOG.md'), { level: 9 }));
}

function stageService() {
  for (const unit of readdirSync('systemd').filter((name) => name.endsWith('.service'))) {
    copy(`systemd/${unit}`, `usr/lib/systemd/system/${unit}`);
  }
  copy('debian/vtepd.yaml', 'etc/vtepd/vtepd.yaml');
  copy('debian/default', 'etc/default/vtepd');
}

/** @param size of the installed files in bytes */
function stageControl(size) {
  const control = readFileSync('debian/control', 'utf8')
    .replace('@VERSION@', values.version)
    .replace('@ARCHITECTURE@', architecture)
    .replace('@SIZE@', `${Math.ceil(size / 1024)}`);
  write('DEBIAN/control', control);
  write('DEBIAN/conffiles', '/etc/vtepd/vtepd.yaml\n/etc/default/vtepd\n');
  for (const script of ['postinst', 'prerm', 'postrm']) {
    copy(`debian/${script}`, `DEBIAN/${script}`);
    chmodSync(join(root, 'DEBIAN', script), 0o755);
  }
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

/** Modes and times that do not depend on who builds. Returns the size of the files in bytes. */
function settle(folder) {
  let size = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) size += settle(path);
    else if (entry.isFile()) {
      const executable = basename(dirname(path)) === 'bin' || basename(dirname(path)) === 'DEBIAN';
      size += statSync(path).size;
      chmodSync(path, executable && statSync(path).mode & 0o100 ? 0o755 : 0o644);
    }
    lutimesSync(path, epoch, epoch);
  }
  chmodSync(folder, 0o755);
  lutimesSync(folder, epoch, epoch);
  return size;
}

function output(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) fail(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout.trim();
}
