import type { Config } from '../../config/config.ts';
import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { maxPrefixBits } from '../../lib/ip-prefix.ts';
import type { HostAddress } from '../../sys/netlink/addresses.ts';
import type { Link } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { isLocalAddress } from '../../sys/netlink/routes.ts';
import { type Sending, setSending } from '../../sys/socket/udp-socket.ts';
import type { Listeners } from '../../underlay/listeners.ts';
import { closePool, openSource, releaseListeners, type Source, type SourceDevices } from '../../underlay/source.ts';
import type { HostAddresses } from '../host-addresses.ts';
import { explainClash } from '../port/port-clash.ts';
import { chooseSource, type SourceChoice } from './source-choice.ts';

/** The inputs of its choice and its sockets. */
export interface SourceGround {
  readonly netlink: NetlinkSocket;
  /** In force now. */
  readonly config: Config;
  readonly addresses: HostAddresses;
  readonly listeners: Listeners;
}

/** The change of a source: close `retired` once no worker uses it. */
export interface SourceChange {
  readonly from: IpAddress;
  readonly to: IpAddress;
  readonly retired: Source | undefined;
}

/** The interface that it is the source on, as it is now. */
export interface SourcePlace {
  readonly family: 4 | 6;
  readonly name: string;
  readonly link: Link;
  readonly vrf: Link | undefined;
  readonly devices: SourceDevices;
}

/** The source address of an underlay and its sockets, which are opened, closed and changed with the address and the configuration. */
export class UnderlaySource {
  readonly #ground: SourceGround;
  readonly #place: SourcePlace;
  #choice: SourceChoice;
  #prefixBits: number;
  #keeper: HostAddress['keeper'];
  #source: Source | undefined;
  /** Why there is no source although the address can be used. */
  #refusal: string | undefined;
  /** As long as it has no source, those that it had last. */
  #ports: readonly number[] = [];

  private constructor(ground: SourceGround, place: SourcePlace, choice: SourceChoice) {
    this.#ground = ground;
    this.#place = place;
    this.#choice = choice;
    this.#prefixBits = choice.prefixBits ?? maxPrefixBits(choice.address);
    this.#keeper = ground.addresses.find(choice.address, place.vrf?.index)?.keeper;
    this.#take(this.#open());
  }

  /**
   * Opens its sockets, if the address can be used now. undefined: the interface has no address, and never had one.
   *
   * @param place read whenever the source is chosen
   * @throws VtepError if the kernel refuses a socket; nothing stays open then
   */
  static find(ground: SourceGround, place: SourcePlace): UnderlaySource | undefined {
    const choice = choose(ground, place, undefined);
    return choice && new UnderlaySource(ground, place, choice);
  }

  /** The source in use; undefined while the address cannot be used. */
  get source(): Source | undefined {
    return this.#source;
  }

  get address(): IpAddress {
    return this.#choice.address;
  }

  get prefixBits(): number {
    return this.#prefixBits;
  }

  get keeper(): HostAddress['keeper'] {
    return this.#keeper;
  }

  get ports(): readonly number[] {
    return this.#ports;
  }

  /** Why nothing can be sent; undefined: it can. */
  get trouble(): string | undefined {
    return this.#choice.trouble ?? this.#refusal;
  }

