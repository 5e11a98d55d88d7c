import { formatIp, type IpAddress, ipBytes, ipFamily } from '../lib/addresses.ts';
import { MAX_HOST_ADDRESSES } from '../lib/limits.ts';
import { type AddressEvent, type HostAddress, listAddresses } from '../sys/netlink/addresses.ts';
import { type Link, type LinkEvent, listLinks, vrfOf } from '../sys/netlink/links.ts';
import type { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';

/** A list of this many addresses takes a while to read. It is read again only when a part of them has gone. */
const ROOM_AGAIN = 0.9;

interface Known extends HostAddress {
  /** Orders the addresses of an interface as the kernel does. */
  readonly order: number;
}

/**
 * The addresses of this host: one list of them, then the kernel's events, so that the cost of a change depends on the change and not on the number
 * of addresses. It says whether an address is the host's own. An address that is tentative or a duplicate is not. Each VRF is a host of its own: the
 * same address in another may be a peer's.
 */
export class HostAddresses {
  readonly #netlink: NetlinkSocket;
  readonly #max: number;
  readonly #byInterface = new Map<number, Map<string, Known>>();
  readonly #byAddress = new Map<IpAddress, Known[]>();
  /** Broadcast addresses of the host's prefixes, each with its VRF and the number of host addresses that have it. */
  readonly #broadcasts = new Map<string, number>();
  /** The VRF of each interface that is in one, by their indices. */
  readonly #vrfs = new Map<number, number>();
  /** Changes since the last call. */
  #touched = new Set<IpAddress>();
  #size = 0;
  #isCut = false;
  #first = 0;
  #last = 0;

  /** @param max the number of addresses that are kept */
  constructor(netlink: NetlinkSocket, max = MAX_HOST_ADDRESSES) {
    this.#netlink = netlink;
    this.#max = max;
    // If addresses change all the time, the first list may be incomplete. The reader of the events lists them again until it is complete.
    this.#list(true, listLinks(netlink));
  }

  /** Reads all addresses from the kernel again, when events may have been lost. @throws SysError */
  list(links: readonly Link[]): void {
    this.#list(false, links);
  }

  #list(mayMiss: boolean, links: readonly Link[]): void {
    const vrfs = new Map(links.map((link) => [link.index, vrfOf(link)]));
    for (const index of new Set([...this.#vrfs.keys(), ...vrfs.keys()])) this.#place(index, vrfs.get(index) ?? 0);
    const listed = listAddresses(this.#netlink, mayMiss);
    this.#isCut = false;
    const present = new Set(listed.map(keyOf));
    for (const known of [...this.#byInterface.values()].flatMap((each) => [...each.values()])) {
      if (!present.has(keyOf(known))) this.#remove(known);
    }
    for (const address of listed) this.#put(address, ++this.#last);
  }

  take({ address, deleted }: AddressEvent): void {
    // The kernel lists a new IPv6 address before the others, and a new IPv4 address after them.
    if (deleted) this.#remove(address);
    else this.#put(address, ipFamily(address.address) === 4 ? ++this.#last : --this.#first);
  }

  /** An interface may be in another VRF than before, and its addresses with it. */
  takeLink({ link, deleted }: LinkEvent): void {
    this.#place(link.index, deleted ? 0 : vrfOf(link));
  }

  get count(): number {
    return this.#size;
  }

  /** Whether the host had more addresses than are kept, at the last list or since. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Whether there may be room now for those that were left out. Then list them again. */
  get hasRoomAgain(): boolean {
    return this.#isCut && this.#size < this.#max * ROOM_AGAIN;
  }

  /** Whether an address is this host's own. @param vrf index of the VRF that is meant; 0: outside of all */
  has(address: IpAddress, vrf = 0): boolean {
    return this.#byAddress.get(address)?.some((known) => isOwn(known) && this.#vrfAt(known) === vrf) ?? false;
  }

  /** Whether an address is the broadcast address of a prefix that the host is in: no peer can have it. */
  isBroadcast(address: IpAddress, vrf = 0): boolean {
    return this.#broadcasts.has(`${vrf} ${address}`);
  }

  /** An address on any interface of a VRF, preferably one where it can be used. */
  find(address: IpAddress, vrf = 0): HostAddress | undefined {
    const known = this.#byAddress.get(address)?.filter((each) => this.#vrfAt(each) === vrf);
    return known?.find(isOwn) ?? known?.[0];
  }

  /** Whether some interface has an address, in whatever VRF. */
  isAnywhere(address: IpAddress): boolean {
    return this.#byAddress.has(address);
  }

  /** The addresses of an interface, in the order of the kernel. */
  on(index: number): HostAddress[] {
    return [...(this.#byInterface.get(index)?.values() ?? [])].sort((a, b) => a.order - b.order);
  }

  /** The addresses that events reported since the last call. */
  takeTouched(): ReadonlySet<IpAddress> {
    const touched = this.#touched;
    this.#touched = new Set();
    return touched;
  }

  /** All addresses, as if an event had reported each. */
  takeAll(): ReadonlySet<IpAddress> {
    for (const known of this.#byAddress.values()) {
      for (const each of known) {
        this.#touched.add(each.address);
        const broadcast = broadcastOf(each);
        if (broadcast !== undefined) this.#touched.add(broadcast);
      }
    }
    return this.takeTouched();
  }

  #put(address: HostAddress, order: number): void {
    const key = keyOf(address);
    const present = this.#byInterface.get(address.index)?.get(key);
    if (present) this.#remove(present);
    if (this.#size >= this.#max) {
      this.#isCut = true;
      return;
    }
    this.#touched.add(address.address);
    const known = { ...address, order: present?.order ?? order };
    const ofInterface = this.#byInterface.get(address.index);
    if (ofInterface) ofInterface.set(key, known);
    else this.#byInterface.set(address.index, new Map([[key, known]]));
    const ofAddress = this.#byAddress.get(address.address);
    if (ofAddress) ofAddress.push(known);
    else this.#byAddress.set(address.address, [known]);
    this.#countBroadcast(known, 1);
    this.#size++;
  }

  #remove(address: HostAddress): void {
    const key = keyOf(address);
    const ofInterface = this.#byInterface.get(address.index);
    if (!ofInterface?.has(key)) return;
    this.#touched.add(address.address);
    ofInterface.delete(key);
    if (ofInterface.size === 0) this.#byInterface.delete(address.index);
    const left = (this.#byAddress.get(address.address) ?? []).filter((each) => keyOf(each) !== key);
    if (left.length > 0) this.#byAddress.set(address.address, left);
    else this.#byAddress.delete(address.address);
    this.#countBroadcast(address, -1);
    this.#size--;
  }

  #countBroadcast(address: HostAddress, by: number): void {
    const broadcast = broadcastOf(address);
    if (broadcast === undefined) return;
    this.#touched.add(broadcast);
    const key = `${this.#vrfAt(address)} ${broadcast}`;
    const count = (this.#broadcasts.get(key) ?? 0) + by;
    if (count > 0) this.#broadcasts.set(key, count);
    else this.#broadcasts.delete(key);
  }

  #vrfAt({ index }: HostAddress): number {
    return this.#vrfs.get(index) ?? 0;
  }

  #place(index: number, vrf: number): void {
    if (vrf === (this.#vrfs.get(index) ?? 0)) return;
    const known = [...(this.#byInterface.get(index)?.values() ?? [])];
    for (const address of known) this.#countBroadcast(address, -1);
    if (vrf === 0) this.#vrfs.delete(index);
    else this.#vrfs.set(index, vrf);
    for (const address of known) {
      this.#countBroadcast(address, 1);
      this.#touched.add(address.address);
    }
  }
}

function isOwn({ isTentative, isDuplicate }: HostAddress): boolean {
  return !isTentative && !isDuplicate;
}

/** The last address of an IPv4 prefix, unless it is of one or two hosts (RFC 3021). */
function broadcastOf({ address, prefixBits }: HostAddress): IpAddress | undefined {
  if (ipFamily(address) === 6 || prefixBits > 30) return undefined;
  const octets = ipBytes(address);
  const view = new DataView(octets.buffer, octets.byteOffset);
  view.setUint32(0, (view.getUint32(0) | (2 ** (32 - prefixBits) - 1)) >>> 0);
  return formatIp(octets);
}

/** One address may be on an interface with several prefixes. */
function keyOf({ index, address, prefixBits }: HostAddress): string {
  return `${index} ${address}/${prefixBits}`;
}
