/**
 * The lab: hosts are network namespaces, joined by a bridge in a namespace of its own.
 *
 *      iperf3 ─ vxlan100          vxlan100 ─ iperf3        192.0.2.1, .2   fd00:100::1, ::2   inner MTU 1450
 *                  │                  │                    the kernel's device, or vtepd's TAP
 *                eth0               eth0                   198.18.0.1, .2, route 224.0.0.0/4
 *                  └───── under ──────┘                    bridge, no multicast snooping
 *
 * Names carry a prefix unique to the run, so that two runs can share a machine.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command, ip, killAll } from './processes.mjs';

const FAMILY = 'vtepd-bench-';
const NAMESPACES = '/run/netns';
const prefix = `${FAMILY}${process.pid}-`;
const [UNDERLAY_BRIDGE, WIRE] = ['under', `${prefix}wire`];

const namespaces = new Set();
let folder;

/**
 * @typedef {object} Host
 * @property {number} number
 * @property {string} namespace
 * @property {string} address on the underlay
 * @property {string} inner4 address on the overlay
 * @property {string} inner6
 * @property {string} socket of its daemon
 */

/**
 * Builds a lab of two hosts.
 * @param {string} wire `offloading`: plain veth, super-frames cross whole. `mtu-true`: no packet on the wire is larger than its MTU, as on a
 *   NIC without offloads; hosts still merge what they receive
 * @returns {Host[]}
 */
export function buildLab(wire) {
  folder ??= mkdtempSync(join(tmpdir(), prefix));
  addNamespace(WIRE);
  ip('-n', WIRE, 'link', 'add', UNDERLAY_BRIDGE, 'type', 'bridge', 'mcast_snooping', '0');
  ip('-n', WIRE, 'link', 'set', UNDERLAY_BRIDGE, 'up');
  return [1, 2].map((number) => addHost(number, wire));
}

export function removeLab() {
  for (const name of namespaces) ip('netns', 'del', name);
  namespaces.clear();
}

function addHost(number, wire) {
  const host = {
    number,
    namespace: `${prefix}host${number}`,
    address: `198.18.0.${number}`,
    inner4: `192.0.2.${number}`,
    inner6: `fd00:100::${number}`,
    socket: join(folder, `${number}.sock`),
  };
  const { namespace } = host;
  const port = `h${number}`;
  addNamespace(namespace);
  ip('-n', WIRE, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
  if (wire === 'mtu-true') {
    setOffloads(WIRE, port, ['tso', 'off', 'gso', 'off', 'tx', 'off']);
    setOffloads(namespace, 'eth0', ['tso', 'off', 'gso', 'off', 'tx', 'off', 'gro', 'on']);
  }
  ip('-n', WIRE, 'link', 'set', port, 'master', UNDERLAY_BRIDGE, 'up');
  ip('-n', namespace, 'link', 'set', 'eth0', 'up');
  ip('-n', namespace, 'addr', 'add', `${host.address}/24`, 'dev', 'eth0');
  ip('-n', namespace, 'route', 'add', '224.0.0.0/4', 'dev', 'eth0');
  return host;
}

function setOffloads(namespace, device, features) {
  command('ip', 'netns', 'exec', namespace, 'ethtool', '-K', device, ...features);
}

function addNamespace(name) {
  ip('netns', 'add', name);
  namespaces.add(name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
}

/** Arranges that nothing stays behind, however the process ends; what a killed run left is removed now. */
export function cleanUpOnExit() {
  removeDeadRuns();
  process.once('exit', () => {
    killAll();
    attempt(removeLab);
    if (folder) rmSync(folder, { recursive: true, force: true });
  });
  for (const [signal, number] of [
    ['SIGHUP', 1],
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ]) {
    process.once(signal, () => process.exit(128 + number));
  }
}

/** What still runs in the namespaces of a killed run is killed with them. */
function removeDeadRuns() {
  for (const name of ofDeadRuns(NAMESPACES)) {
    attempt(() => {
      for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGKILL');
      ip('netns', 'del', name);
    });
  }
  for (const name of ofDeadRuns(tmpdir())) rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

/** Names of a run carry the id of its process. */
function ofDeadRuns(directory) {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return names.filter(
    (name) => name.startsWith(FAMILY) && !existsSync(`/proc/${Number.parseInt(name.slice(FAMILY.length), 10)}`),
  );
}

function attempt(work) {
  try {
    work();
  } catch (error) {
    console.error(`bench: ${error.message}`);
  }
}
