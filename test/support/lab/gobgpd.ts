/**
 * A gobgpd in a namespace. Its API is at 127.0.0.1:50051 there, and at a Unix socket in the lab's folder, which a test can reach from any namespace.
 * Debian 12 has 3.10. Versions of later Debian releases are used if `node_modules/.cache/gobgp/` has their unpacked packages.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { waitUntil } from '../wait.ts';
import type { Namespace } from './lab.ts';

export type GobgpdVersion = '3.10' | '3.36' | '4.8';

export interface GobgpdNeighbour {
  readonly address: string;
  readonly asn: number;
  /** Default false. */
  readonly isReflectorClient?: boolean;
  /** With graceful restart, without which gobgpd sends no End-of-RIB. Not before 3.11, which ends when such a peer does. Default false. */
  readonly hasGracefulRestart?: boolean;
}

export interface GobgpdOptions {
  readonly asn: number;
  readonly routerId: string;
  /** Default `3.10`. */
  readonly version?: GobgpdVersion;
  /** TCP port of BGP; -1: it accepts no connections. Default 179. */
  readonly listenPort?: number;
  /** All exchange l2vpn-evpn routes only. Default none. */
  readonly neighbours?: readonly GobgpdNeighbour[];
}

/** TCP port of the API in the namespace. */
export const GOBGPD_API_PORT = 50_051;

/** Debian releases that have the versions, and environment variables that name a program instead. */
const SOURCES = {
  '3.36': { suite: 'trixie', variable: 'GOBGPD_3_36' },
  '4.8': { suite: 'forky', variable: 'GOBGPD_4_8' },
} as const;

/** Path of the program; undefined: this machine does not have the version. */
export function findGobgpd(version: GobgpdVersion): string | undefined {
  if (version === '3.10') return '/usr/bin/gobgpd';
  const { suite, variable } = SOURCES[version];
  const cached = join(import.meta.dirname, `../../../node_modules/.cache/gobgp/${suite}/usr/bin/gobgpd`);
  return process.env[variable] ?? (existsSync(cached) ? cached : undefined);
}

let configCount = 0;

export class Gobgpd {
  readonly #host: Namespace;
  readonly #program: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  /** Path of the Unix socket of its API. */
  readonly socket: string;

  private constructor(host: Namespace, program: string, options: GobgpdOptions) {
    configCount += 1;
    this.#host = host;
    this.#program = program;
    const name = join(host.lab.folder, `gobgpd${configCount}`);
    this.socket = `${name}.sock`;
    writeFileSync(`${name}.toml`, configuration(options));
    const api = `127.0.0.1:${GOBGPD_API_PORT},unix://${this.socket}`;
    const args = ['-f', `${name}.toml`, '--api-hosts', api, '--pprof-disable', '-p'];
    this.#child = host.spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-65_536);
      });
    }
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()));
    host.lab.scope.defer(() => this.stop());
    host.lab.scope.reports.push(() => `gobgpd in ${host.namespace}: ${output}`);
  }

  /** Resolves when its API answers and it has its configuration. It ends with the current scope of the host's lab. */
  static async start(host: Namespace, options: GobgpdOptions): Promise<Gobgpd> {
    const { version = '3.10' } = options;
    const program = findGobgpd(version);
    if (!program) throw new Error(`there is no gobgpd ${version} on this machine`);
    const gobgpd = new Gobgpd(host, program, options);
    await waitUntil(`gobgpd ${version} answers`, () => gobgpd.#isConfigured(), { everyMs: 50 });
    return gobgpd;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Runs gobgpd's own command line client, e.g. `global rib -a evpn`, and returns its output. */
  cli(...args: string[]): string {
    return this.#host.run(join(dirname(this.#program), 'gobgp'), '-p', `${GOBGPD_API_PORT}`, ...args);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGKILL is the default, since a stop in order waits for its peers. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child.kill(signal);
    await this.#ended;
  }

  #isConfigured(): boolean {
    if (this.#child.exitCode !== null) throw new Error(`gobgpd ended with ${this.#child.exitCode}`);
    try {
      return /^AS:\s+[1-9]/m.test(this.cli('global'));
    } catch {
      return false;
    }
  }
}

/** As in docs/sources/configuration.md of GoBGP. The timers let sessions come up, and losses be seen, within seconds. */
function configuration({ asn, routerId, listenPort = 179, neighbours = [] }: GobgpdOptions): string {
  const lines = ['[global.config]', `as = ${asn}`, `router-id = "${routerId}"`, `port = ${listenPort}`];
  for (const { address, asn: peerAsn, isReflectorClient = false, hasGracefulRestart = false } of neighbours) {
    lines.push(
      '[[neighbors]]',
      '[neighbors.config]',
      `neighbor-address = "${address}"`,
      `peer-as = ${peerAsn}`,
      '[neighbors.timers.config]',
      'connect-retry = 1',
      'idle-hold-time-after-reset = 1',
      'hold-time = 9',
      'keepalive-interval = 3',
      '[[neighbors.afi-safis]]',
      '[neighbors.afi-safis.config]',
      'afi-safi-name = "l2vpn-evpn"',
    );
    if (hasGracefulRestart) {
      lines.push('[neighbors.afi-safis.mp-graceful-restart.config]', 'enabled = true');
      lines.push('[neighbors.graceful-restart.config]', 'enabled = true', 'restart-time = 30');
    }
    if (!isReflectorClient) continue;
    lines.push('[neighbors.route-reflector.config]', 'route-reflector-client = true');
    lines.push(`route-reflector-cluster-id = "${routerId}"`);
  }
  return `${lines.join('\n')}\n`;
}
