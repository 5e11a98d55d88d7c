/**
 * What the scripts need before they can work: Debian packages, node_modules, dist/. Only Node built-ins are imported,
 * because this runs on a machine where nothing has been installed yet. Importing it moves to the repository root, so that
 * every script works from anywhere.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

// `su` without `-` keeps a PATH that lacks the folders of `ip`, `tc` and `nft`.
process.env.PATH = `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`;

export const isRoot = process.getuid?.() === 0;

/** Ends the process with one line that says why. */
export function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

/**
 * Installs what is missing with apt-get, and says so first.
 * @param packages Debian package by the command that it brings, e.g. `{ ping: 'iputils-ping' }`
 */
export function ensureSystemPackages(packages) {
  const missing = missingPackages(packages);
  if (missing.length === 0) return;
  const names = missing.join(' ');
  if (!isRoot) fail(`missing packages, and only root can install them: sudo apt-get install ${names}`);
  console.log(`installing: ${names}`);

  // Offline, systemd starts none of the services that come with a package: only the programs are wanted.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', SYSTEMD_OFFLINE: '1' };
  const quietly = ['-qq', '-o', 'Dpkg::Use-Pty=0'];
  // The result of `update` does not count: one broken source must not matter if the package can be had elsewhere.
  run('apt-get', [...quietly, 'update'], { env });
  run('apt-get', [...quietly, 'install', '-y', '--no-install-recommends', ...missing], { env });

  const still = missingPackages(packages);
  if (still.length > 0) fail(`apt-get could not install ${still.join(' ')}`);
}

/** Runs `npm ci` unless node_modules already holds what package-lock.json asks for. */
export function ensureNodeModules() {
  if (nodeModulesAreCurrent()) return;
  console.log('installing: node_modules, from package-lock.json');
  // No dependency needs its install script, and none shall run unseen.
  const flags = ['--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  if (run('npm', ['ci', ...flags]) !== 0) fail('npm ci failed');
}

/** Builds src/ to dist/. Always, because a build takes seconds and a stale one misleads for hours. */
export function ensureBuilt() {
  if (run(process.execPath, ['scripts/build.mjs']) !== 0) fail('the build failed');
}

/** Runs a command with its output on ours and returns its exit code, 127 if it cannot be started at all. */
export function run(command, args, options = {}) {
  const { status, signal, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (error) console.error(`${command}: ${error.message}`);
  return status ?? (signal ? 1 : 127);
}

function missingPackages(packages) {
  const missing = Object.keys(packages).filter((command) => !isOnPath(command));
  return [...new Set(missing.map((command) => packages[command]))];
}

function isOnPath(command) {
  return process.env.PATH.split(':').some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Contents are compared, not file times, which a checkout, a copy or a restored cache sets at will. npm writes its own
 * record, node_modules/.package-lock.json, last, so an interrupted installation has none and does not pass for done.
 * Optional packages may be absent: they are those of other platforms.
 */
function nodeModulesAreCurrent() {
  const installed = lockedPackages('node_modules/.package-lock.json');
  const wanted = lockedPackages('package-lock.json') ?? fail('package-lock.json is missing or not readable');
  if (!installed) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    const found = installed[path];
    if (path === '' || (!found && optional)) return true;
    return found?.version === version && found?.integrity === integrity;
  });
}

function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}
