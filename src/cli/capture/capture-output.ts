/** What `vtepctl capture` writes: lines, or a pcapng file. */

import { verdictText } from '../../api/capture-text.ts';
import type { ControlClient } from '../../api/client/client.ts';
import type { CaptureQuery } from '../../api/daemon-view.ts';
import type { CaptureEvent } from '../../api/schemas.ts';
import { VtepError } from '../../lib/errors.ts';
import type { StreamOutput } from '../terminal/vtepctl-command.ts';
import { BlockCutter } from './capture-blocks.ts';
import { CaptureFile } from './capture-file.ts';

export interface CaptureRequest {
  readonly query: CaptureQuery;
  /** After how many frames to end; infinite unless given. */
  readonly most: number;
  /** `-` is standard output; undefined: text. */
  readonly file: string | undefined;
}

/** Until interrupted, until there are enough frames, or until nobody reads. @throws VtepError */
export async function writeCapture(
  client: ControlClient,
  request: CaptureRequest,
  output: StreamOutput,
): Promise<void> {
  // A capture that has its frames ends the stream too.
  const ending = new AbortController();
  const signal = AbortSignal.any([output.signal, ending.signal]);
  const writeAll = request.file === undefined ? writeLines : writeFile;
  try {
    const counts = await writeAll(client, request, { ...output, signal });
    if (counts) await output.tell(summaryText(counts));
  } finally {
    ending.abort();
  }
}

/** The summary at the end. */
interface Counts {
  readonly frames: number;
  readonly lost: number;
}

/** A line for each frame. @returns undefined if nobody reads any more */
async function writeLines(
  client: ControlClient,
  { query, most }: CaptureRequest,
  { json, signal, write }: StreamOutput,
): Promise<Counts | undefined> {
  const counts = { frames: 0, lost: 0 };
  for await (const events of client.capture(query, signal)) {
    const lines: string[] = [];
    for (const event of events) {
      if (counts.frames === most) break;
      counts.frames += event.event === 'frame' ? 1 : 0;
      counts.lost += event.count ?? 0;
      lines.push(`${json ? JSON.stringify(event) : lineOf(event)}\n`);
    }
    if (!(await write(lines.join('')))) return undefined;
    if (counts.frames === most) break;
  }
  return counts;
}

/** Octets, to a file or to standard output. Likewise. */
async function writeFile(
  client: ControlClient,
  { query, most, file = '-' }: CaptureRequest,
  { isTerminal, signal, write }: StreamOutput,
): Promise<Counts | undefined> {
  if (file === '-' && isTerminal) {
    const [cause, remedy] = ['standard output is a terminal', 'redirect it, or name a file'];
    throw new VtepError('ERR_VTEP_USAGE', { object: '-w -', cause, remedy });
  }
  const blocks = new BlockCutter(most);
  let opened: CaptureFile | undefined;
  try {
    for await (const piece of client.captureFile(query, signal)) {
      // Not before the daemon has answered, so that a refused capture overwrites nothing.
      if (file !== '-') opened ??= await CaptureFile.create(file);
      const whole = blocks.take(piece);
      if (opened) await opened.write(whole);
      else if (!(await write(whole))) return undefined;
      if (blocks.isFull) break;
    }
  } finally {
    await opened?.close();
  }
  return blocks;
}

function summaryText({ frames, lost }: Counts): string {
  const words = `${frames} ${frames === 1 ? 'frame' : 'frames'} captured`;
  return lost === 0 ? words : `${words}, ${lost} lost: they came faster than they were read`;
}

/** `13:04:05.600123 tx VNI 100 forwarded to 198.18.0.2, 02:00:00:00:00:01 > 02:00:00:00:00:02, length 98: IP …`, the time this host's. */
export function lineOf(event: CaptureEvent): string {
  const { direction, vni, vtep, src, dst, segments, length, summary } = event;
  const time = timeOfDay(event.time);
  if (event.event === 'lost') return `${time} ${event.count} ${event.count === 1 ? 'frame' : 'frames'} lost`;
  const start = [time, direction, 'VNI', vni ?? '-', ...(direction === 'rx' && vtep !== null ? ['from', vtep] : [])];
  const macs = src === null ? '' : `${src} > ${dst}, `;
  const cut = segments > 1 ? ` in ${segments} segments` : '';
  return `${start.join(' ')} ${verdictText(event)}, ${macs}length ${length}${cut}: ${summary}`;
}

/** @param time `2026-01-02T03:04:05.600123Z` */
function timeOfDay(time: string): string {
  const date = new Date(time);
  const part = (number: number) => String(number).padStart(2, '0');
  return `${[date.getHours(), date.getMinutes(), date.getSeconds()].map(part).join(':')}${time.slice(19, 26)}`;
}
