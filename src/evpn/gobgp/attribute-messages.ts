import { formatIp, type IpAddress, parseIp } from '../../lib/addresses.ts';
import type { RouteTarget } from '../../lib/route-numbers.ts';
import { INGRESS_REPLICATION, type PmsiTunnel } from '../route.ts';
import type { Dialect } from '../speaker.ts';
import { readChoice } from './dialect.ts';
import { Message } from './message.ts';
import { readIpv4 } from './nlri-message.ts';

/** What the attributes of a route say that a VTEP uses. */
export interface Attributes {
  nextHop: IpAddress | undefined;
  targets: RouteTarget[];
  tunnels: number[];
  sequence: number;
  isSticky: boolean;
  pmsi: PmsiTunnel | undefined;
}

/** Those of a route that has none, such as a withdrawn one. */
export function noAttributes(): Attributes {
  return { nextHop: undefined, targets: [], tunnels: [], sequence: 0, isSticky: false, pmsi: undefined };
}

const [NEXT_HOP, MP_REACH, EXTENDED_COMMUNITIES, PMSI_TUNNEL] = [4, 12, 14, 17];

/** Reads `Path.pattrs`. Attributes and communities that a VTEP does not use are skipped. @throws Unreadable */
export function readAttributes(dialect: Dialect, octets: readonly Uint8Array[]): Attributes {
  const attributes = noAttributes();
  for (const one of octets) {
    const choice = readChoice(dialect, 'attribute', one);
    if (!choice) continue;
    if (choice.field === MP_REACH) attributes.nextHop = nextHop(new Message(choice.octets), 2);
    else if (choice.field === NEXT_HOP) attributes.nextHop ??= nextHop(new Message(choice.octets), 1);
    else if (choice.field === PMSI_TUNNEL) attributes.pmsi = readPmsi(new Message(choice.octets));
    else if (choice.field === EXTENDED_COMMUNITIES) {
      for (const community of new Message(choice.octets).all(1)) readCommunity(dialect, community, attributes);
    }
  }
  return attributes;
}

/** MpReachNLRIAttribute {family = 1, next_hops = 2, nlris = 3}, or NextHopAttribute {next_hop = 1}. */
function nextHop(message: Message, field: number): IpAddress | undefined {
  // With a second one, of IPv6 and its link, the first is global (RFC 2545 §3).
  const [first] = message.all(field);
  return first && parseIp(Buffer.from(first).toString('latin1'));
}

/** PmsiTunnelAttribute {flags = 1, type = 2, label = 3, id = 4}. */
function readPmsi(message: Message): PmsiTunnel {
  const [tunnel, id] = [message.number(2), message.bytes(4)];
  const isAddress = tunnel === INGRESS_REPLICATION && (id?.length === 4 || id?.length === 16);
  return { tunnel, label: message.number(3), endpoint: id && isAddress ? formatIp(id) : undefined };
}

const [TWO_OCTET_AS, IPV4_ADDRESS, FOUR_OCTET_AS, ENCAPSULATION, DEFAULT_GATEWAY, MAC_MOBILITY] = [2, 3, 4, 8, 9, 13];

function readCommunity(dialect: Dialect, octets: Uint8Array, attributes: Attributes): void {
  const choice = readChoice(dialect, 'community', octets);
  if (!choice) return;
  const message = new Message(choice.octets);
  switch (choice.field) {
    case TWO_OCTET_AS:
      addTarget(attributes.targets, 'as2', message);
      break;
    case IPV4_ADDRESS:
      addTarget(attributes.targets, 'ipv4', message);
      break;
    case FOUR_OCTET_AS:
      addTarget(attributes.targets, 'as4', message);
      break;
    case ENCAPSULATION:
      attributes.tunnels.push(message.number(1));
      break;
    case DEFAULT_GATEWAY:
      attributes.isSticky = true;
      break;
    case MAC_MOBILITY:
      // MacMobilityExtended {is_sticky = 1, sequence_num = 2}.
      attributes.isSticky ||= message.flag(1);
      attributes.sequence = message.number(2);
      break;
  }
}

/** Sub-type of a route target (RFC 4360 §4); that of a route origin is 3. */
const ROUTE_TARGET = 2;

/** …SpecificExtended {is_transitive = 1, sub_type = 2, asn or address = 3, local_admin = 4}. */
function addTarget(targets: RouteTarget[], form: RouteTarget['form'], message: Message): void {
  if (message.number(2) !== ROUTE_TARGET || !message.flag(1)) return;
  const admin = form === 'ipv4' ? readIpv4(message.text(3)) : message.number(3);
  const value = message.number(4);
  if (targets.some((target) => target.form === form && target.admin === admin && target.value === value)) return;
  targets.push({ form, admin, value });
}
