/**
 * Open vSwitch's user-space datapath in one host's namespace: a VLAN-aware bridge, as this kernel's own has no VLAN filtering, and VXLAN tunnels.
 * Its database, sockets and log are in a folder of their own, so that one that the machine runs is not touched.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { command } from '../host/namespaces.ts';
import { waitUntil } from '../wait.ts';
import { forceMtuTrue, type Host, type Namespace } from './lab.ts';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const STOP_MS = 10_000;

interface PortOptions {
  /** Default `br0`. */
  readonly bridge?: string;
  /** An access port of this VLAN; else a trunk. */
  readonly vlan?: number;
}

interface TunnelOptions {
  /** Default `br0`. */
  readonly bridge?: string;
  readonly vni: number;
  readonly remote: string;
}

export class OpenVswitch {
  readonly #host: Host;
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];

  private constructor(host: Host) {
    this.#host = host;
    this.#folder = join(host.lab.folder, `ovs-${host.namespace}`);
    mkdirSync(this.#folder);
  }

  /** Starts it with one bridge, `br0`; it ends with the current scope of the lab. */
  static async start(host: Host): Promise<OpenVswitch> {
    const ovs = new OpenVswitch(host);
    host.lab.scope.defer(() => ovs.#stop());
    await ovs.#run();
    ovs.addBridge('br0');
    return ovs;
  }

  addBridge(name: string): void {
    this.control('add-br', name, '--', 'set', 'bridge', name, 'datapath_type=netdev');
  }

  /** Puts an interface of the host into a bridge. */
  addPort(name: string, { bridge = 'br0', vlan }: PortOptions = {}): void {
    this.control('add-port', bridge, name, ...(vlan === undefined ? [] : [`tag=${vlan}`]));
  }

  /** A machine at a port: 192.0.2.`number`/24 and 02:00:00:00:00:0`number`. It hands over nothing unfinished. */
  addMachine(number: number, options: PortOptions = {}): Namespace {
    const [host, port] = [this.#host, `vm${number}`];
    const namespace = host.lab.namespace(port);
    const mac = `02:00:00:00:00:0${number}`;
    const peer = ['peer', 'name', 'eth0', 'address', mac, 'mtu', '1450', 'netns', namespace.namespace];
    host.ip('link', 'add', port, 'mtu', '1450', 'type', 'veth', ...peer);
    host.ip('link', 'set', port, 'up');
    namespace.ip('addr', 'add', `192.0.2.${number}/24`, 'dev', 'eth0');
    namespace.ip('link', 'set', 'eth0', 'up');
    forceMtuTrue(namespace.namespace, 'eth0', { receiveMerge: 0 });
    this.addPort(port, options);
    return namespace;
  }

  /** The user-space datapath sends and hears tunnels by itself, where the underlay's interface and address are those of a bridge. */
  takeUnderlay(): void {
    this.addBridge('br-underlay');
    this.addPort('eth0', { bridge: 'br-underlay' });
    this.#host.ip('addr', 'flush', 'dev', 'eth0');
    this.#host.ip('addr', 'add', `${this.#host.address}/24`, 'dev', 'br-underlay');
    this.#host.ip('link', 'set', 'br-underlay', 'up');
  }

  /** A tunnel to one VTEP. Protected ports of a bridge do not forward to each other. */
  addTunnel(name: string, { bridge = 'br0', vni, remote }: TunnelOptions): void {
    const options = [`options:remote_ip=${remote}`, `options:key=${vni}`];
    const port = ['add-port', bridge, name, '--', 'set', 'port', name, 'protected=true'];
    this.control(...port, '--', 'set', 'interface', name, 'type=vxlan', ...options);
  }

  /** MACs that a bridge has learned. */
  learned(bridge: string): string[] {
    return this.#ask('fdb/show', bridge).match(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g) ?? [];
  }

  /** `ovs-vsctl`, which waits until the switch has done as it was told. */
  control(...args: string[]): string {
    return command('ovs-vsctl', ['--timeout=20', `--db=unix:${this.#path('db.sock')}`, ...args]);
  }

  /** Runs a command line as one who pastes it on this host. */
  paste(line: string): string {
    return command('env', [`OVS_RUNDIR=${this.#folder}`, 'sh', '-c', line]);
  }

  #ask(...args: string[]): string {
    return command('ovs-appctl', ['--timeout=20', `--target=${this.#path('ovs-vswitchd.ctl')}`, ...args]);
  }

  async #run(): Promise<void> {
    const database = this.#path('conf.db');
    command('ovsdb-tool', ['create', database, SCHEMA]);
    const socket = this.#path('db.sock');
    const where = (name: string) => [
      `--unixctl=${this.#path(`${name}.ctl`)}`,
      `--log-file=${this.#path(`${name}.log`)}`,
      '--verbose=console:off',
    ];
    this.#spawn('ovsdb-server', [database, `--remote=punix:${socket}`, ...where('ovsdb-server')]);
    await waitUntil('the database of Open vSwitch', () => existsSync(socket));
    this.control('--no-wait', 'init');
    this.#spawn('ovs-vswitchd', [`unix:${socket}`, '--disable-system', ...where('ovs-vswitchd')]);
  }

  #spawn(program: string, args: readonly string[]): void {
    const env = { ...process.env, OVS_RUNDIR: this.#folder, OVS_LOGDIR: this.#folder, OVS_DBDIR: this.#folder };
    this.#children.push(this.#host.spawn(program, args, { env, stdio: 'ignore' }));
  }

  async #stop(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await new Promise<void>((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) resolve();
        child.once('exit', () => resolve());
      });
      clearTimeout(timer);
    }
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}
