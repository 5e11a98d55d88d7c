/**
 * Layer-2 control frames: frames to 01:80:c2:00:00:00 … :0f. They are for the neighbour on the link, so no bridge forwards them (IEEE 802.1Q §8.6.3).
 * A tunnel can be configured to behave as a wire instead of a bridge. Only the address counts, as with `group_fwd_mask` of the kernel bridge, and not
 * the type. So LLDP to another control address is treated as the protocol of that address.
 */

/** The last digit of the address of each protocol that has a name. */
export const CONTROL_PROTOCOLS = { stp: 0x0, lacp: 0x2, eapol: 0x3, lldp: 0xe } as const;

const PAUSE = 0x1;

/** A set of control frames: one bit for each last digit. None: all are dropped. */
export const NO_CONTROL = 0;
/** All except pause frames, which are only for the receiving port (IEEE 802.3 §31). */
export const ALL_CONTROL = 0xffff & ~(1 << PAUSE);

/** Names for users. The missing addresses are reserved and have no named use. */
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

/** Whether a frame is a control frame outside the permitted set. */
export function isBarredControl(view: DataView, at: number, passing: number): boolean {
  return isLinkLocalDestination(view, at) && ((passing >>> (view.getUint8(at + 5) & 0xf)) & 1) === 0;
}

/** The description of frames to a control address. @param digit last digit of the address */
export function controlName(digit: number): string {
  return NAMES[digit] ?? 'a control frame';
}

/** The word of `l2-control=` that permits them. undefined: there is none. */
export function controlWord(digit: number): string | undefined {
  const [named] = Object.entries(CONTROL_PROTOCOLS).find(([, own]) => own === digit) ?? [];
  return digit === PAUSE ? undefined : (named ?? 'pass');
}
