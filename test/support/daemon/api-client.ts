/** Clients of the API that do what vtepctl never would: over TCP of a namespace, byte by byte, or not at all. */
import { type IncomingMessage, request } from 'node:http';
import { connect, Socket } from 'node:net';
import { AF_INET, SOCK_STREAM, socket } from '../host/libc.ts';
import { inNamespace } from '../host/namespaces.ts';
import type { Namespace } from '../lab/lab.ts';

/** How to get a connection to a server. Errors of it are left to whoever waits for its end. */
export type Connect = () => Socket;

export interface ApiAnswer {
  readonly status: number;
  readonly type: string | undefined;
  readonly text: string;
}

export function overSocket(path: string): Connect {
  return () => quiet(connect(path));
}

/** @param from where the client is */
export function overTcp(from: Namespace, host: string, port: number): Connect {
  return () => {
    // A socket stays in the namespace in which it is made.
    const fd = inNamespace(from.namespace, () => socket(AF_INET, SOCK_STREAM, 0));
    return quiet(new Socket({ fd, readable: true, writable: true }).connect(port, host));
  };
}

/** @param body sent as JSON */
export function askApi(to: Connect, method: string, path: string, body?: string): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const call = request({ createConnection: to, host: '198.18.0.1', method, path, headers }, async (response) =>
      resolve(await readAnswer(response)),
    );
    call.once('error', reject);
    call.end(body);
  });
}

/** Sends the text and reads until the server closes. */
export function sayRaw(to: Connect, text: string): Promise<string> {
  return new Promise((resolve) => {
    const client = to();
    let answer = '';
    client.setEncoding('latin1').on('data', (part) => {
      answer += part;
    });
    client.once('close', () => resolve(answer));
    client.write(text, 'latin1');
  });
}

/** Connected clients that say nothing. */
export function connectIdle(to: Connect, count: number): Promise<Socket[]> {
  const clients = Array.from({ length: count }, to);
  return Promise.all(
    clients.map(
      (client) =>
        new Promise<Socket>((resolve) => {
          client.once('connect', () => resolve(client)).once('close', () => resolve(client));
          client.resume();
        }),
    ),
  );
}

async function readAnswer(response: IncomingMessage): Promise<ApiAnswer> {
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  return { status: response.statusCode ?? 0, type: response.headers['content-type'], text };
}

function quiet(client: Socket): Socket {
  return client.on('error', () => {});
}
