/**
 * A virtual machine that migrates live: each host has it, with one MAC and one address, and it is up at one of them. As in a migration by libvirt, it
 * first runs at its new host, and then goes at the old one.
 */

import { command } from '../host/namespaces.ts';
import { arp, BROADCAST, ETHERTYPE, ethernet } from '../traffic/frames.ts';
import { waitUntil } from '../wait.ts';
import type { Host, Namespace } from './lab.ts';
import { addVirtualMachine, type VirtualMachine } from './virtual-machine.ts';

export class MigratingMachine {
  readonly #copies: ReadonlyMap<Host, VirtualMachine>;
  readonly mac: string;
  readonly address: string;
  readonly #port: string;
  #host: Host | undefined;

  constructor(hosts: readonly Host[], { bridge, number }: { bridge: string; number: number }) {
    this.#port = `vm${number}`;
    const label = (host: Host) => `vm${number}-at-${host.number}`;
    this.#copies = new Map(
      hosts.map((host) => [host, addVirtualMachine(host, { bridge, number, label: label(host) })]),
    );
    const [first] = this.#copies.values();
    if (!first) throw new Error('a machine needs a host');
    ({ mac: this.mac, address: this.address } = first);
    for (const { namespace } of this.#copies.values()) namespace.ip('link', 'set', 'eth0', 'down');
  }

  /** Undefined: it is nowhere. */
  get host(): Host | undefined {
    return this.#host;
  }

  /** The running copy. */
  get namespace(): Namespace {
    const copy = this.#host && this.#copies.get(this.#host);
    if (!copy) throw new Error('the machine is nowhere');
    return copy.namespace;
  }

  /** Runs at a host. @param isAnnounced whether it sends a gratuitous ARP; else it says nothing by itself */
  async moveTo(host: Host, { isAnnounced }: { isAnnounced: boolean }): Promise<void> {
    const before = this.#host && this.#copies.get(this.#host);
    this.#host = host;
    this.namespace.ip('link', 'set', 'eth0', 'up');
    // The kernel enables a port up to a second after its link came up, and drops frames until then.
    await waitUntil('the port of the bridge forwards', () => portState(host, this.#port) === 'forwarding');
    if (isAnnounced) this.announce();
    if (before?.namespace !== this.namespace) before?.namespace.ip('link', 'set', 'eth0', 'down');
  }

  announce(): void {
    const { mac, address } = this;
    const nobody = '00:00:00:00:00:00';
    const message = arp({ operation: 1, senderMac: mac, senderIp: address, targetMac: nobody, targetIp: address });
    const payload = Buffer.concat([message, Buffer.alloc(18)]);
    this.namespace.packetSocket('eth0').send(ethernet({ dst: BROADCAST, src: mac, type: ETHERTYPE.arp, payload }));
  }
}

function portState(host: Host, port: string): string | undefined {
  const [shown] = JSON.parse(command('bridge', ['-n', host.namespace, '-j', 'link', 'show', 'dev', port])) as {
    state?: string;
  }[];
  return shown?.state;
}
