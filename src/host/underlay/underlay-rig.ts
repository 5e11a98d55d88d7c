/** An underlay on loopback, whose sockets are the kernel's, for tests. */
import { createSocket } from 'node:dgram';
import { parseConfig } from '../../config/parse.ts';
import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { findLink, type Link } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { HeldPort } from '../../underlay/held-port.ts';
import { Listeners } from '../../underlay/listeners.ts';
import { HostAddresses } from '../host-addresses.ts';
import { Underlay } from './underlay.ts';

export interface UnderlayRig {
  readonly underlay: Underlay;
  readonly listeners: Listeners;
  readonly port: number;
}

export interface RigOptions {
  /** An address of 127.0.0.0/8 that no other test has. */
  readonly local: IpAddress;
  readonly number?: number;
  /** Loopback in the guise of another interface. */
  readonly link?: Link;
  readonly scalars?: Readonly<Record<string, string>>;
  readonly udpGro?: boolean;
}

export async function openUnderlay(netlink: NetlinkSocket, options: RigOptions): Promise<UnderlayRig> {
  const { local, number = 0, link = findLink(netlink, 'lo') as Link, udpGro = false } = options;
  const port = await freePort(local);
  // Tests of one run listen on addresses of their own.
  const scalars = { port: `${port}`, 'source-ports': '1', listen: 'local', ...options.scalars };
  const config = parseConfig({ vni: ['100'], local: [local], check: false, scalars });
  let sockets = 0;
  const nextSocket = () => sockets++;
  const held = new HeldPort({ sharesGroups: config.listen === 'local' });
  const listeners = new Listeners({ held, port, workers: config.workers, nextSocket, udpGro });
  const addresses = new HostAddresses(netlink);
  const ground = { netlink, config, addresses, held, listeners, nextSocket, udpGro };
  const underlay = new Underlay(ground, { number, link, family: ipFamily(local), object: '--vni 100' });
  return { underlay, listeners, port };
}

async function freePort(local: IpAddress): Promise<number> {
  const socket = createSocket(ipFamily(local) === 4 ? 'udp4' : 'udp6');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject).bind(0, local, resolve);
  });
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}
