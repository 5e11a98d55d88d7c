/** Parses the command line of vtepctl with yargs into a plain value. Nothing is printed or run here. */

import yargs, { type Argv } from 'yargs';
import { DEFAULT_SOCKET_PATH } from '../config/flags.ts';
import {
  type AnyCommand,
  type Arguments,
  COMMON_FLAGS,
  dashed,
  type Flag,
  nextWords,
  usageError,
  usageOf,
} from './terminal/vtepctl-command.ts';
import { NO_COMMAND, NothingAsked, refusalOf } from './vtepctl-refusals.ts';

export type CommandLine =
  | {
      readonly kind: 'command';
      readonly command: AnyCommand;
      readonly args: Arguments;
      readonly socket: string;
      readonly json: boolean;
    }
  /** `--help`, `--version`. */
  | { readonly kind: 'text'; readonly text: string }
  /** Nothing was asked for. */
  | { readonly kind: 'usage'; readonly text: string };

/** @throws VtepError ERR_VTEP_USAGE */
export function parseCommandLine(
  argv: readonly string[],
  commands: readonly AnyCommand[],
  version: string,
): CommandLine {
  /** The command or group that yargs is in when it finds a fault. */
  let scope = '';
  let found: { command: AnyCommand; values: Record<string, unknown> } | undefined;

  const addCommand = (parser: Argv, command: AnyCommand): Argv =>
    parser.command(
      `${command.words.split(' ').at(-1)}${operandPattern(command)}`,
      command.summary,
      (inner) => {
        scope = command.words;
        inner.usage(`${usageOf(command)}\n\n${command.summary}.`);
        if (command.operand)
          inner.positional(command.operand.label, { type: 'string', describe: command.operand.describe });
        return addFlags(inner, command.flags);
      },
      (values) => {
        found = { command, values };
      },
    );
  const addGroup = (parser: Argv, group: string): Argv =>
    parser.command(group, nextWords(group, commands).join(', '), (inner) => {
      scope = group;
      inner.usage(`usage: vtepctl ${group} COMMAND`);
      for (const command of commands) if (command.words.startsWith(`${group} `)) addCommand(inner, command);
      return inner.demandCommand(1, NO_COMMAND);
    });

  const parser = yargs()
    .scriptName('vtepctl')
    .usage('usage: vtepctl [--socket PATH] [--json] COMMAND')
    .locale('en')
    .wrap(100)
    .version(version)
    .parserConfiguration({ 'dot-notation': false, 'boolean-negation': false, 'parse-positional-numbers': false });
  addFlags(parser, COMMON_FLAGS);
  for (const word of nextWords('', commands)) {
    const command = commands.find(({ words }) => words === word);
    if (command) addCommand(parser, command);
    else addGroup(parser, word);
  }
  parser
    .demandCommand(1, NO_COMMAND)
    .strict()
    .exitProcess(false)
    .fail((message) => {
      throw refusalOf(message, { argv, scope, commands });
    });

  let text = '';
  try {
    parser.parse([...argv], {}, (_error, _values, output) => {
      text = output;
    });
  } catch (error) {
    if (!(error instanceof NothingAsked)) throw error;
    parser.showHelp((usage) => {
      text = usage;
    });
    return { kind: 'usage', text: `${text}\n` };
  }
  if (!found) return { kind: 'text', text: `${text}\n` };
  const { command, values } = found;
  const args = argumentsOf(command, values);
  return {
    kind: 'command',
    command,
    args,
    socket: args.values.socket ?? DEFAULT_SOCKET_PATH,
    json: args.switches.has('json'),
  };
}

function operandPattern({ operand }: AnyCommand): string {
  if (!operand) return '';
  return operand.optional ? ` [${operand.label}]` : ` <${operand.label}>`;
}

/** yargs would take `--vni abc` as NaN and `--vni` alone as nothing: values are text, and there is exactly one. */
function addFlags(parser: Argv, flags: Readonly<Record<string, Flag>>): Argv {
  for (const [name, { describe, value, short: alias = [] }] of Object.entries(flags)) {
    const kind = value === undefined ? { type: 'boolean' as const } : { type: 'string' as const, nargs: 1 };
    const text = value === undefined ? describe : `${value}: ${describe}`;
    parser.option(name, { ...kind, alias, requiresArg: value !== undefined, describe: text });
  }
  return parser;
}

function argumentsOf(command: AnyCommand, parsed: Record<string, unknown>): Arguments {
  const values: Record<string, string> = {};
  const switches = new Set<string>();
  for (const [name, { value: label }] of Object.entries({ ...COMMON_FLAGS, ...command.flags })) {
    const value = parsed[name];
    if (label === undefined) {
      if (value === true) switches.add(name);
    } else if (value !== undefined) {
      values[name] = single(dashed(name), value);
    }
  }
  // Words after `--` belong to no command, and strict mode does not check them.
  const extra = (parsed._ as string[]).slice(command.words.split(' ').length);
  if (extra[0] !== undefined) throw usageError(extra[0], 'unexpected', usageOf(command));
  const label = command.operand?.label;
  const operand = label === undefined || parsed[label] === undefined ? undefined : single(label, parsed[label]);
  return { usage: usageOf(command), operand, values, switches };
}

function single(object: string, value: unknown): string {
  if (Array.isArray(value)) throw usageError(object, 'given more than once', 'give it once');
  if (typeof value !== 'string' || value === '') throw usageError(object, 'without a value', 'give it one');
  return value;
}
