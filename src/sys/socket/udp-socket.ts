import { type IpAddress, ipBytes, ipFamily } from '../../lib/addresses.ts';
import { bind, close, connect, errno, getsockname, getsockopt, ioctl, setsockopt, socket } from '../libc.ts';
import { check } from '../sys-error.ts';
import { attachFilter, growReceiveBuffer, growSendBuffer, int32, setInt } from './socket-option.ts';

/** UDP sockets over IPv4 and IPv6 with the options a VTEP needs and node:dgram does not offer. All are non-blocking and close on exec. */

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SO_BINDTODEVICE = 25;
const SO_MEMINFO = 55;
const SK_MEMINFO_DROPS = 8;
const SK_MEMINFO_WORDS = 9;

const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_MTU_DISCOVER = 10;
const IP_RECVERR = 11;
const IP_RECVTOS = 13;
const IP_MULTICAST_IF = 32;
const IP_MULTICAST_TTL = 33;
const IP_MULTICAST_LOOP = 34;
const IP_ADD_MEMBERSHIP = 35;
const IP_MULTICAST_ALL = 49;

const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MULTICAST_IF = 17;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_JOIN_GROUP = 20;
const IPV6_MTU_DISCOVER = 23;
const IPV6_RECVERR = 25;
const IPV6_V6ONLY = 26;
const IPV6_MULTICAST_ALL = 29;
const IPV6_RECVTCLASS = 66;
const IPV6_TCLASS = 67;

const IPPROTO_UDP = 17;
const UDP_NO_CHECK6_RX = 102;
const UDP_GRO = 104;

const FIONREAD = 0x541b;

/** Sets DF, uses path MTUs and never fragments here: RFC 7348 §4.3. The same value is for IPv6, which has no DF, since its routers never fragment. */
const PMTUDISC_DO = 2;
/** Leaves DF clear, and never fragments here either: what exceeds the MTU of the interface is refused with EMSGSIZE, and path MTUs are ignored. */
const PMTUDISC_INTERFACE = 4;

/** The two low bits of the TOS octet (RFC 3168 §5). */
const ECN_MASK = 0x03;

/** Options of a bound socket, in addition to its address. */
export interface BindOptions {
  /** The VRF that it belongs to; undefined: the host's own tables. */
  readonly device?: string | undefined;
  /** Other sockets of this daemon hold the port and allow it (`letIn`). */
  readonly isBeside?: boolean;
}

/**
 * A socket that receives unicast VXLAN, sent to one address or, where that is `0.0.0.0` or `::`, to any of the host. It is bound without
 * SO_REUSEPORT: a second vtepd must fail, not steal flows. It receives no groups.
 */
export function openUnicastSocket(local: IpAddress, port: number, options: BindOptions = {}): number {
  return openBound(local, port, options, (fd) => prepareReceiver(fd, local));
}

/**
 * Sockets that share what comes to `local`, whole flows each (SO_REUSEPORT). The first is bound without that option and gets it afterwards,
 * so that a second vtepd still fails. Each must be read: an unread one keeps its share.
 */
export function openUnicastSockets(local: IpAddress, port: number, count: number, options: BindOptions = {}): number[] {
  const first = openUnicastSocket(local, port, options);
  const fds = [first];
  try {
    if (count > 1) share(first);
    while (fds.length < count) {
      const fd = openBound(local, port, options, (unbound) => {
        share(unbound);
        prepareReceiver(unbound, local);
        // Each of the sockets that share would get a copy of what is sent to all hosts.
        if (ipFamily(local) === 4) dropBroadcasts(unbound);
      });
      fds.push(fd);
    }
    return fds;
  } catch (error) {
    for (const fd of fds) close(fd);
    throw error;
  }
}

/**
 * A socket that receives one group's datagrams on one interface and nothing else: bound to the group and to the device, and without groups that
 * other programs of the host have joined. One per group, since memberships are limited per socket.
 */
export function openGroupSocket(
  group: IpAddress,
  port: number,
  device: { name: string; index: number },
  { isBeside = false }: Pick<BindOptions, 'isBeside'> = {},
): number {
  return openBound(group, port, { device: device.name, isBeside }, (fd) => prepareReceiver(fd, group));
}

/**
 * Whether further sockets may be bound beside this one, if they ask for it too (`isBeside`): the kernel looks at both when the further one is
 * bound, and at no other time.
 */
export function letIn(fd: number, isLetIn: boolean): void {
  setInt(fd, SOL_SOCKET, SO_REUSEADDR, isLetIn ? 1 : 0);
}

