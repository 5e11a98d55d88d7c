import { isMulticastIp } from '../../lib/addresses.ts';
import { MAX_SET_ELEMENTS } from '../../lib/limits.ts';
import { inAddressRange, inPrefix } from './firewall-address.ts';
import type { Packet, PortRange } from './firewall-packet.ts';
import { allOf, anyOf, inRange, type Match, not } from './firewall-walk.ts';

/** Conditions of nftables rules in JSON, evaluated for a VXLAN datagram. */

export interface NftExpression {
  readonly op: string;
  readonly left: unknown;
  readonly right: unknown;
}

/** The context of a condition. */
export interface NftContext {
  /** Elements of a set or map of the rule's table. */
  readonly set: (name: string) => readonly unknown[] | undefined;
  /** No rule exempts packets from connection tracking. */
  readonly isTracked: boolean;
  /** Some rule changes destinations. */
  readonly isRewritten: boolean;
}

/** The compared value: names, one of which is that of the packet; several states that it may be in; a number; an address. */
type Value =
  | { readonly aliases: readonly string[] }
  | { readonly oneOf: readonly string[] }
  | { readonly range: PortRange }
  | { readonly address: Packet['source']; readonly family: 4 | 6 }
  /** The packet has no such field, so that no condition on it holds, not even a negative one. */
  | 'absent'
  | undefined;

/** Protocols whose header a VXLAN datagram does not have. */
const OTHER_PROTOCOLS = [
  'tcp',
  'icmp',
  'icmpv6',
  'igmp',
  'sctp',
  'dccp',
  'udplite',
  'esp',
  'ah',
  'comp',
  'arp',
  'vlan',
];

const UDP: Value = { aliases: ['udp', '17'] };

export function compileMatch(conditions: readonly NftExpression[], context: NftContext): (packet: Packet) => Match {
  return allOf(conditions.map((condition) => (packet: Packet) => holds(condition, packet, context)));
}

function holds({ op, left, right }: NftExpression, packet: Packet, context: NftContext): Match {
  const value = fieldOf(left, packet, context);
  if (value === 'absent') return 'no';
  if (value === undefined) return 'maybe';
  const number = typeof right === 'number' ? right : Number.NaN;
  switch (op) {
    case '==':
    case 'in':
      return contains(right, value, context);
    case '!=':
      return not(contains(right, value, context));
    case '<':
      return compareNumber(value, { first: 0, last: number - 1 });
    case '<=':
      return compareNumber(value, { first: 0, last: number });
    case '>':
      return compareNumber(value, { first: number + 1, last: Infinity });
    case '>=':
      return compareNumber(value, { first: number, last: Infinity });
    default:
      return 'maybe';
  }
}

function compareNumber(value: Exclude<Value, 'absent' | undefined>, wanted: PortRange): Match {
  const isNumber = 'range' in value && !Number.isNaN(wanted.first + wanted.last);
  return isNumber ? inRange(value.range, wanted) : 'maybe';
}

function fieldOf(left: unknown, packet: Packet, context: NftContext): Value {
  const { meta, payload, ct, fib } = left as {
    meta?: { key: string };
    payload?: { protocol?: string; field?: string };
    ct?: { key: string };
    fib?: { result: string; flags: string[] };
  };
  if (meta) return metaValue(meta.key, packet);
  if (payload) return payloadValue(payload.protocol ?? '', payload.field ?? '', packet);
  // An answer to a VXLAN datagram comes from another port than the request went to, so no flow is ever established.
  if (ct?.key === 'state') return { oneOf: context.isTracked ? ['new'] : ['new', 'untracked'] };
  if (ct?.key === 'status') return context.isRewritten ? undefined : { aliases: [] };
  if (fib?.result === 'type' && fib.flags.join() === 'daddr') return destinationKind(packet, 'local');
  return undefined;
}

