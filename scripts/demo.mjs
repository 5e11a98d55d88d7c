/**
 * `npm run demo`: three hosts, one vtepd each, two virtual machines, and a look at what crosses the underlay.
 * Everything lives in network namespaces of this process and is gone at the end, also after Ctrl-C.
 * Exit code 0 only if the flood, the learning and the unicast were all really seen.
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
  /** VXLAN packets seen on this host's underlay cable. */
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
  step('Three hosts, an underlay between them, and a virtual machine each on the first two');
  console.log(PICTURE);
  buildUnderlay();
  for (const host of hosts) addBridge(host);
  for (const machine of [machineA, machineB]) addMachine(machine);
  await Promise.all(hosts.map(startCapture));

  step('One vtepd on each host');
  await Promise.all(hosts.map(startVtepd));
  console.log(`  $ ${vtepdWords(hosts[0]).join(' ')}\n  ready on all three`);

  step('The forwarding tables: nobody has spoken yet, so they are empty');
  const before = showTables();

  step(
    'A pings B. Where B is, nobody knows: the ARP request is flooded to the group, the answer comes back by unicast',
  );
  const firstAnswered = ping(machineA, machineB, 1);
  const first = await takePackets();
  showPackets(first);

  step('The tables now: each host learned from the outer source address of what it received');
  const after = showTables();

  step('A pings B again. Both places are known: everything is unicast, and host 3 sees none of it');
  const secondAnswered = ping(machineA, machineB, 3);
  const second = await takePackets();
  showPackets(second);

  step('What was seen');
  const flood = first.filter(({ destination, inner }) => destination === GROUP && inner.startsWith('ARP, Request'));
  const unicast = second.filter(({ inner }) => inner.startsWith('IP') && inner.includes('ICMP echo'));
  const knows = (table, mac, vtep) => table.some((entry) => entry.mac === mac && entry.vtep === vtep);
  const [one, two, three] = after;
  return judge({
    'the tables were empty before': before.every((table) => table.length === 0),
    'flood: one ARP request to the group reached host 2 and host 3, once each':
      firstAnswered === 1 &&
      flood.filter(({ at }) => at === 2).length === 1 &&
      flood.filter(({ at }) => at === 3).length === 1,
    'learn: host 1 knows B at host 2, host 2 knows A at host 1, each its own as local':
      knows(one, machineB.mac, hosts[1].address) &&
      knows(two, machineA.mac, hosts[0].address) &&
      knows(one, machineA.mac, 'local') &&
      knows(two, machineB.mac, 'local'),
    'learn: host 3 knows A from the flood, and not B, whose answer was not for it':
      knows(three, machineA.mac, hosts[0].address) && !three.some(({ mac }) => mac === machineB.mac),
    'unicast: 3 questions and 3 answers between host 1 and host 2, and not one packet at host 3':
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
    missing === 0 ? '\ndemo: flood, learn and unicast were all seen' : `\ndemo: ${missing} of the findings failed`,
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

/** Without IPv6, whose own chatter would be flooded into the picture. */
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
    if (child.exitCode !== null || left === 0) throw new Error(`vtepd on host ${host.number} did not get ready`);
    await pause(50);
  }
}

/** What leaves for and comes from one host, as tcpdump reads it: a line for the outer packet, then one for the inner. */
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

/** All that was captured since the last time; a moment's wait lets tcpdump finish its line. */
async function takePackets() {
  await pause(500);
  return hosts.flatMap(({ packets }) => packets.splice(0));
}

function showPackets(packets) {
  for (const { number, address } of hosts) {
    const here = packets.filter(({ at }) => at === number);
    console.log(`  on the cable of host ${number} (${address}):${here.length === 0 ? ' nothing' : ''}`);
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

/** Starts a program in a namespace; `ip netns exec` becomes it, so that signals to the child reach it. */
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

/** Synchronous, because it is also what runs on the way out. */
function removeEverything() {
  for (const { child } of children) if (child.exitCode === null) child.kill('SIGKILL');
  for (const name of namespaces) spawnSync('ip', ['netns', 'del', name]);
  rmSync(folder, { recursive: true, force: true });
}
