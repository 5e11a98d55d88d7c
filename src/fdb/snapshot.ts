import { isHostIp } from '../lib/addresses.ts';
import { MAX_VNI } from '../lib/limits.ts';
import { LOCAL_SOURCE, type SourceAddress } from './remotes.ts';

/**
 * Learned MACs as a file. All numbers are in network order. After the entries comes a digest of the whole file before it. The caller handles it.
 *
 *      0               1               2               3
 *     +---------------+---------------+---------------+---------------+
 *     |      v               t               e               p        |
 *     |      d               f               d               b        |  header, 16 octets
 *     |                            version                            |
 *     |                             zero                              |
 *     +---------------+---------------+---------------+---------------+
 *     |                              VNI                              |
 *     |                        MAC, octets 0–3                        |  entry, 32 octets
 *     |        MAC, octets 4–5        |  1: behind the own TAP, or 0  |
 *     |              VTEP, 16 octets, IPv4 as ::ffff:a.b.c.d,         |
 *     |                  zero if behind the own TAP                   |
 *     |           last heard, seconds since 1970, unsigned            |
 *     +---------------+---------------+---------------+---------------+
 */
export const SNAPSHOT_HEADER_BYTES = 16;
export const SNAPSHOT_ENTRY_BYTES = 32;

const MAGIC_HIGH = 0x7674_6570;
const MAGIC_LOW = 0x6466_6462;
const VERSION = 2;

/** The values for an entry behind the own TAP, and for any other entry. */
const BEHIND_TAP = 1;
const BEHIND_VTEP = 0;

export interface SnapshotEntry {
  /** 0 to MAX_VNI. */
  readonly vni: number;
  /** The MAC: first four octets, last two. Neither group nor zero. */
  readonly high: number;
  readonly low: number;
  /** LOCAL_SOURCE, or a unicast address. */
  readonly vtep: SourceAddress;
  /** Whole seconds since 1970, 32 bits. */
  readonly heardSeconds: number;
}

export function writeSnapshotHeader(into: DataView): void {
  for (const [i, word] of [MAGIC_HIGH, MAGIC_LOW, VERSION, 0].entries()) into.setUint32(4 * i, word);
}

/** Whether the data begin with the header of a snapshot that this release can read. */
export function hasSnapshotHeader(from: DataView): boolean {
  if (from.byteLength < SNAPSHOT_HEADER_BYTES) return false;
  return [MAGIC_HIGH, MAGIC_LOW, VERSION, 0].every((word, i) => from.getUint32(4 * i) === word);
}

export function writeSnapshotEntry(into: DataView, at: number, entry: SnapshotEntry): void {
  const { vni, high, low, vtep, heardSeconds } = entry;
  into.setUint32(at, vni);
  into.setUint32(at + 4, high);
  into.setUint16(at + 8, low);
  into.setUint16(at + 10, vtep === LOCAL_SOURCE ? BEHIND_TAP : BEHIND_VTEP);
  into.setInt32(at + 12, vtep.a);
  into.setInt32(at + 16, vtep.b);
  into.setInt32(at + 20, vtep.c);
  into.setInt32(at + 24, vtep.d);
  into.setUint32(at + 28, heardSeconds);
}

/** The entry at `at`, where 32 octets are present. undefined: the octets are no entry that can have been learned. */
export function readSnapshotEntry(from: DataView, at: number): SnapshotEntry | undefined {
  const vni = from.getUint32(at);
  const high = from.getUint32(at + 4);
  const low = from.getUint16(at + 8);
  const isGroup = ((high >>> 24) & 1) === 1;
  const place = from.getUint16(at + 10);
  if (vni > MAX_VNI || isGroup || (high === 0 && low === 0) || place > BEHIND_TAP) return undefined;
  const words = {
    a: from.getInt32(at + 12),
    b: from.getInt32(at + 16),
    c: from.getInt32(at + 20),
    d: from.getInt32(at + 24),
  };
  const isLocal = place === BEHIND_TAP;
  if (isLocal ? (words.a | words.b | words.c | words.d) !== 0 : !isHostIp(words)) return undefined;
  const vtep = isLocal ? LOCAL_SOURCE : words;
  return { vni, high, low, vtep, heardSeconds: from.getUint32(at + 28) };
}
