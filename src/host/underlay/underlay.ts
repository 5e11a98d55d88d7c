import type { Config } from '../../config/config.ts';
import { ENCAPSULATIONS } from '../../encap/codec.ts';
import { ENCAP, type Encapsulation } from '../../encap/encapsulation.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import type { HostAddress } from '../../sys/netlink/addresses.ts';
import { findLink, type Link } from '../../sys/netlink/links.ts';
import { mergeReceived, setMulticastInterface } from '../../sys/socket/udp-socket.ts';
import { GroupMembership, kernelGroupSockets, type Membership } from '../../underlay/group-membership.ts';
import type { HeldPort } from '../../underlay/held-port.ts';
import type { Source, SourceDevices } from '../../underlay/source.ts';
import { explainClash } from '../port/port-clash.ts';
import { unfitAddresses } from './source-choice.ts';
import { type SourceChange, type SourceGround, UnderlaySource } from './underlay-source.ts';

/** The common basis of all underlays of a daemon. */
export interface UnderlayGround extends SourceGround {
  readonly held: HeldPort;
  /** Gives numbers for sockets and groups, unique in the daemon. */
  readonly nextSocket: () => number;
  /** Whether received datagrams may come merged. */
  readonly udpGro: boolean;
}

export interface UnderlayPlace {
  /** Its number in the data path, which is reused after it is closed. */
  readonly number: number;
  readonly link: Link;
  readonly family: 4 | 6;
  /** The object of an error about a missing address. */
  readonly object: string;
}

/**
 * One family of an underlay interface: the groups that are joined on it, and the source address with its sockets, which changes while groups, TAPs
 * and tables stay.
 */
export class Underlay {
  readonly number: number;
  readonly family: 4 | 6;
  /** What crosses it. */
  readonly encapsulation: Encapsulation = ENCAPSULATIONS[ENCAP.vxlan];
  /** UDP port that it sends to. */
  readonly port: number;
  readonly membership: GroupMembership;
  /** MTU of the interface when vtepd began to use it: other VTEPs may have TAPs for it. */
  readonly firstMtuBytes: number;
  readonly #ground: UnderlayGround;
  /** The interface as last seen; an interface that is gone keeps its last MTU here. */
  #link: Link;
  /** Its name when vtepd began to use it. If it is gone, this name is searched for. */
  readonly #givenName: string;
  /** What it is a part of. */
  #master: Link | undefined;
  #isGone = false;
  readonly #sending: UnderlaySource;

  /**
   * Opens its sockets, if its address can be used now.
   *
   * @throws VtepError if it has no address and never had one, or the kernel refuses a socket; nothing stays open then
   */
  constructor(ground: UnderlayGround, { number, link, family, object }: UnderlayPlace) {
    const { config, addresses, held, nextSocket, udpGro, netlink } = ground;
    const { port } = config;
    this.#ground = ground;
    this.number = number;
    this.#givenName = link.name;
    this.port = port;
    this.family = family;
    this.firstMtuBytes = link.mtuBytes;
    this.#link = link;
    this.#master = this.#findMaster();
    this.membership = new GroupMembership(
      {
        open: (group, _port, device) => {
          const fd = explainClash(netlink, { port, family, at: group }, () =>
            held.openGroup(family, (isBeside) => kernelGroupSockets.open(group, port, device, isBeside)),
          );
          if (udpGro) mergeReceived(fd);
          return fd;
        },
        close: (fd) => held.close(fd),
        dropped: kernelGroupSockets.dropped,
      },
      { port, device: link, nextNumber: nextSocket },
    );
    const sending = UnderlaySource.find(ground, this);
    if (!sending) {
      const seen = unfitAddresses(addresses.on(link.index), family);
      throw noAddress(object, { link, family, seen, portOf: this.portOf });
    }
    this.#sending = sending;
  }

  /** Applies the settings of the configuration to the pool. Queued datagrams are not lost. @throws SysError */
  setSending(config: Config): void {
    this.#sending.setSending(config);
  }

  /**
   * Opens the send sockets that another configuration needs. The present ones stay in use. undefined: none needed.
   *
   * @returns `succeed` sends by them; workers are to be told of what `source` is then, before the retired one is closed. `giveUp` closes them.
   * @throws VtepError if they cannot be opened
   */
  openSuccessor(config: Config): { succeed: () => SourceChange; giveUp: () => void } | undefined {
    const successor = this.#sending.openSuccessor(config);
    return (
      successor && {
        succeed: () => this.#sending.succeed(successor),
        giveUp: () => this.#sending.giveUp(successor),
      }
    );
  }

  /** Of the interface as it is now. */
  get name(): string {
    return this.#isGone ? this.#givenName : this.#link.name;
  }

  /** Whether it uses the interface that had a name, also after it was renamed. */
  isNamed(dev: string): boolean {
    return !this.#isGone && this.#givenName === dev;
  }

  /** The interface as last seen. */
  get link(): Link {
    return this.#link;
  }

  /** The address that it sends from, or would if it were there. */
  get local(): IpAddress {
    return this.#sending.address;
  }

