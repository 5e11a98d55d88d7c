/** Programs that the bench runs: each bounded in time, and gone when the bench is. */
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const COMMAND_TIMEOUT_MS = 20_000;
const KEPT_OUTPUT = 4_000_000;

const running = new Set();

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs a program that ends soon and returns its output; throws its complaint as one line. */
export function command(program, ...args) {
  try {
    return execFileSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_TIMEOUT_MS,
    });
  } catch (error) {
    throw new Error(`${program} ${args.join(' ')}: ${oneLine(error.stderr) || error.message}`);
  }
}

export const ip = (...args) => command('ip', ...args);

/**
 * A program in a namespace. `ip netns exec` becomes it, so the pid is the program's own.
 * @typedef {object} Running
 * @property {number} pid
 * @property {{ stdout: string, stderr: string, code?: number | string }} state `code` once it has ended
 * @property {Promise<object>} ended resolves to `state`
 * @property {(signal: NodeJS.Signals) => void} kill
 */

/**
 * @param {string} namespace
 * @param {string[]} words program and arguments
 * @param {{ env?: Record<string, string> }} [options] added to the environment
 * @returns {Running}
 */
export function start(namespace, words, { env = {} } = {}) {
  const child = spawn('ip', ['netns', 'exec', namespace, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  running.add(child);
  const state = { stdout: '', stderr: '', code: undefined };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      state[name] = (state[name] + text).slice(-KEPT_OUTPUT);
    });
  }
  const ended = new Promise((resolve) => {
    child.once('error', (error) => {
      state.stderr += error.message;
    });
    child.once('close', (code, signal) => {
      running.delete(child);
      state.code = code ?? signal;
      resolve(state);
    });
  });
  return { pid: child.pid, state, ended, kill: (signal) => child.kill(signal) };
}

/** Waits for a program's end, at most so long; then it is killed. Returns its output, throws if it did not end well. */
export async function finish(program, name, timeoutMs) {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    program.kill('SIGKILL');
  }, timeoutMs);
  const { code, stdout, stderr } = await program.ended;
  clearTimeout(timer);
  if (isLate) throw new Error(`${name} did not end within ${timeoutMs / 1000} s`);
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${oneLine(stderr || stdout)}`);
  return stdout;
}

/** Synchronous, because it is what runs on the way out. */
export function killAll() {
  for (const child of running) child.kill('SIGKILL');
}

/** Last line of a text that says anything. */
export function oneLine(text = '') {
  return text.trim().split('\n').at(-1) ?? '';
}

/**
 * Processor time of all threads: utime and stime, but from the scheduler's own account, in nanoseconds instead of hundredths of a second,
 * in which an idle daemon's ten seconds would be a handful of ticks.
 */
export function cpuSeconds(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const times = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1)[0]);
  return times.reduce((sum, nanoseconds) => sum + Number(nanoseconds), 0) / 1e9;
}

export const residentBytes = (pid) => memoryOf(pid, 'VmRSS');

/** The most that was resident since the process began, or since `forgetPeak`. */
export const peakBytes = (pid) => memoryOf(pid, 'VmHWM');

export function forgetPeak(pid) {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function memoryOf(pid, name) {
  const [, kilobytes] = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kilobytes) * 1024;
}
