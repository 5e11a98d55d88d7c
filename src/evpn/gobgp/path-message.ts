import type { OtherRoute, Path } from '../route.ts';
import type { Dialect } from '../speaker.ts';
import { noAttributes, readAttributes } from './attribute-messages.ts';
import { Message, Unreadable } from './message.ts';
import { readNlri } from './nlri-message.ts';
import { EVPN_FAMILY } from './requests.ts';

/** A path of the speaker. `route` is what a VTEP uses, `other` what it counts only. */
export type ReadPath =
  | (Path & { readonly isBest: boolean; readonly other?: undefined })
  | { readonly other: OtherRoute; readonly isBest: boolean; readonly isWithdrawn: boolean };

/**
 * Reads a Path {nlri = 1, pattrs = 2, best = 4, is_withdraw = 5, family = 9, neighbor_ip = 15}. A route that cannot be read is one of type 0: its
 * peer must not be able to end the connection to the speaker.
 *
 * @returns undefined: of another address family
 */
export function readPath(dialect: Dialect, octets: Uint8Array): ReadPath | undefined {
  let isBest = false;
  let isWithdrawn = false;
  try {
    const message = new Message(octets);
    const family = message.message(9);
    if (family?.number(1) !== EVPN_FAMILY.afi || family.number(2) !== EVPN_FAMILY.safi) return undefined;
    isBest = message.flag(4);
    isWithdrawn = message.flag(5);
    return read(dialect, message, { isBest, isWithdrawn });
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return { other: { type: 0, nextHop: undefined, targets: [] }, isBest, isWithdrawn };
  }
}

function read(dialect: Dialect, message: Message, state: { isBest: boolean; isWithdrawn: boolean }): ReadPath {
  const nlri = readNlri(dialect, message.bytes(1) ?? new Uint8Array(0));
  // What a withdrawal says beside the key means nothing.
  const attributes = state.isWithdrawn ? noAttributes() : readAttributes(dialect, message.all(2));
  const { nextHop, targets, tunnels, sequence, isSticky, pmsi } = attributes;
  const isLocal = isNobody(message.text(15));
  switch (nlri.type) {
    case 2:
      return { ...state, isLocal, route: { ...nlri, nextHop, targets, tunnels, sequence, isSticky } };
    case 3:
      return { ...state, isLocal, route: { ...nlri, nextHop, targets, tunnels, pmsi } };
    default:
      return { ...state, other: { type: nlri.type, nextHop, targets } };
  }
}

/** The neighbour of a route that came by the API. */
function isNobody(neighbour: string): boolean {
  return neighbour === '' || neighbour === '<nil>' || neighbour === 'invalid IP';
}
