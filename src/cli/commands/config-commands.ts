/** `vtepctl config show`, `reload` and `log-level`: how the daemon is set up. */

import type { ConfigFile } from '../../api/schemas.ts';
import { LOG_LEVELS, type LogLevel } from '../../config/config.ts';
import { type Command, requiredOperand, usageError } from '../terminal/vtepctl-command.ts';

const configShow: Command<void, ConfigFile> = {
  words: 'config show',
  summary: 'Show the running configuration, including live changes, as a file for --config',
  flags: {},
  parse: () => undefined,
  call: (client) => client.config(),
  render: async (value) => {
    // Loaded only here: the other commands need no YAML, and start faster.
    const { stringify } = await import('yaml');
    // Quoted, so that a reader of YAML 1.1 does not take a value such as a port range for a date or a number.
    return stringify(value, { version: '1.2', compat: 'yaml-1.1', lineWidth: 0 });
  },
};

const reload: Command<{ partial: boolean }, { reloaded: true; refused: readonly string[] }> = {
  words: 'reload',
  summary: 'Read the configuration file again and apply all changes, or none of them',
  flags: { partial: { describe: 'apply what can be applied and list the rest; exit 1 if something was left out' } },
  parse: ({ switches }) => ({ partial: switches.has('partial') }),
  call: async (client, how) => ({ reloaded: true, ...(await client.reload(how)) }),
  render: ({ refused }) => refused.map((line) => `${line}\n`).join(''),
  exitCode: ({ refused }) => (refused.length > 0 ? 1 : 0),
};

const logLevel: Command<LogLevel, { level: LogLevel }> = {
  words: 'log-level',
  summary: 'Set the lowest level that is logged',
  operand: { label: 'LEVEL', describe: LOG_LEVELS.join(', ') },
  flags: {},
  parse: (args) => {
    const text = requiredOperand(args, 'LEVEL');
    const level = LOG_LEVELS.find((each) => each === text);
    if (level === undefined) throw usageError(`LEVEL ${text}`, 'not a level', `give one of ${LOG_LEVELS.join(', ')}`);
    return level;
  },
  call: async (client, level) => {
    await client.setLogLevel(level);
    return { level };
  },
  render: () => '',
};

export const CONFIG_COMMANDS: readonly Command[] = [configShow, reload, logLevel];
