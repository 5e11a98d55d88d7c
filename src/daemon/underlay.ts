import type { Config } from '../config/config.ts';
import { type IpAddress, type IpWords, ipFamily, ipWords } from '../lib/addresses.ts';
import { maxPrefixBits } from '../lib/ip-prefix.ts';
import { close } from '../sys/libc.ts';
import { type Link, listAddresses } from '../sys/links.ts';
import type { NetlinkSocket } from '../sys/netlink-socket.ts';
import {
  droppedByKernel,
  mergeReceived,
  openUnicastSockets,
  portOf,
  type Sending,
  setMulticastInterface,
  setSending,
} from '../sys/udp-socket.ts';
import {
  GroupMembership,
  type GroupSockets,
  kernelGroupSockets,
  type Membership,
} from '../underlay/group-membership.ts';
import { openSourcePorts } from '../underlay/source-ports.ts';
import { explainClash } from './port-clash.ts';

/** Outer IP, UDP and VXLAN headers (RFC 7348 §5) of each family: what a frame grows by, beside its own Ethernet header. */
export const OUTER_BYTES = { 4: 20 + 8 + 8, 6: 40 + 8 + 8 } as const;

export interface UnderlayPlace {
  readonly number: number;
  readonly link: Link;
  readonly local: IpAddress;
  /** Gives numbers for sockets and groups, unique in the daemon. */
  readonly nextSocket: () => number;
  /** Whether received datagrams may come merged. */
  readonly udpGro: boolean;
}

/** One family of an underlay interface and the sockets on it: a unicast one for each worker, the source ports, one per group. */
export class Underlay {
  readonly number: number;
  readonly name: string;
  readonly local: IpAddress;
  readonly family: 4 | 6;
  /** Of the local address as it was, for whoever has to give it back. */
  readonly prefixBits: number;
  readonly membership: GroupMembership;
  /** Number of the unicast socket, the same for every worker. */
  readonly unicastSocket: number;
  /** The unicast socket of each worker. */
  readonly unicastFds: readonly number[];
  readonly sendFds: readonly number[];
  /** The port of each. */
  readonly sendPorts: readonly number[];
  /** MTU of the interface when it was taken into use: other VTEPs may have been given TAPs for it. */
  readonly firstMtuBytes: number;
  /** The interface as last seen; an interface that is gone keeps its last MTU here. */
  #link: Link;
  #isGone = false;
  /** Whether the local address is on this host; without it every send fails. */
  hasLocal = true;

  /** Binds the unicast sockets and the source ports. Throws VtepError; nothing stays open then. */
  constructor(netlink: NetlinkSocket, config: Config, { number, link, local, nextSocket, udpGro }: UnderlayPlace) {
    const { port, workers } = config;
    this.number = number;
    this.name = link.name;
    this.local = local;
    this.family = ipFamily(local);
    this.prefixBits =
      listAddresses(netlink).find(({ address }) => address === local)?.prefixBits ?? maxPrefixBits(local);
    const place = { port, family: this.family, local };
    this.#link = link;
    this.firstMtuBytes = link.mtuBytes;
    this.unicastSocket = nextSocket();
    const sockets: GroupSockets = {
      ...kernelGroupSockets,
      open: (...where) => {
        const fd = explainClash(netlink, place, () => kernelGroupSockets.open(...where));
        if (udpGro) mergeReceived(fd);
        return fd;
      },
    };
    this.membership = new GroupMembership(sockets, { port, device: link, nextNumber: nextSocket });
    this.unicastFds = explainClash(netlink, place, () => openUnicastSockets(local, port, workers));
    try {
      if (udpGro) for (const fd of this.unicastFds) mergeReceived(fd);
      const pool = { local, count: config.sourcePorts, range: config.sourcePortRange };
      this.sendFds = openSourcePorts(pool, { ...sendingOf(config), deviceIndex: link.index });
      this.sendPorts = this.sendFds.map(portOf);
    } catch (error) {
      for (const fd of this.unicastFds) close(fd);
      throw error;
    }
  }

  /** The pool sends by what the configuration says from now on; nothing that waits is lost. @throws SysError */
  setSending(config: Config): void {
    for (const fd of this.sendFds) setSending(fd, this.family, sendingOf(config));
  }

  /** The interface as last seen. */
  get link(): Link {
    return this.#link;
  }

  get mtuBytes(): number {
    return this.#link.mtuBytes;
  }

  /** The longest Ethernet frame, without FCS, that fits the MTU once encapsulated. */
  get maxFrameBytes(): number {
    return this.mtuBytes - OUTER_BYTES[this.family];
  }

  get localWords(): IpWords {
    return ipWords(this.local);
  }

  /** "ok", or what is wrong with the interface. */
  get status(): string {
    if (this.#isGone) return `${this.name} is gone`;
    if (!this.#link.up) return `${this.name} is down`;
    return this.hasLocal ? 'ok' : `${this.local} is not on this host`;
  }

  /**
   * Whether a link is this underlay's interface: the one it was, whatever its name is now, or once that is gone another of its name.
   * Sockets and memberships hang on the interface itself, not on its name.
   */
  isOn(link: Link): boolean {
    return this.#isGone ? link.name === this.name : link.index === this.#link.index;
  }

  /** The interface is deleted. Its memberships are void; their sockets are to be closed once no worker reads them. */
  lose(): Membership[] {
    this.#isGone = true;
    return this.membership.suspend();
  }

  /**
   * Takes note of what the interface is now. One that was made anew gets the floods, and every group that is not joined is joined.
   *
   * @returns what was joined and what could not be
   */
  see(link: Link): { joined: Membership[]; errors: Error[] } {
    const isAnother = this.#isGone;
    this.#link = link;
    this.#isGone = false;
    try {
      if (isAnother) for (const fd of this.sendFds) setMulticastInterface(fd, this.family, link.index);
      return this.membership.resume(link);
    } catch (error) {
      // Gone again already; its deletion is the next event.
      return { joined: [], errors: [error as Error] };
    }
  }

  /** Joins what could not be joined before. */
  retry(): Membership[] {
    return this.#isGone ? [] : this.membership.resume(this.#link).joined;
  }

  /** Datagrams that the kernel lost because vtepd did not read them in time. */
  get dropped(): number {
    return this.unicastFds.reduce((total, fd) => total + droppedByKernel(fd), this.membership.dropped);
  }

  /** Closes all sockets; the kernel leaves the groups. */
  close(): void {
    for (const { fd } of this.membership.joined) close(fd);
    for (const fd of [...this.unicastFds, ...this.sendFds]) close(fd);
  }
}

/** With `tos: inherit` each datagram brings its own. */
function sendingOf({ ttl, mcastTtl, tos, df }: Config): Sending {
  return { ttl, mcastTtl, tos: tos === 'inherit' ? 0 : tos, df };
}
