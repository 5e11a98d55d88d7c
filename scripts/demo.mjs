/**
 * `npm run demo`: three hosts with one vtepd each, two virtual machines, and captures of the underlay.
 * Everything is in network namespaces of this process and is removed at the end, also after Ctrl-C.
 * The exit code is 0 only if the captures and tables show the flood, the learning and the unicast.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBuilt, ensureNodeModules, ensureSystemPackages, fail, isRoot } from './setup.mjs';

const VNI = 100;
const GROUP = '239.1.1.1';
const PICTURE = `
   VM A 192.0.2.11              VM B 192.0.2.12
         |                            |
      br-vms - vxlan100            br-vms - vxlan100            br-vms - vxlan100
               vtepd                        vtepd                        vtepd
      host 1   198.18.0.1          host 2   198.18.0.2          host 3   198.18.0.3
         |                            |                            |
         +------------ underlay, VNI ${VNI} = group ${GROUP} ------------+
`;

if (!isRoot) fail('the demo makes network namespaces and TAP devices: run it as root');
ensureSystemPackages({ ip: 'iproute2', ping: 'iputils-ping', tcpdump: 'tcpdump' });
ensureNodeModules();
ensureBuilt();

let stepCount = 0;
const prefix = `vtepd-demo-${process.pid}-`;
const folder = mkdtempSync(join(tmpdir(), prefix));
const namespaces = [];
const children = [];
const hosts = [1, 2, 3].map((number) => ({
  number,
  address: `198.18.0.${number}`,
  namespace: `${prefix}host${number}`,
  socket: join(folder, `host${number}.sock`),
  log: '',
  /** VXLAN packets captured on this host's underlay link. */
  packets: [],
}));
const machineA = {
  name: 'A',
  namespace: `${prefix}vm-a`,
  address: '192.0.2.11',
  mac: '02:00:00:00:00:0a',
  host: hosts[0],
};
const machineB = {
  name: 'B',
  namespace: `${prefix}vm-b`,
  address: '192.0.2.12',
  mac: '02:00:00:00:00:0b',
  host: hosts[1],
};

process.once('exit', removeEverything);
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
]) {
  process.once(signal, () => process.exit(128 + number));
}

try {
  process.exitCode = (await demonstrate()) ? 0 : 1;
} catch (error) {
  for (const host of hosts) if (host.log !== '') console.error(`--- host ${host.number}\n${host.log}`);
  console.error(`error: ${error.message}`);
  console.log('demo: failed before the end');
  process.exitCode = 1;
}
for (const { child } of children) child.kill('SIGTERM');
await Promise.all(children.map(({ ended }) => Promise.race([ended, pause(3000)])));
process.exit();

