/** What is sent through a pair of VTEPs, from the first host to the second. Each function returns its figures by name. */
import { readFileSync } from 'node:fs';
import { command, finish, oneLine, pause, start } from './processes.mjs';
import { percentile } from './statistics.mjs';

const IPERF_PORT = 5201;
const LISTEN_TIMEOUT_MS = 5_000;
/** Time on top of a run's own: connecting, the omitted second, exchanging results over a link that the run has filled. */
const PATIENCE_MS = 15_000;
/** TCP's slow start is not what is asked for. */
const OMITTED_SECONDS = 1;

/** The port of VXLAN, 4789, as /proc/net/udp ends a local address. */
const VXLAN_PORT_HEX = ':12B5';

const OFFERED_PER_SECOND = 100_000;
const PING_INTERVAL_SECONDS = 0.001;
/** Those that wait for neighbour resolution and cold caches. */
const DROPPED_PINGS = 20;

/**
 * @param {import('./vteps.mjs').Pair} pair
 * @param {{ streams: number, seconds: number, inner?: 4 | 6 }} options
 */
export async function tcp(pair, { streams, seconds, inner = 4 }) {
  const before = pair.cpuSeconds();
  const { server } = await iperf(pair, { inner, seconds, args: ['-P', `${streams}`] });
  const after = pair.cpuSeconds();
  const gbps = server.end.sum_received.bits_per_second / 1e9;
  if (before === undefined) return { gbps };
  const bytes = server.intervals.reduce((sum, interval) => sum + interval.sum.bytes, 0);
  return { gbps, cpuPerGb: (after - before) / (bytes / 1e9) };
}

/**
 * As much UDP as the sender can. Counted by the octets that the receiving process was given: the sender's figure is what it offered, and the
 * interfaces count merged datagrams as one.
 */
export async function udp(pair, { flows, octets, seconds }) {
  const { server } = await iperf(pair, { seconds, args: ['-u', '-b', '0', '-l', `${octets}`, '-P', `${flows}`] });
  const { bytes, seconds: lasted } = server.end.sum_received;
  return { kpps: bytes / octets / lasted / 1e3, gbps: (8 * bytes) / lasted / 1e9 };
}

/**
 * Share of datagrams that are lost at a rate which is offered rather than the highest there is. What overruns the receiving process's own
 * socket is no VTEP's doing and is told apart: on two busy cores it may be most.
 */
export async function loss(pair, { octets, seconds }) {
  const rate = `${8 * octets * OFFERED_PER_SECOND}`;
  const before = overruns(pair);
  // Nothing omitted: the overruns cannot be told apart by time.
  const { client, server } = await iperf(pair, { seconds, omitted: 0, args: ['-u', '-b', rate, '-l', `${octets}`] });
  const overrun = overruns(pair) - before;
  const { packets: offered, seconds: lasted } = client.end.sum_sent;
  // By the gaps in the receiver's sequence: what it has not read yet at the end is not lost.
  const { lost_packets: lost, packets } = server.end.sum;
  const percentOf = (count) => (100 * count) / packets;
  return { percent: percentOf(lost), overrunPercent: percentOf(overrun), offeredKpps: offered / lasted / 1e3 };
}

/** Datagrams that sockets of the far host had no room for, except those of its VTEP. */
function overruns({ hosts: [, far] }) {
  const tables = command('ip', 'netns', 'exec', far.namespace, 'cat', '/proc/net/snmp', '/proc/net/udp').split('\n');
  const [names, values] = tables.filter((line) => line.startsWith('Udp:')).map((line) => line.split(' '));
  const ofVtep = tables.map((line) => line.trim().split(/\s+/)).filter(([, local]) => local?.endsWith(VXLAN_PORT_HEX));
  return Number(values[names.indexOf('RcvbufErrors')]) - ofVtep.reduce((sum, row) => sum + Number(row.at(-1)), 0);
}

/**
 * Round trips at 1 kHz, by ping: the answer is given, and its arrival is stamped, inside the kernel, so no process has to be woken up within
 * what is measured. A pair of Node.js sockets would add two wake-ups of an event loop, more than the kernel's whole round trip.
 */
