import type { VniConfig } from '../config/config.ts';
import type { ControlPlane, Said } from './control-plane.ts';
import { floodAndLearn } from './flood-and-learn.ts';
import { staticLists } from './static-lists.ts';

/** The control planes that come from the configuration only. What they announce is part of the segment: if it is refused, the segment is refused. */
const CONFIGURED: readonly ControlPlane[] = [staticLists, floodAndLearn];

/** Everything that the configuration says of a segment. */
export function saidByConfiguration(config: VniConfig): Said {
  const said = CONFIGURED.flatMap((plane) => plane.segmentUpdated({ vni: config.vni, config, local: [] }) ?? []);
  return {
    group: said.find(({ group }) => group !== undefined)?.group,
    floods: said.flatMap(({ floods }) => floods),
    macs: said.flatMap(({ macs }) => macs),
    neighbours: said.flatMap(({ neighbours }) => neighbours),
  };
}
