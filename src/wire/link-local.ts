/**
 * Layer-2 control frames: those to 01:80:c2:00:00:00 … :0f, which are for the neighbour on the link, so that no bridge forwards them (IEEE
 * 802.1Q §8.6.3). A tunnel may be asked to be the wire instead of the bridge. What counts is the address, as with `group_fwd_mask` of the
 * kernel's bridge, and not the type: LLDP to another address than its own goes by that one's name.
 */

/** The last digit of the address of each protocol that has a name. */
export const CONTROL_PROTOCOLS = { stp: 0x0, lacp: 0x2, eapol: 0x3, lldp: 0xe } as const;

const PAUSE = 0x1;

/** Control frames as a set of their last digits, a bit each. None: all are dropped. */
export const NO_CONTROL = 0;
/** All but pause frames, which are this port's own affair (IEEE 802.3 §31). */
export const ALL_CONTROL = 0xffff & ~(1 << PAUSE);

/** In words; those that are missing are reserved without a use that has a name. */
const NAMES: Readonly<Record<number, string | undefined>> = {
  0: 'STP',
  [PAUSE]: 'a pause frame',
  2: 'LACP',
  3: 'EAPOL (802.1X)',
  7: 'E-LMI',
  8: 'STP of provider bridges',
  13: 'MVRP of provider bridges',
  14: 'LLDP',
};

export function isLinkLocalDestination(view: DataView, at: number): boolean {
  return view.getUint32(at) === 0x0180_c200 && (view.getUint16(at + 4) & 0xfff0) === 0;
}

/** A control frame that is not among those that pass. */
export function isBarredControl(view: DataView, at: number, passing: number): boolean {
  return isLinkLocalDestination(view, at) && ((passing >>> (view.getUint8(at + 5) & 0xf)) & 1) === 0;
}

/** What frames to a control address are. @param digit the last one of the address */
export function controlName(digit: number): string {
  return NAMES[digit] ?? 'a control frame';
}

/** The word of `l2-control=` that lets them pass; undefined: none does. */
export function controlWord(digit: number): string | undefined {
  const [named] = Object.entries(CONTROL_PROTOCOLS).find(([, own]) => own === digit) ?? [];
  return digit === PAUSE ? undefined : (named ?? 'pass');
}
