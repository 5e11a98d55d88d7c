/** Raw frames in and out of one interface of one namespace, through AF_PACKET from the test process itself. */
import {
  AF_PACKET,
  bind,
  close,
  interfaceIndex,
  memoryAddress,
  receiveMessage,
  SOCK_RAW,
  SOL_SOCKET,
  sendTo,
  setSocketOption,
  socket,
} from '../host/libc.ts';
import { inNamespace } from '../host/namespaces.ts';
import { waitFor } from '../wait.ts';

const ETH_P_ALL = 0x0003;
const SOL_PACKET = 263;
const PACKET_AUXDATA = 8;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const SO_RCVBUFFORCE = 33;
const PACKET_OUTGOING = 4;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;

/** struct virtio_net_hdr: flags 0, gso_type 1, hdr_len 2, gso_size 4, csum_start 6, csum_offset 8. */
const VNET_HEADER_BYTES = 10;
const VNET_NEEDS_CHECKSUM = 1;

/** A super-frame of an offloading interface is up to 64 KB, and jumbo headers come on top. */
const FRAME_BYTES = 0x11000;
const RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024;

export interface CapturedFrame {
  /** From the destination MAC on; a VLAN tag that the kernel took off is back in its place. */
  readonly bytes: Buffer;
  /** Sent by this namespace rather than received. */
  readonly outgoing: boolean;
  /** Payload of each segment, if it is a super-frame; else 0. Known with `vnetHeader` alone. */
  readonly segmentBytes: number;
  /** The transport checksum is left to its receiver. Known with `vnetHeader` alone. */
  readonly unfinished: boolean;
}

export interface PacketSocketOptions {
  /** Capture also what the namespace itself sends through the interface. Default false. */
  readonly outgoing?: boolean;
  /** Tell super-frames and unfinished checksums, and send what begins with a vnet header. Default false. */
  readonly vnetHeader?: boolean;
}

type FramePredicate = (frame: CapturedFrame) => boolean;

/**
 * Open until `close()`. What arrives is queued by the kernel from the moment of opening and moved to `frames` by every
 * look; nothing is lost between two waits.
 */
export class PacketSocket {
  readonly frames: CapturedFrame[] = [];
  readonly #fd: number;
  readonly #what: string;
  readonly #message: MessageBuffers;
  readonly #vnetBytes: number;
  #open = true;

