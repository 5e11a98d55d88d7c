import { type IpAddress, isMulticastIp } from '../../lib/addresses.ts';
import type { Packet } from './firewall-packet.ts';

/** The effect of address translation, and of rules that write into headers, on a VXLAN datagram. */

export interface Rewrite {
  /** Which end of the datagram is rewritten. */
  readonly end: 'source' | 'destination';
  /** The new address; `interface`: an address of the interface that the kernel chooses; undefined: unchanged. */
  readonly address?: IpAddress | 'interface' | 'unknown' | undefined;
  /** The new port; undefined: unchanged. */
  readonly port?: number | 'unknown' | undefined;
}

/**
 * none: nothing changes. harmless: the tunnel works, but not as configured. fatal: its frames are lost. unknown: cannot be evaluated.
 */
export type Effect = 'none' | 'harmless' | 'fatal' | 'unknown';

export function effectOf({ end, address, port }: Rewrite, packet: Packet): Effect {
  const isSource = end === 'source';
  const now = isSource ? packet.source : packet.destination;
  const own = packet.ownAddresses ?? [];
  const effects: Effect[] = [portEffect(port, isSource, packet)];
  if (address === 'unknown' || (address !== undefined && now === undefined)) effects.push('unknown');
  else if (address === 'interface') {
    const choice = own.filter(({ dev, isGlobal }) => dev === packet.dev && isGlobal).map((each) => each.address);
    // A datagram for a group becomes one for the interface.
    if (now !== undefined && isMulticastIp(now)) effects.push('harmless');
    else if (choice.length === 0) effects.push('unknown');
    else if (choice.some((each) => each !== now)) effects.push('harmless');
  } else if (address !== undefined && address !== now) {
    // vtepd receives VXLAN on every address of its host. A datagram sent to another destination reaches another VTEP.
    const isHeard = own.some((each) => each.address === address) && (isSource || packet.direction === 'in');
    effects.push(isHeard || (isSource && packet.direction === 'in') ? 'harmless' : 'fatal');
  }
  return (['fatal', 'unknown', 'harmless'] as const).find((effect) => effects.includes(effect)) ?? 'none';
}

function portEffect(port: Rewrite['port'], isSource: boolean, packet: Packet): Effect {
  if (port === undefined) return 'none';
  // The source port only spreads flows over paths (RFC 7348 §5).
  if (isSource) return 'harmless';
  if (port === 'unknown') return 'unknown';
  return port === packet.port ? 'none' : 'fatal';
}

/** Name for a message. */
export function describeRewrite({ end, address, port }: Rewrite): string {
  const named =
    address === 'interface' ? 'an address of the interface' : address === 'unknown' ? 'another address' : address;
  const toPort = port === undefined ? undefined : port === 'unknown' ? 'another port' : `port ${port}`;
  return `rewrites the ${end} of VXLAN to ${[named, toPort].filter(Boolean).join(', ')}`;
}
