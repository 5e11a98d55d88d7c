/** `vtepctl drops`: why frames were not delivered. */

import type { Drops } from '../../api/schemas.ts';
import { type Style, table } from '../terminal/table.ts';
import { type Command, readVni } from '../terminal/vtepctl-command.ts';

const drops: Command<number | undefined, Drops> = {
  words: 'drops',
  summary: 'Show dropped frames by direction and reason',
  flags: { vni: { describe: 'only this VNI', value: 'N' } },
  parse: ({ values: { vni } }) => (vni === undefined ? undefined : readVni('--vni', vni)),
  call: (client, vni) => client.drops(vni),
  render: renderDrops,
};

export const DROPS_COMMANDS: readonly Command[] = [drops];

/** Only reasons that occurred: an operator looks for what is wrong. `--json` has them all. */
export function renderDrops(value: Drops, style: Style): string {
  const rows = (['rx', 'tx'] as const).flatMap((direction) =>
    Object.entries(value[direction])
      .filter(([, count]) => count > 0)
      .map(([reason, count]) => [direction, reason, count]),
  );
  return rows.length === 0 ? 'no drops\n' : table(['DIRECTION', 'REASON', 'COUNT'], rows, style);
}
