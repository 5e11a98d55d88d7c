/** Converts errors of yargs to those of vtepctl, with remedies. */

import { nearestName } from '../config/keys/nearest-name.ts';
import { type AnyCommand, COMMON_FLAGS, dashed, nextWords, usageError, usageOf } from './terminal/vtepctl-command.ts';

/** Given to yargs as the text of its error, to recognise it. */
export const NO_COMMAND = 'no command';

/** The command line is empty: the usage is printed instead of an error. */
export class NothingAsked extends Error {}

/** Where the fault was found. */
export interface FaultPlace {
  readonly argv: readonly string[];
  /** The command or group that yargs was in; empty before the first word. */
  readonly scope: string;
  readonly commands: readonly AnyCommand[];
}

/** The names in the messages of yargs are put into the form of all errors. */
export function refusalOf(message: string, { argv, scope, commands }: FaultPlace): Error {
  const command = commands.find(({ words }) => words === scope);
  const usage = command && usageOf(command);
  if (message === NO_COMMAND && scope === '') return refusalWithoutCommand(argv);
  if (message === NO_COMMAND) return usageError(scope, 'no command', `one of ${nextWords(scope, commands).join(', ')}`);
  const [complaint = '', names = ''] = message.split(/: (.*)/s);
  if (complaint.startsWith('Not enough arguments')) return usageError(dashed(names), 'without a value', 'give it one');
  if (complaint.startsWith('Not enough non-option')) {
    return usageError(command?.operand?.label ?? scope, 'missing', usage);
  }
  if (!complaint.startsWith('Unknown')) return usageError(scope || 'vtepctl', message, usage);

  const unknown = names.split(', ');
  const word = unknown.find((name) => !isFlag(name, argv)) ?? '';
  if (!command && word !== '') {
    const known = nextWords(scope, commands);
    const near = nearestName(word, known);
    const remedy = near ? `did you mean ${[scope, near].join(' ').trim()}?` : `the commands are ${known.join(', ')}`;
    return usageError([scope, word].join(' ').trim(), 'unknown command', remedy);
  }
  const flag = unknown.find((name) => isFlag(name, argv));
  if (flag === undefined) return usageError(word, 'unexpected', usage);
  return unknownFlag(flag, { ...COMMON_FLAGS, ...command?.flags }, usage);
}

/** An unknown flag before the command may have taken it as its value. Then the flag is the fault. */
function refusalWithoutCommand(argv: readonly string[]): Error {
  const names = argv.flatMap((arg) => /^--?([^-=][^=]*)/.exec(arg)?.[1] ?? []);
  const stray = names.find((name) => !Object.hasOwn(COMMON_FLAGS, name));
  return stray === undefined ? new NothingAsked() : unknownFlag(stray, COMMON_FLAGS);
}

function unknownFlag(name: string, known: Readonly<Record<string, unknown>>, usage?: string): Error {
  const near = nearestName(name, Object.keys(known));
  return usageError(dashed(name), 'unknown flag', near ? `did you mean ${dashed(near)}?` : usage);
}

function isFlag(name: string, argv: readonly string[]): boolean {
  if (name.length === 1 && argv.some((arg) => /^-[^-]/.test(arg) && arg.includes(name))) return true;
  return argv.some((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`) || arg === `-${name}`);
}