  /** Prefix length of the former local address, for a remedy that adds it again. */
  get prefixBits(): number {
    return this.#sending.prefixBits;
  }

  /** What maintained it when it last existed, which decides the remedy. */
  get keeper(): HostAddress['keeper'] {
    return this.#sending.keeper;
  }

  /** What it sends by; undefined while its address cannot be used. */
  get source(): Source | undefined {
    return this.#sending.source;
  }

  /** Its source ports, the last ones while it has none. */
  get sendPorts(): readonly number[] {
    return this.#sending.ports;
  }

  /** How many of them, the last ones, are for what routers may fragment. */
  get fragmentable(): number {
    return this.source?.fragmentable ?? 0;
  }

  get mtuBytes(): number {
    return this.#link.mtuBytes;
  }

  /** The longest Ethernet frame, without FCS, that fits the MTU once encapsulated. */
  get maxFrameBytes(): number {
    return this.mtuBytes - this.encapsulation.outerBytes[this.family];
  }

  /** The VRF that it is in, or that it is itself. */
  get vrf(): Link | undefined {
    if (this.#isGone) return undefined;
    if (this.#link.kind === 'vrf') return this.#link;
    return this.#link.masterKind === 'vrf' ? this.#master : undefined;
  }

  /** The bridge, bond, … that it is a port of, which receives its packets. */
  get portOf(): Link | undefined {
    return this.#link.masterKind !== 'vrf' && !this.#isGone ? this.#master : undefined;
  }

  /** "ok", or what is wrong with the interface or its address. */
  get status(): string {
    return this.interfaceTrouble ?? this.sourceTrouble ?? 'ok';
  }

  /** What is wrong with the interface; undefined: nothing. */
  get interfaceTrouble(): string | undefined {
    if (this.#isGone) return `${this.name} is gone`;
    if (!this.#link.up) return `${this.name} is down`;
    if (!this.#link.carrier) return `${this.name} has no carrier`;
    if (this.portOf) return `${this.name} is a port of ${this.portOf.name}: use --dev ${this.portOf.name}`;
    if (this.vrf && !this.vrf.up) return `${this.vrf.name}, the VRF of ${this.name}, is down`;
    return undefined;
  }

  /** Why nothing can be sent; undefined: it can. */
  get sourceTrouble(): string | undefined {
    return this.#sending.trouble;
  }

  /**
   * Whether a link is this underlay's interface: the same one, whatever its name is now, or after its deletion another with its name. Sockets and
   * memberships belong to the interface, not to its name.
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
   * Updates the state of the interface. One that was made again gets the floods, and every group that is not joined is joined.
   *
   * @returns what was joined and what could not be
   */
  see(link: Link): { joined: Membership[]; errors: Error[] } {
    const isAnother = this.#isGone;
    this.#link = link;
    this.#isGone = false;
    if (link.master !== (this.#master?.index ?? 0)) this.#master = this.#findMaster();
    try {
      if (isAnother) for (const fd of this.source?.fds ?? []) setMulticastInterface(fd, this.family, link.index);
      return this.membership.resume(link);
    } catch (error) {
      // Gone again already; its deletion is the next event.
      return { joined: [], errors: [error as Error] };
    }
  }

  /** What it is a part of was changed, perhaps renamed. */
  seeMaster(link: Link): void {
    if (this.#master?.index === link.index) this.#master = link;
  }

  /** Joins what could not be joined before. */
  retry(): Membership[] {
    return this.#isGone ? [] : this.membership.resume(this.#link).joined;
  }

  /**
   * Follows the addresses of the host: chooses the source again, and opens its sockets if it is another or exists again. undefined: all is as
   * it was. Workers are to be told of what `source` is then, before the retired one is closed.
   */
  followAddresses(): SourceChange | undefined {
    return this.#sending.follow();
  }

  /** Closes all sockets; the kernel leaves the groups. */
  close(): void {
    for (const { fd } of this.membership.joined) this.membership.close(fd);
    this.#sending.close();
  }

  /** What its sockets are bound to. */
  get devices(): SourceDevices {
    const { vrf } = this;
    return { heardIn: vrf, sentBy: vrf && this.family === 6 ? this.#link : vrf };
  }

  #findMaster(): Link | undefined {
    return this.#link.master === 0 ? undefined : findLink(this.#ground.netlink, this.#link.master);
  }
}

function noAddress(
  object: string,
  { link, family, seen, portOf }: { link: Link; family: 4 | 6; seen: string; portOf: Link | undefined },
): VtepError {
  const { name } = link;
  return new VtepError('ERR_VTEP_INTERFACE', {
    object,
    cause: seen
      ? `${name} has no IPv${family} address that can be its source, only ${seen}`
      : `${name} has no IPv${family} address of global scope`,
    remedy: portOf
      ? `it is a port of ${portOf.name}, which receives its packets: use --dev ${portOf.name}`
      : `give it one (\`ip address add … dev ${name}\`), or name one of this host with --local`,
  });
}
