/** The two kinds of VTEP, and a pair of one kind on the lab's two hosts. */
import { cpuSeconds, finish, ip, oneLine, pause, start } from './processes.mjs';

const INNER_MTU_BYTES = 1450;
const READY_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 5_000;

/** The same name for both kinds: vtepd calls its TAP so unless told otherwise. */
export const DEVICE = 'vxlan100';
export const VNI = 100;
const GROUP = '239.1.1.1';

/** How a VTEP is brought up on a host, and taken down again. */
export const KINDS = {
  kernel: {
    start({ namespace, address }) {
      const device = ['id', `${VNI}`, 'group', GROUP, 'dev', 'eth0', 'dstport', '4789', 'local', address];
      ip('-n', namespace, 'link', 'add', DEVICE, 'type', 'vxlan', ...device);
      ip('-n', namespace, 'link', 'set', DEVICE, 'up');
    },
    stop: ({ namespace }) => ip('-n', namespace, 'link', 'del', DEVICE),
  },
  vtepd: {
    async start(host, flags) {
      host.daemon = (await startDaemon(host, flags)).daemon;
    },
    async stop(host) {
      const { daemon } = host;
      host.daemon = undefined;
      if (daemon) await stopDaemon(daemon);
    },
  },
};

export const KIND_NAMES = Object.keys(KINDS);

/** A `--vni` entry of the VNI that the lab's traffic is in. @param {string} keys such as `,vlan=0` */
export const entryWith = (keys) => `${VNI}=${GROUP}${keys}`;

/**
 * Starts vtepd and waits for the READY=1 that it owes systemd, which comes when every TAP is up and every group joined.
 * @param {{ entry?: string, patienceMs?: number }} [options] the first `--vni`
 * @returns {Promise<{ daemon: import('./processes.mjs').Running, readyMs: number }>} `readyMs` from its start on
 */
export async function startDaemon(host, flags, { entry = entryWith(''), patienceMs = READY_TIMEOUT_MS } = {}) {
  // Not a static import: koffi may be among what the bench has yet to install.
  const { NotifySocket } = await import('./notify-socket.mjs');
  const path = `${host.socket}.notify`;
  const notifications = new NotifySocket(path);
  const words = ['bin/vtepd', '--dev', 'eth0', '--vni', entry, '--socket', host.socket, ...flags];
  try {
    const begin = performance.now();
    const daemon = start(host.namespace, [process.execPath, ...words], { env: { NOTIFY_SOCKET: path } });
    while (!notifications.isReady()) {
      if (daemon.state.code !== undefined) throw new Error(`vtepd ended: ${oneLine(daemon.state.stderr)}`);
      if (performance.now() - begin > patienceMs) {
        daemon.kill('SIGKILL');
        throw new Error(`vtepd was not ready after ${patienceMs / 1000} s`);
      }
      await pause(1);
    }
    return { daemon, readyMs: performance.now() - begin };
  } finally {
    notifications.close();
  }
}

/** @param {import('./processes.mjs').Running} daemon */
export async function stopDaemon(daemon) {
  daemon.kill('SIGTERM');
  await finish(daemon, 'vtepd', STOP_TIMEOUT_MS);
}

/** A VTEP of one kind on each host, with addresses on the overlay. */
export class Pair {
  #started = [];

  /** Whether it was started, and not stopped since. */
  get isUp() {
    return this.#started.length > 0;
  }

  /**
   * @param {'kernel' | 'vtepd'} kind
   * @param {import('./lab.mjs').Host[]} hosts
   * @param {string[]} daemonFlags
   */
  constructor(kind, hosts, daemonFlags) {
    Object.assign(this, { kind, hosts, daemonFlags });
  }

  /** Returns when both hosts hear each other by IPv4 and IPv6. */
  async start() {
    for (const host of this.hosts) {
      this.#started.push(host);
      await KINDS[this.kind].start(host, this.daemonFlags);
      const [{ mtu }] = JSON.parse(ip('-n', host.namespace, '-j', 'link', 'show', DEVICE));
      if (mtu !== INNER_MTU_BYTES) throw new Error(`${DEVICE} of ${this.kind} has MTU ${mtu}, not ${INNER_MTU_BYTES}`);
      ip('-n', host.namespace, 'addr', 'add', `${host.inner4}/24`, 'dev', DEVICE);
      ip('-n', host.namespace, 'addr', 'add', `${host.inner6}/64`, 'dev', DEVICE, 'nodad');
    }
    const [near, far] = this.hosts;
    for (const address of [far.inner4, far.inner6]) {
      // With -w, -c counts answers: the first may be lost to neighbour resolution.
      const words = ['ping', '-n', '-q', '-i', '0.2', '-c', '1', '-w', '5', address];
      const { stdout } = await start(near.namespace, words).ended;
      if (!/ [1-9]\d* received/.test(stdout)) throw new Error(`no answer from ${address} through ${this.kind}`);
    }
  }

  /** Both are attempted, also after a start that failed half-way. */
  async stop() {
    const errors = [];
    for (const host of this.#started.splice(0)) {
      try {
        await KINDS[this.kind].stop(host);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** Processor time of both daemons; undefined for the kernel, whose work is in nobody's account. */
  cpuSeconds() {
    if (this.kind === 'kernel') return undefined;
    return this.hosts.reduce((sum, { daemon }) => sum + cpuSeconds(daemon.pid), 0);
  }
}
