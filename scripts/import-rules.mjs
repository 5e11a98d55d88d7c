/** The import rules of .dependency-cruiser.mjs: applied to src/, and shown to fail on violations planted in a copy of it. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** What must be found: the rule, and the files that break it (the first is the one reported). */
const PLANTS = [
  ['folder-order-lib', { 'src/lib/planted-order.ts': "import '../daemon/planted.ts';", 'src/daemon/planted.ts': '' }],
  [
    'folder-order-fdb',
    { 'src/fdb/planted-type.ts': "import type { A } from '../cli/planted.ts';", 'src/cli/planted.ts': '' },
  ],
  ['folder-order-wire', { 'src/wire/planted.test.ts': "import '../sys/planted.ts';", 'src/sys/planted.ts': '' }],
  [
    'folder-order-vtep-vni',
    { 'src/vtep/vni/planted.ts': "import '../changes/planted.ts';", 'src/vtep/changes/planted.ts': '' },
  ],
  [
    'folder-order-forward-answers',
    { 'src/forward/answers/planted.ts': "import '../planted.ts';", 'src/forward/planted.ts': '' },
  ],
  ['folder-unknown', { 'src/vtep/planted/planted.ts': "import 'node:fs';" }],
  ['folder-unknown', { 'src/planted/planted.ts': "import 'node:fs';" }],
  [
    'cycle',
    {
      'src/wire/planted-a.ts': "import { b } from './planted-b.ts'; export const a = b;",
      'src/wire/planted-b.ts': "import { a } from './planted-a.ts'; export const b = a;",
    },
  ],
  [
    'cycle',
    {
      'src/config/planted-a.ts': "import type { B } from './planted-b.ts'; export type A = B;",
      'src/config/planted-b.ts': "import type { A } from './planted-a.ts'; export type B = A;",
    },
  ],
  ['pure', { 'src/segment/planted-node.ts': "import 'node:fs';" }],
  ['pure', { 'src/forward/planted-package.ts': "import 'fastify';" }],
  ['pure', { 'src/offload/planted-dynamic.ts': "await import('node:fs');" }],
  ['pure', { 'src/wire/queries/planted-node.ts': "import 'node:fs';" }],
  ['pure-test', { 'src/fdb/planted.test.ts': "import 'fastify';" }],
  ['outside-src', { 'src/cli/planted-outside.ts': "import '../../bench/planted.ts';", 'bench/planted.ts': '' }],
  ['koffi-only-in-sys', { 'src/overlay/planted-koffi.ts': "import 'koffi';" }],
  ['undeclared-package', { 'src/observe/planted-package.ts': "import 'vitest';" }],
  [
    'test-imported',
    { 'src/underlay/planted-import.ts': "import './planted.test.ts';", 'src/underlay/planted.test.ts': '' },
  ],
  ['rig-published', { 'src/worker/planted-import.ts': "import './planted-rig.ts';", 'src/worker/planted-rig.ts': '' }],
  ['unresolvable', { 'src/api/planted-missing.ts': "import './no-such-file.ts';" }],
];

/** What must not be found: the same imports where they are allowed. */
const ALLOWED = {
  'src/lib/allowed.ts': 'export const a = 1;',
  'src/wire/allowed.ts': "import { a } from '../lib/allowed.ts'; export const b = a;",
  'src/wire/allowed.test.ts': "import 'node:fs'; import 'vitest'; import 'fast-check'; import '../lib/allowed.ts';",
  'src/wire/allowed-rig.ts': "import 'vitest'; import '../lib/allowed.ts';",
  'src/sys/allowed.ts': "import 'koffi'; import 'node:fs';",
};

/** Applies the rules to src/. Returns an empty string if they hold, else one line per violation. */
export function importRules() {
  const { complaint, violations, modules } = cruise('.');
  if (complaint) return complaint;
  if (modules === 0) return 'dependency-cruiser read no module at all';
  return violations.map(({ rule, from, to }) => `${rule}: ${from} -> ${to}`).join('\n');
}

/** Plants every violation in a copy of the tree. Returns an empty string if each was reported, else what was missed. */
export function plantedViolations() {
  const folder = mkdtempSync(join(tmpdir(), 'vtepd-check-'));
  try {
    copyTree(folder);
    for (const [, files] of PLANTS) plant(folder, files);
    plant(folder, ALLOWED);
    const { complaint, violations } = cruise(folder);
    return complaint || missed(violations).join('\n');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function missed(violations) {
  const lines = [];
  for (const [rule, files] of PLANTS) {
    const [culprit] = Object.keys(files);
    const reported = violations.some((violation) => violation.rule === rule && violation.from === culprit);
    if (!reported) lines.push(`${rule}: the violation planted as ${culprit} was not reported`);
  }
  for (const { rule, from, to } of violations) {
    if (from in ALLOWED) lines.push(`${rule}: ${from} -> ${to} is allowed, and was reported`);
  }
  return lines;
}

function copyTree(folder) {
  for (const name of ['src', 'package.json', 'tsconfig.json', '.dependency-cruiser.mjs']) {
    cpSync(name, join(folder, name), { recursive: true });
  }
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
}

function plant(folder, files) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), `${text}\n`);
  }
}

/** Runs dependency-cruiser over one tree's src/. `complaint` is set if it could not do its work. */
function cruise(folder) {
  const args = ['--config', '.dependency-cruiser.mjs', '--output-type', 'json', 'src'];
  const { stdout, stderr, error } = spawnSync(resolve('node_modules/.bin/depcruise'), args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  try {
    const { summary } = JSON.parse(stdout);
    const violations = summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to }));
    return { complaint: '', violations, modules: summary.totalCruised };
  } catch {
    return { complaint: `dependency-cruiser: ${error?.message ?? stderr}`, violations: [], modules: 0 };
  }
}
