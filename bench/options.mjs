import { parseArgs } from 'node:util';

/** The code that `vtepd` and `vtepctl` use for a command line that is wrong (EX_USAGE, sysexits.h). */
const WRONG_USAGE = 64;

export const WIRES = ['offloading', 'mtu-true'];

const HELP = `npm run bench -- [options]: vtepd beside the kernel's own vxlan device

  --quick              under 90 s: one round, short runs, fewer measures; rough figures
  --rounds N           rounds of which the median is taken; default 3, with --quick 1
  --wire WIRE          only this wire: ${WIRES.join(' or ')}
  --only REGEX         only the measures whose name matches, listed below
  --workers N          start vtepd with --workers N
  --vtepd-args "ARGS"  further flags for vtepd, split at spaces
  --help

Needs root and iperf3. Figures are data: the exit code is 0 whatever they are, 1 if
something could not be measured, 64 if the command line is wrong.

Measures:
`;

/**
 * @typedef {object} Options
 * @property {boolean} quick
 * @property {number} rounds
 * @property {string[]} wires
 * @property {RegExp} only
 * @property {string[]} daemonFlags what vtepd is started with beside the bench's own flags
 * @property {boolean} isWhole nothing is left out and vtepd is as users have it: fit to be shown
 */

/**
 * Reads the command line; ends the process where it asks for help or is wrong.
 * @param {string[]} words
 * @param {string[]} names of the measures
 * @returns {Options}
 */
export function readOptions(words, names) {
  const values = split(words);
  if (values.help) {
    console.log(HELP + names.map((name) => `  ${name}`).join('\n'));
    process.exit(0);
  }
  const { quick, wire, workers } = values;
  if (wire !== undefined && !WIRES.includes(wire)) refuse(`--wire ${wire}: it is ${WIRES.join(' or ')}`);
  const only = readPattern(values.only ?? '');
  if (!names.some((name) => only.test(name))) refuse(`--only ${values.only}: no measure matches; --help lists them`);
  const daemonFlags = (values['vtepd-args'] ?? '').split(' ').filter((word) => word !== '');
  if (workers !== undefined) daemonFlags.unshift('--workers', `${readCount('--workers', workers)}`);
  return {
    quick,
    rounds: values.rounds === undefined ? (quick ? 1 : 3) : readCount('--rounds', values.rounds),
    wires: wire === undefined ? WIRES : [wire],
    only,
    daemonFlags,
    isWhole: !quick && wire === undefined && values.only === undefined && daemonFlags.length === 0,
  };
}

function split(words) {
  // parseArgs takes the flags in `--vtepd-args "--port 1"` for a forgotten value unless they stand behind a "=".
  const joined = words.join('\0').replace(/(^|\0)--vtepd-args\0/, '$1--vtepd-args=');
  try {
    return parseArgs({
      args: words.length === 0 ? [] : joined.split('\0'),
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        wire: { type: 'string' },
        only: { type: 'string' },
        workers: { type: 'string' },
        'vtepd-args': { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(`${error.message.split(/[.\n]/, 1)[0]}; --help lists the options`);
  }
}

function readCount(option, text) {
  if (!/^[1-9]\d{0,2}$/.test(text)) refuse(`${option} ${text}: it is a number from 1 to 999`);
  return Number(text);
}

function readPattern(text) {
  try {
    return new RegExp(text, 'i');
  } catch {
    return refuse(`--only ${text}: it is not a regular expression`);
  }
}

function refuse(message) {
  console.error(`bench: ${message}`);
  process.exit(WRONG_USAGE);
}
