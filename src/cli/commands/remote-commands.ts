/** `vtepctl remote …`: the unicast flood lists. */

import type { ControlClient } from '../../api/client/client.ts';
import type { FloodRemote } from '../../api/daemon-view.ts';
import type { FloodMember } from '../../api/schemas.ts';
import { type Style, table } from '../terminal/table.ts';
import {
  type Arguments,
  type Command,
  readIp,
  readVni,
  required,
  requiredOperand,
} from '../terminal/vtepctl-command.ts';

const remoteShow: Command<number | undefined, FloodMember[]> = {
  words: 'remote show',
  summary: 'Show the unicast flood lists, with the origin of each remote',
  flags: { vni: { describe: 'only the list of this VNI', value: 'N' } },
  parse: ({ values: { vni } }) => (vni === undefined ? undefined : readVni('--vni', vni)),
  call: (client, vni) => client.floodMembers(vni),
  render: renderRemotes,
};

export const REMOTE_COMMANDS: readonly Command[] = [
  remoteCommand('remote add', 'Add a VTEP to the unicast flood list of a VNI', (client, remote) =>
    client.addRemote(remote),
  ),
  remoteCommand('remote del', 'Delete a VTEP from the unicast flood list of a VNI', (client, remote) =>
    client.deleteRemote(remote),
  ),
  remoteShow,
];

export function renderRemotes(members: readonly FloodMember[], style: Style): string {
  return table(
    ['VNI', 'REMOTE', 'ORIGIN', 'STATE'],
    members.map(({ vni, remote, origin, sent, inGroup }) => [vni, remote, origin, stateOf({ sent, inGroup })]),
    style,
  );
}

function stateOf({ sent, inGroup }: Pick<FloodMember, 'sent' | 'inGroup'>): string {
  if (!sent) return inGroup ? 'by group' : 'unsent';
  return inGroup ? 'twice' : 'sent';
}

function remoteCommand(
  words: string,
  summary: string,
  ask: (client: ControlClient, remote: FloodRemote) => Promise<void>,
): Command<FloodRemote, FloodRemote> {
  return {
    words,
    summary,
    operand: { label: 'IP', describe: 'address of the VTEP' },
    flags: { vni: { describe: 'the VNI of the flood list', value: 'N', required: true } },
    parse: readRemote,
    call: async (client, remote) => {
      await ask(client, remote);
      return remote;
    },
    render: () => '',
  };
}

function readRemote(args: Arguments): FloodRemote {
  const remote = readIp('IP', requiredOperand(args, 'IP'));
  return { vni: readVni('--vni', required(args, 'vni')), remote };
}
