/** Floods that are counted: one each few milliseconds, each with a number of its own. */

import { sleep, waitUntil } from '../wait.ts';
import { BROADCAST } from './frames.ts';
import type { PacketSocket } from './packet-socket.ts';
import { probeTexts, sendProbe } from './probes.ts';

export interface SteadyFlood {
  /** Ends the flood; resolves to the number of frames sent. */
  stop(): Promise<number>;
}

const EVERY_MS = 2;

/** @param name begins the text of each frame: `name 0`, `name 1`, … */
export function floodSteadily(from: PacketSocket, name: string, src = '02:00:00:00:0f:01'): SteadyFlood {
  let sent = 0;
  let isOver = false;
  const running = (async () => {
    while (!isOver) {
      sendProbe(from, { dst: BROADCAST, src, text: `${name} ${sent++}` });
      await sleep(EVERY_MS);
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await running;
      return sent;
    },
  };
}

/** The numbers of a flood's frames that arrived, in order of arrival, once the last one is there. */
export async function floodAt(to: PacketSocket, name: string, sent: number): Promise<number[]> {
  const last = `${name} ${sent - 1}`;
  await waitUntil(`"${last}"`, () => probeTexts(to.drain()).includes(last));
  return numbersAt(to, name);
}

/** The numbers of a flood's frames that arrived so far. */
export function numbersAt(to: PacketSocket, name: string): number[] {
  return probeTexts(to.drain())
    .filter((text) => text.startsWith(`${name} `))
    .map((text) => Number(text.slice(name.length + 1)));
}

/** 0, 1, … `count` - 1: a flood without loss, duplicate or disorder. */
export function all(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