  constructor(namespace: string, interfaceName: string, options: PacketSocketOptions = {}) {
    const { outgoing = false, vnetHeader = false } = options;
    this.#vnetBytes = vnetHeader ? VNET_HEADER_BYTES : 0;
    this.#what = `${namespace}/${interfaceName}`;
    this.#message = messageBuffers();
    this.#fd = inNamespace(namespace, () => {
      // Protocol 0 keeps it deaf until it is bound to its interface.
      const fd = socket(AF_PACKET, SOCK_RAW, 0);
      setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
      setSocketOption(fd, SOL_PACKET, PACKET_AUXDATA, 1);
      if (vnetHeader) setSocketOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
      if (!outgoing) setSocketOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
      bind(fd, linkAddress(interfaceIndex(interfaceName)));
      return fd;
    });
  }

  send(...frames: Buffer[]): void {
    for (const frame of frames) sendTo(this.#fd, frame, null);
  }

  /** Takes everything the kernel has queued. Also done by the waits. */
  drain(): readonly CapturedFrame[] {
    for (let frame = this.#receive(); frame; frame = this.#receive()) this.frames.push(frame);
    return this.frames;
  }

  /** Forgets what came so far, queued frames included. */
  clear(): void {
    this.drain();
    this.frames.length = 0;
  }

  select(predicate: FramePredicate): CapturedFrame[] {
    return this.drain().filter(predicate);
  }

  /** The first frame, past or coming, that satisfies the predicate. */
  async waitForFrame(what: string, predicate: FramePredicate, timeoutMs = 10_000): Promise<CapturedFrame> {
    const [frame] = await this.waitForFrames(what, predicate, { count: 1, timeoutMs });
    if (!frame) throw new Error('unreachable');
    return frame;
  }

  /** At least `count` frames, past or coming, that satisfy the predicate. */
  async waitForFrames(
    what: string,
    predicate: FramePredicate,
    { count, timeoutMs = 10_000 }: { count: number; timeoutMs?: number },
  ): Promise<CapturedFrame[]> {
    try {
      return await waitFor(
        `${count}× ${what} at ${this.#what}`,
        () => this.select(predicate),
        (frames) => frames.length >= count,
        { timeoutMs, everyMs: 1 },
      );
    } catch (error) {
      throw new Error(`${(error as Error).message.slice(0, 200)}; all that came: ${this.#summary()}`);
    }
  }

  close(): void {
    if (this.#open) close(this.#fd);
    this.#open = false;
  }

  #receive(): CapturedFrame | undefined {
    const { header, frame, address, control } = this.#message;
    header.writeBigUInt64LE(BigInt(control.length), 40);
    control.fill(0);
    const length = receiveMessage(this.#fd, header);
    if (length === undefined) return undefined;
    const bytes = Buffer.from(frame.subarray(this.#vnetBytes, Math.min(length, frame.length)));
    return {
      bytes: withVlanTag(bytes, control),
      outgoing: address.readUInt8(10) === PACKET_OUTGOING,
      segmentBytes: this.#vnetBytes > 0 && frame.readUInt8(1) !== 0 ? frame.readUInt16LE(4) : 0,
      unfinished: this.#vnetBytes > 0 && (frame.readUInt8(0) & VNET_NEEDS_CHECKSUM) !== 0,
    };
  }

  #summary(): string {
    const shown = this.frames
      .slice(-20)
      .map((frame) => `${frame.bytes.length} B ${frame.bytes.toString('hex', 0, 60)}`);
    return `${this.frames.length} frames${shown.map((line) => `\n  ${line}`).join('')}`;
  }
}

interface MessageBuffers {
  readonly header: Buffer;
  readonly frame: Buffer;
  readonly address: Buffer;
  readonly control: Buffer;
  readonly vector: Buffer;
}

/**
 * struct msghdr on 64 bit: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48.
 * The kernel holds these addresses only during the call, the object keeps the memory alive between calls.
 */
function messageBuffers(): MessageBuffers {
  const [header, vector] = [Buffer.alloc(56), Buffer.alloc(16)];
  const [frame, address, control] = [Buffer.alloc(FRAME_BYTES), Buffer.alloc(20), Buffer.alloc(128)];
  vector.writeBigUInt64LE(memoryAddress(frame), 0);
  vector.writeBigUInt64LE(BigInt(frame.length), 8);
  header.writeBigUInt64LE(memoryAddress(address), 0);
  header.writeUInt32LE(address.length, 8);
  header.writeBigUInt64LE(memoryAddress(vector), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(memoryAddress(control), 32);
  return { header, frame, address, control, vector };
}

/** struct sockaddr_ll: family 0, protocol 2 (network order), ifindex 4, hatype 8, pkttype 10, halen 11, addr 12. */
function linkAddress(index: number): Buffer {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(ETH_P_ALL, 2);
  address.writeInt32LE(index, 4);
  return address;
}

/**
 * The kernel takes an 802.1Q tag off a received frame and reports it beside it: cmsghdr (16 bytes), then
 * struct tpacket_auxdata: status 0, len 4, snaplen 8, mac 12, net 14, vlan_tci 16, vlan_tpid 18.
 */
function withVlanTag(bytes: Buffer, control: Buffer): Buffer {
  if (control.readInt32LE(8) !== SOL_PACKET || control.readInt32LE(12) !== PACKET_AUXDATA) return bytes;
  const auxiliary = control.subarray(16);
  const status = auxiliary.readUInt32LE(0);
  if ((status & TP_STATUS_VLAN_VALID) === 0) return bytes;
  const tag = Buffer.alloc(4);
  tag.writeUInt16BE((status & TP_STATUS_VLAN_TPID_VALID) === 0 ? 0x8100 : auxiliary.readUInt16LE(18), 0);
  tag.writeUInt16BE(auxiliary.readUInt16LE(16), 2);
  return Buffer.concat([bytes.subarray(0, 12), tag, bytes.subarray(12)]);
}
