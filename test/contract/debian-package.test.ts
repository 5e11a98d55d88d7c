/** The Debian package as built: what is in it, that its scripts are scripts, and that its programs run where it is unpacked. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const folder = mkdtempSync(join(tmpdir(), 'vtepd-deb-test-'));
const tree = join(folder, 'tree');
let file: string;

function build(out: string): string {
  const words = ['scripts/package-deb.mjs', '--built', '--out', join(folder, out)];
  const env = { ...process.env, SOURCE_DATE_EPOCH: '1700000000' };
  return execFileSync(process.execPath, words, { cwd: ROOT, env, encoding: 'utf8' }).trim();
}

const dpkgDeb = (...words: string[]) => execFileSync('dpkg-deb', words, { encoding: 'utf8' });
const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

beforeAll(() => {
  file = build('first');
  dpkgDeb('--raw-extract', file, tree);
});

afterAll(() => rmSync(folder, { recursive: true }));

it('has the same bytes when built again', () => {
  expect(digest(build('second'))).toBe(digest(file));
});

it('says what it is', () => {
  expect(dpkgDeb('--field', file, 'Package', 'Version')).toBe(`Package: vtepd\nVersion: ${version}\n`);
  expect(dpkgDeb('--field', file, 'Depends')).toContain('nodejs (>= 20.19)');
});

it('belongs to root, and nobody else may write', () => {
  const lines = dpkgDeb('--contents', file).trim().split('\n');
  const wrong = lines.filter((line) => !/^(-rw-r--r--|-rwxr-xr-x|drwxr-xr-x|lrwxrwxrwx) root\/root /.test(line));
  expect(wrong).toEqual([]);
});

it.each([
  'etc/default/vtepd',
  'etc/vtepd/vtepd.yaml',
  'usr/lib/systemd/system/vtepd.service',
  'usr/share/bash-completion/completions/vtepctl',
  'usr/share/bash-completion/completions/vtepd',
  'usr/share/doc/vtepd/NEWS.gz',
  'usr/share/doc/vtepd/changelog.gz',
  'usr/share/doc/vtepd/copyright',
  'usr/share/doc/vtepd/examples/vtepd.yaml',
  'usr/share/fish/vendor_completions.d/vtepctl.fish',
  'usr/share/fish/vendor_completions.d/vtepd.fish',
  'usr/share/man/man5/vtepd.yaml.5.gz',
  'usr/share/man/man8/vtepctl.8.gz',
  'usr/share/man/man8/vtepd.8.gz',
  'usr/share/zsh/vendor-completions/_vtepctl',
  'usr/share/zsh/vendor-completions/_vtepd',
])('has %s', (path) => {
  expect(lstatSync(join(tree, path)).isFile()).toBe(true);
});

it('keeps what an administrator writes', () => {
  const listed = readFileSync(join(tree, 'DEBIAN/conffiles'), 'utf8').trim().split('\n').sort();
  const written = execFileSync('find', [join(tree, 'etc'), '-type', 'f'], { encoding: 'utf8' })
    .trim()
    .split('\n');
  expect(listed).toEqual(written.map((path) => path.slice(tree.length)).sort());
});

it.each(['postinst', 'prerm', 'postrm'])('%s is a script', (name) => {
  expect(lstatSync(join(tree, 'DEBIAN', name)).mode & 0o777).toBe(0o755);
  execFileSync('sh', ['-n', join(tree, 'DEBIAN', name)]);
});

it('has the production dependencies and no others', () => {
  const names = readdirSync(join(tree, 'usr/lib/vtepd/node_modules'));
  expect(names).toEqual(expect.arrayContaining(['fastify', 'koffi', 'yargs', '@koromix']));
  expect(names.filter((name) => ['vitest', 'typescript', '@biomejs', 'assemblyscript'].includes(name))).toEqual([]);
});

it('has all of them that can be loaded, and nothing else', () => {
  const lib = join(tree, 'usr/lib/vtepd');
  const { dependencies } = JSON.parse(readFileSync(join(lib, 'package.json'), 'utf8')) as { dependencies: object };
  const load = Object.keys(dependencies)
    .map((name) => `await import('${name}');`)
    .join('');
  execFileSync(process.execPath, ['--input-type=module', '--eval', load], { cwd: lib });
  const files = readdirSync(lib, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const others = files.map(({ name }) => name).filter((name) => !/\.([cm]?js|json|node|wasm)$|^licen[cs]e/i.test(name));
  expect(others).toEqual(['vtepctl', 'vtepd']);
});

it('names a licence wherever a dependency came with one', () => {
  for (const name of ['fastify', 'koffi', 'yargs', 'yaml', 'pino']) {
    const has = (path: string) => readdirSync(path).filter((entry) => /^licen[cs]e/i.test(entry));
    expect(has(join(tree, 'usr/lib/vtepd/node_modules', name))).toEqual(has(join(ROOT, 'node_modules', name)));
  }
});

it('its programs run, and its configuration is valid', () => {
  const run = (program: string, ...words: string[]) =>
    execFileSync(process.execPath, [join(tree, program), ...words], { encoding: 'utf8' });
  expect(run('usr/sbin/vtepd', '--version')).toBe(`vtepd ${version}\n`);
  expect(run('usr/bin/vtepctl', '--version')).toBe(`${version}\n`);
  expect(run('usr/sbin/vtepd', '--check', '--config', join(tree, 'etc/vtepd/vtepd.yaml'))).toBe('');
  expect(existsSync(join(tree, 'usr/lib/vtepd/dist/wire/octet-sums.wasm'))).toBe(true);
});
