/** `vtepctl capture`: frames as they pass, as text or into a pcapng file. */

import {
  type AnyCommand,
  type Arguments,
  readIp,
  readMac,
  readNumber,
  readVni,
  type StreamingCommand,
  usageError,
} from '../terminal/vtepctl-command.ts';
import type { CaptureRequest } from './capture-output.ts';

/** More frames than a capture ever has. */
const MAX_FRAMES = 99_999_999;

const capture: StreamingCommand<CaptureRequest> = {
  words: 'capture',
  summary: 'Show frames as they pass, each with its verdict, until interrupted',
  flags: {
    vni: { describe: 'only this VNI', value: 'N' },
    mac: { describe: 'only frames with this source or destination MAC', value: 'M' },
    vtep: { describe: 'only frames from or to this VTEP; a group can be given too', value: 'IP' },
    drops: { describe: 'only dropped frames' },
    c: { describe: 'end after this number of frames', value: 'N' },
    w: { describe: 'write the frames to this file as pcapng, for Wireshark; - is standard output', value: 'FILE|-' },
  },
  parse: readRequest,
  stream: async (client, request, output) => {
    // Loaded only here, so that the other commands start faster.
    const { writeCapture } = await import('./capture-output.ts');
    await writeCapture(client, request, output);
  },
};

export const CAPTURE_COMMANDS: readonly AnyCommand[] = [capture];

function readRequest(args: Arguments): CaptureRequest {
  const { vni, mac, vtep, c, w } = args.values;
  if (w !== undefined && args.switches.has('json')) throw usageError('-w', 'excludes --json', 'give one of them');
  return {
    query: {
      ...(vni !== undefined && { vni: readVni('--vni', vni) }),
      ...(mac !== undefined && { mac: readMac('--mac', mac) }),
      ...(vtep !== undefined && { vtep: readIp('--vtep', vtep) }),
      drops: args.switches.has('drops'),
    },
    most: c === undefined ? Number.POSITIVE_INFINITY : readNumber('-c', c, { first: 1, last: MAX_FRAMES }),
    file: w,
  };
}
