/** `vtepctl vni …`: the segments. */

import type { VniStatus } from '../../api/schemas.ts';
import { shown } from '../../config/keys/written-value.ts';
import { parseVniEntry } from '../../config/vni-entry.ts';
import { DEFAULT_MAX_MACS } from '../../lib/limits.ts';
import { type Style, table } from '../terminal/table.ts';
import { type Command, readVni, requiredOperand } from '../terminal/vtepctl-command.ts';

const vniShow: Command<number | undefined, VniStatus[]> = {
  words: 'vni show',
  summary: 'Show the VNIs, or one of them',
  operand: { label: 'N', describe: 'only this VNI', optional: true },
  flags: {},
  parse: ({ operand }) => (operand === undefined ? undefined : readVni('N', operand)),
  call: (client, vni) => client.vnis(vni),
  render: renderVnis,
};

const vniAdd: Command<string, VniStatus> = {
  words: 'vni add',
  summary: 'Add a VNI to the running daemon',
  operand: {
    label: 'ENTRY',
    form: 'VNI[=GROUP][,key=value]…',
    describe: 'VNI[=GROUP][,key=value]…, as for --vni of vtepd; vtepd --help lists the keys',
  },
  flags: {},
  parse: (args) => {
    const entry = requiredOperand(args, 'ENTRY');
    // Only validated here. The daemon fills in defaults, the name of the trunk and the BGP speaker.
    const object = `vni add ${shown(entry)}`;
    parseVniEntry(entry, { object, maxMacs: DEFAULT_MAX_MACS, trunk: 'trunk', evpn: { kind: 'unix', path: '/' } });
    return entry;
  },
  call: (client, entry) => client.addVni(entry),
  render: () => '',
};

const vniDel: Command<number, { vni: number }> = {
  words: 'vni del',
  summary: 'Delete a VNI with all its entries, and its TAP if vtepd made it',
  operand: { label: 'N', describe: 'the VNI' },
  flags: {},
  parse: (args) => readVni('N', requiredOperand(args, 'N')),
  call: async (client, vni) => {
    await client.deleteVni(vni);
    return { vni };
  },
  render: () => '',
};

export const VNI_COMMANDS: readonly Command[] = [vniShow, vniAdd, vniDel];

/** STATUS is last, because it may be a sentence. */
export function renderVnis(vnis: readonly VniStatus[], style: Style): string {
  return table(
    ['VNI', 'NAME', 'GROUP', 'REMOTES', 'TAP', 'MTU', 'BRIDGE', 'VLAN', 'LEARNING', 'MACS', 'JOINED', 'STATUS'],
    vnis.map((vni) => [
      vni.vni,
      vni.name,
      vni.group,
      vni.remotes.join(','),
      tapCell(vni),
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

/** `vxlan100`; renamed `foo(vxlan100)`; in the namespace of a container `vxlan100@c1`. One word, as scripts count columns. */
function tapCell({ tap, device, namespace }: VniStatus): string | null {
  const name = device === null || device === tap ? tap : `${device}(${tap})`;
  return namespace === null ? name : `${name}@${namespace}`;
}
