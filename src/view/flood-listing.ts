import { setImmediate } from 'node:timers/promises';
import type { FloodMember } from '../api/schemas.ts';
import type { Vni } from '../vtep/vni/vni.ts';

/**
 * The unicast flood lists of VNIs, sorted by VNI, then in the order of their precedence; a VNI at a time, in between others have their turn. One that has gone
 * when it would be its turn is left out.
 *
 * @param vnis those that there are, which changes
 * @param only of this one
 */
export async function* listFloodMembers(
  vnis: readonly Vni[],
  only?: Vni,
): AsyncGenerator<readonly FloodMember[], void, undefined> {
  const listed = only ? [only] : [...vnis].sort((a, b) => a.config.vni - b.config.vni);
  for (const vni of listed) {
    if (!vnis.includes(vni)) continue;
    yield floodMembersOf(vni);
    await setImmediate();
  }
}

function floodMembersOf({ config, flood }: Vni): FloodMember[] {
  return flood.members(config.remotes).map(({ vtep, origin }) => ({
    vni: config.vni,
    remote: vtep,
    origin: origin === 'static' ? 'static' : 'evpn',
    sent: flood.sent.has(vtep),
    inGroup: flood.inGroup.has(vtep) || flood.isByGroup(vtep),
  }));
}
