/**
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian. Each block is independent: a file that ends after any block is complete.
 *
 *      0      4       8                 length-4
 *     +------+-------+---------+---------+--------+
 *     | type | length| fields  | options | length |      padded to four octets each
 *     +------+-------+---------+---------+--------+
 */

export const LINKTYPE = { ethernet: 1, raw: 101 } as const;

const BLOCK = { section: 0x0a0d_0d0a, interface: 1, statistics: 5, packet: 6 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b_3c4d;
const UNKNOWN_LENGTH = 0xffff_ffff;
/** Type and length at the start, length at the end. */
const BLOCK_FRAME_BYTES = 12;

const OPTION = { comment: 1 } as const;
const SECTION_OPTION = { application: 4 } as const;
const INTERFACE_OPTION = { name: 2, description: 3, timeResolution: 9 } as const;
const PACKET_OPTION = { flags: 2 } as const;
const STATISTICS_OPTION = { dropped: 5 } as const;

/** `if_tsresol`: the negative power of ten that is the unit of times. */
const MICROSECONDS = 6;

/** Direction, in the two low bits of `epb_flags`. */
const DIRECTION = { rx: 1, tx: 2 } as const;

const text = new TextEncoder();

/** The first block of a file. @param application name of the program that writes it, e.g. `vtepd 1.2.3` */
export function sectionBlock(application: string): Uint8Array {
  const fields = new Uint8Array(16);
  const view = new DataView(fields.buffer);
  view.setUint32(0, BYTE_ORDER_MAGIC, true);
  view.setUint16(4, 1, true);
  view.setUint32(8, UNKNOWN_LENGTH, true);
  view.setUint32(12, UNKNOWN_LENGTH, true);
  return block(BLOCK.section, [fields, options([SECTION_OPTION.application, text.encode(application)])]);
}

/** Interfaces are numbered in the order of their blocks. @param linkType one of LINKTYPE */
export function interfaceBlock(linkType: number, name: string, description: string): Uint8Array {
  const fields = new Uint8Array(8);
  // A snapshot length of zero means no limit.
  new DataView(fields.buffer).setUint16(0, linkType, true);
  const about = options(
    [INTERFACE_OPTION.name, text.encode(name)],
    [INTERFACE_OPTION.description, text.encode(description)],
    [INTERFACE_OPTION.timeResolution, Uint8Array.of(MICROSECONDS)],
  );
  return block(BLOCK.interface, [fields, about]);
}

export interface Packet {
  /** Number of its interface. */
  readonly interface: number;
  /** Unix time in microseconds. */
  readonly timeUs: number;
  readonly direction: 'rx' | 'tx';
  readonly comment: string;
  /** Its captured octets, in pieces. */
  readonly octets: readonly Uint8Array[];
  /** Original length in octets. */
  readonly length: number;
}

export function packetBlock({ interface: number, timeUs, direction, comment, octets, length }: Packet): Uint8Array {
  const fields = new Uint8Array(20);
  const view = new DataView(fields.buffer);
  const captured = octets.reduce((total, piece) => total + piece.length, 0);
  view.setUint32(0, number, true);
  setTime(view, 4, timeUs);
  view.setUint32(12, captured, true);
  view.setUint32(16, length, true);
  const flags = new Uint8Array(4);
  flags[0] = DIRECTION[direction];
  const about = options([OPTION.comment, text.encode(comment)], [PACKET_OPTION.flags, flags]);
  return block(BLOCK.packet, [fields, ...octets, padding(captured), about]);
}

/** @param dropped packets of the interface that are missing in the file, since its beginning */
export function statisticsBlock(number: number, timeUs: number, dropped: number): Uint8Array {
  const fields = new Uint8Array(12);
  const view = new DataView(fields.buffer);
  view.setUint32(0, number, true);
  setTime(view, 4, timeUs);
  const count = new Uint8Array(8);
  new DataView(count.buffer).setBigUint64(0, BigInt(dropped), true);
  return block(BLOCK.statistics, [fields, options([STATISTICS_OPTION.dropped, count])]);
}

/** What a reader needs of the block that begins at `at` if it only counts and separates blocks. */
export interface BlockHead {
  /** Octets of the whole block. */
  readonly bytes: number;
  readonly isPacket: boolean;
  /** For a statistics block: the number of missing packets. */
  readonly dropped: number | undefined;
}

/** @param end end of the available octets  @returns undefined if the block is not complete */
export function readBlock(view: DataView, at: number, end: number): BlockHead | undefined {
  if (at + BLOCK_FRAME_BYTES > end) return undefined;
  const type = view.getUint32(at, true);
  const bytes = Math.max(view.getUint32(at + 4, true), BLOCK_FRAME_BYTES);
  if (at + bytes > end) return undefined;
  const isCount = type === BLOCK.statistics && view.getUint16(at + 20, true) === STATISTICS_OPTION.dropped;
  const dropped = isCount ? Number(view.getBigUint64(at + 24, true)) : undefined;
  return { bytes, isPacket: type === BLOCK.packet, dropped };
}

function block(type: number, parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((total, part) => total + part.length, BLOCK_FRAME_BYTES);
  const octets = new Uint8Array(length);
  const view = new DataView(octets.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  view.setUint32(length - 4, length, true);
  let at = 8;
  for (const part of parts) {
    octets.set(part, at);
    at += part.length;
  }
  return octets;
}

function options(...list: readonly (readonly [code: number, value: Uint8Array])[]): Uint8Array {
  const bytes = list.reduce((total, [, value]) => total + 4 + value.length + padding(value.length).length, 4);
  const octets = new Uint8Array(bytes);
  const view = new DataView(octets.buffer);
  let at = 0;
  for (const [code, value] of list) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    octets.set(value, at + 4);
    at += 4 + value.length + padding(value.length).length;
  }
  // The rest is opt_endofopt, zeros.
  return octets;
}

function setTime(view: DataView, at: number, timeUs: number): void {
  view.setUint32(at, Math.floor(timeUs / 2 ** 32), true);
  view.setUint32(at + 4, timeUs % 2 ** 32, true);
}

const NONE = new Uint8Array(0);

function padding(length: number): Uint8Array {
  return length % 4 === 0 ? NONE : new Uint8Array(4 - (length % 4));
}
