/**
 * SMCRoute in a router's namespace: static multicast routes. It asks no host what it joined, so it is told which groups go where, and joins
 * them itself, for that is how a switch that snoops IGMP or MLD comes to pass them to a router. Its files are in the lab's folder.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from '../host/namespaces.ts';
import { waitUntil } from '../wait.ts';
import type { Namespace } from './lab.ts';

export interface MulticastRoutingOptions {
  /** Routed both ways between `near` and `far`. */
  readonly groups: readonly string[];
  /** Those that it joins at both. Default all. */
  readonly joined?: readonly string[];
}

let configCount = 0;

export class MulticastRouting {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(router: Namespace, options: MulticastRoutingOptions) {
    configCount += 1;
    this.#name = join(router.lab.folder, `smcroute${configCount}`);
    writeFileSync(`${this.#name}.conf`, configuration(options));
    const files = ['-f', `${this.#name}.conf`, '-P', `${this.#name}.pid`, '-u', `${this.#name}.sock`];
    this.#child = router.spawn('smcrouted', ['-n', '-N', ...files], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()));
    router.lab.scope.defer(() => this.#stop());
    router.lab.scope.reports.push(() => `smcrouted in ${router.namespace}: ${stderr}`);
  }

  /** Ends with the current scope of the router's lab. */
  static async start(router: Namespace, options: MulticastRoutingOptions): Promise<MulticastRouting> {
    const routing = new MulticastRouting(router, options);
    // It writes this file when it has done all that its configuration tells.
    await waitUntil('smcrouted is ready', () => {
      if (routing.#child.exitCode !== null) throw new Error(`smcrouted ended with ${routing.#child.exitCode}`);
      return existsSync(`${routing.#name}.pid`);
    });
    return routing;
  }

  /** Joins a group at an interface of the router. */
  join(interfaceName: string, group: string): void {
    command('smcroutectl', ['-u', `${this.#name}.sock`, 'join', interfaceName, group]);
  }

  async #stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }
}

/** As in smcroute.conf(5). */
function configuration({ groups, joined = groups }: MulticastRoutingOptions): string {
  const lines = [
    'phyint near enable',
    'phyint far enable',
    ...joined.flatMap((group) => ['near', 'far'].map((name) => `mgroup from ${name} group ${group}`)),
    ...groups.flatMap((group) => [`mroute from near group ${group} to far`, `mroute from far group ${group} to near`]),
  ];
  return `${lines.join('\n')}\n`;
}