export async function roundTrips(pair, { count }) {
  const [near, far] = pair.hosts;
  const words = ['ping', '-n', '-i', `${PING_INTERVAL_SECONDS}`, '-c', `${count}`, '-W', '1', far.inner4];
  const output = await finish(start(near.namespace, words), 'ping', count + PATIENCE_MS);
  const times = roundTripTimes(output);
  if (times.length < count / 2) throw new Error(`ping: ${times.length} of ${count} answered`);
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

/** `roundTrips` for as long as something else lasts. @returns {Promise<{ p50: number, p99: number, value: unknown }>} and its value */
export async function roundTripsDuring({ hosts: [near, far] }, activity) {
  const ping = start(near.namespace, ['ping', '-n', '-i', `${PING_INTERVAL_SECONDS}`, '-W', '1', far.inner4]);
  try {
    const value = await activity();
    ping.kill('SIGINT');
    const { stdout } = await ping.ended;
    const times = roundTripTimes(stdout);
    if (times.length === 0) throw new Error('ping: no answer');
    return { p50: percentile(times, 0.5), p99: percentile(times, 0.99), value };
  } finally {
    ping.kill('SIGKILL');
  }
}

const roundTripTimes = (output) =>
  Array.from(output.matchAll(/ time=([\d.]+) ms/g), ([, ms]) => 1000 * Number(ms)).slice(DROPPED_PINGS);

/** Lets both ends learn, resolve and compile, so that no measure pays for being the first. */
export async function warmUp(pair, seconds) {
  await iperf(pair, { seconds, omitted: 0, args: [] });
  await iperf(pair, { seconds, omitted: 0, args: ['-u', '-b', '0', '-l', '64'] });
}

/** One run of iperf3; the reports of both ends. */
async function iperf({ hosts: [near, far] }, { inner = 4, seconds, omitted = OMITTED_SECONDS, args }) {
  const [from, to] = inner === 4 ? [near.inner4, far.inner4] : [near.inner6, far.inner6];
  const server = start(far.namespace, ['iperf3', '-J', '-s', '-1', '-B', to]);
  try {
    await listening(server);
    const timing = ['-t', `${seconds}`, '-O', `${omitted}`];
    const client = start(near.namespace, ['iperf3', '-J', '-c', to, '-B', from, ...timing, ...args]);
    const timeoutMs = (seconds + omitted) * 1000 + PATIENCE_MS;
    const sent = await finish(client, 'iperf3', timeoutMs).catch((error) => {
      throw new Error(complaint(client.state.stdout) ?? error.message);
    });
    const received = await finish(server, 'iperf3 -s', PATIENCE_MS);
    const error = complaint(sent) ?? complaint(received);
    if (error) throw new Error(error);
    return { client: JSON.parse(sent), server: JSON.parse(received) };
  } finally {
    server.kill('SIGKILL');
  }
}

/** Connecting too early fails at once, and a fixed pause is either too short or wasted 200 times in a full run. */
async function listening(server) {
  const port = IPERF_PORT.toString(16).toUpperCase();
  const isListening = new RegExp(`:${port} \\S+ 0A `);
  const read = (file) => readFileSync(`/proc/${server.pid}/${file}`, 'utf8');
  for (const begin = performance.now(); performance.now() - begin < LISTEN_TIMEOUT_MS; await pause(10)) {
    if (server.state.code !== undefined) throw new Error(`iperf3 -s ended: ${oneLine(server.state.stdout)}`);
    // Before it is iperf3 it is `ip`, and perhaps not in the namespace yet.
    const isIperf = read('comm').trim() === 'iperf3';
    if (isIperf && ['net/tcp', 'net/tcp6'].some((table) => isListening.test(read(table)))) return;
  }
  throw new Error('iperf3 -s does not listen');
}

/** With -J iperf3 writes its errors into the report. Nothing is said by the report of one that was killed. */
function complaint(report) {
  try {
    const { error } = JSON.parse(report);
    return error && `iperf3: ${error}`;
  } catch {
    return undefined;
  }
}