async function demonstrate() {
  step('Set up three hosts on one underlay. Hosts 1 and 2 have one virtual machine each');
  console.log(PICTURE);
  buildUnderlay();
  for (const host of hosts) addBridge(host);
  for (const machine of [machineA, machineB]) addMachine(machine);
  await Promise.all(hosts.map(startCapture));

  step('Start vtepd on each host');
  await Promise.all(hosts.map(startVtepd));
  console.log(`  $ ${vtepdWords(hosts[0]).join(' ')}\n  ready on all three`);

  step('Show the forwarding databases. No station has sent a frame yet, so they are empty');
  const before = showTables();

  step('A pings B. The place of B is unknown: the ARP request is flooded to the group, and the reply is unicast');
  const firstAnswered = ping(machineA, machineB, 1);
  const first = await takePackets();
  showPackets(first);

  step('Show the forwarding databases again. Each host learned from the outer source addresses of received packets');
  const after = showTables();

  step('A pings B again. Both places are known: all packets are unicast, and host 3 receives none');
  const secondAnswered = ping(machineA, machineB, 3);
  const second = await takePackets();
  showPackets(second);

  step('Results');
  const flood = first.filter(({ destination, inner }) => destination === GROUP && inner.startsWith('ARP, Request'));
  const unicast = second.filter(({ inner }) => inner.startsWith('IP') && inner.includes('ICMP echo'));
  const knows = (table, mac, vtep) => table.some((entry) => entry.mac === mac && entry.vtep === vtep);
  const [one, two, three] = after;
  return judge({
    'the forwarding databases were empty before': before.every((table) => table.length === 0),
    'flood: one ARP request to the group reached host 2 and host 3, once each':
      firstAnswered === 1 &&
      flood.filter(({ at }) => at === 2).length === 1 &&
      flood.filter(({ at }) => at === 3).length === 1,
    'learn: host 1 has B at host 2, host 2 has A at host 1, and each has its own machine as local':
      knows(one, machineB.mac, hosts[1].address) &&
      knows(two, machineA.mac, hosts[0].address) &&
      knows(one, machineA.mac, 'local') &&
      knows(two, machineB.mac, 'local'),
    'learn: host 3 has A from the flood, and not B, since the unicast reply did not reach it':
      knows(three, machineA.mac, hosts[0].address) && !three.some(({ mac }) => mac === machineB.mac),
    'unicast: 3 echo requests and 3 replies between host 1 and host 2, and no packet at host 3':
      secondAnswered === 3 &&
      unicast.filter(({ at, destination }) => at === 2 && destination === hosts[1].address).length === 3 &&
      unicast.filter(({ at, destination }) => at === 1 && destination === hosts[0].address).length === 3 &&
      second.every(({ at, destination }) => at !== 3 && destination !== GROUP),
  });
}

function judge(findings) {
  for (const [finding, seen] of Object.entries(findings)) console.log(`  ${seen ? 'yes' : 'NO '}  ${finding}`);
  const missing = Object.values(findings).filter((seen) => !seen).length;
  console.log(
    missing === 0 ? '\ndemo: flood, learn and unicast were all seen' : `\ndemo: ${missing} of the checks failed`,
  );
  return missing === 0;
}

