/** `vtepctl trace`: what would happen to a frame, step by step. */

import type { TracedFrame } from '../../api/daemon-view.ts';
import type { Trace } from '../../api/schemas.ts';
import { type IpAddress, isMulticastIp } from '../../lib/addresses.ts';
import { MAX_TRACED_FRAME_BYTES, MAX_VLAN, MIN_TRACED_FRAME_BYTES } from '../../lib/limits.ts';
import type { Style } from '../terminal/table.ts';
import { type Command, readIp, readMac, readNumber, readVni, required } from '../terminal/vtepctl-command.ts';

const trace: Command<TracedFrame, Trace> = {
  words: 'trace',
  summary: 'Show what would happen to a frame, step by step; nothing is sent, learned or counted',
  flags: {
    vni: { describe: 'the VNI of the frame', value: 'N', required: true },
    src: { describe: 'source MAC of the frame', value: 'MAC', required: true },
    dst: { describe: 'destination MAC of the frame', value: 'MAC', required: true },
    vtep: { describe: 'the frame comes from this VTEP; absent: out of the TAP', value: 'IP' },
    vlan: { describe: 'inner 802.1Q tag of the frame', value: 'VID' },
    size: { describe: 'octets of the frame without FCS [60]', value: 'N' },
  },
  parse: (args) => {
    const { vtep, vlan, size } = args.values;
    return {
      vni: readVni('--vni', required(args, 'vni')),
      src: readMac('--src', required(args, 'src')),
      dst: readMac('--dst', required(args, 'dst')),
      ...(vtep !== undefined && { vtep: readIp('--vtep', vtep) }),
      ...(vlan !== undefined && { vlan: readNumber('--vlan', vlan, { first: 0, last: MAX_VLAN }) }),
      ...(size !== undefined && {
        size: readNumber('--size', size, { first: MIN_TRACED_FRAME_BYTES, last: MAX_TRACED_FRAME_BYTES }),
      }),
    };
  },
  call: (client, frame) => client.trace(frame),
  render: (answer, style) => `${[...answer.steps, verdictText(answer, style)].join('\n')}\n`,
};

export const TRACE_COMMANDS: readonly Command[] = [trace];

/** The last line: `forwarded to 198.18.0.2`, `flooded to 239.1.1.1 and 2 remotes`, `dropped: storm`, `dropped: link-local (LLDP, …)`. */
function verdictText({ verdict, reason, detail, destinations }: Trace, style: Style): string {
  if (verdict === 'dropped') return style.bad(`dropped: ${reason}${detail ? ` (${detail})` : ''}`);
  if (verdict === 'forwarded') return style.good(`forwarded to ${destinations.join(', ')}`);
  const groups = destinations.filter((address) => isMulticastIp(address as IpAddress));
  const remotes = destinations.length - groups.length;
  const parts = [...groups, ...(remotes === 0 ? [] : [`${remotes} ${remotes === 1 ? 'remote' : 'remotes'}`])];
  return style.good(`flooded to ${parts.join(' and ')}`);
}
