import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import type { HostAddress } from '../../sys/netlink/addresses.ts';
import type { HostAddresses } from '../host-addresses.ts';

/** The inputs of the choice of an underlay's source address. */
export interface SourceNeed {
  readonly family: 4 | 6;
  /** The underlay interface. */
  readonly index: number;
  readonly name: string;
  /** Index of its VRF; undefined: it is in none. */
  readonly vrf: number | undefined;
  /** `--local` of the family. */
  readonly given: IpAddress | undefined;
  /** What it is or was; undefined at the start. */
  readonly present: IpAddress | undefined;
}

/** The chosen source address. */
export interface SourceChoice {
  readonly address: IpAddress;
  /** Undefined while it is on no interface. */
  readonly prefixBits: number | undefined;
  /** Why nothing can be sent from it now; undefined: it can be used. */
  readonly trouble: string | undefined;
}

/**
 * The outer source address of an underlay: `--local`, whatever interface it is on; else the one that it has while that can be used and is not
 * deprecated; else the first of the interface with global scope that is neither temporary nor deprecated. A tentative one is waited for. undefined:
 * the interface has none of the family, and never had.
 *
 * @param isLocal whether the host takes an address for its own that none of its lists has: a local route names it; undefined: not known
 */
export function chooseSource(
  need: SourceNeed,
  addresses: Pick<HostAddresses, 'find' | 'isAnywhere' | 'on'>,
  isLocal: (address: IpAddress) => boolean | undefined,
): SourceChoice | undefined {
  const { given, present, vrf } = need;
  if (given !== undefined) {
    const found = addresses.find(given, vrf);
    if (found) return choice(found);
    const isThere = isLocal(given);
    if (isThere === undefined)
      return { ...absent(given), trouble: `?: whether ${given} is on this host cannot be read` };
    if (isThere) return { ...absent(given), trouble: undefined };
    if (!addresses.isAnywhere(given)) return absent(given);
    return { ...absent(given), trouble: `${given} is in another VRF than ${need.name}` };
  }
  const candidates = addresses.on(need.index).filter((each) => mayBeSource(each, need.family));
  const usable = candidates.filter(isUsable);
  const preferred = usable.filter(({ isDeprecated }) => !isDeprecated);
  const held = (among: readonly HostAddress[]) => among.find(({ address }) => address === present);
  const chosen =
    held(preferred) ??
    preferred[0] ??
    held(usable) ??
    (present === undefined ? undefined : usable[0]) ??
    candidates.find(({ isDuplicate, isDeprecated }) => !isDuplicate && !isDeprecated) ??
    (present === undefined ? undefined : candidates.find(({ isDuplicate }) => isDuplicate));
  if (chosen) return choice(chosen);
  if (present === undefined) return undefined;
  // It may have moved, for example to a bridge that the interface is a port of now.
  return addresses.isAnywhere(present)
    ? { address: present, prefixBits: undefined, trouble: `${present} is on another interface than ${need.name}` }
    : absent(present);
}

/** The addresses of an interface in a family, none of which can be the source, for an error: `fd00::1 (temporary)`. */
export function unfitAddresses(addresses: readonly HostAddress[], family: 4 | 6): string {
  const seen = addresses.filter(({ address, isGlobal }) => isGlobal && ipFamily(address) === family);
  if (seen.length === 0) return '';
  const named = seen.slice(0, 3).map((each) => `${each.address} (${unfitness(each)})`);
  return `${named.join(', ')}${seen.length > 3 ? ', …' : ''}`;
}

function unfitness({ isTemporary, isDeprecated, isDuplicate }: HostAddress): string {
  if (isTemporary) return 'temporary';
  if (isDuplicate) return 'a duplicate: another host has it';
  return isDeprecated ? 'deprecated' : 'tentative';
}

function mayBeSource({ address, isGlobal, isTemporary }: HostAddress, family: 4 | 6): boolean {
  return ipFamily(address) === family && isGlobal && !isTemporary;
}

function isUsable({ isTentative, isDuplicate }: HostAddress): boolean {
  return !isTentative && !isDuplicate;
}

function choice({ address, prefixBits, isTentative, isDuplicate }: HostAddress): SourceChoice {
  if (isDuplicate) return { address, prefixBits, trouble: `${address} is a duplicate: another host has it` };
  const trouble = isTentative ? `${address} is tentative: duplicate address detection runs` : undefined;
  return { address, prefixBits, trouble };
}

function absent(address: IpAddress): SourceChoice {
  return { address, prefixBits: undefined, trouble: `${address} is not on this host` };
}