function buildUnderlay() {
  const wire = addNamespace(`${prefix}wire`);
  ip('-n', wire, 'link', 'add', 'under', 'type', 'bridge', 'mcast_snooping', '0');
  ip('-n', wire, 'link', 'set', 'under', 'up');
  for (const { number, namespace, address } of hosts) {
    addNamespace(namespace);
    ip('-n', wire, 'link', 'add', `h${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    ip('-n', wire, 'link', 'set', `h${number}`, 'master', 'under', 'up');
    ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', namespace, 'route', 'add', '224.0.0.0/4', 'dev', 'eth0');
  }
}

function addBridge({ namespace }) {
  ip('-n', namespace, 'link', 'add', 'br-vms', 'type', 'bridge', 'mcast_snooping', '0');
  ip('-n', namespace, 'link', 'set', 'br-vms', 'up');
}

function addMachine({ namespace, address, mac, host }) {
  addNamespace(namespace);
  const peer = ['peer', 'name', 'eth0', 'address', mac, 'mtu', '1450', 'netns', namespace];
  ip('-n', host.namespace, 'link', 'add', 'vm', 'mtu', '1450', 'type', 'veth', ...peer);
  ip('-n', host.namespace, 'link', 'set', 'vm', 'master', 'br-vms', 'up');
  ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
  ip('-n', namespace, 'link', 'set', 'eth0', 'up');
}

/** IPv6 is off: its own multicast packets would be flooded, and would be in the captures. */
function addNamespace(name) {
  ip('netns', 'add', name);
  namespaces.push(name);
  for (const scope of ['all', 'default']) {
    const setting = `/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`;
    execFileSync('ip', ['netns', 'exec', name, 'sh', '-c', `[ ! -e ${setting} ] || echo 1 > ${setting}`]);
  }
  ip('-n', name, 'link', 'set', 'lo', 'up');
  return name;
}

function vtepdWords({ socket }) {
  return ['bin/vtepd', '--dev', 'eth0', '--vni', `${VNI}=${GROUP},bridge=br-vms`, '--socket', socket];
}

async function startVtepd(host) {
  const { child } = start(host.namespace, [process.execPath, ...vtepdWords(host)], (text) => {
    host.log += text;
  });
  for (let left = 200; !existsSync(host.socket); left--) {
    if (child.exitCode !== null || left === 0) throw new Error(`vtepd on host ${host.number} did not become ready`);
    await pause(50);
  }
}

/** Captures the packets to and from one host. tcpdump prints a line for the outer packet and then one for the inner packet. */
async function startCapture(host) {
  const words = ['tcpdump', '-i', `h${host.number}`, '-nn', '-t', '-l', '--immediate-mode', 'udp', 'port', '4789'];
  let [listening, rest, outer] = [false, '', undefined];
  start(`${prefix}wire`, words, (text) => {
    listening ||= text.includes('listening on');
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const match = /^IP (\S+)\.\d+ > (\S+)\.4789: VXLAN.* vni (\d+)/.exec(line);
      if (match) outer = { at: host.number, source: match[1], destination: match[2], vni: Number(match[3]) };
      else if (outer) host.packets.push({ ...outer, inner: line.trim() });
      if (!match) outer = undefined;
    }
  });
  for (let left = 100; !listening; left--) {
    if (left === 0) throw new Error('tcpdump did not start');
    await pause(50);
  }
}

/** Returns the packets captured since the last call. The pause lets tcpdump finish its line. */
async function takePackets() {
  await pause(500);
  return hosts.flatMap(({ packets }) => packets.splice(0));
}

function showPackets(packets) {
  for (const { number, address } of hosts) {
    const here = packets.filter(({ at }) => at === number);
    console.log(`  on the underlay link of host ${number} (${address}):${here.length === 0 ? ' nothing' : ''}`);
    for (const { source, destination, vni, inner } of here) {
      console.log(`    ${source} > ${destination.padEnd(10)}  vni ${vni}  ${inner.replace(/, length .*/, '')}`);
    }
  }
}

function showTables() {
  return hosts.map((host) => {
    console.log(`  host ${host.number} $ vtepctl fdb show`);
    console.log(vtepctl(host, 'fdb', 'show').trimEnd().replace(/^/gm, '    '));
    return JSON.parse(vtepctl(host, '--json', 'fdb', 'show'));
  });
}

function vtepctl({ socket }, ...words) {
  return execFileSync(process.execPath, ['bin/vtepctl', '--socket', socket, ...words], { encoding: 'utf8' });
}

function ping(from, to, count) {
  const words = ['-n', '-c', `${count}`, '-i', '0.2', '-W', '2', to.address];
  console.log(`  VM ${from.name} $ ping ${words.join(' ')}`);
  const { stdout } = spawnSync('ip', ['netns', 'exec', from.namespace, 'ping', ...words], { encoding: 'utf8' });
  for (const line of stdout.split('\n')) if (/bytes from|received/.test(line)) console.log(`    ${line}`);
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

/** Starts a program in a namespace. `ip netns exec` is replaced by the program, so signals to the child reach it. */
function start(namespace, words, onText) {
  const child = spawn('ip', ['netns', 'exec', namespace, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.setEncoding('utf8').on('data', onText);
  child.stderr.setEncoding('utf8').on('data', onText);
  const started = { child, ended: new Promise((resolve) => child.once('exit', resolve)) };
  child.once('error', (error) => onText(`${error.message}\n`));
  children.push(started);
  return started;
}

function ip(...words) {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });
}

function step(text) {
  stepCount += 1;
  console.log(`\n${stepCount}. ${text}`);
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Synchronous, since it also runs in the exit handler. */
function removeEverything() {
  for (const { child } of children) if (child.exitCode === null) child.kill('SIGKILL');
  for (const name of namespaces) spawnSync('ip', ['netns', 'del', name]);
  rmSync(folder, { recursive: true, force: true });
}