  /** Applies the settings of the configuration to the open sockets. Queued datagrams are not lost. @throws SysError */
  setSending(config: Config): void {
    const sending = sendingOf(config);
    const { fds = [], fragmentable = 0 } = this.#source ?? {};
    for (const [i, fd] of fds.entries()) {
      const mayFragment = i >= fds.length - fragmentable;
      setSending(fd, this.#place.family, mayFragment ? { ...sending, df: 'unset' } : sending);
    }
  }

  /** Follows the host's addresses. undefined: all is as it was. */
  follow(): SourceChange | undefined {
    const from = this.address;
    this.#choice = choose(this.#ground, this.#place, from) ?? this.#choice;
    const { address, prefixBits, trouble } = this.#choice;
    const found = this.#ground.addresses.find(address, this.#place.vrf?.index);
    if (found || address !== from) this.#keeper = found?.keeper;
    this.#prefixBits = prefixBits ?? (address === from ? this.#prefixBits : maxPrefixBits(address));
    const retired = this.#source;
    const isSame = retired !== undefined && retired.address === address && isBoundTo(retired, this.#place.devices);
    if (isSame && trouble === undefined) return undefined;
    this.#source = undefined;
    this.#refusal = undefined;
    try {
      this.#take(this.#open());
    } catch (error) {
      this.#refusal = (error as Error).message;
    }
    return retired || this.#source || from !== address ? { from, to: address, retired } : undefined;
  }

  /**
   * Opens the sockets that another configuration needs. The present ones stay in use. undefined: none needed, since there is no source address, or
   * the present ones fit.
   *
   * @throws VtepError if they cannot be opened
   */
  openSuccessor(config: Config): Source | undefined {
    if (!this.#source) return undefined;
    const { count, range, inheritsDf } = this.#source.pool;
    const { sourcePorts, sourcePortRange: other } = config;
    const isRight = count === sourcePorts && range.first === other.first && range.last === other.last;
    return isRight && inheritsDf === (config.df === 'inherit') ? undefined : this.#open(config, this.#source);
  }

  /** Closes what `openSuccessor` has opened, before a worker was told of it. */
  giveUp(successor: Source): void {
    this.#close(successor, this.#source);
  }

  /** Uses what `openSuccessor` has opened. */
  succeed(successor: Source): SourceChange {
    const retired = this.#source;
    this.#take(successor);
    return { from: this.address, to: this.address, retired };
  }

  close(): void {
    if (this.#source) this.#close(this.#source);
    this.#source = undefined;
  }

  #close(source: Source, kept?: Source): void {
    const { listeners } = this.#ground;
    for (const listener of releaseListeners(listeners, source)) listeners.close(listener);
    closePool(source, kept);
  }

  #take(source: Source | undefined): void {
    this.#source = source;
    if (source) this.#ports = source.ports;
  }

  #open(config = this.#ground.config, before?: Source): Source | undefined {
    if (this.#choice.trouble !== undefined) return undefined;
    const { listeners, netlink } = this.#ground;
    const { family, link, devices } = this.#place;
    const { port, sourcePorts: count, sourcePortRange: range, listen } = config;
    const preferred = this.#ports.filter((each) => each !== port && each >= range.first && each <= range.last);
    const plan = { address: this.address, devices, port, count, range, preferred };
    // Other daemons of the host must receive the floods of this one. Own floods that come back are dropped as own packets.
    const isHeardAlone = listen === 'local';
    const options = { ...sendingOf(config), deviceIndex: link.index, isLooped: isHeardAlone };
    return explainClash(
      netlink,
      { port, family, local: this.address, at: isHeardAlone ? this.address : undefined },
      () => openSource(listeners, { plan: { ...plan, isHeardAlone }, options, before }),
    );
  }
}

function choose(
  { config, addresses, netlink }: SourceGround,
  { family, name, link, vrf }: SourcePlace,
  present: IpAddress | undefined,
): SourceChoice | undefined {
  const given = config.local.find((address) => ipFamily(address) === family);
  const need = { family, index: link.index, name, vrf: vrf?.index, given, present };
  return chooseSource(need, addresses, (address) => isLocalAddress(netlink, address, { device: vrf?.index }));
}

/** A VRF or interface of the same name may be another. */
function isBoundTo({ devices }: Source, { heardIn, sentBy }: SourceDevices): boolean {
  return devices.heardIn?.index === heardIn?.index && devices.sentBy?.index === sentBy?.index;
}

/** With `tos: inherit` each datagram brings its own. */
function sendingOf({ ttl, mcastTtl, tos, df }: Config): Sending {
  return { ttl, mcastTtl, tos: tos === 'inherit' ? 0 : tos, df };
}
