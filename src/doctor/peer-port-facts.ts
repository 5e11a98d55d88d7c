import { createSocket, type Socket } from 'node:dgram';
import { setTimeout } from 'node:timers/promises';
import { readVni } from '../encap/reading.ts';
import { hasVxlanVni, peekVxlan, VXLAN } from '../encap/vxlan.ts';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { MAX_PEERS_ON_OTHER_PORTS, MAX_PROBED_ADDRESSES, OTHER_PORTS_LISTEN_MS } from '../lib/limits.ts';
import type { PeerOnAnotherPort } from './checks/peer-port-check.ts';

const KNOWN_PORTS = [VXLAN.port, ...VXLAN.otherPorts];

/** A family of an underlay, and the groups that this host is in there. */
export interface ListeningPlace {
  readonly family: 4 | 6;
  readonly dev: string;
  readonly local: IpAddress;
  readonly groups: readonly IpAddress[];
}

/**
 * Listens for a moment on ports that a VTEP might use by mistake. It binds a socket for each free port, which needs no privilege, and receives
 * datagrams for this host and for some groups that it is a member of. The kernel sends no report for them, since the host is already a member.
 */
export async function hearOtherPorts(port: number, places: readonly ListeningPlace[]): Promise<PeerOnAnotherPort[]> {
  const heard = new Map<string, PeerOnAnotherPort>();
  const sockets: Socket[] = [];
  for (const other of KNOWN_PORTS.filter((known) => known !== port)) {
    for (const family of new Set(places.map((place) => place.family))) {
      const socket = createSocket(family === 4 ? { type: 'udp4' } : { type: 'udp6', ipv6Only: true });
      sockets.push(socket);
      // Another program has the port, so the datagrams are for it.
      socket.on('error', () => {});
      socket.on('message', (datagram, { address }) => {
        const vtep = parseIp(address.split('%', 1)[0] as string);
        const view = new DataView(datagram.buffer, datagram.byteOffset);
        if (!vtep || !hasVxlanVni(view, 0, datagram.length)) return;
        const vni = readVni(peekVxlan(view, 0, datagram.length));
        if (heard.size < MAX_PEERS_ON_OTHER_PORTS) heard.set(`${vtep} ${other} ${vni}`, { vtep, port: other, vni });
      });
      socket.bind({ port: other, exclusive: true }, () => {
        for (const place of places) if (place.family === family) joinGroups(socket, place);
      });
    }
  }
  await setTimeout(OTHER_PORTS_LISTEN_MS);
  for (const socket of sockets) {
    try {
      socket.close();
    } catch {
      // It was never bound.
    }
  }
  return [...heard.values()];
}

function joinGroups(socket: Socket, { family, dev, local, groups }: ListeningPlace): void {
  for (const group of groups.slice(0, MAX_PROBED_ADDRESSES)) {
    try {
      socket.addMembership(group, family === 4 ? local : `::%${dev}`);
    } catch {
      // What is sent to this group is not heard then.
    }
  }
}
