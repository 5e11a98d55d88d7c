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

/** What goes by the settings that all VNIs have in common. */
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
 * Puts settings into force, all of them or none: what may be refused is opened first, beside what serves. Where nothing changes nothing is
 * disturbed. Resolves when all workers go by them.
 *
 * @throws VtepError if the host refuses; all is then as it was
 */
export async function changeSettings(ground: SettingsGround, config: Config): Promise<void> {
  const { underlays, fdb, workers, log } = ground;
  const before = ground.settings.config;
  if (config.querier && !before.querier) ground.queriers.checkCandidate();
  const successors = openSuccessors(underlays, config);
  for (const underlay of underlays) underlay.setSending(config);
  ground.settings.putInForce(config);
  fdb.setAgeing(config.ageingSeconds);
  // The pools first: where the settings want sockets of two kinds, there are such.
  const orders = successors.map(({ underlay, succeed }) => ground.sources.exchange(underlay, succeed()));
  await Promise.all([...orders, workers.orderAll(putSettings(config))]);
  const changed = (Object.keys(KEYS) as ConfigKey[]).filter((key) => !isSame(before[key], config[key]));
  log.debug({ event: 'settings-changed', changed: changed.map((key) => KEYS[key].name) });
}

/** The send sockets that the underlays are to have from now on, where they are others: of all, or of none. */
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
