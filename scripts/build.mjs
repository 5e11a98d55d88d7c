/** `npm run build`: src/ and assembly/ to dist/, with the man pages and the completion that are made of them. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { completionFiles } from './completion.mjs';
import { manualPages } from './manual.mjs';
import { fail, run } from './setup.mjs';

const [tsc, asc] = ['node_modules/.bin/tsc', 'node_modules/.bin/asc'];
if (![tsc, asc].every((tool) => existsSync(tool))) fail('node_modules is missing or out of date: run npm ci');

// The module's memory is a slab: imported, of whatever size, and nobody else's, so without a runtime that would keep state in it.
const MEMORY = ['--importMemory', '--noExportMemory', '--runtime', 'stub'];
const ASSEMBLY = ['assembly/octet-sums.ts', '-O3', '--noAssert', '--enable', 'simd', ...MEMORY];

// A sibling of dist/ that takes its place when complete: a failed build leaves the last good one, a renamed source leaves
// no stale output, and the relative paths in the source maps hold.
const fresh = mkdtempSync('dist.tmp-');
const stale = `${fresh}.old`;
let status = 1;
try {
  status = run(tsc, ['-p', 'tsconfig.json', '--outDir', fresh, '--noEmitOnError']);
  if (status === 0) status = run(asc, [...ASSEMBLY, '--outFile', `${fresh}/wire/octet-sums.wasm`]);
  if (status === 0) {
    const tables = await readTables();
    writeFiles('man', manualPages(tables));
    writeFiles('completion', completionFiles(tables));
    swap();
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
  rmSync(stale, { recursive: true, force: true });
}
process.exit(status);

function swap() {
  // mkdtemp lets only its maker in; the service runs as another user.
  chmodSync(fresh, 0o755);
  if (existsSync('dist')) renameSync('dist', stale);
  renameSync(fresh, 'dist');
}

/** What the flags and commands are, from what was just compiled. */
async function readTables() {
  const load = (path) => import(pathToFileURL(resolve(fresh, path)).href);
  const { FLAGS, ENTRY_KEYS, DEFAULT_SOCKET_PATH } = await load('config/flags.js');
  const { COMMON_FLAGS, usageOf } = await load('cli/terminal/vtepctl-command.js');
  const { LOG_LEVELS } = await load('config/config.js');
  const { MAX_VNI } = await load('lib/limits.js');
  return {
    flags: FLAGS,
    entryKeys: ENTRY_KEYS,
    fileKeys: (await load('config/config-file.js')).FILE_KEYS,
    commands: (await load('cli/vtepctl.js')).COMMANDS,
    commonFlags: COMMON_FLAGS,
    usageOf,
    dashed: (name) => `${name.length === 1 ? '-' : '--'}${name}`,
    logLevels: LOG_LEVELS,
    socket: DEFAULT_SOCKET_PATH,
    maxVni: MAX_VNI,
    version: JSON.parse(readFileSync('package.json', 'utf8')).version,
  };
}

function writeFiles(folder, texts) {
  mkdirSync(`${fresh}/${folder}`);
  for (const [name, text] of Object.entries(texts)) writeFileSync(`${fresh}/${folder}/${name}`, text);
}
