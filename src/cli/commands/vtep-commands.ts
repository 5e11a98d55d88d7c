/** `vtepctl vtep …`: the other ends of the tunnels. */

import type { Vtep } from '../../api/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { type Style, table } from '../terminal/table.ts';
import { type Command, readIp } from '../terminal/vtepctl-command.ts';

const vtepShow: Command<IpAddress | undefined, Vtep[]> = {
  words: 'vtep show',
  summary: 'Show the known remote VTEPs, or one of them, with their counters',
  operand: { label: 'IP', describe: 'only this VTEP', optional: true },
  flags: {},
  parse: ({ operand }) => (operand === undefined ? undefined : readIp('IP', operand)),
  call: (client, vtep) => client.vteps(vtep),
  render: renderVteps,
};

export const VTEP_COMMANDS: readonly Command[] = [vtepShow];

export function renderVteps(vteps: readonly Vtep[], style: Style): string {
  return table(
    ['VTEP', 'MACS', 'RX-PACKETS', 'RX-BYTES', 'TX-PACKETS', 'TX-BYTES', 'DROPS', 'HEARD', 'PATH-MTU'],
    vteps.map(({ vtep, macs, rxPackets, rxBytes, txPackets, txBytes, drops, lastHeard, pathMtu }) => [
      ...[vtep, macs, rxPackets, rxBytes, txPackets, txBytes, drops],
      lastHeard === null ? null : `${lastHeard}s`,
      pathMtu,
    ]),
    style,
  );
}
