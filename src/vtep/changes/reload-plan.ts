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
  /** @throws VtepError if the API cannot listen on this address; the old address then stays in use */
  readonly changeHttp: (http: Config['http']) => Promise<void>;
}

/** What a reload cannot apply: setting keys, or a VNI by its number. */
export interface Left {
  readonly of: SettingKeys | number;
  readonly error: VtepError;
}

export interface ReloadPlan {
  readonly steps: readonly Step[];
  /** What is refused before the host is asked. */
  readonly left: readonly Left[];
  /** The configuration after all steps, without the parts that are left out. */
  readonly config: Config;
  /** Whether the log level in the file has changed. If not, a level that was set at run time stays. */
  readonly isLevelChanged: boolean;
}

/**
 * VNIs grouped by change, each in its new form. A VNI that is created anew keeps what was added to it at run time; this is known only when it is
 * deleted.
 */
interface VniChanges {
  readonly added: readonly VniConfig[];
  readonly removed: readonly number[];
  readonly changed: readonly VniConfig[];
  readonly remade: readonly VniConfig[];
}

/**
 * Plans the steps from the file as last read to the file as it is now. Changes that were made at run time are not part of the difference, and stay.
 *
 * The order is: settings, then VNIs that do not clash with a running VNI (the host refuses these most often), then the rest.
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
  // A VNI that was added at run time is compared in its present form.
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

/**
 * A VNI that was added at run time and stands in the file in the same form needs no step. A VNI that was deleted at run time is created again if its
 * entry in the file has changed.
 */
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
  // A VNI that was added at run time without its own value follows the default.
  const withDefault =
    before.maxMacs === after.maxMacs
      ? []
      : live
          .filter(({ maxMacs }) => maxMacs === before.maxMacs)
          .map((vni) => deepFreeze({ ...vni, maxMacs: after.maxMacs }));
  // When the trunk changes, all of its VLANs move to the new trunk.
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

/** A trunk cannot be removed while it carries VNIs that were added at run time. */
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

/** Finds the VNIs that clash with a VNI that stays, or with each other. Of two that clash, the later one is refused. */
function findClashes(staying: readonly NamedVni[], wanted: readonly NamedVni[], config: Config): Left[] {
  const found: Left[] = [];
  for (let rest = wanted; ; ) {
    try {
      checkVniSet([...staying, ...rest], config);
      return found;
    } catch (error) {
      // The error message begins with the object that is refused.
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

/** @param whole returns the configuration; called after the removals */
function addition({ changes }: ReloadedVtep, config: VniConfig, whole = () => config): Step {
  return {
    of: config.vni,
    take: () => changes.addVni(whole(), vniInFile(config).object),
    undo: () => changes.removeVni(config.vni),
  };
}

/** @param leftAs receives the configuration at the time of removal, so that run-time additions move along, also on the way back */
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
