import type { Config, StaticEntry, VniConfig } from '../config/config.ts';
import { type ConfigKey, diffConfig, isSame } from '../config/config-diff.ts';
import { checkVniSet, type NamedVni } from '../config/vni-set.ts';
import type { MacAddress } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import type { LiveChanges } from './live-changes.ts';
import type { Step } from './reload-steps.ts';
import type { Vni } from './vni.ts';

/** The running VTEP, as far as a reload needs it. */
export interface ReloadedVtep {
  readonly vnis: readonly Pick<Vni, 'config'>[];
  readonly config: Config;
  readonly changes: Pick<LiveChanges, 'addVni' | 'removeVni' | 'adjustVni' | 'changeSettings'>;
  /** Puts back what others changed of the TAPs. */
  readonly assertTaps: () => void;
}

/** What a reload cannot take: a key, or a VNI by its number. */
export interface Left {
  readonly of: ConfigKey | number;
  readonly error: VtepError;
}

export interface ReloadPlan {
  readonly steps: readonly Step[];
  /** What is known to be refused before the host is asked. */
  readonly left: readonly Left[];
  /** What is in force once the steps are taken, but for VNIs that are left out. */
  readonly config: Config;
  /** Whether the file says another log level: one that was set while running stays otherwise. */
  readonly isLevelChanged: boolean;
}

/**
 * How the running VTEP comes from the file as it was last read to the file as it is now. What was changed while running is no part of the
 * difference, and stays.
 *
 * Settings come first; then VNIs that clash with nothing that runs, since they are the likeliest to be refused by the host. A VNI that was
 * added while running and now stands in the file alike is there already.
 */
export function planReload(vtep: ReloadedVtep, before: Config, after: Config): ReloadPlan {
  const diff = diffConfig(before, after);
  const { config } = diff;
  const old = new Map(before.vnis.map((vni) => [vni.vni, vni]));
  const running = new Map(vtep.vnis.map((vni) => [vni.config.vni, vni.config]));
  const isRunning = ({ vni }: VniConfig) => running.has(vni);
  // What was deleted while running comes back where the file says something new of it.
  const returning = [...diff.adjusted, ...diff.remade].filter((vni) => !isRunning(vni));
  const wanted = {
    added: [...diff.added.filter((vni) => !isSame(vni, running.get(vni.vni))), ...returning],
    remade: diff.remade.filter(isRunning),
  };
  const removed = diff.removed.filter(isRunning);
  const leftAs = new Map<number, VniConfig>();
  const left: Left[] = diff.refused.map(({ key, refusal }) => ({
    of: key,
    error: new VtepError('ERR_VTEP_USAGE', refusal),
  }));
  const leaving = new Set([...removed, ...wanted.remade].map(({ vni }) => vni));
  const staying = vtep.vnis.filter(({ config: { vni } }) => !leaving.has(vni)).map(runningVni);
  const clashing = findClashes(staying, [...wanted.added, ...wanted.remade].map(vniInFile), config);
  left.push(...clashing);
  const isTaken = ({ vni }: VniConfig) => !clashing.some(({ of }) => of === vni);
  const added = wanted.added.filter(isTaken);
  const remade = wanted.remade.filter(isTaken);
  const early = added.filter((vni) => !clashes(vtep, config, vni));
  const late = added.filter((vni) => !early.includes(vni));
  return {
    left,
    config,
    isLevelChanged: diff.logLevel !== undefined,
    steps: [
      ...diff.settings.map((key) => setting(vtep, key, { before, after })),
      ...early.map((vni) => addition(vtep, vni)),
      ...diff.adjusted.filter(isRunning).map((vni) => adjustment(vtep, old.get(vni.vni) as VniConfig, vni)),
      ...withDefault(vtep, { before, after }).map((vni) => adjustment(vtep, vni, { ...vni, maxMacs: after.maxMacs })),
      ...[...removed, ...remade].map(({ vni }) => removal(vtep, vni, leftAs)),
      ...remade.map((vni) => addition(vtep, vni, () => withLive(vni, old.get(vni.vni), leftAs.get(vni.vni)))),
      ...late.map((vni) => addition(vtep, vni)),
    ],
  };
}

