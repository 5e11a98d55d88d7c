/** `vtepctl vni …`: the segments. */

import type { VniStatus } from '../control/schemas.ts';
import { type Style, table } from './table.ts';
import { type Command, readVni } from './vtepctl-command.ts';

const vniShow: Command<number | undefined, VniStatus[]> = {
  words: 'vni show',
  summary: 'Show the VNIs, or one of them',
  operand: { label: 'N', describe: 'only this VNI', optional: true },
  flags: {},
  parse: ({ operand }) => (operand === undefined ? undefined : readVni('N', operand)),
  call: (client, vni) => client.vnis(vni),
  render: renderVnis,
};

export const VNI_COMMANDS: readonly Command[] = [vniShow];

/** STATUS is last, because it may be a sentence. */
export function renderVnis(vnis: readonly VniStatus[], style: Style): string {
  return table(
    ['VNI', 'NAME', 'GROUP', 'REMOTES', 'TAP', 'MTU', 'BRIDGE', 'VLAN', 'LEARNING', 'MACS', 'JOINED', 'STATUS'],
    vnis.map((vni) => [
      vni.vni,
      vni.name,
      vni.group,
      vni.remotes.join(','),
      vni.tap,
      vni.mtu,
      vni.bridge,
      vni.vlan,
      vni.learning ? 'on' : 'off',
      vni.macs,
      vni.group === null ? null : vni.joined ? 'yes' : 'no',
      vni.status,
    ]),
    style,
  );
}
