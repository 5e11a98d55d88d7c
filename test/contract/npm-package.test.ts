/** The npm package: what is in the tarball, and that its programs run where npm puts them, without any install script. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  man: string[];
  bin: Record<string, string>;
  scripts: Record<string, string>;
};
const folder = mkdtempSync(join(tmpdir(), 'vtepd-npm-test-'));
const tree = join(folder, 'package');

beforeAll(() => {
  execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT });
  execFileSync('tar', ['-xzf', join(folder, `vtepd-${manifest.version}.tgz`), '-C', folder]);
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
});

afterAll(() => rmSync(folder, { recursive: true }));

it('has all that it names, and the rest that belongs to it', () => {
  const rest = ['dist/completion/vtepctl.bash', 'dist/wire/octet-sums.wasm', 'examples/vtepd.yaml', 'LICENSE'];
  const named = [...manifest.man, ...Object.values(manifest.bin), 'systemd/vtepd.service', ...rest];
  expect(named.filter((path) => !existsSync(join(tree, path)))).toEqual([]);
});

it('has nothing that only its makers need', () => {
  const files = readdirSync(tree, { recursive: true, encoding: 'utf8' }).filter((path) =>
    statSync(join(tree, path)).isFile(),
  );
  const documents = /^(LICENSE|README\.md|CHANGELOG\.md|package\.json|examples\/vtepd\.yaml|systemd\/vtepd.*)$/;
  const programs = /^(bin\/vtep(d|ctl)|dist\/(man|completion)\/[^/]+|dist\/.+\.(js|wasm))$/;
  expect(files.filter((path) => !documents.test(path) && !programs.test(path))).toEqual([]);
});

it('has no script that would run when it is installed', () => {
  const atInstallation = ['preinstall', 'install', 'postinstall', 'prepare'];
  expect(atInstallation.filter((name) => name in manifest.scripts)).toEqual([]);
});

it.each([
  ['vtepd', `vtepd ${manifest.version}\n`],
  ['vtepctl', `${manifest.version}\n`],
])('%s runs by the link that npm makes', (program, version) => {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  symlinkSync(realpathSync(join(tree, manifest.bin[program] ?? '')), join(bin, program));
  expect(execFileSync(join(bin, program), ['--version'], { encoding: 'utf8' })).toBe(version);
});
