/** The command line of `vtepd`: yargs splits it into strings, and config/ validates them. The help comes from the same table. */
import yargs from 'yargs';
import type { Config } from '../config/config.ts';
import { ENTRY_KEYS, FILE_SWITCHES, FLAGS, type ScalarFlagName } from '../config/flags.ts';
import { nearestName } from '../config/keys/nearest-name.ts';
import { flagObject, refuse, shown } from '../config/keys/written-value.ts';
import { parseConfig } from '../config/parse.ts';
import type { ConfigSource } from './config-source.ts';

/** What a command line asks for. `help` carries the text to print, which ends with a newline. */
export type VtepdInvocation =
  /** `reread` reads the file again, under the same flags; undefined where there is none. */
  | { readonly kind: 'run'; readonly config: Config; readonly reread: (() => Promise<Config>) | undefined }
  | { readonly kind: 'withdraw'; readonly config: Config }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'version' };

const HELP_COLUMNS = 80;
const HELP_INDENT = 10;

/**
 * @param argv what follows the program's name
 * @param source reads the configuration file's text; throws VtepError ERR_VTEP_USAGE
 * @throws VtepError ERR_VTEP_USAGE, one line without the program's name
 */
export async function parseVtepdArguments(
  argv: readonly string[],
  source: Pick<ConfigSource, 'read' | 'reread'>,
): Promise<VtepdInvocation> {
  refuseUnknownFlags(argv);
  const parsed = splitArguments(argv);
  if (parsed.help === true) return { kind: 'help', text: helpText() };
  if (parsed.version === true) return { kind: 'version' };
  const scalars: Partial<Record<ScalarFlagName, string>> = {};
  for (const { name, kind } of FLAGS) {
    if (kind !== 'scalar') continue;
    const value = singleValue(name, parsed[name]);
    if (value !== undefined) scalars[name] = value;
  }
  const flags = {
    vni: values(parsed.vni),
    local: values(parsed.local),
    allowVtep: values(parsed['allow-vtep']),
    scalars,
    switches: FILE_SWITCHES.filter((name) => parsed[name] === true),
    check: parsed.check === true,
  };
  const isWithdrawal = parsed.withdraw === true;
  const { config: path } = scalars;
  if (path === undefined) {
    const config = parseConfig(flags);
    return isWithdrawal ? { kind: 'withdraw', config } : { kind: 'run', config, reread: undefined };
  }
  // Loaded only here: without a file no YAML reader is needed, which takes a while to load.
  const { readConfigFile } = await import('../config/config-file.ts');
  const parse = (text: string) => parseConfig(flags, readConfigFile(text, path));
  const config = parse(await source.read(path));
  return isWithdrawal
    ? { kind: 'withdraw', config }
    : { kind: 'run', config, reread: async () => parse(await source.reread(path)) };
}

/**
 * The strict mode of yargs accepts some words that are not flags (`--$0 x`, `--_`, `--check` with a newline at its end,
 * `-ttl` as `-t -t -l`), and reports the others without their dashes.
 */
function refuseUnknownFlags(argv: readonly string[]): void {
  const names = FLAGS.map((flag): string => flag.name);
  for (const token of argv) {
    if (token === '--') return;
    if (!/^-[^.\d]/.test(token)) continue;
    const flag = token.split('=', 1)[0] as string;
    if (flag.startsWith('--') && names.includes(flag.slice(2))) continue;
    const nearest = nearestName(flag.replace(/^-+/, ''), names);
    refuse(shown(flag), 'unknown flag', nearest ? `did you mean --${nearest}?` : 'vtepd --help lists the flags');
  }
}

/** Strings by flag; a repeated scalar is an array, a list always, a switch `true`. */
function splitArguments(argv: readonly string[]): Record<string, unknown> {
  const parser = yargs([])
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .locale('en') // refusal() reads the messages
    .help(false)
    .version(false)
    .exitProcess(false)
    .showHelpOnFail(false)
    .strict()
    .fail((message, error) => {
      // An error that yargs finds has a message, and often an error object too. A defect has only the error object.
      throw message ? refusal(message) : error;
    });
  for (const { name, kind } of FLAGS) {
    // Without nargs, `--ttl` alone would pass as '', and `--check false` as a value.
    if (kind === 'switch') parser.option(name, { type: 'boolean', nargs: 0 });
    else parser.option(name, { type: 'string', nargs: 1, array: kind === 'list' });
  }
  const parsed = parser.parseSync([...argv]);
  // Strict mode does not check words after `--`.
  if (parsed._[0] !== undefined) refusePositional(String(parsed._[0]));
  return parsed;
}

/** Converts a message of yargs to one of vtepd. */
function refusal(message: string): never {
  const [, problem, names = ''] = /^([^:]*): (.*)$/s.exec(message) ?? [];
  const flag = FLAGS.find(({ name }) => name === names);
  if (problem === 'Not enough arguments following' && flag !== undefined) {
    refuse(`--${flag.name}`, 'its value is missing', `write --${flag.name} ${flag.value}`);
  }
  if (problem === 'Argument unexpected for' && flag !== undefined) {
    refuse(`--${flag.name}`, 'it takes no value', `write --${flag.name} alone`);
  }
  if (problem?.startsWith('Unknown argument')) refusePositional(names);
  refuse('command line', message, 'vtepd --help shows the syntax');
}

function refusePositional(text: string): never {
  refuse(shown(text), 'it belongs to no flag', 'write --flag VALUE, and --vni again for each segment');
}

function singleValue(name: string, value: unknown): string | undefined {
  const [first, second] = values(value);
  if (first !== undefined && second !== undefined) {
    refuse(flagObject(name, second), `--${name} is given twice, first as ${flagObject(name, first)}`, 'give it once');
  }
  return first;
}

function values(value: unknown): string[] {
  return value === undefined ? [] : [value].flat().map(String);
}

function helpText(): string {
  return [
    'vtepd, a userspace VXLAN tunnel endpoint (VTEP, RFC 7348)',
    '',
    'Usage: vtepd --vni VNI[=GROUP][,key=value]… [flags]',
    '',
    'Flags:',
    ...FLAGS.flatMap((flag) =>
      helpEntry(
        `--${flag.name} ${flag.value}`,
        'standard' in flag ? `${flag.meaning} Default ${flag.standard}.` : flag.meaning,
      ),
    ),
    '',
    'Keys of --vni:',
    ...ENTRY_KEYS.flatMap((key) => helpEntry(`${key.name}=${key.value}`, key.meaning)),
    '',
    'Examples:',
    '  vtepd --dev eth0 --vni 100=239.1.1.1 --vni 200=239.1.1.2,bridge=br-tenant2',
    '  vtepd --vni 300,remote=192.0.2.1,remote=192.0.2.2,name=lab --log-level debug',
    '',
    'Exit codes: 0 asked to stop, 1 the host refuses, 2 died while running, 64 a',
    'flag, a key or the file is wrong.',
    '',
  ].join('\n');
}

/** The term on a line of its own, its text wrapped and indented below. */
function helpEntry(term: string, text: string): string[] {
  const lines = [`  ${term.trimEnd()}`];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && HELP_INDENT + line.length + 1 + word.length > HELP_COLUMNS) {
      lines.push(' '.repeat(HELP_INDENT) + line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, ' '.repeat(HELP_INDENT) + line];
}
