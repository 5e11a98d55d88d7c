import type { RouteNumber } from '../../lib/route-numbers.ts';
import type { EvpnRoute, PmsiTunnel } from '../route.ts';

/** Whether two routes with the same key have the same attributes. */
export function isSameRoute(one: EvpnRoute, other: EvpnRoute): boolean {
  if (one === other) return true;
  if (one.nextHop !== other.nextHop || !isSameSet(one.targets, other.targets, textOf)) return false;
  if (!isSameSet(one.tunnels, other.tunnels, String)) return false;
  if (one.type === 3) return other.type === 3 && isSamePmsi(one.pmsi, other.pmsi);
  return (
    other.type === 2 &&
    one.sequence === other.sequence &&
    one.isSticky === other.isSticky &&
    one.label === other.label &&
    one.esi === other.esi
  );
}

function isSamePmsi(one: PmsiTunnel | undefined, other: PmsiTunnel | undefined): boolean {
  return one?.tunnel === other?.tunnel && one?.label === other?.label && one?.endpoint === other?.endpoint;
}

/** The order of communities means nothing (RFC 4360 §2), and a speaker may sort them. */
function isSameSet<Each>(one: readonly Each[], other: readonly Each[], text: (each: Each) => string): boolean {
  if (one === other) return true;
  if (one.length !== other.length) return false;
  if (one.every((each, i) => text(each) === text(other[i] as Each))) return true;
  const texts = new Set(other.map(text));
  return one.every((each) => texts.has(text(each)));
}

function textOf({ form, admin, value }: RouteNumber): string {
  return `${form} ${admin}:${value}`;
}
