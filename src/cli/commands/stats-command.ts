/** `vtepctl stats`: the counters of each VNI, and how busy the workers are. */

import type { Stats } from '../../api/schemas.ts';
import { type Style, table } from '../terminal/table.ts';
import { type Command, readVni } from '../terminal/vtepctl-command.ts';

const stats: Command<number | undefined, Stats> = {
  words: 'stats',
  summary: 'Show packets, bytes, floods, moves, evictions and drops by VNI, and how busy the workers are',
  flags: { vni: { describe: 'only this VNI', value: 'N' } },
  parse: ({ values: { vni } }) => (vni === undefined ? undefined : readVni('--vni', vni)),
  call: (client, vni) => client.stats(vni),
  render: renderStats,
};

export const STATS_COMMANDS: readonly Command[] = [stats];

export function renderStats({ vnis, workers }: Stats, style: Style): string {
  const byVni = table(
    [
      ...['VNI', 'NAME', 'MACS', 'RX-PACKETS', 'RX-BYTES', 'TX-PACKETS', 'TX-BYTES', 'FLOODED'],
      ...['MOVES', 'EVICTIONS', 'RX-DROPS', 'TX-DROPS'],
    ],
    vnis.map((vni) => [
      ...[vni.vni, vni.name, vni.macs, vni.rxPackets, vni.rxBytes, vni.txPackets, vni.txBytes, vni.flooded],
      ...[vni.moves, vni.evictions, vni.rxDrops, vni.txDrops],
    ]),
    style,
  );
  const byWorker = workers.map(({ worker, busy }) => [worker, `${(busy * 100).toFixed(1)}%`]);
  return `${byVni}\n${table(['WORKER', 'BUSY'], byWorker, style)}`;
}