/** Joins `group` on an interface (IGMP, MLD). Undone by closing the socket. */
export function joinGroup(fd: number, group: IpAddress, device: { name: string; index: number }): void {
  // struct ip_mreqn: group, local address, interface; struct ipv6_mreq: group, interface.
  const isIpv4 = ipFamily(group) === 4;
  const request = Buffer.alloc(isIpv4 ? 12 : 20);
  request.set(ipBytes(group), 0);
  request.writeInt32LE(device.index, isIpv4 ? 8 : 16);
  const [level, name] = isIpv4 ? [IPPROTO_IP, IP_ADD_MEMBERSHIP] : [IPPROTO_IPV6, IPV6_JOIN_GROUP];
  check(setsockopt(fd, level, name, request, request.length), `group ${group} on ${device.name}`);
}

/** Why this kernel does not merge received datagrams: an errno, or 0 if it does (UDP_GRO, Linux 5.0). */
export function receiveMergeRefusal(): number {
  const fd = check(socket(AF_INET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'UDP socket');
  const refusal = setsockopt(fd, IPPROTO_UDP, UDP_GRO, int32(1), 4) < 0 ? errno() : 0;
  close(fd);
  return refusal;
}

/**
 * Sets whether the datagrams of a socket may come merged, with their length in a control message, or one by one, also those that reach the host
 * merged.
 */
export function mergeReceived(fd: number, isOn = true): void {
  setInt(fd, IPPROTO_UDP, UDP_GRO, isOn ? 1 : 0);
}

/** Settings of a socket of the pool, which may change while it sends. */
export interface Sending {
  readonly ttl: number;
  readonly mcastTtl: number;
  /** Outer TOS octet of datagrams without their own. Its ECN bits are sent as Not-ECT. */
  readonly tos: number;
  /** Of IPv4 alone; `inherit`: set. */
  readonly df: 'set' | 'unset' | 'inherit';
}

/** Whether a datagram is queued; one without octets does not count. */
export function hasQueued(fd: number): boolean {
  const bytes = Buffer.alloc(4);
  return ioctl(fd, FIONREAD, bytes) === 0 && bytes.readInt32LE(0) > 0;
}

export interface SendOptions extends Sending {
  /** Index of the interface that multicast is sent on. */
  readonly deviceIndex: number;
  /** The VRF that it sends in; undefined: the tables of the host. */
  readonly device?: string | undefined;
  /** Members of a group on this host receive it too: other daemons, and the sender. */
  readonly isLooped?: boolean;
}

/** The port that a socket is bound to. */
export function portOf(fd: number): number {
  // In both families the port follows the family.
  return nameOf(fd).readUInt16BE(2);
}

/**
 * Leaves new datagrams to other sockets with a wider bind; queued ones stay. A socket that is connected to its own address receives nothing else.
 */
export function hearNobody(fd: number): void {
  const name = nameOf(fd);
  // Fails if the address is gone. Then nothing arrives anyway.
  connect(fd, name, name.length);
}

function nameOf(fd: number): Buffer {
  const name = Buffer.alloc(SOCKADDR_IN6_BYTES);
  const length = int32(name.length);
  check(getsockname(fd, name, length), 'getsockname');
  return name.subarray(0, length.readInt32LE(0));
}

/** A socket of the source-port pool: only sends. */
export function openSendSocket(local: IpAddress, port: number, options: SendOptions): number {
  return openBound(local, port, { device: options.device }, (fd) => {
    dropAllReceived(fd);
    prepareSender(fd, ipFamily(local), options);
  });
}

/**
 * Makes a socket send like those of the pool. UDP checksums stay on in IPv6 too: without them the kernel neither segments runs nor merges them at the
 * far end.
 */
export function prepareSender(fd: number, family: 4 | 6, options: SendOptions): void {
  setSending(fd, family, options);
  setMulticastInterface(fd, family, options.deviceIndex);
  growSendBuffer(fd);
  const [level, loop, receiveErrors] =
    family === 4 ? [IPPROTO_IP, IP_MULTICAST_LOOP, IP_RECVERR] : [IPPROTO_IPV6, IPV6_MULTICAST_LOOP, IPV6_RECVERR];
  // Own floods come back with it.
  setInt(fd, level, loop, options.isLooped === true ? 1 : 0);
  // Without it the kernel hides drops of queues on the path.
  setInt(fd, level, receiveErrors, 1);
}

/** Applies these settings to the socket. */
export function setSending(fd: number, family: 4 | 6, { ttl, mcastTtl, tos, df }: Sending): void {
  if (family === 4) {
    setInt(fd, IPPROTO_IP, IP_TTL, ttl);
    setInt(fd, IPPROTO_IP, IP_TOS, tos & ~ECN_MASK);
    setInt(fd, IPPROTO_IP, IP_MTU_DISCOVER, df === 'unset' ? PMTUDISC_INTERFACE : PMTUDISC_DO);
    setInt(fd, IPPROTO_IP, IP_MULTICAST_TTL, mcastTtl);
  } else {
    setInt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl);
    setInt(fd, IPPROTO_IPV6, IPV6_TCLASS, tos & ~ECN_MASK);
    setInt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO);
    setInt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, mcastTtl);
  }
}

