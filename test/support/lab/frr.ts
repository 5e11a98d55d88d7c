/**
 * FRR's bgpd and zebra in one namespace: a BGP speaker for EVPN, as a route reflector, or as the control plane of the kernel's vxlan devices there.
 * Their files and sockets are in a folder of their own, so that an FRR that the machine runs is not touched.
 */
import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from '../host/namespaces.ts';
import { waitUntil } from '../wait.ts';
import type { Host, Namespace } from './lab.ts';

const PROGRAMS = '/usr/lib/frr';

export interface FrrNeighbour {
  readonly address: string;
  readonly asn: number;
  /** Default false. */
  readonly isReflectorClient?: boolean;
}

export interface FrrOptions {
  readonly asn: number;
  readonly routerId: string;
  /** All exchange l2vpn-evpn routes only. */
  readonly neighbours: readonly FrrNeighbour[];
  /** Whether it announces the VNIs of the kernel's vxlan devices. Default false. */
  readonly isVtep?: boolean;
}

/** What `show evpn mac vni N json` has of one MAC. */
export interface FrrMac {
  readonly type: 'local' | 'remote';
  readonly remoteVtep?: string;
  readonly intf?: string;
  readonly localSequence: number;
  readonly remoteSequence: number;
}

let folderCount = 0;

export class Frr {
  readonly #host: Namespace;
  readonly #folder: string;
  readonly #children = new Map<string, ChildProcess>();
  #output = '';

  private constructor(host: Namespace, options: FrrOptions) {
    folderCount += 1;
    this.#host = host;
    this.#folder = join(host.lab.folder, `frr${folderCount}`);
    // The daemons run as user frr, who must come through to a folder of his.
    chmodSync(host.lab.folder, 0o711);
    command('install', ['-d', '-o', 'frr', '-g', 'frr', this.#folder]);
    writeFileSync(this.#path('zebra.conf'), 'log stdout\n');
    writeFileSync(this.#path('bgpd.conf'), configuration(options));
    host.lab.scope.defer(() => this.stop());
    host.lab.scope.reports.push(() => `FRR in ${host.namespace}: ${this.#output}`);
  }

  /** Resolves when both daemons answer. They end with the current scope of the host's lab. */
  static async start(host: Namespace, options: FrrOptions): Promise<Frr> {
    const frr = new Frr(host, options);
    frr.#spawn('zebra');
    await waitUntil('zebra has its socket', () => existsSync(frr.#path('zserv.api')));
    await frr.startBgp();
    return frr;
  }

  /** Starts bgpd; also anew, after it was killed. */
  async startBgp(): Promise<void> {
    this.#spawn('bgpd');
    await waitUntil('bgpd answers', () => this.#isConfigured(), { everyMs: 50 });
  }

  /** Ends bgpd alone, as a crash does. */
  async killBgp(): Promise<void> {
    await this.#end('bgpd');
  }

  /** Output of one command, parsed; it must be one that ends in `json`. */
  query<T>(line: string): T {
    return JSON.parse(this.#run(line)) as T;
  }

  /** What zebra knows of the MACs of a VNI. */
  macs(vni: number): Readonly<Record<string, FrrMac>> {
    type Shown = { macs?: Record<string, FrrMac> };
    return this.query<Shown>(`show evpn mac vni ${vni} json`).macs ?? {};
  }

  /** The VTEPs that a VNI's floods go to. */
  remoteVteps(vni: number): string[] {
    type Shown = Record<string, { remoteVteps?: string[] }>;
    return [...(this.query<Shown>('show evpn vni json')[vni]?.remoteVteps ?? [])].sort();
  }

  async stop(): Promise<void> {
    for (const name of [...this.#children.keys()].toReversed()) await this.#end(name);
  }

  #run(line: string): string {
    return command('vtysh', ['--vty_socket', this.#folder, '-c', line]);
  }

  #isConfigured(): boolean {
    const child = this.#children.get('bgpd');
    if (child?.exitCode !== null) throw new Error(`bgpd ended with ${child?.exitCode}: ${this.#output}`);
    try {
      return /^router bgp/m.test(command('vtysh', ['--vty_socket', this.#folder, '-d', 'bgpd', '-c', 'show running']));
    } catch {
      return false;
    }
  }

  #spawn(name: 'zebra' | 'bgpd'): void {
    const files = ['-f', this.#path(`${name}.conf`), '-i', this.#path(`${name}.pid`), '-z', this.#path('zserv.api')];
    const args = [...files, '--vty_socket', this.#folder, '-P', '0'];
    const child = this.#host.spawn(join(PROGRAMS, name), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-65_536);
      });
    }
    this.#children.set(name, child);
  }

  /** SIGKILL: a stop in order would wait for what the namespace takes with it anyway. */
  async #end(name: string): Promise<void> {
    const child = this.#children.get(name);
    this.#children.delete(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGKILL');
    await ended;
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

/** Timers let sessions come up, and losses be seen, within seconds. */
function configuration({ asn, routerId, neighbours, isVtep = false }: FrrOptions): string {
  const lines = ['log stdout', `router bgp ${asn}`, `bgp router-id ${routerId}`, 'no bgp default ipv4-unicast'];
  lines.push('timers bgp 3 9');
  for (const { address, asn: peer } of neighbours) {
    lines.push(`neighbor ${address} remote-as ${peer}`, `neighbor ${address} timers connect 1`);
  }
  lines.push('address-family l2vpn evpn');
  for (const { address, isReflectorClient = false } of neighbours) {
    lines.push(`neighbor ${address} activate`);
    if (isReflectorClient) lines.push(`neighbor ${address} route-reflector-client`);
  }
  if (isVtep) lines.push('advertise-all-vni');
  return `${[...lines, 'exit-address-family'].join('\n')}\n`;
}

/** A VNI as FRR wants it: the kernel's vxlan device, which learns nothing by itself, as a port of a bridge that exists. */
export function addEvpnDevice(host: Host, { vni, bridge }: { vni: number; bridge: string }): string {
  const name = `vxlan${vni}`;
  const words = ['type', 'vxlan', 'id', `${vni}`, 'local', host.address, 'dstport', '4789', 'nolearning'];
  host.ip('link', 'add', name, 'mtu', '1450', ...words);
  host.ip('link', 'set', name, 'master', bridge, 'up');
  host.ip('link', 'set', name, 'type', 'bridge_slave', 'neigh_suppress', 'on', 'learning', 'off');
  return name;
}

/** Rows of `bridge fdb show` for a device: MAC, VTEP, and flags such as `extern_learn`. */
export function bridgeFdb(host: Host, device: string): { mac: string; dst?: string; flags: readonly string[] }[] {
  const shown = command('bridge', ['-n', host.namespace, '-j', 'fdb', 'show', 'dev', device]).trim();
  return JSON.parse(shown === '' ? '[]' : shown);
}
