/**
 * The import rules. `npm run check` applies them to src/ and proves, by planting violations, that they can fail.
 * They hold for type-only imports too: a type is knowledge of the folder it comes from.
 */

/** A folder imports only itself and the folders before it. A folder in a folder is one of its own. */
const FOLDERS = [
  'lib',
  'wire',
  'wire/answers',
  'wire/queries',
  'wire/capture',
  'encap',
  'fdb',
  'segment',
  'offload',
  'forward/answers',
  'forward',
  'forward/capture',
  'sys',
  'sys/socket',
  'sys/netlink',
  'overlay',
  'underlay',
  'worker',
  'config/keys',
  'config',
  'control',
  'observe',
  'evpn',
  'evpn/wire',
  'evpn/gobgp',
  'evpn/routes',
  'evpn/plane',
  'api',
  'api/client',
  'api/server/requests',
  'api/server/streams',
  'api/server/routes',
  'api/server',
  'host',
  'host/port',
  'host/tap',
  'host/underlay',
  'host/querier',
  'vtep/vni',
  'vtep/workers',
  'vtep/upkeep',
  'vtep/entries',
  'vtep/changes',
  'vtep/control',
  'vtep',
  'doctor/checks',
  'doctor/firewall',
  'doctor',
  'view',
  'daemon',
  'cli/terminal',
  'cli/top',
  'cli/capture',
  'cli/commands',
  'cli',
];

const top = (folder) => folder.split('/')[0];

/** Functions of bytes and `now`: no clock, no log, no input or output, hence neither `node:` nor packages. */
const PURE_TOPS = ['lib', 'wire', 'encap', 'fdb', 'segment', 'offload', 'forward'];
const PURE_FOLDERS = FOLDERS.filter((folder) => PURE_TOPS.includes(top(folder)));

const TEST_FILE = '\\.test\\.ts$';
/** Tests and what they share, which may import what they may and is not published. */
const TEST_CODE = '(\\.test|-rig)\\.ts$';
const TEST_PACKAGES = '(^|/)node_modules/(vitest|fast-check)/';
const inFolders = (folders) => `^src/(${folders.join('|')})/[^/]+$`;

const folderOrder = FOLDERS.flatMap((folder, index) => {
  const before = FOLDERS.slice(0, index + 1);
  // A test may use what lies beside the subject of its test, as the server does beside the client.
  const beside = FOLDERS.filter((other) => top(other) === top(folder));
  const rule = (from, allowed) => ({ severity: 'error', from, to: { path: '^src/', pathNot: inFolders(allowed) } });
  const name = `folder-order-${folder.replaceAll('/', '-')}`;
  return [
    { name, ...rule({ path: inFolders([folder]), pathNot: TEST_CODE }, before) },
    { name, ...rule({ path: `^src/${folder}/[^/]+${TEST_CODE}` }, [...before, ...beside]) },
  ];
});

const forbidden = [
  ...folderOrder,
  { name: 'folder-unknown', severity: 'error', from: { path: '^src/', pathNot: inFolders(FOLDERS) }, to: {} },
  { name: 'cycle', severity: 'error', from: {}, to: { circular: true } },
  { name: 'unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  {
    name: 'pure',
    severity: 'error',
    from: { path: inFolders(PURE_FOLDERS), pathNot: TEST_CODE },
    to: { pathNot: '^src/' },
  },
  {
    name: 'pure-test',
    severity: 'error',
    from: { path: `^src/(${PURE_FOLDERS.join('|')})/[^/]+${TEST_CODE}` },
    to: { pathNot: ['^src/', TEST_PACKAGES], dependencyTypesNot: ['core'] },
  },
  {
    name: 'outside-src',
    severity: 'error',
    from: { path: '^src/' },
    to: { dependencyTypes: ['local'], pathNot: '^src/' },
  },
  {
    name: 'koffi-only-in-sys',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/sys/' },
    to: { path: '(^|/)node_modules/koffi/' },
  },
  {
    // What is published is installed without devDependencies.
    name: 'undeclared-package',
    severity: 'error',
    from: { path: '^src/', pathNot: TEST_CODE },
    to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
  },
  {
    name: 'test-imported',
    severity: 'error',
    from: {},
    to: { path: TEST_FILE },
  },
  {
    name: 'rig-published',
    severity: 'error',
    from: { path: '^src/', pathNot: TEST_CODE },
    to: { path: '-rig\\.ts$' },
  },
];

// biome-ignore lint/style/noDefaultExport: dependency-cruiser reads the default export
export default {
  forbidden,
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    // Reads the sources as written, so that type-only imports count.
    tsPreCompilationDeps: true,
    detectProcessBuiltinModuleCalls: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      mainFields: ['main', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.d.ts'],
    },
  },
};
