import { formatIp, type IpAddress } from '../../lib/addresses.ts';
import { foldSum, sumOctets } from '../checksum.ts';
import { IPV4_MIN_HEADER_BYTES } from '../ip.ts';
import {
  decodeFloat,
  type MulticastQuery,
  QUERY_DEFAULTS,
  readQuerierTiming,
  SOURCES_AT,
  writeAddress,
  writeQuerierTiming,
} from './multicast-query.ts';

/**
 * IGMP membership queries (RFC 1112, RFC 2236 §2, RFC 3376 §4.1) over a caller's buffer, IPv4 header included. Versions 1 and 2 end after the
 * group; version 1 has no response time.
 *
 *      0                 20 or more  +1         +2         +4      +8
 *     +-----------------+-----------+----------+----------+-------+-------------------------------+
 *     | IPv4 header,    | 0x11      | response | checksum | group | S, QRV, QQIC, sources          |
 *     | router alert    |           | code     |          |       | (version 3)                    |
 *     +-----------------+-----------+----------+----------+-------+-------------------------------+
 */

/** The query of `writeIgmpQuery`: an IPv4 header with one option, and a message of version 3 without sources. */
export const IGMP_QUERY_BYTES = 36;

/** All systems: the destination of general queries. */
export const ALL_SYSTEMS = '224.0.0.1' as IpAddress;

const IGMP = 2;
const MEMBERSHIP_QUERY = 0x11;
const TTL = 1;
/** Internetwork control (RFC 3376 §4). */
const TOS = 0xc0;
const DONT_FRAGMENT = 0x4000;
const FRAGMENT = 0x3fff;
/** RFC 2113. */
const ROUTER_ALERT = 0x9404_0000;

const CHECKSUM_AT = 2;
const GROUP_AT = 4;
const TIMING_AT = 8;
const MIN_QUERY_BYTES = 8;
const V3_QUERY_BYTES = TIMING_AT + SOURCES_AT;
const SOURCE_BYTES = 4;
const RESPONSE_UNIT_MS = 100;

/**
 * The query in the packet of `length` octets at `at`. undefined: it is something else, or is not valid: wrong checksums, a TTL other than 1, a
 * destination other than all systems or the requested group, a length that no version has. The router alert is not required: RFC 3376 §9.1 requires
 * it from hosts, but hosts do not check it, and not all switches send it.
 */
export function readIgmpQuery(view: DataView, at: number, length: number): MulticastQuery | undefined {
  if (length < IPV4_MIN_HEADER_BYTES) return undefined;
  const first = view.getUint8(at);
  const headerBytes = (first & 0x0f) * 4;
  const messageBytes = view.getUint16(at + 2) - headerBytes;
  if (first >> 4 !== 4 || headerBytes < IPV4_MIN_HEADER_BYTES || headerBytes + messageBytes > length) return undefined;
  if (messageBytes < MIN_QUERY_BYTES || view.getUint8(at + 9) !== IGMP || view.getUint8(at + 8) !== TTL)
    return undefined;
  if ((view.getUint16(at + 6) & FRAGMENT) !== 0 || !isWhole(view, at, headerBytes)) return undefined;

  const messageAt = at + headerBytes;
  if (view.getUint8(messageAt) !== MEMBERSHIP_QUERY || !isWhole(view, messageAt, messageBytes)) return undefined;
  const group = view.getUint32(messageAt + GROUP_AT);
  const destination = view.getUint32(at + 16);
  if (isIpv4Group(view.getUint32(at + 12))) return undefined;
  if (group === 0 ? addressAt(view, at + 16) !== ALL_SYSTEMS : group !== destination || !isIpv4Group(group)) {
    return undefined;
  }
  const version = queryVersion(view, messageAt, messageBytes);
  if (version === 0) return undefined;
  const code = view.getUint8(messageAt + 1);
  const timing = version === 3 ? readQuerierTiming(view, messageAt + TIMING_AT) : QUERY_DEFAULTS;
  return {
    version,
    source: addressAt(view, at + 12),
    group: group === 0 ? undefined : addressAt(view, messageAt + GROUP_AT),
    responseMs:
      version === 1 ? QUERY_DEFAULTS.responseMs : RESPONSE_UNIT_MS * (version === 3 ? decodeFloat(code, 4) : code),
    robustness: timing.robustness,
    intervalSeconds: timing.intervalSeconds,
  };
}

/**
 * Writes the general query of a querier, IGMP_QUERY_BYTES at `at`. It is version 3; hosts of versions 1 and 2 read the part that they know (RFC 3376
 * §7.2).
 */
export function writeIgmpQuery(view: DataView, at: number, source: IpAddress): void {
  const headerBytes = IPV4_MIN_HEADER_BYTES + 4;
  view.setUint16(at, (0x40 << 8) | ((headerBytes / 4) << 8) | TOS);
  view.setUint16(at + 2, IGMP_QUERY_BYTES);
  view.setUint16(at + 4, 0);
  view.setUint16(at + 6, DONT_FRAGMENT);
  view.setUint8(at + 8, TTL);
  view.setUint8(at + 9, IGMP);
  view.setUint16(at + 10, 0);
  writeAddress(view, at + 12, source);
  writeAddress(view, at + 16, ALL_SYSTEMS);
  view.setUint32(at + 20, ROUTER_ALERT);
  view.setUint16(at + 10, ~foldSum(sumOctets(view, at, headerBytes)));

  const messageAt = at + headerBytes;
  view.setUint8(messageAt, MEMBERSHIP_QUERY);
  view.setUint8(messageAt + 1, QUERY_DEFAULTS.responseMs / RESPONSE_UNIT_MS);
  view.setUint16(messageAt + CHECKSUM_AT, 0);
  view.setUint32(messageAt + GROUP_AT, 0);
  writeQuerierTiming(view, messageAt + TIMING_AT);
  view.setUint16(messageAt + CHECKSUM_AT, ~foldSum(sumOctets(view, messageAt, V3_QUERY_BYTES)));
}

/** The version, from length and response time (RFC 3376 §7.1). 0: no version has this length. */
function queryVersion(view: DataView, messageAt: number, messageBytes: number): 0 | 1 | 2 | 3 {
  if (messageBytes === MIN_QUERY_BYTES) return view.getUint8(messageAt + 1) === 0 ? 1 : 2;
  if (messageBytes < V3_QUERY_BYTES) return 0;
  const sources = view.getUint16(messageAt + TIMING_AT + 2);
  return messageBytes < V3_QUERY_BYTES + sources * SOURCE_BYTES ? 0 : 3;
}

/** Whether the sum over octets that include their checksum is correct. */
function isWhole(view: DataView, at: number, length: number): boolean {
  return foldSum(sumOctets(view, at, length)) === 0xffff;
}

/** Whether an address is multicast or above, so that no host can have it. @param address unsigned */
function isIpv4Group(address: number): boolean {
  return address >>> 28 >= 0xe;
}

function addressAt(view: DataView, at: number): IpAddress {
  return formatIp(new Uint8Array(view.buffer, view.byteOffset + at, 4));
}
