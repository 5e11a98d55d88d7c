/** `vtepctl`: asks a running vtepd over its control socket. Parse, call, render; the exit code tells which step failed. */

import { readFileSync } from 'node:fs';
import { ControlClient } from '../api/client/client.ts';
import { VtepError } from '../lib/errors.ts';
import { CAPTURE_COMMANDS } from './capture/capture-command.ts';
import { CONFIG_COMMANDS } from './commands/config-commands.ts';
import { DOCTOR_COMMANDS } from './commands/doctor-command.ts';
import { DROPS_COMMANDS } from './commands/drops-command.ts';
import { EVPN_COMMANDS } from './commands/evpn-commands.ts';
import { FDB_COMMANDS } from './commands/fdb-commands.ts';
import { REMOTE_COMMANDS } from './commands/remote-commands.ts';
import { STATS_COMMANDS } from './commands/stats-command.ts';
import { STATUS_COMMANDS } from './commands/status-command.ts';
import { TRACE_COMMANDS } from './commands/trace-command.ts';
import { VNI_COMMANDS } from './commands/vni-commands.ts';
import { VTEP_COMMANDS } from './commands/vtep-commands.ts';
import { styleFor } from './terminal/table.ts';
import type { TerminalInput, TerminalOutput } from './terminal/terminal-screen.ts';
import type { Command, FollowingCommand, StreamingCommand } from './terminal/vtepctl-command.ts';
import { TOP_COMMANDS } from './top/top-command.ts';
import { type CommandLine, parseCommandLine } from './vtepctl-parser.ts';

/** Every command, in the order in which help lists them. */
export const COMMANDS = [
  ...FDB_COMMANDS,
  ...VNI_COMMANDS,
  ...REMOTE_COMMANDS,
  ...VTEP_COMMANDS,
  ...EVPN_COMMANDS,
  ...STATS_COMMANDS,
  ...STATUS_COMMANDS,
  ...DROPS_COMMANDS,
  ...TOP_COMMANDS,
  ...TRACE_COMMANDS,
  ...CAPTURE_COMMANDS,
  ...DOCTOR_COMMANDS,
  ...CONFIG_COMMANDS,
] as const;

const EXIT = { done: 0, refused: 1, unreachable: 2, usage: 64 } as const;

/** What vtepctl needs of its process. */
export interface Surroundings {
  readonly stdout: TerminalOutput;
  readonly stderr: NodeJS.WritableStream;
  readonly env: NodeJS.ProcessEnv;
  /** Keys for a live screen. */
  readonly stdin?: TerminalInput;
  /** How long to wait for an answer; absent: the default of the client. */
  readonly timeoutMs?: number;
  /** Ends a command that follows. Absent: SIGINT and SIGTERM do. */
  readonly interrupted?: AbortSignal;
}

/**
 * @param argv without node and script
 * @returns the exit code: 0 done, 1 refused or not found, or a check of the doctor failed, 2 daemon not reachable, 64 wrong usage
 */
export async function main(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stdout, stderr } = surroundings;
  const complain = async (error: unknown, exitCode: number) => {
    const messages =
      error instanceof VtepError ? [error.message, ...error.others] : [`internal error: ${String(error)}`];
    await write(stderr, messages.map((message) => `vtepctl: ${message}\n`).join(''));
    return exitCode;
  };
  // A failed write also emits an event, which would end the process without a listener. write() reports it.
  for (const stream of [stdout, stderr]) stream.on('error', () => {});
  let line: CommandLine;
  let request: unknown;
  try {
    line = parseCommandLine(argv, COMMANDS, version());
    if (line.kind === 'command') request = line.command.parse(line.args);
  } catch (error) {
    return complain(error, EXIT.usage);
  }
  if (line.kind === 'usage') {
    await write(stderr, line.text);
    return EXIT.usage;
  }
  try {
    if (line.kind === 'text') await write(stdout, line.text);
    else if ('stream' in line.command) await stream(line.command, { ...line, request }, surroundings);
    else if ('follow' in line.command) await follow(line.command, { ...line, request }, surroundings);
    else return await answer(line.command, { ...line, request }, surroundings);
    return EXIT.done;
  } catch (error) {
    // An error of the daemon always exits with 1, whatever its code is. 64 and 2 are for the command line and the socket of vtepctl.
    const unreachable = error instanceof VtepError && error.code === 'ERR_VTEP_UNREACHABLE';
    return complain(error, unreachable ? EXIT.unreachable : EXIT.refused);
  }
}

interface Asked {
  readonly socket: string;
  readonly json: boolean;
  readonly request: unknown;
}

/** Prints the answer. @returns the exit code */
async function answer(
  command: Command,
  { socket, json, request }: Asked,
  { stdout, env, timeoutMs }: Surroundings,
): Promise<number> {
  const value = await command.call(clientOf(socket, timeoutMs), request);
  await write(stdout, json ? `${JSON.stringify(value)}\n` : await command.render(value, styleFor(stdout, env)));
  return command.exitCode?.(value) ?? EXIT.done;
}

/** Shows a live screen, or prints items as they come, until interrupted or until nobody reads them. */
async function follow(
  command: FollowingCommand,
  { socket, json, request }: Asked,
  surroundings: Surroundings,
): Promise<void> {
  const { stdout, env, timeoutMs, interrupted } = surroundings;
  const signal = interrupted ?? untilSignal();
  const client = clientOf(socket, timeoutMs);
  const isScreen = stdout.isTTY === true && env.TERM !== 'dumb';
  if (command.watch && isScreen && !json) {
    // Node opens standard input at its first use.
    return command.watch(client, request, { stdout, stdin: surroundings.stdin, env, signal });
  }
  for await (const items of command.follow(client, request, signal)) {
    const lines = items.map((item) => (json ? JSON.stringify(item) : command.renderItem(item)));
    if (!(await write(stdout, `${lines.join('\n')}\n`))) return;
  }
}

/** Lets a command write by itself, until interrupted. */
async function stream(
  command: StreamingCommand,
  { socket, json, request }: Asked,
  { stdout, stderr, timeoutMs, interrupted }: Surroundings,
): Promise<void> {
  await command.stream(clientOf(socket, timeoutMs), request, {
    json,
    isTerminal: stdout.isTTY === true,
    signal: interrupted ?? untilSignal(),
    write: (text) => write(stdout, text),
    tell: async (line) => void (await write(stderr, `${line}\n`)),
  });
}

function clientOf(socket: string, timeoutMs: number | undefined): ControlClient {
  return new ControlClient(socket, timeoutMs === undefined ? {} : { timeoutMs });
}

function untilSignal(): AbortSignal {
  const controller = new AbortController();
  // A second signal finds Node's own handler again.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}

/** Resolves when the text is out; to false if the reader has ended (`| head`). */
function write(stream: NodeJS.WritableStream, text: string | Uint8Array): Promise<boolean> {
  if (text.length === 0) return Promise.resolve(true);
  return new Promise((resolve, reject) => {
    const done = (error?: NodeJS.ErrnoException | null) => {
      if (!error || error.code === 'EPIPE') {
        resolve(!error);
        return;
      }
      const remedy = error.code === 'ENOSPC' ? 'free some space, or redirect it to another file system' : undefined;
      reject(new VtepError('ERR_VTEP_SYSTEM', { object: 'standard output', cause: error.message, remedy }));
    };
    stream.write(text, done);
  });
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
