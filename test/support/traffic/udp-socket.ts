/** UDP of one namespace from the test process: crafted VXLAN datagrams of any bytes, from any address the namespace has. */

import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  type Received,
  receiveFrom,
  SOCK_DGRAM,
  SOL_SOCKET,
  sendTo,
  setSocketOption,
  socket,
  socketName,
} from '../host/libc.ts';
import { inNamespace } from '../host/namespaces.ts';
import { waitFor } from '../wait.ts';
import { ipBytes, ipText, VXLAN_PORT } from './frames.ts';
import { ip6Bytes, ip6Text } from './ipv6.ts';

const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_MULTICAST_IF = 32;
const IP_MULTICAST_TTL = 33;
const IP_MULTICAST_LOOP = 34;
const SO_REUSEADDR = 2;
const SO_NO_CHECK = 11;
const SO_RCVBUFFORCE = 33;
const RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024;
const IPPROTO_UDP = 17;
const UDP_NO_CHECK6_TX = 101;
const IPPROTO_IPV6 = 41;
const IPV6_TCLASS = 67;
const UDP_SEGMENT = 103;
/** What the kernel cuts of one message at most, and a UDP payload's greatest length. */
const MAX_TRAIN_DATAGRAMS = 64;
const MAX_TRAIN_BYTES = 65_507;

export interface UdpSocketOptions {
  /** Source address; multicast leaves through the interface that has it. */
  readonly address: string;
  /** Source port. Default: the kernel's choice. */
  readonly port?: number;
  readonly ttl?: number;
  readonly tos?: number;
  /** Let the own host hear the own multicast. Default false. */
  readonly loop?: boolean;
  /** Send with a zero UDP checksum (RFC 7348 §5 asks for it). Default false. */
  readonly zeroChecksum?: boolean;
}

export interface Datagram {
  readonly bytes: Buffer;
  readonly address: string;
  readonly port: number;
}

export class UdpSocket {
  readonly #fd: number;
  readonly #scratch = Buffer.alloc(0x10000);
  readonly #received: Datagram[] = [];
  #open = true;

  constructor(namespace: string, options: UdpSocketOptions) {
    const { address, port = 0, ttl, tos, loop = false, zeroChecksum = false } = options;
    this.#fd = inNamespace(namespace, () => {
      const isIpv6 = address.includes(':');
      const fd = socket(isIpv6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
      setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
      if (!isIpv6) {
        setSocketOption(fd, IPPROTO_IP, IP_MULTICAST_IF, ipBytes(address));
        setSocketOption(fd, IPPROTO_IP, IP_MULTICAST_LOOP, loop ? 1 : 0);
      }
      if (zeroChecksum && isIpv6) setSocketOption(fd, IPPROTO_UDP, UDP_NO_CHECK6_TX, 1);
      else if (zeroChecksum) setSocketOption(fd, SOL_SOCKET, SO_NO_CHECK, 1);
      if (ttl !== undefined) {
        setSocketOption(fd, IPPROTO_IP, IP_TTL, ttl);
        setSocketOption(fd, IPPROTO_IP, IP_MULTICAST_TTL, ttl);
      }
      if (tos !== undefined && isIpv6) setSocketOption(fd, IPPROTO_IPV6, IPV6_TCLASS, tos);
      else if (tos !== undefined) setSocketOption(fd, IPPROTO_IP, IP_TOS, tos);
      bind(fd, socketAddress(address, port));
      return fd;
    });
  }

  /** The source port, also where the kernel chose it. */
  get port(): number {
    return socketName(this.#fd).readUInt16BE(2);
  }

  send(bytes: Buffer, { to, port = VXLAN_PORT }: { to: string; port?: number }): void {
    sendTo(this.#fd, bytes, socketAddress(to, port));
  }

  /**
   * Sends datagrams of one size, the last perhaps shorter, as one message that the kernel cuts (UDP_SEGMENT), so that they
   * stay together on their way.
   */
  sendTrain(datagrams: readonly Buffer[], { to, port = VXLAN_PORT }: { to: string; port?: number }): void {
    const size = datagrams[0]?.length ?? 0;
    const isEven = datagrams.every(({ length }, i) => length === size || (i === datagrams.length - 1 && length < size));
    const train = Buffer.concat(datagrams);
    if (!isEven || datagrams.length > MAX_TRAIN_DATAGRAMS || train.length > MAX_TRAIN_BYTES) {
      throw new Error(`no train: ${datagrams.length} datagrams of ${datagrams.map(({ length }) => length)}`);
    }
    setSocketOption(this.#fd, IPPROTO_UDP, UDP_SEGMENT, size);
    sendTo(this.#fd, train, socketAddress(to, port));
    setSocketOption(this.#fd, IPPROTO_UDP, UDP_SEGMENT, 0);
  }

  drain(): readonly Datagram[] {
    for (let next = this.#receive(); next; next = this.#receive()) {
      this.#received.push({
        bytes: next.bytes,
        address: next.from.length > 16 ? ip6Text(next.from.subarray(8, 24)) : ipText(next.from.subarray(4, 8)),
        port: next.from.readUInt16BE(2),
      });
    }
    return this.#received;
  }

  async waitForDatagrams(what: string, count: number, timeoutMs = 10_000): Promise<readonly Datagram[]> {
    const accepts = (all: readonly Datagram[]) => all.length >= count;
    return waitFor(`${count}× ${what}`, () => this.drain(), accepts, { timeoutMs, everyMs: 1 });
  }

  close(): void {
    if (this.#open) close(this.#fd);
    this.#open = false;
  }

  #receive(): Received | undefined {
    return receiveFrom(this.#fd, this.#scratch);
  }
}

/** struct sockaddr_in, or struct sockaddr_in6: family 0, port 2, flow 4, address 8, scope 24. */
function socketAddress(address: string, port: number): Buffer {
  if (address.includes(':')) {
    const bytes = Buffer.alloc(28);
    bytes.writeUInt16LE(AF_INET6, 0);
    bytes.writeUInt16BE(port, 2);
    ip6Bytes(address).copy(bytes, 8);
    return bytes;
  }
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  ipBytes(address).copy(bytes, 4);
  return bytes;
}
