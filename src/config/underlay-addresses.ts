/** Parsers of the addresses in flags and entries. Each throws VtepError ERR_VTEP_USAGE for a wrong value. */
import {
  type IpAddress,
  ipFamily,
  isGroupMac,
  isLinkLocalIpv6,
  isMulticastIp,
  isZeroMac,
  type MacAddress,
  notUnicast,
  parseIp,
  parseMac,
} from '../lib/addresses.ts';
import type { VniConfig } from './config.ts';
import { refuse, type WrittenValue } from './keys/written-value.ts';

const MULTICAST_RANGES = '224.0.0.0/4 or ff00::/8';

/** The multicast group of a segment. */
export function parseGroup(written: WrittenValue): IpAddress {
  const group = parseAnyIp(written, `a group is a multicast address, ${MULTICAST_RANGES}`);
  if (!isMulticastIp(group))
    refuse(written.object, `${written.label} is not a multicast address (${MULTICAST_RANGES})`);
  return group;
}

/** The address of a VTEP: anything but unspecified, multicast and broadcast. Loopback is accepted, since two daemons may share a host. */
export function parseVtepAddress(written: WrittenValue): IpAddress {
  const address = parseAnyIp(written, 'give an address like 192.0.2.1');
  const cause = notOfVtep(address);
  if (cause !== undefined) refuse(written.object, `${written.label} is ${cause}`, 'give the unicast address of a VTEP');
  return address;
}

/** An outer source address: as of a VTEP. */
export function parseLocalAddress(written: WrittenValue): IpAddress {
  const address = parseAnyIp(written, 'give an address like 192.0.2.1');
  const cause = notOfVtep(address);
  if (cause !== undefined) {
    refuse(written.object, `${written.label} is ${cause}`, 'give a unicast address of the underlay interface');
  }
  return address;
}

/** A station's MAC: neither zero nor of a group. */
export function parseStationMac(written: WrittenValue): MacAddress {
  const mac = parseMac(written.text);
  if (mac === undefined) {
    refuse(written.object, `${written.label} is not a MAC address`, 'write it like 02:00:00:00:00:01');
  }
  if (isZeroMac(mac)) refuse(written.object, `${written.label} is the zero MAC`, 'give the MAC of one station');
  if (isGroupMac(mac)) refuse(written.object, `${written.label} is a group MAC`, 'give the MAC of one station');
  return mac;
}

/** The families of a VNI's group, remotes and static entries, IPv4 first. */
export function familiesOf({ group, remotes, statics }: VniConfig): (4 | 6)[] {
  const vteps = statics.flatMap(({ vtep }) => (vtep === 'local' ? [] : [vtep]));
  const addresses = [...(group === undefined ? [] : [group]), ...remotes, ...vteps];
  return ([4, 6] as const).filter((family) => addresses.some((address) => ipFamily(address) === family));
}

/** `IPv4` or `IPv6`, for messages. */
export function familyName(address: IpAddress): string {
  return `IPv${ipFamily(address)}`;
}

/** Why an address cannot be that of a VTEP. A link-local one is ambiguous without the link. */
function notOfVtep(address: IpAddress): string | undefined {
  return notUnicast(address) ?? (isLinkLocalIpv6(address) ? 'a link-local address (fe80::/10)' : undefined);
}

function parseAnyIp({ object, label, text }: WrittenValue, remedy: string): IpAddress {
  const address = parseIp(text);
  if (address !== undefined) return address;
  const zoneAt = text.indexOf('%');
  if (zoneAt >= 0 && parseIp(text.slice(0, zoneAt)) !== undefined) {
    refuse(object, `${label} names a zone`, 'leave out the % and what follows, and give the interface by --dev');
  }
  refuse(object, `${label} is not an IP address`, remedy);
}
