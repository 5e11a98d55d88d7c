import type { OwnMac } from './own-state.ts';
import { compareSequences, isPreferred, type MacClaim } from './sequence.ts';

/** The best received route of the MAC. undefined: no other VTEP announces it. */
export function rivalOf({ segment, mac }: OwnMac): MacClaim | undefined {
  return segment.rivals.get(mac);
}

/** Whether another VTEP has the MAC, by the routes. A static MAC does not move. */
export function isBeaten(own: OwnMac): boolean {
  const rival = rivalOf(own);
  if (!rival || own.origin === 'static') return false;
  const sequence = own.mobility?.sequence ?? 0;
  const vtep = own.segment.face?.vtep;
  if (vtep === undefined) return rival.isSticky || compareSequences(rival.sequence, sequence) >= 0;
  return isPreferred(rival, { vtep, sequence, isSticky: false });
}

/** What to announce of the MAC while the segment is announced. undefined: nothing. */
export function claimOf(own: OwnMac): Omit<MacClaim, 'vtep'> | undefined {
  const { origin, mobility, isHeld } = own;
  if (origin === 'static') return { sequence: mobility?.stickySequence ?? 0, isSticky: true };
  if (origin === undefined || isHeld || isBeaten(own)) return undefined;
  return { sequence: mobility?.sequence ?? 0, isSticky: false };
}

/** Whether the MAC is behind the own TAP, and no route of another VTEP says that it has moved. */
export function isHere(own: OwnMac): boolean {
  return own.origin !== undefined && !isBeaten(own);
}
