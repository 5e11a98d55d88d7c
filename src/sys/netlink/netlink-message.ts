import { ERRNO, SysError } from '../sys-error.ts';

/**
 * Netlink messages (linux/netlink.h, rtnetlink(7)), as far as links, addresses and routes need. Host byte order, little-endian.
 *
 *      0        4      6       8          12         16
 *     +--------+------+-------+----------+----------+----------------------+--------------
 *     | length | type | flags | sequence | port id  | fixed part of the type| attributes …
 *     +--------+------+-------+----------+----------+----------------------+--------------
 */

export const NLMSG_HEADER_BYTES = 16;

export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
/** In an answer: the objects changed during the list, which may be inconsistent. */
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

/** Marks an attribute that holds attributes. */
const NLA_TYPE_MASK = 0x3fff;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header. */
  readonly payload: Buffer;
}

/** One attribute: type and value. */
export function attribute(type: number, value: Uint8Array): Buffer {
  const length = 4 + value.length;
  const buffer = Buffer.alloc(align4(length));
  buffer.writeUInt16LE(length, 0);
  buffer.writeUInt16LE(type, 2);
  buffer.set(value, 4);
  return buffer;
}

export function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value >>> 0);
  return buffer;
}

export function message(type: number, flags: number, sequence: number, parts: readonly Uint8Array[]): Buffer {
  const payload = Buffer.concat(parts);
  const header = Buffer.alloc(NLMSG_HEADER_BYTES);
  header.writeUInt32LE(NLMSG_HEADER_BYTES + payload.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, payload]);
}

/** The messages of one datagram; a cut one ends the list. */
export function* splitMessages(datagram: Buffer): Generator<NetlinkMessage> {
  for (let at = 0; at + NLMSG_HEADER_BYTES <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < NLMSG_HEADER_BYTES || at + length > datagram.length) return;
    const payload = datagram.subarray(at + NLMSG_HEADER_BYTES, at + length);
    yield {
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      payload,
    };
    at += align4(length);
  }
}

/** Attributes by type; a later one of a type replaces an earlier. */
export function readAttributes(octets: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= octets.length; ) {
    const length = octets.readUInt16LE(at);
    if (length < 4 || at + length > octets.length) break;
    attributes.set(octets.readUInt16LE(at + 2) & NLA_TYPE_MASK, octets.subarray(at + 4, at + length));
    at += align4(length);
  }
  return attributes;
}

/**
 * The fixed part of a message and its attributes.
 *
 * @throws SysError (EBADMSG) about `object` if the message is shorter than the fixed part
 */
export function readMessage(
  { payload }: Pick<NetlinkMessage, 'payload'>,
  fixedBytes: number,
  object: string,
): { readonly fixed: Buffer; readonly attributes: Map<number, Buffer> } {
  if (payload.length < fixedBytes) throw new SysError(object, ERRNO.EBADMSG);
  return { fixed: payload.subarray(0, fixedBytes), attributes: readAttributes(payload.subarray(fixedBytes)) };
}

/** Attributes in an attribute; none if it is absent. */
export function readNested(value: Buffer | undefined): Map<number, Buffer> {
  return value === undefined ? new Map() : readAttributes(value);
}

// Numbers in an attribute. One that is too short for its number counts as absent.

export function readUint8(value: Buffer | undefined): number | undefined {
  return value?.[0];
}

/** A port, in network order. */
export function readPort(value: Buffer | undefined): number | undefined {
  return value && value.length >= 2 ? value.readUInt16BE(0) : undefined;
}

export function readUint32(value: Buffer | undefined): number | undefined {
  return value && value.length >= 4 ? value.readUInt32LE(0) : undefined;
}

export function readInt32(value: Buffer | undefined): number | undefined {
  return value && value.length >= 4 ? value.readInt32LE(0) : undefined;
}

/** @param at where it is in an attribute that is a structure */
export function readUint64(value: Buffer | undefined, at: number): number | undefined {
  return value && value.length >= at + 8 ? Number(value.readBigUInt64LE(at)) : undefined;
}

function align4(length: number): number {
  return (length + 3) & ~3;
}
