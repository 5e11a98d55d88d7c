import type { Config } from '../../config/config.ts';
import { type ConfigKey, isSame, KEYS } from '../../config/config-diff.ts';
import type { Settings } from '../../config/settings.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import type { SourceChange } from '../../host/underlay/underlay-source.ts';
import type { Logger } from '../../observe/log.ts';
import type { QuerierWatch } from '../upkeep/querier-watch.ts';
import type { SourceWatch } from '../upkeep/source-watch.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';
import { putSettings } from '../workers/worker-state.ts';

/** The parts that depend on the settings shared by all VNIs. */
export interface SettingsGround {
  readonly settings: Settings;
  readonly queriers: Pick<QuerierWatch, 'checkCandidate'>;
  readonly log: Logger;
  readonly fdb: Pick<Fdb, 'setAgeing'>;
  readonly underlays: readonly Underlay[];
  readonly workers: Pick<WorkerPool, 'orderAll'>;
  readonly sources: Pick<SourceWatch, 'exchange'>;
}

/**
 * Applies settings, all of them or none. What the host may refuse is opened first, beside the parts in use. Parts whose settings do not change are
 * not touched. Resolves when all workers use the new settings.
 *
 * @throws VtepError if the host refuses; all settings are then as they were
 */
export async function changeSettings(ground: SettingsGround, config: Config): Promise<void> {
  const { underlays, fdb, workers, log } = ground;
  const before = ground.settings.config;
  if (config.querier && !before.querier) ground.queriers.checkCandidate();
  const successors = openSuccessors(underlays, config);
  for (const underlay of underlays) underlay.setSending(config);
  ground.settings.putInForce(config);
  fdb.setAgeing(config.ageingSeconds);
  // The pools come first: if the settings need two kinds of sockets, both kinds then exist.
  const orders = successors.map(({ underlay, succeed }) => ground.sources.exchange(underlay, succeed()));
  await Promise.all([...orders, workers.orderAll(putSettings(config))]);
  const changed = (Object.keys(KEYS) as ConfigKey[]).filter((key) => !isSame(before[key], config[key]));
  log.debug({ event: 'settings-changed', changed: changed.map((key) => KEYS[key].name) });
}

/** Opens the new send sockets of the underlays whose sockets must change, for all of them or for none. */
function openSuccessors(
  underlays: readonly Underlay[],
  config: Config,
): { underlay: Underlay; succeed: () => SourceChange }[] {
  const opened: { underlay: Underlay; succeed: () => SourceChange; giveUp: () => void }[] = [];
  try {
    for (const underlay of underlays) {
      const successor = underlay.openSuccessor(config);
      if (successor) opened.push({ underlay, ...successor });
    }
    return opened;
  } catch (error) {
    for (const { giveUp } of opened) giveUp();
    throw error;
  }
}
