/** `vlan=N` of a segment: its VLAN on the trunk, and the keys that it excludes. */
import { MAX_VLAN } from '../lib/limits.ts';
import type { EntryKeyName } from './flags.ts';
import { parseWholeNumber } from './keys/scalars.ts';
import { refuse, type WrittenValue } from './keys/written-value.ts';

/** Keys of a VNI that has a TAP of its own. */
const EXCLUDED: readonly [key: EntryKeyName, because: string, remedy: string][] = [
  ['tap', 'the TAP of a VLAN is the trunk', 'leave out tap='],
  ['bridge', 'only the trunk can be in a bridge', 'leave out bridge=, and put the trunk into a VLAN-aware bridge'],
  ['mac', 'the TAP of a VLAN is the trunk, which has a MAC of its own', 'leave out mac='],
  ['mtu', 'the trunk has one MTU for all of its VLANs, which follows the underlay', 'leave out mtu='],
];

export function parseVlan(written: WrittenValue): number {
  return parseWholeNumber(written, { min: 0, max: MAX_VLAN });
}

/** @throws VtepError ERR_VTEP_USAGE for an entry that cannot be a VLAN of the trunk */
export function checkVlan(
  keys: ReadonlyMap<EntryKeyName, readonly WrittenValue[]>,
  { object, vlan, trunk }: { object: string; vlan: number; trunk: string | undefined },
): void {
  if (trunk === undefined) refuse(object, `vlan=${vlan} needs a trunk`, 'give --trunk NAME');
  for (const [key, because, remedy] of EXCLUDED) {
    if (keys.has(key)) refuse(object, `${key}= cannot be combined with vlan=: ${because}`, remedy);
  }
  // Its frames have no tag on the trunk, so an inner tag would be taken for that of another VLAN.
  if (vlan === 0 && keys.get('inner-vlan')?.[0]?.text === 'pass') {
    refuse(
      object,
      'inner-vlan=pass cannot be combined with vlan=0: inner tags would be VLANs of the trunk',
      'give inner-vlan=strip, or another vlan=',
    );
  }
}