/** Set again when the interface has been deleted and made again. */
export function setMulticastInterface(fd: number, family: 4 | 6, deviceIndex: number): void {
  // struct ip_mreqn, of which the interface is the last word; in IPv6 it is the whole value.
  const request = Buffer.alloc(family === 4 ? 12 : 4);
  request.writeInt32LE(deviceIndex, request.length - 4);
  const [level, name] = family === 4 ? [IPPROTO_IP, IP_MULTICAST_IF] : [IPPROTO_IPV6, IPV6_MULTICAST_IF];
  check(setsockopt(fd, level, name, request, request.length), `interface ${deviceIndex}`);
}

/** Datagrams the kernel dropped at this socket because its buffer was full, since it was opened. */
export function droppedByKernel(fd: number): number {
  const info = Buffer.alloc(SK_MEMINFO_WORDS * 4);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(info.length);
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, length) < 0) return 0;
  return info.readUInt32LE(SK_MEMINFO_DROPS * 4);
}

function openBound(
  address: IpAddress,
  port: number,
  { device, isBeside = false }: BindOptions,
  prepare: (fd: number) => void,
): number {
  const isIpv4 = ipFamily(address) === 4;
  const object = isIpv4 ? `UDP ${address}:${port}` : `UDP [${address}]:${port}`;
  const fd = check(socket(isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), object);
  try {
    if (!isIpv4) setInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (device !== undefined) bindToDevice(fd, device, object);
    if (isBeside) letIn(fd, true);
    prepare(fd);
    const name = Buffer.alloc(isIpv4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
    name.writeUInt16LE(isIpv4 ? AF_INET : AF_INET6, 0);
    name.writeUInt16BE(port, 2);
    name.set(ipBytes(address), isIpv4 ? 4 : 8);
    check(bind(fd, name, name.length), object);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function bindToDevice(fd: number, device: string, object: string): void {
  const name = Buffer.from(`${device}\0`);
  check(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length), `${object} on ${device}`);
}

/** A classic BPF program of one instruction, "return 0": nothing is queued on a socket that is not read. */
function dropAllReceived(fd: number): void {
  const BPF_RET_K = 0x06;
  const program = Buffer.alloc(8);
  program.writeUInt16LE(BPF_RET_K, 0);
  attachFilter(fd, program);
}

/** Accepts only link-layer unicast. */
function dropBroadcasts(fd: number): void {
  const program = Buffer.alloc(4 * 8);
  const [SKF_AD_PKTTYPE, PACKET_HOST, WHOLE] = [0xffff_f004, 0, 0xffff_ffff];
  const instructions: readonly (readonly [code: number, jumpIf: number, jumpElse: number, value: number])[] = [
    [0x28, 0, 0, SKF_AD_PKTTYPE], // ldh: the packet's type
    [0x15, 0, 1, PACKET_HOST], // jeq, else to the last
    [0x06, 0, 0, WHOLE], // ret: take it
    [0x06, 0, 0, 0], // ret: drop it
  ];
  for (const [i, [code, jumpIf, jumpElse, value]] of instructions.entries()) {
    program.writeUInt16LE(code, i * 8);
    program.writeUInt8(jumpIf, i * 8 + 2);
    program.writeUInt8(jumpElse, i * 8 + 3);
    program.writeUInt32LE(value, i * 8 + 4);
  }
  attachFilter(fd, program);
}

function share(fd: number): void {
  setInt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

/** What unicast and group sockets have in common. */
function prepareReceiver(fd: number, address: IpAddress): void {
  // RFC 6040 §4.2: the outer ECN field must be read. Groups that other programs have joined must not be received.
  if (ipFamily(address) === 4) {
    setInt(fd, IPPROTO_IP, IP_RECVTOS, 1);
    setInt(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  } else {
    setInt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    setInt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
    // RFC 7348 §5: a zero checksum is accepted. In IPv6 this needs an option.
    setInt(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
  }
  growReceiveBuffer(fd);
}
