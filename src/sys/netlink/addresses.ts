import { formatIp, type IpAddress } from '../../lib/addresses.ts';
import { type NetlinkMessage, readMessage, readUint8, readUint32 } from './netlink-message.ts';
import type { NetlinkSocket } from './netlink-socket.ts';

/** Addresses of the host by rtnetlink (linux/rtnetlink.h, linux/if_addr.h), like `ip addr`. */

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFADDRMSG_BYTES = 8;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_PROTO = 11;
const IFA_F_TEMPORARY = 0x01;
const IFA_F_OPTIMISTIC = 0x04;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
/** IFAPROT_KERNEL_RA (linux/if_addr.h, Linux 5.18). */
const FROM_ROUTER = 2;
const RT_SCOPE_UNIVERSE = 0;

const AF_INET = 2;
const IPV4_BYTES = 4;
const IPV6_BYTES = 16;

export interface HostAddress {
  readonly address: IpAddress;
  /** Of its interface. */
  readonly index: number;
  readonly prefixBits: number;
  readonly isGlobal: boolean;
  readonly isTemporary: boolean;
  readonly isDeprecated: boolean;
  /** Duplicate address detection has not ended: no socket can be bound to it. */
  readonly isTentative: boolean;
  /** Duplicate address detection found another host with it. */
  readonly isDuplicate: boolean;
  /**
   * What maintains an address with a lifetime: a router that advertises its prefix, or another, usually a DHCP client. undefined: it has no
   * lifetime.
   */
  readonly keeper?: 'router' | 'other';
}

export interface AddressEvent {
  readonly address: HostAddress;
  readonly deleted: boolean;
}

/**
 * All addresses of this host with their properties, those of each interface and family in the order of the kernel.
 *
 * @param mayMiss accept an incomplete list, if the addresses keep changing
 */
export function listAddresses(netlink: NetlinkSocket, mayMiss = false): HostAddress[] {
  const request = [Buffer.alloc(IFADDRMSG_BYTES)];
  const messages = netlink.query(RTM_GETADDR, request, 'list of addresses', { dump: true, mayMiss });
  return messages.flatMap((message) => (message.type === RTM_NEWADDR ? (readAddress(message) ?? []) : []));
}

/** The address events among netlink messages, in order. */
export function addressEvents(messages: readonly NetlinkMessage[]): AddressEvent[] {
  return messages.flatMap((message) => {
    const { type, payload } = message;
    if ((type !== RTM_NEWADDR && type !== RTM_DELADDR) || payload.length < IFADDRMSG_BYTES) return [];
    const address = readAddress(message);
    return address ? { address, deleted: type === RTM_DELADDR } : [];
  });
}

/** @returns undefined if it has no address of its family @throws SysError if it is cut */
function readAddress(message: NetlinkMessage): HostAddress | undefined {
  const { fixed, attributes } = readMessage(message, IFADDRMSG_BYTES, 'address');
  // IFA_ADDRESS is the peer's on a point-to-point link; IFA_LOCAL is ours, and IPv6 mostly has none.
  const octets = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (octets?.length !== (fixed[0] === AF_INET ? IPV4_BYTES : IPV6_BYTES)) return undefined;
  const flags = readUint32(attributes.get(IFA_FLAGS)) ?? (fixed[2] as number);
  return {
    address: formatIp(octets),
    index: fixed.readUInt32LE(4),
    prefixBits: fixed[1] as number,
    isGlobal: fixed[3] === RT_SCOPE_UNIVERSE,
    // In IPv4 the same bit means a secondary address, which can be used too.
    isTemporary: fixed[0] !== AF_INET && (flags & IFA_F_TEMPORARY) !== 0,
    isDeprecated: (flags & IFA_F_DEPRECATED) !== 0,
    // An optimistic one is used while detection runs (RFC 4429).
    isTentative: (flags & IFA_F_TENTATIVE) !== 0 && (flags & IFA_F_OPTIMISTIC) === 0,
    isDuplicate: (flags & IFA_F_DADFAILED) !== 0,
    ...((flags & IFA_F_PERMANENT) === 0 && {
      keeper: readUint8(attributes.get(IFA_PROTO)) === FROM_ROUTER ? ('router' as const) : ('other' as const),
    }),
  };
}
