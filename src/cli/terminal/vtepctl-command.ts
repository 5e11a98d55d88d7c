/** What a command of vtepctl is made of: reading its arguments, asking the daemon, and showing the answer. */

import type { ControlClient } from '../../api/client/client.ts';
import { DEFAULT_SOCKET_PATH } from '../../config/flags.ts';
import { type IpAddress, type MacAddress, parseIp, parseMac } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { MAX_VNI } from '../../lib/limits.ts';
import type { Style } from './table.ts';
import type { TerminalEnds } from './terminal-screen.ts';

export interface Flag {
  readonly describe: string;
  /** The placeholder of the value in help texts, e.g. `IP|local`; absent: the flag is a switch. */
  readonly value?: string;
  readonly required?: true;
  /** One-letter form of the flag. */
  readonly short?: string;
}

/** Flags that every command takes, before it or after it. */
export const COMMON_FLAGS: Readonly<Record<string, Flag>> = {
  socket: { describe: `control socket of vtepd [${DEFAULT_SOCKET_PATH}]`, value: 'PATH' },
  json: { describe: 'print one JSON value instead of text' },
};

export interface Operand {
  /** One word. */
  readonly label: string;
  /** The form shown in the usage, if it says more than the label. */
  readonly form?: string;
  readonly describe: string;
  readonly optional?: boolean;
}

/** The command line and its help. */
interface CommandForm<Request> {
  /** As typed, e.g. `fdb show`. */
  readonly words: string;
  readonly summary: string;
  readonly operand?: Operand;
  readonly flags: Readonly<Record<string, Flag>>;
  /** Pure. @throws VtepError ERR_VTEP_USAGE */
  parse(args: Arguments): Request;
}

/** The three steps are methods so that commands of different requests and answers fit in one list. */
export interface Command<Request = unknown, Answer = unknown> extends CommandForm<Request> {
  /** The answer is what `--json` prints. */
  call(client: ControlClient, request: Request): Promise<Answer>;
  /** Pure. @returns lines, each with its newline */
  render(answer: Answer, style: Style): string | Promise<string>;
  /** Pure. Absent: 0. */
  exitCode?(answer: Answer): number;
}

/** A command that writes its output itself: text, or octets. */
export interface StreamingCommand<Request = unknown> extends CommandForm<Request> {
  /** Ends when `signal` is aborted. @throws VtepError */
  stream(client: ControlClient, request: Request, output: StreamOutput): Promise<void>;
}

/** Where a streaming command writes. */
export interface StreamOutput {
  readonly json: boolean;
  readonly isTerminal: boolean;
  readonly signal: AbortSignal;
  /** To standard output; resolves to false if its reader has ended. @throws VtepError */
  write(text: string | Uint8Array): Promise<boolean>;
  /** A line on standard error, for people. */
  tell(line: string): Promise<void>;
}

/** A command that goes on until it is interrupted. */
export interface FollowingCommand<Request = unknown, Item = unknown> extends CommandForm<Request> {
  /** Each item is what `--json` prints a line of. Ends when `signal` is aborted. */
  follow(client: ControlClient, request: Request, signal: AbortSignal): AsyncIterable<readonly Item[]>;
  /** Pure. @returns one line, without its newline, or several */
  renderItem(item: Item): string;
  /** On a terminal, a live screen in place of lines. Ends when it is left or `signal` aborted. */
  watch?(client: ControlClient, request: Request, looker: Looker): Promise<void>;
}

/** The terminal of a live screen. */
export interface Looker extends TerminalEnds {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

export type AnyCommand = Command | FollowingCommand | StreamingCommand;

/** The arguments of one command, each as text. */
export interface Arguments {
  /** The usage of the command, for errors. */
  readonly usage: string;
  readonly operand: string | undefined;
  /** Flags with a value, by name without dashes. */
  readonly values: Readonly<Record<string, string | undefined>>;
  /** The switches that are on. */
  readonly switches: ReadonlySet<string>;
}

/** @param object the flag or operand as the user knows it, e.g. `--vni`  @throws VtepError ERR_VTEP_USAGE */
export function readVni(object: string, text: string): number {
  const vni = /^\d{1,8}$/.test(text) ? Number(text) : -1;
  if (vni < 0 || vni > MAX_VNI)
    throw usageError(`${object} ${text}`, 'not a VNI', `give a number from 0 to ${MAX_VNI}`);
  return vni;
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readNumber(object: string, text: string, { first, last }: { first: number; last: number }): number {
  const number = /^\d{1,8}$/.test(text) ? Number(text) : -1;
  if (number >= first && number <= last) return number;
  throw usageError(`${object} ${text}`, 'out of range', `give a whole number from ${first} to ${last}`);
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readMac(object: string, text: string): MacAddress {
  const mac = parseMac(text);
  if (!mac) throw usageError(`${object} ${text}`, 'not a MAC address', 'write it as 02:00:00:00:00:01');
  return mac;
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readIp(object: string, text: string): IpAddress {
  const address = parseIp(text);
  if (!address) throw usageError(`${object} ${text}`, 'not an IP address without zone', 'write it as 192.0.2.1');
  return address;
}

/** @throws VtepError ERR_VTEP_USAGE */
export function readVtep(object: string, text: string): IpAddress | 'local' {
  const vtep = text === 'local' ? text : parseIp(text);
  if (!vtep) throw usageError(`${object} ${text}`, 'not an IP address without zone', "give one, or 'local'");
  return vtep;
}

/** @throws VtepError ERR_VTEP_USAGE where it is absent */
export function required({ values, usage }: Arguments, flag: string): string {
  const text = values[flag];
  if (text === undefined) throw usageError(`--${flag}`, 'missing', usage);
  return text;
}

/** @throws VtepError ERR_VTEP_USAGE where it is absent */
export function requiredOperand({ operand, usage }: Arguments, label: string): string {
  if (operand === undefined) throw usageError(label, 'missing', usage);
  return operand;
}

/** `usage: vtepctl fdb add MAC --vni N --vtep IP|local` */
export function usageOf({ words, operand, flags }: AnyCommand): string {
  const form = operand && (operand.form ?? operand.label);
  const label = form === undefined ? [] : [operand?.optional ? `[${form}]` : form];
  const options = Object.entries(flags).map(([name, { value, required: needed }]) => {
    const option = value === undefined ? dashed(name) : `${dashed(name)} ${value}`;
    return needed ? option : `[${option}]`;
  });
  return ['usage: vtepctl', words, ...label, ...options].join(' ');
}

/** A flag as it is typed: `--vni`, `-c`. */
export function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}

export function usageError(object: string, cause: string, remedy?: string): VtepError {
  return new VtepError('ERR_VTEP_USAGE', { object, cause, remedy });
}

/** What may follow `scope`, in the order of the list. */
export function nextWords(scope: string, commands: readonly AnyCommand[]): string[] {
  const prefix = scope === '' ? [] : scope.split(' ');
  const paths = commands.map(({ words }) => words.split(' '));
  const inside = paths.filter((path) => prefix.every((word, index) => path[index] === word));
  return [...new Set(inside.flatMap((path) => path[prefix.length] ?? []))];
}
