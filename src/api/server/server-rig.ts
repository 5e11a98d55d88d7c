/** The control socket in a folder of its own, before a daemon that is none. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryDaemon, type MemoryDaemonState, sampleState } from '../memory-daemon.ts';
import { type ControlServer, openControlSocket } from './server.ts';

export interface ServerRig {
  readonly directory: string;
  /** The socket. */
  readonly path: string;
  readonly state: MemoryDaemonState;
  readonly daemon: MemoryDaemon;
  readonly server: ControlServer;
  /** Closes the server, if it is not closed yet, and removes the folder. */
  close(): Promise<void>;
}

export async function openServer(): Promise<ServerRig> {
  const directory = mkdtempSync(join(tmpdir(), 'vtepd-api-'));
  const path = join(directory, 'v.sock');
  const state = sampleState();
  const daemon = new MemoryDaemon(state);
  const server = await openControlSocket(path, daemon);
  const close = async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  };
  return { directory, path, state, daemon, server, close };
}

export interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly text: string;
  readonly body: unknown;
}

/** @param path of the socket @param body an object is sent as JSON, a string as it is */
export function askServer(
  path: string,
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const options = { socketPath: path, method, path: url, headers: { ...type, ...headers }, agent: false as const };
    const sent = request(options, async (response: IncomingMessage) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      const { statusCode: status = 0, headers } = response;
      resolve({ status, type: headers['content-type'], text, body: text === '' ? undefined : JSON.parse(text) });
    });
    sent.once('error', reject);
    sent.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
  });
}

/** Sends the text and reads until the server closes. */
export function rawExchange(path: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path, () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', () => {});
  });
}
