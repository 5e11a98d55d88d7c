/**
 * Open vSwitch's user-space datapath in one namespace, as a VLAN-aware bridge: this kernel's own bridge has no VLAN filtering. Its database,
 * sockets and log are in a folder of their own, so that one that the machine runs is not touched.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from './lab.ts';
import { command } from './namespaces.ts';
import { waitUntil } from './wait.ts';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const STOP_MS = 10_000;

export class OpenVswitch {
  readonly #namespace: Namespace;
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];

  private constructor(namespace: Namespace) {
    this.#namespace = namespace;
    this.#folder = join(namespace.lab.folder, `ovs-${namespace.namespace}`);
    mkdirSync(this.#folder);
  }

  /** Starts it with one bridge, `br0`; it ends with the current scope of the lab. */
  static async start(namespace: Namespace): Promise<OpenVswitch> {
    const ovs = new OpenVswitch(namespace);
    namespace.lab.scope.defer(() => ovs.#stop());
    await ovs.#run();
    ovs.control('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev');
    return ovs;
  }

  /** Puts an interface of the namespace into the bridge. @param vlan an access port of it; else a trunk */
  addPort(name: string, vlan?: number): void {
    this.control('add-port', 'br0', name, ...(vlan === undefined ? [] : [`tag=${vlan}`]));
  }

  /** `ovs-vsctl`, which waits until the switch has done as it was told. */
  control(...args: string[]): string {
    return command('ovs-vsctl', ['--timeout=20', `--db=unix:${this.#path('db.sock')}`, ...args]);
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
    this.#children.push(this.#namespace.spawn(program, args, { env, stdio: 'ignore' }));
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
