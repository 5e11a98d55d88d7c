import { type Config, deepFreeze, type VniConfig } from '../../config/config.ts';
import { type ConfigDiff, diffConfig, isSame, type SettingKeys } from '../../config/config-diff.ts';
import type { Settings } from '../../config/settings.ts';
import { mergeVni } from '../../config/vni-merge.ts';
import { checkVniSet, type NamedVni } from '../../config/vni-set.ts';
import { VtepError } from '../../lib/errors.ts';
import type { TapUpkeep } from '../upkeep/tap-upkeep.ts';
import type { Vni } from '../vni/vni.ts';
import type { LiveChanges } from './live-changes.ts';
import type { Step } from './reload-steps.ts';

/** The running VTEP, as far as a reload needs it. */
export interface ReloadedVtep {
  readonly vnis: readonly Pick<Vni, 'config'>[];
  readonly settings: Pick<Settings, 'config'>;
  readonly changes: Pick<LiveChanges, 'addVni' | 'removeVni' | 'changeVni' | 'changeSettings' | 'holdGroups'>;
  readonly upkeep: Pick<TapUpkeep, 'assertAll'>;
}

/** The file as it was last read and as it is now. */
export interface ReloadedFile {
  readonly before: Config;
  readonly after: Config;
  /** @throws VtepError if it cannot be served there; the old address is then served as before */
  readonly changeHttp: (http: Config['http']) => Promise<void>;
}

/** What a reload cannot take: keys, or a VNI by its number. */
export interface Left {
  readonly of: SettingKeys | number;
  readonly error: VtepError;
}

export interface ReloadPlan {
  readonly steps: readonly Step[];
  /** What is known to be refused before the host is asked. */
  readonly left: readonly Left[];
  /** What is in force once the steps are taken, but for what is left out. */
  readonly config: Config;
  /** Whether the file says another log level: one that was set while running stays otherwise. */
  readonly isLevelChanged: boolean;
}

/** VNIs by what happens to them, each as it is to be. Of one that is made anew, what is added to it is known when it leaves. */
interface VniChanges {
  readonly added: readonly VniConfig[];
  readonly removed: readonly number[];
  readonly changed: readonly VniConfig[];
  readonly remade: readonly VniConfig[];
}

/**
 * How the running VTEP comes from the file as it was last read to the file as it is now. What was changed while running is no part of the
 * difference, and stays.
 *
 * Settings come first; then VNIs that clash with nothing that runs, since they are the likeliest to be refused by the host.
 */
export function planReload(vtep: ReloadedVtep, { before, after, changeHttp }: ReloadedFile): ReloadPlan {
  const diff = refuseLoneVlans(vtep, before, diffConfig(before, after));
  const { config } = diff;
  const wanted = vniChanges(vtep, { before, after: config, diff });
  const leaving = new Set([...wanted.removed, ...[...wanted.changed, ...wanted.remade].map(({ vni }) => vni)]);
  const staying = vtep.vnis.filter(({ config: { vni } }) => !leaving.has(vni)).map(runningVni);
  const candidates = [...wanted.changed, ...wanted.added, ...wanted.remade].map(vniInFile);
  const clashing = findClashes(staying, candidates, config);
  const taken = (vnis: readonly VniConfig[]) => vnis.filter(({ vni }) => !clashing.some(({ of }) => of === vni));
  const isTrunkNew = diff.settings.some((keys) => keys.includes('trunk'));
  const isEarly = (vni: VniConfig) => !(isTrunkNew && vni.vlan !== undefined) && !clashes(vtep, config, vni);
  const added = taken(wanted.added);
  const remade = taken(wanted.remade);
  // Of one that was added while running, the file before said what it is now.
  const old = new Map([...vtep.vnis.map((vni) => vni.config), ...before.vnis].map((vni) => [vni.vni, vni]));
  const leftAs = new Map<number, VniConfig>();
  return {
    left: [
      ...diff.refused.map(({ key, refusal }) => ({ of: [key], error: new VtepError('ERR_VTEP_USAGE', refusal) })),
      ...clashing,
    ],
    config,
    isLevelChanged: diff.logLevel !== undefined,
    steps: [
      ...diff.settings.map((keys) => setting(vtep, keys, { before, after, changeHttp })),
      ...added.filter(isEarly).map((vni) => addition(vtep, vni)),
      ...taken(wanted.changed).map((vni) => change(vtep, vni)),
      ...[...wanted.removed, ...remade.map(({ vni }) => vni)].map((vni) => removal(vtep, vni, leftAs)),
      ...remade.map((vni) =>
        addition(vtep, vni, () => mergeVni(leftAs.get(vni.vni) as VniConfig, old.get(vni.vni) as VniConfig, vni)),
      ),
      ...added.filter((vni) => !isEarly(vni)).map((vni) => addition(vtep, vni)),
    ],
  };
}

