/**
 * `npm run bench`: vtepd beside the kernel's own vxlan device, in the same lab and the same run, in turns. Prints ratios. Timings are data
 * and never a test: this says how fast, not whether it works.
 *
 *      iperf3 ─ VTEP              VTEP ─ iperf3        192.0.2.1, .2   inner MTU 1450
 *                │                  │
 *              eth0               eth0                 198.18.0.1, .2
 *                └─── bridge ───────┘                  MTU-true: no packet on the wire is larger than 1500 bytes
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBuilt, ensureNodeModules, ensureSystemPackages, fail, isRoot } from '../scripts/setup.mjs';

const ROUNDS = process.argv.includes('--quick') ? 1 : 3;
const SECONDS = process.argv.includes('--quick') ? 4 : 8;
const IDLE_SECONDS = 10;
const CLOCK_TICKS_PER_SECOND = 100;

if (!isRoot) fail('the bench makes network namespaces and TAP devices: run it as root');
ensureSystemPackages({ ip: 'iproute2', iperf3: 'iperf3', ethtool: 'ethtool' });
ensureNodeModules();
ensureBuilt();

const prefix = `vtepd-bench-${process.pid}-`;
const folder = mkdtempSync(join(tmpdir(), prefix));
const hosts = [1, 2].map((number) => ({
  number,
  namespace: `${prefix}host${number}`,
  socket: join(folder, `${number}`),
}));
const wire = `${prefix}wire`;
const children = new Set();

process.once('exit', removeEverything);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const run = (program, ...args) => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const ip = (...args) => run('ip', ...args);

/** How each kind of VTEP is brought up on a host, and taken down again. */
const KINDS = {
  kernel: {
    start({ namespace, number }) {
      const device = ['vxlan100', 'type', 'vxlan', 'id', '100', 'group', '239.1.1.1', 'dev', 'eth0', 'dstport', '4789'];
      ip('-n', namespace, 'link', 'add', ...device, 'local', `198.18.0.${number}`);
      ip('-n', namespace, 'link', 'set', 'vxlan100', 'up');
    },
    stop({ namespace }) {
      ip('-n', namespace, 'link', 'del', 'vxlan100');
    },
  },
  vtepd: {
    async start(host) {
      const words = [
        'bin/vtepd',
        '--dev',
        'eth0',
        '--vni',
        '100=239.1.1.1',
        '--socket',
        host.socket,
        '--log-level',
        'warn',
      ];
      host.daemon = start(host.namespace, process.execPath, words);
      for (let tries = 0; tries < 100; tries++) {
        if (isReady(host)) return;
        await pause(100);
      }
      throw new Error(`vtepd on host ${host.number} is not ready after 10 s`);
    },
    async stop({ daemon }) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      await ended;
    },
  },
};

/** What is measured of one pair of VTEPs; each returns a number. */
const MEASURES = {
  'TCP, 1 stream, Gb/s': async () => (await iperf('-t', SECONDS)).end.sum_received.bits_per_second / 1e9,
  'TCP, 8 streams, Gb/s': async () => (await iperf('-t', SECONDS, '-P', 8)).end.sum_received.bits_per_second / 1e9,
};

build();
const results = {};
for (let round = 1; round <= ROUNDS; round++) {
  for (const [name, kind] of Object.entries(KINDS)) {
    for (const host of hosts) {
      await kind.start(host);
      ip('-n', host.namespace, 'addr', 'add', `192.0.2.${host.number}/24`, 'dev', 'vxlan100');
    }
    await pause(500);
    for (const [measure, take] of Object.entries(MEASURES)) {
      const value = await take();
      results[measure] ??= { kernel: [], vtepd: [] };
      results[measure][name].push(value);
      console.log(`round ${round}  ${name.padEnd(6)}  ${measure}: ${value.toFixed(2)}`);
    }
    if (name === 'vtepd' && round === ROUNDS) await measureIdle();
    for (const host of hosts) await kind.stop(host);
  }
}

console.log(`\nMTU-true wire, median of ${ROUNDS}        kernel   vtepd   ratio`);
for (const [measure, { kernel, vtepd }] of Object.entries(results)) {
  const [k, v] = [median(kernel), median(vtepd)];
  console.log(
    `${measure.padEnd(32)}  ${k.toFixed(2).padStart(6)}  ${v.toFixed(2).padStart(6)}  ${(v / k).toFixed(2).padStart(6)}`,
  );
}
process.exit(0);

async function measureIdle() {
  await pause(2000);
  const before = cpuTicks(hosts[0].daemon.pid);
  await pause(IDLE_SECONDS * 1000);
  const share = (cpuTicks(hosts[0].daemon.pid) - before) / CLOCK_TICKS_PER_SECOND / IDLE_SECONDS;
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${hosts[0].daemon.pid}/status`, 'utf8'));
  console.log(
    `idle daemon: ${(100 * share).toFixed(2)} % of a core, ${Math.round(Number(resident[1]) / 1024)} MB resident`,
  );
}

/** iperf3 from host 1 to host 2, over the VTEPs; its JSON report. */
async function iperf(...options) {
  const server = start(hosts[1].namespace, 'iperf3', ['-s', '-1', '-B', '192.0.2.2']);
  const ended = new Promise((resolve) => server.once('exit', resolve));
  await pause(300);
  const client = [
    'netns',
    'exec',
    hosts[0].namespace,
    'iperf3',
    '-J',
    '-c',
    '192.0.2.2',
    '-O',
    '1',
    ...options.map(String),
  ];
  const output = await new Promise((resolve, reject) => {
    const child = spawn('ip', client, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.once('exit', (code) => (code === 0 ? resolve(text) : reject(new Error(`iperf3 failed: ${text}`))));
  });
  await ended;
  return JSON.parse(output);
}

function isReady(host) {
  try {
    return run(process.execPath, 'bin/vtepctl', '--socket', host.socket, 'status').includes('uptime');
  } catch {
    return false;
  }
}

/** utime and stime of a process, all threads. */
function cpuTicks(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function start(namespace, program, args) {
  const child = spawn('ip', ['netns', 'exec', namespace, program, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

function build() {
  ip('netns', 'add', wire);
  ip('-n', wire, 'link', 'add', 'under', 'type', 'bridge', 'mcast_snooping', '0');
  ip('-n', wire, 'link', 'set', 'under', 'up');
  for (const { namespace, number } of hosts) {
    ip('netns', 'add', namespace);
    ip('-n', wire, 'link', 'add', `h${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    for (const [where, device] of [
      [wire, `h${number}`],
      [namespace, 'eth0'],
    ]) {
      run('ip', 'netns', 'exec', where, 'ethtool', '-K', device, 'tso', 'off', 'gso', 'off', 'tx', 'off');
    }
    run('ip', 'netns', 'exec', namespace, 'ethtool', '-K', 'eth0', 'gro', 'on');
    ip('-n', wire, 'link', 'set', `h${number}`, 'master', 'under', 'up');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', namespace, 'addr', 'add', `198.18.0.${number}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'route', 'add', '224.0.0.0/4', 'dev', 'eth0');
  }
}

function removeEverything() {
  for (const child of children) child.kill('SIGKILL');
  for (const namespace of [wire, ...hosts.map((host) => host.namespace)]) {
    try {
      ip('netns', 'del', namespace);
    } catch {
      // It was never made.
    }
  }
  rmSync(folder, { recursive: true, force: true });
}
