/** `vtepctl top`: rates, live on a terminal, else a block of text or a line of JSON for each interval. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlClient } from '../../api/client/client.ts';
import { VtepError } from '../../lib/errors.ts';
import { PLAIN, styleFor } from '../terminal/table.ts';
import { TerminalScreen } from '../terminal/terminal-screen.ts';
import { type FollowingCommand, readNumber, usageError } from '../terminal/vtepctl-command.ts';
import { RateHistories, type Reading, ratesBetween, type Top, unanswered } from './top-rates.ts';
import { SORTS, topScreen } from './top-screen.ts';
import { isUtf8 } from './top-text.ts';

interface TopRequest {
  readonly intervalMs: number;
  /** How many times rates are told; Infinity: until interrupted. */
  readonly iterations: number;
}

/** Shorter intervals only flicker. Longer ones give too few readings a day. */
const [MIN_INTERVAL_MS, MAX_INTERVAL_MS] = [100, 3_600_000];
const MAX_ITERATIONS = 10_000_000;

const top: FollowingCommand<TopRequest, Top> = {
  words: 'top',
  summary: 'Watch rates and drops by VNI and by VTEP; q quits, s sorts',
  flags: {
    interval: { describe: 'time between two readings, 0.1 to 3600 [1]', value: 'SECONDS', short: 'd' },
    iterations: { describe: 'end after this number of readings', value: 'N', short: 'n' },
  },
  parse: ({ values: { interval, iterations } }) => ({
    intervalMs: interval === undefined ? 1000 : readInterval('--interval', interval),
    iterations:
      iterations === undefined
        ? Number.POSITIVE_INFINITY
        : readNumber('--iterations', iterations, { first: 1, last: MAX_ITERATIONS }),
  }),
  async *follow(client, request, signal) {
    const tops = readings(client, request, signal);
    // The first reading has no rates yet.
    await tops.next();
    for await (const each of tops) yield [each];
  },
  renderItem: (each) =>
    `${topScreen(each, { width: Infinity, height: Infinity, style: PLAIN, utf8: true, sort: 'bit/s' }).join('\n')}\n`,
  async watch(client, request, { env, signal, ...ends }) {
    const left = new AbortController();
    const tops = readings(client, request, AbortSignal.any([signal, left.signal]));
    // If no daemon answers now, the error is printed below the command, not on a screen that disappears.
    const first = await tops.next();
    if (first.done) return;
    let shown = first.value;
    let sort = 0;
    const histories = new RateHistories();
    const options = { style: styleFor(ends.stdout, env), utf8: isUtf8(env), histories };
    const draw = () => {
      const { width, height } = screen;
      screen.draw(topScreen(shown, { ...options, width, height, sort: SORTS[sort] ?? 'bit/s' }));
    };
    const screen = new TerminalScreen(ends, {
      key: (letter) => {
        if (letter === 'q' || letter === CTRL_C) left.abort();
        else if (letter === 's') sort = (sort + 1) % SORTS.length;
        draw();
      },
      resize: draw,
      gone: () => left.abort(),
    });
    try {
      screen.open();
      draw();
      for await (shown of tops) {
        histories.add(shown);
        draw();
      }
    } finally {
      screen.close();
    }
  },
};

export const TOP_COMMANDS: readonly FollowingCommand[] = [top];

/** In raw mode a character as any other. */
const CTRL_C = '\x03';

/**
 * The first comes at once and without rates, the others at each interval. A daemon that ends meanwhile is asked again each time.
 * @throws VtepError if it does not answer the first time
 */
async function* readings(
  client: ControlClient,
  { intervalMs, iterations }: TopRequest,
  signal: AbortSignal,
): AsyncGenerator<Top, void, undefined> {
  const asked = client.until(signal);
  const attempt = async (): Promise<Reading | VtepError> => {
    try {
      return await read(asked);
    } catch (error) {
      if (error instanceof VtepError) return error;
      throw error;
    }
  };
  let last: Reading | undefined;
  let due = performance.now();
  for (let count = 0; count <= iterations; count++) {
    const reading = await attempt();
    if (signal.aborted) return;
    const time = new Date().toISOString();
    if (!(reading instanceof VtepError)) {
      yield ratesBetween(last, reading, time);
      last = reading;
    } else if (count === 0) {
      throw reading;
    } else {
      yield unanswered(reading.message, time);
    }
    // In step with the clock. Missed readings are skipped.
    due = Math.max(due + intervalMs, performance.now());
    if (count < iterations) await sleep(due - performance.now(), undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
  }
}

async function read(client: ControlClient): Promise<Reading> {
  const at = performance.now();
  const [status, stats, vteps, drops] = await Promise.all([
    client.status(),
    client.stats(),
    client.vteps(),
    client.drops(),
  ]);
  return { at, status, stats, vteps, drops };
}

/** @returns milliseconds  @throws VtepError ERR_VTEP_USAGE */
function readInterval(object: string, text: string): number {
  const milliseconds = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) * 1000 : -1;
  if (milliseconds >= MIN_INTERVAL_MS && milliseconds <= MAX_INTERVAL_MS) return milliseconds;
  throw usageError(`${object} ${text}`, 'out of range', 'give seconds from 0.1 to 3600');
}