/** One that was added while running and now stands in the file alike is there already; one that was deleted comes back where it is said anew. */
function vniChanges(
  { vnis }: ReloadedVtep,
  { before, after, diff }: { before: Config; after: Config; diff: ConfigDiff },
): VniChanges {
  const running = new Map(vnis.map(({ config }) => [config.vni, config]));
  const isRunning = ({ vni }: VniConfig) => running.has(vni);
  const old = new Map(before.vnis.map((vni) => [vni.vni, vni]));
  const merged = diff.changed.filter(isRunning).map((vni) => {
    return mergeVni(running.get(vni.vni) as VniConfig, old.get(vni.vni) as VniConfig, vni);
  });
  const live = vnis
    .map(({ config }) => config)
    .filter(({ vni }) => !old.has(vni) && !after.vnis.some((each) => each.vni === vni));
  // What was added while running and does not say goes by what all go by.
  const withDefault =
    before.maxMacs === after.maxMacs
      ? []
      : live
          .filter(({ maxMacs }) => maxMacs === before.maxMacs)
          .map((vni) => deepFreeze({ ...vni, maxMacs: after.maxMacs }));
  // With the trunk all of its VLANs go to another.
  const onTrunk = live
    .filter(({ vlan, tap }) => vlan !== undefined && after.trunk !== undefined && tap !== after.trunk)
    .map((vni) => deepFreeze({ ...vni, tap: after.trunk as string }));
  return {
    added: [
      ...diff.added.filter((vni) => !isSame(vni, running.get(vni.vni))),
      ...[...diff.changed, ...diff.remade].filter((vni) => !isRunning(vni)),
    ],
    removed: diff.removed.filter(isRunning).map(({ vni }) => vni),
    changed: [...merged, ...withDefault],
    remade: [...diff.remade.filter(isRunning), ...onTrunk],
  };
}

/** A trunk cannot go while it carries VNIs that were added while running. */
function refuseLoneVlans({ vnis }: ReloadedVtep, before: Config, diff: ConfigDiff): ConfigDiff {
  if (diff.config.trunk !== undefined || before.trunk === undefined) return diff;
  const inFile = new Set(before.vnis.map(({ vni }) => vni));
  const lone = vnis.find(({ config: { vni, vlan } }) => vlan !== undefined && !inFile.has(vni));
  if (!lone) return diff;
  const { vni } = lone.config;
  const refusal = {
    object: 'reload: trunk',
    cause: `it carries VNI ${vni}, which was added while vtepd runs`,
    remedy: `delete that (\`vtepctl vni del ${vni}\`), or restore \`trunk: ${before.trunk}\``,
  };
  return {
    ...diff,
    config: { ...diff.config, trunk: before.trunk },
    settings: diff.settings.filter((keys) => !keys.includes('trunk')),
    refused: [...diff.refused, { key: 'trunk', refusal }],
  };
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

function setting(vtep: ReloadedVtep, keys: SettingKeys, { before, after, changeHttp }: ReloadedFile): Step {
  const put = async (from: Config) => {
    if (keys.includes('http')) await changeHttp(from.http);
    await vtep.changes.changeSettings({
      ...vtep.settings.config,
      ...Object.fromEntries(keys.map((key) => [key, from[key]])),
    });
  };
  return { of: keys, take: () => put(after), undo: () => put(before) };
}

/** @param whole the configuration, asked for once what leaves has left */
function addition({ changes }: ReloadedVtep, config: VniConfig, whole = () => config): Step {
  return {
    of: config.vni,
    take: () => changes.addVni(whole(), vniInFile(config).object),
    undo: () => changes.removeVni(config.vni),
  };
}

/** @param leftAs where it is written down as it was, so that what was added while running comes along, and back */
function removal({ changes }: ReloadedVtep, vni: number, leftAs: Map<number, VniConfig>): Step {
  return {
    of: vni,
    take: async () => leftAs.set(vni, await changes.removeVni(vni)),
    undo: () => changes.addVni(leftAs.get(vni) as VniConfig, `VNI ${vni}`),
  };
}

function change({ changes }: ReloadedVtep, target: VniConfig): Step {
  let before: VniConfig;
  return {
    of: target.vni,
    take: async () => {
      before = await changes.changeVni(target);
    },
    undo: () => changes.changeVni(before),
  };
}

function vniInFile(config: VniConfig): NamedVni {
  return { object: `reload: VNI ${config.vni}`, config };
}

function runningVni({ config }: Pick<Vni, 'config'>): NamedVni {
  return { object: `VNI ${config.vni}`, config, isRunning: true };
}
