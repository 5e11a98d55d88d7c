/** Rounds of measures. One that fails is tried once more, with everything it uses made anew, and then named; the others go on. */
import { buildLab, removeLab } from './lab.mjs';
import { Rows, show } from './report.mjs';
import { warmUp } from './traffic.mjs';
import { KIND_NAMES, Pair } from './vteps.mjs';

/**
 * @typedef {object} Run
 * @property {number} rounds
 * @property {RegExp} only
 * @property {string[]} daemonFlags
 * @property {Record<string, number>} time how long each measure lasts
 * @property {string[]} failures filled here
 *
 * @typedef {object} Measure
 * @property {Record<string, import('./report.mjs').Figure>} figures
 * @property {(...subject: unknown[]) => Promise<Record<string, number>>} take
 */

/**
 * Both kinds of VTEP in turns, so that what changes on the machine meanwhile changes for both.
 * @param {string} wire
 * @param {Measure[]} measures
 * @param {Run} run
 */
export async function measureWire(wire, measures, run) {
  const rows = new Rows(figuresOf(measures));
  if (measures.length === 0) return [];
  const hosts = buildLab(wire);
  for (let round = 1; round <= run.rounds; round++) {
    for (const kind of KIND_NAMES) {
      const place = `${wire}  round ${round}  ${kind.padEnd(6)}`;
      const pair = new Pair(kind, hosts, run.daemonFlags);
      for (const measure of measures) {
        const values = await attempt(place, measure, run, {
          // Done once for all measures, and again where one has failed.
          prepare: async () => {
            if (pair.isUp) return;
            await pair.start();
            await warmUp(pair, run.time.warmUp);
          },
          take: () => measure.take(pair, run.time),
          discard: () => pair.stop(),
        });
        record(rows, { place, measure, kind, values, run });
      }
      await attemptStop(place, pair, run);
    }
  }
  removeLab();
  return rows.filled;
}

/** @param {Measure[]} measures @param {Run} run */
export async function measureDaemon(measures, run) {
  const rows = new Rows(figuresOf(measures));
  if (measures.length === 0) return [];
  const hosts = buildLab('offloading');
  for (let round = 1; round <= run.rounds; round++) {
    const place = `one daemon  round ${round}`;
    for (const measure of measures) {
      const take = () => measure.take(hosts, run.daemonFlags, run.time);
      const values = await attempt(place, measure, run, { prepare: async () => {}, take, discard: async () => {} });
      record(rows, { place, measure, kind: 'vtepd', values, run });
    }
  }
  removeLab();
  return rows.filled;
}

const figuresOf = (measures) => measures.flatMap(({ figures }) => Object.values(figures));

/** The measure's values, or undefined after two failures. */
async function attempt(place, measure, run, { prepare, take, discard }) {
  const [{ name }] = Object.values(measure.figures);
  for (const isLast of [false, true]) {
    try {
      await prepare();
      return await take();
    } catch (error) {
      const messages = [error.message];
      // A daemon that died tells here of what.
      await discard().catch((second) => messages.push(second.message));
      const failure = `${place}  ${name}: ${messages.join('; ')}`;
      console.log(isLast ? failure : `${failure}; once more`);
      if (isLast) run.failures.push(failure);
    }
  }
  return undefined;
}

function record(rows, { place, measure, kind, values = {}, run }) {
  for (const [key, figure] of Object.entries(measure.figures)) {
    if (values[key] === undefined || !run.only.test(figure.name)) continue;
    rows.add(figure, kind, values[key]);
    console.log(`${place}  ${figure.name}: ${show(values[key])} ${figure.unit}`);
  }
}

async function attemptStop(place, pair, run) {
  try {
    await pair.stop();
  } catch (error) {
    run.failures.push(`${place}  stop: ${error.message}`);
  }
}
