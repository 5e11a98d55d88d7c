import { formatIp, type IpAddress, isLinkLocalIpv6, isMulticastIp } from '../../lib/addresses.ts';
import { isIpv6Unspecified } from '../answers/nd.ts';
import { foldSum, pseudoHeaderSum, sumOctets } from '../checksum.ts';
import { IPV6_HEADER_BYTES } from '../ip.ts';
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
 * MLD queries (RFC 2710 §3, RFC 3810 §5.1) over a caller's buffer, IPv6 header and hop-by-hop options included. Version 1 ends after the group.
 *
 *      0             40           48 or more
 *     +-------------+------------+-----+------+----------+----------+----------+-------+--------------------+
 *     | IPv6 header,| hop-by-hop:| 130 | code | checksum | response | reserved | group | S, QRV, QQIC,      |
 *     | hop limit 1 | alert, pad |     |      |          | code     |          |       | sources (version 2)|
 *     +-------------+------------+-----+------+----------+----------+----------+-------+--------------------+
 *                                 0     1      2          4          6          8       24
 */

/** The query of `writeMldQuery`: IPv6 header, one option, and a message of version 2 without sources. */
export const MLD_QUERY_BYTES = 76;

/** All nodes of the link: the destination of general queries. */
export const ALL_NODES = 'ff02::1' as IpAddress;

const ICMPV6 = 58;
const HOP_BY_HOP = 0;
const LISTENER_QUERY = 130;
const HOP_LIMIT = 1;

const DESTINATION_AT = 24;
const CHECKSUM_AT = 2;
const RESPONSE_AT = 4;
const GROUP_AT = 8;
const TIMING_AT = 24;
const V1_QUERY_BYTES = 24;
const V2_QUERY_BYTES = TIMING_AT + SOURCES_AT;
const ADDRESS_BYTES = 16;

/** Extension headers have units of eight octets (RFC 8200 §4.3). The length field does not count the first unit. */
const OPTIONS_UNIT_BYTES = 8;
const OPTION = { pad1: 0, routerAlert: 5 } as const;
/** "Contains a Multicast Listener Discovery message" (RFC 2711 §2.1). */
const ALERT_MLD = 0;

/**
 * The query in the packet of `length` octets at `at`. undefined: it is something else, or must be discarded according to RFC 3810 §6.2 and §7.6: a
 * source that is not link-local, another hop limit, no router alert, a wrong checksum, a length that no version has, or a destination other than all
 * nodes or the requested group.
 */
export function readMldQuery(view: DataView, at: number, length: number): MulticastQuery | undefined {
  if (length < IPV6_HEADER_BYTES + OPTIONS_UNIT_BYTES || view.getUint8(at) >> 4 !== 6) return undefined;
  const end = at + IPV6_HEADER_BYTES + view.getUint16(at + 4);
  if (end > at + length || view.getUint8(at + 6) !== HOP_BY_HOP || view.getUint8(at + 7) !== HOP_LIMIT)
    return undefined;
  const optionsAt = at + IPV6_HEADER_BYTES;
  const messageAt = optionsAt + (view.getUint8(optionsAt + 1) + 1) * OPTIONS_UNIT_BYTES;
  const messageBytes = end - messageAt;
  const version = messageBytes === V1_QUERY_BYTES ? 1 : messageBytes >= V2_QUERY_BYTES ? 2 : 0;
  if (version === 0 || view.getUint8(optionsAt) !== ICMPV6) return undefined;
  if (view.getUint8(messageAt) !== LISTENER_QUERY || view.getUint8(messageAt + 1) !== 0) return undefined;
  if (!hasMldAlert(view, optionsAt + 2, messageAt) || !hasValidChecksum(view, at, messageAt, messageBytes)) {
    return undefined;
  }
  if (version === 2 && messageBytes < V2_QUERY_BYTES + view.getUint16(messageAt + TIMING_AT + 2) * ADDRESS_BYTES) {
    return undefined;
  }
  const source = addressAt(view, at + 8);
  const destination = addressAt(view, at + DESTINATION_AT);
  const isGeneral = isIpv6Unspecified(view, messageAt + GROUP_AT);
  const group = isGeneral ? undefined : addressAt(view, messageAt + GROUP_AT);
  if (!isLinkLocalIpv6(source) || destination !== (group ?? ALL_NODES) || !isMulticastIp(destination)) return undefined;

  const code = view.getUint16(messageAt + RESPONSE_AT);
  const timing = version === 2 ? readQuerierTiming(view, messageAt + TIMING_AT) : QUERY_DEFAULTS;
  return {
    version,
    source,
    group,
    responseMs: version === 2 ? decodeFloat(code, 12) : code,
    robustness: timing.robustness,
    intervalSeconds: timing.intervalSeconds,
  };
}

/**
 * Writes the general query of a querier, MLD_QUERY_BYTES at `at`. It is version 2; hosts of version 1 read the part that they know (RFC 3810 §8.2.1).
 *
 * @param source a link-local address of the interface
 */
export function writeMldQuery(view: DataView, at: number, source: IpAddress): void {
  view.setUint32(at, 0x6000_0000);
  view.setUint16(at + 4, OPTIONS_UNIT_BYTES + V2_QUERY_BYTES);
  view.setUint8(at + 6, HOP_BY_HOP);
  view.setUint8(at + 7, HOP_LIMIT);
  writeAddress(view, at + 8, source);
  writeAddress(view, at + DESTINATION_AT, ALL_NODES);

  const optionsAt = at + IPV6_HEADER_BYTES;
  view.setUint16(optionsAt, ICMPV6 << 8);
  view.setUint16(optionsAt + 2, (OPTION.routerAlert << 8) | 2);
  view.setUint16(optionsAt + 4, ALERT_MLD);
  // PadN with no octets of its own.
  view.setUint16(optionsAt + 6, 0x0100);

  const messageAt = optionsAt + OPTIONS_UNIT_BYTES;
  view.setUint32(messageAt, LISTENER_QUERY << 24);
  view.setUint32(messageAt + RESPONSE_AT, QUERY_DEFAULTS.responseMs << 16);
  for (let offset = 0; offset < ADDRESS_BYTES; offset += 4) view.setUint32(messageAt + GROUP_AT + offset, 0);
  writeQuerierTiming(view, messageAt + TIMING_AT);
  view.setUint16(messageAt + CHECKSUM_AT, ~messageSum(view, at, messageAt, V2_QUERY_BYTES));
}

/** Whether the options from `from` to `end` include a router alert for MLD. */
function hasMldAlert(view: DataView, from: number, end: number): boolean {
  for (let at = from; at + 2 <= end; ) {
    const type = view.getUint8(at);
    if (type === OPTION.pad1) {
      at++;
      continue;
    }
    const next = at + 2 + view.getUint8(at + 1);
    if (next > end) return false;
    if (type === OPTION.routerAlert) return next === at + 4 && view.getUint16(at + 2) === ALERT_MLD;
    at = next;
  }
  return false;
}

function hasValidChecksum(view: DataView, at: number, messageAt: number, messageBytes: number): boolean {
  return messageSum(view, at, messageAt, messageBytes) === 0xffff;
}

/** The folded sum of the message and its pseudo-header. */
function messageSum(view: DataView, at: number, messageAt: number, messageBytes: number): number {
  return foldSum(pseudoHeaderSum(view, at, 6, ICMPV6, messageBytes) + sumOctets(view, messageAt, messageBytes));
}

function addressAt(view: DataView, at: number): IpAddress {
  return formatIp(new Uint8Array(view.buffer, view.byteOffset + at, ADDRESS_BYTES));
}
