/**
 * A virtual machine: a namespace of its own, on a Linux bridge of a host by veth, as libvirt would attach one.
 *
 *       VM namespace              host namespace
 *        eth0 192.0.2.N/24 ───── port ─┐
 *                                      bridge ─ TAP ─ VTEP
 */
import type { Host, Namespace } from './lab.ts';

export interface VirtualMachine {
  readonly namespace: Namespace;
  readonly mac: string;
  readonly address: string;
}

export interface VirtualMachineOptions {
  readonly bridge: string;
  /** 192.0.2.`number`/24 is its address and 02:00:00:00:00:`number` its MAC. */
  readonly number: number;
  /** What its address begins with instead, of another /24. */
  readonly network?: string;
  /** Default 1450: what VXLAN over IPv4 leaves of 1500. */
  readonly mtu?: number;
  /** Name of its namespace, where two have one number. */
  readonly label?: string;
}

export function addBridge(host: Host, name: string): void {
  host.ip('link', 'add', name, 'type', 'bridge', 'mcast_snooping', '0', 'stp_state', '0');
  host.ip('link', 'set', name, 'up');
}

export function addVirtualMachine(host: Host, options: VirtualMachineOptions): VirtualMachine {
  const { bridge, number, network = '192.0.2', mtu = 1450, label = `vm${number}` } = options;
  const namespace = host.lab.namespace(label);
  const mac = `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`;
  const address = `${network}.${number}`;
  const port = `vm${number}`;
  const peer = ['peer', 'name', 'eth0', 'address', mac, 'mtu', `${mtu}`, 'netns', namespace.namespace];
  // A bridge takes the lowest address of its ports. A random one is above that of a TAP in one of 100 cases.
  const portMac = mac.replace('02:00', '02:fe');
  host.ip('link', 'add', port, 'address', portMac, 'mtu', `${mtu}`, 'type', 'veth', ...peer);
  host.ip('link', 'set', port, 'master', bridge, 'up');
  namespace.ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
  namespace.ip('link', 'set', 'eth0', 'up');
  return { namespace, mac, address };
}