/** VNIs that were added while running and go by the `max-macs` of all. */
function withDefault({ vnis }: ReloadedVtep, { before, after }: { before: Config; after: Config }): VniConfig[] {
  if (before.maxMacs === after.maxMacs) return [];
  const inFile = new Set([...before.vnis, ...after.vnis].map(({ vni }) => vni));
  return vnis.map(({ config }) => config).filter(({ vni, maxMacs }) => !inFile.has(vni) && maxMacs === before.maxMacs);
}

/** Those that cannot be beside the ones that stay, or beside each other: the later of two is refused. */
function findClashes(staying: readonly NamedVni[], wanted: readonly NamedVni[], config: Config): Left[] {
  const found: Left[] = [];
  for (let rest = wanted; ; ) {
    try {
      checkVniSet([...staying, ...rest], config);
      return found;
    } catch (error) {
      // Refused by the object that it begins with.
      const refused = error instanceof VtepError && rest.find(({ object }) => error.message.startsWith(`${object}: `));
      if (!refused) throw error;
      found.push({ of: refused.config.vni, error });
      rest = rest.filter((each) => each !== refused);
    }
  }
}

function clashes({ vnis }: ReloadedVtep, config: Config, vni: VniConfig): boolean {
  try {
    checkVniSet([...vnis.map(runningVni), vniInFile(vni)], config);
    return false;
  } catch {
    return true;
  }
}

function setting(vtep: ReloadedVtep, key: ConfigKey, { before, after }: { before: Config; after: Config }): Step {
  const put = (from: Config) => vtep.changes.changeSettings({ ...vtep.config, [key]: from[key] });
  return { of: key, take: () => put(after), undo: () => put(before), isPartial: true };
}

/** @param whole the configuration, asked for once what leaves has left */
function addition({ changes }: ReloadedVtep, config: VniConfig, whole = () => config): Step {
  return {
    of: config.vni,
    take: () => changes.addVni(whole(), vniInFile(config).object),
    undo: () => changes.removeVni(config.vni),
  };
}

/** @param leftAs where it is written down as it was, so that the way back brings what was added while running */
function removal({ changes }: ReloadedVtep, vni: number, leftAs: Map<number, VniConfig>): Step {
  return {
    of: vni,
    take: async () => leftAs.set(vni, await changes.removeVni(vni)),
    undo: () => changes.addVni(leftAs.get(vni) as VniConfig, `VNI ${vni}`),
  };
}

function adjustment({ changes }: ReloadedVtep, before: VniConfig, after: VniConfig): Step {
  return {
    of: after.vni,
    take: () => changes.adjustVni(before, after),
    undo: () => changes.adjustVni(after, before),
    isPartial: true,
  };
}

/** What a file says of a VNI that is made anew, and the remotes and static entries that were added to it while it ran. */
function withLive(after: VniConfig, before: VniConfig | undefined, left: VniConfig | undefined): VniConfig {
  const remotes = (left?.remotes ?? []).filter((remote) => !before?.remotes.includes(remote));
  const isIn = (list: readonly StaticEntry[] = [], mac: MacAddress) => list.some((entry) => entry.mac === mac);
  const statics = (left?.statics ?? []).filter(({ mac }) => !isIn(before?.statics, mac) && !isIn(after.statics, mac));
  return {
    ...after,
    remotes: [...new Set([...after.remotes, ...remotes])],
    statics: [...after.statics, ...statics],
  };
}

function vniInFile(config: VniConfig): NamedVni {
  return { object: `reload: VNI ${config.vni}`, config };
}

function runningVni({ config }: Pick<Vni, 'config'>): NamedVni {
  return { object: `VNI ${config.vni}`, config, isRunning: true };
}