function metaValue(key: string, packet: Packet): Value {
  const { direction, family, dev } = packet;
  switch (key) {
    case 'iif':
    case 'iifname':
      return direction === 'out' ? { aliases: [''] } : dev === undefined ? undefined : { aliases: [dev] };
    case 'oif':
    case 'oifname':
      return direction === 'in' ? { aliases: [''] } : dev === undefined ? undefined : { aliases: [dev] };
    case 'l4proto':
      return UDP;
    case 'nfproto':
      return { aliases: family === 4 ? ['ipv4', '2'] : ['ipv6', '10'] };
    case 'protocol':
      return { aliases: family === 4 ? ['ip', '2048'] : ['ip6', '34525'] };
    case 'pkttype':
      return direction === 'in' ? destinationKind(packet, 'host') : undefined;
    default:
      return undefined;
  }
}

function destinationKind({ direction, destination }: Packet, own: 'local' | 'host'): Value {
  if (destination === undefined || direction === 'out') return undefined;
  return { aliases: isMulticastIp(destination) ? ['multicast'] : own === 'host' ? ['host', 'unicast'] : [own] };
}

function payloadValue(protocol: string, field: string, packet: Packet): Value {
  const { family, source, destination, port, sourcePorts } = packet;
  if (OTHER_PROTOCOLS.includes(protocol)) return 'absent';
  if (protocol === 'udp' || protocol === 'th') {
    if (field === 'dport') return { range: { first: port, last: port } };
    return field === 'sport' ? { range: sourcePorts } : undefined;
  }
  if (protocol !== 'ip' && protocol !== 'ip6') return undefined;
  if (family !== (protocol === 'ip' ? 4 : 6)) return 'absent';
  if (field === 'saddr') return { address: source, family };
  if (field === 'daddr') return { address: destination, family };
  if (field === 'protocol' || field === 'nexthdr') return UDP;
  return field === 'version' ? { aliases: [`${family}`] } : undefined;
}

/** Whether a value is, or is one of, the right side of a condition. */
function contains(right: unknown, value: Exclude<Value, 'absent' | undefined>, context: NftContext): Match {
  if ('oneOf' in value) {
    const matches = value.oneOf.map((alias) => contains(right, { aliases: [alias] }, context));
    return matches.every((match) => match === matches[0]) ? (matches[0] as Match) : 'maybe';
  }
  if (Array.isArray(right)) return anyOf(right.map((each) => contains(each, value, context)));
  if (typeof right === 'string' && right.startsWith('@')) {
    const elements = context.set(right.slice(1));
    return elements && elements.length <= MAX_SET_ELEMENTS ? contains(elements, value, context) : 'maybe';
  }
  if (right === '*') return 'yes';
  if (typeof right === 'object' && right !== null) return containsObject(right, value, context);
  if ('aliases' in value) {
    const text = `${right}`;
    return value.aliases.some((alias) => alias === text || (text.endsWith('*') && alias.startsWith(text.slice(0, -1))))
      ? 'yes'
      : 'no';
  }
  if ('range' in value) {
    return typeof right === 'number' ? inRange(value.range, { first: right, last: right }) : 'maybe';
  }
  // Sets of addresses may be long, and nft writes addresses in the same form as here.
  if (value.address === right) return 'yes';
  const isOther = value.address !== undefined && /^[\d.]+$|^[\da-f:]+$/.test(`${right}`);
  return isOther ? 'no' : inPrefix(value.address, value.family, `${right}`, value.family === 4 ? 32 : 128);
}

function containsObject(right: object, value: Exclude<Value, 'absent' | undefined>, context: NftContext): Match {
  const { set, elem, range, prefix } = right as {
    set?: unknown;
    elem?: { val: unknown };
    range?: [unknown, unknown];
    prefix?: { addr: string; len: number };
  };
  if (set !== undefined) return contains(set, value, context);
  if (elem) return contains(elem.val, value, context);
  if (range && 'range' in value && typeof range[0] === 'number' && typeof range[1] === 'number') {
    return inRange(value.range, { first: range[0], last: range[1] });
  }
  if ('address' in value) {
    if (prefix) return inPrefix(value.address, value.family, prefix.addr, prefix.len);
    if (range) return inAddressRange(value.address, value.family, `${range[0]}`, `${range[1]}`);
  }
  return 'maybe';
}
