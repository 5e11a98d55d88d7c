/** Merges the changes of a file with live changes of a segment. */
import type { StaticEntry, VniConfig } from './config.ts';
import { deepFreeze } from './config.ts';
import { isSame } from './config-diff.ts';

/**
 * The segment as it runs, with what differs between two versions of a file. Remotes and static entries that were in no file stay.
 *
 * @param running as it is now
 * @param before as the file had it
 * @param after as the file has it
 */
export function mergeVni(running: VniConfig, before: VniConfig, after: VniConfig): VniConfig {
  const keys = Object.keys(after) as (keyof VniConfig)[];
  const changed = keys.filter((key) => !isSame(before[key], after[key]));
  return deepFreeze({
    ...running,
    ...Object.fromEntries(changed.map((key) => [key, after[key]])),
    ...(changed.includes('remotes') && { remotes: mergeRemotes(running, before, after) }),
    ...(changed.includes('statics') && { statics: mergeStatics(running, before, after) }),
  });
}

function mergeRemotes(running: VniConfig, before: VniConfig, after: VniConfig): VniConfig['remotes'] {
  const kept = running.remotes.filter((remote) => after.remotes.includes(remote) || !before.remotes.includes(remote));
  return [...new Set([...kept, ...after.remotes])];
}

/** For the same MAC the file takes precedence. */
function mergeStatics(running: VniConfig, before: VniConfig, after: VniConfig): readonly StaticEntry[] {
  const named = new Set([...before.statics, ...after.statics].map(({ mac }) => mac));
  return [...after.statics, ...running.statics.filter(({ mac }) => !named.has(mac))];
}
