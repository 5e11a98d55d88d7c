/** Converts the checked text of a request to the values of the daemon. */

import {
  type IpAddress,
  isGroupMac,
  isLinkLocalIpv6,
  isZeroMac,
  type MacAddress,
  notUnicast,
  parseIp,
  parseMac,
} from '../../../lib/addresses.ts';
import { VtepError } from '../../../lib/errors.ts';
import type { CaptureQuery, FdbFilter, StaticFdbEntry, TracedFrame } from '../../daemon-view.ts';
import type { CaptureQueryText, FdbEntry, StaticEntry, TraceQuery } from '../../schemas.ts';

interface FilterText {
  readonly vni?: number;
  readonly mac?: string;
  readonly vtep?: string;
  readonly type?: FdbEntry['type'];
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readFilter({ vni, mac, vtep, type }: FilterText): FdbFilter {
  return {
    ...(vni !== undefined && { vni }),
    ...(mac !== undefined && { mac: readMac(mac) }),
    ...(vtep !== undefined && { vtep: readVtep(vtep) }),
    ...(type !== undefined && { type }),
  };
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readMac(text: string): MacAddress {
  const mac = parseMac(text);
  if (!mac) throw wrong(`mac ${text}`, 'not a MAC address', 'write it as 02:00:00:00:00:01');
  return mac;
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readVtep(text: string): IpAddress | 'local' {
  const vtep = text === 'local' ? text : parseIp(text);
  if (!vtep) throw wrong(`vtep ${text}`, 'not an IP address without zone', "give one, or 'local'");
  return vtep;
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readRemote(text: string): IpAddress {
  const remote = parseIp(text);
  if (!remote) throw wrong(`remote ${text}`, 'not an IP address without zone', 'give the unicast address of a VTEP');
  return remote;
}

/** Any frame can be traced, also one with a group as its source. Datagrams come from one VTEP. @throws VtepError ERR_VTEP_USAGE */
export function readTracedFrame({ vni, src, dst, vtep, vlan, size }: TraceQuery): TracedFrame {
  const source = vtep === undefined ? undefined : parseIp(vtep);
  const cause = source ? notUnicast(source) : vtep !== undefined && 'not an IP address without zone';
  if (cause) throw wrong(`vtep ${vtep}`, cause, 'give the unicast address of a VTEP');
  return { vni, src: readMac(src), dst: readMac(dst), vtep: source, vlan, size };
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readCaptureQuery({ vni, mac, vtep, drops = false }: CaptureQueryText): CaptureQuery {
  const address = vtep === undefined ? undefined : parseIp(vtep);
  if (vtep !== undefined && !address) {
    throw wrong(`vtep ${vtep}`, 'not an IP address without zone', 'give the address of a VTEP or of a group');
  }
  return {
    ...(vni !== undefined && { vni }),
    ...(mac !== undefined && { mac: readMac(mac) }),
    ...(address && { vtep: address }),
    drops,
  };
}

/** A remote that is valid in a flood list. @throws VtepError ERR_VTEP_USAGE */
export function readNewRemote(text: string): IpAddress {
  const remote = readRemote(text);
  refuseUnusable('remote', remote);
  return remote;
}

/**
 * A static entry that is valid in a table. The daemon checks whether it fits (VNI, own addresses).
 * @throws VtepError ERR_VTEP_USAGE
 */
export function readStaticEntry(entry: StaticEntry): StaticFdbEntry {
  const mac = readMac(entry.mac);
  // A group source MAC in the table would redirect all multicast to one VTEP.
  if (isGroupMac(mac)) throw wrong(`mac ${mac}`, 'a group address', 'give the MAC address of one station');
  if (isZeroMac(mac)) throw wrong(`mac ${mac}`, 'the zero address', 'give the MAC address of one station');
  const vtep = readVtep(entry.vtep);
  if (vtep !== 'local') refuseUnusable('vtep', vtep);
  return { vni: entry.vni, mac, vtep };
}

function refuseUnusable(label: string, vtep: IpAddress): void {
  const remedy = 'give the unicast address of a VTEP';
  const cause = notUnicast(vtep);
  if (cause) throw wrong(`${label} ${vtep}`, cause, remedy);
  if (isLinkLocalIpv6(vtep)) throw wrong(`${label} ${vtep}`, 'link-local, which is ambiguous without a zone', remedy);
}

function wrong(object: string, cause: string, remedy: string): VtepError {
  return new VtepError('ERR_VTEP_USAGE', { object, cause, remedy });
}
