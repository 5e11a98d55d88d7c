/** A typed client of the control socket. It uses plain HTTP, so that curl can do the same. */

import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { LogLevel } from '../../config/config.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { ERROR_CATALOGUE, type ErrorCode, VtepError } from '../../lib/errors.ts';
import type { CaptureQuery, EntryKey, FdbFilter, FloodRemote, StaticFdbEntry, TracedFrame } from '../daemon-view.ts';
import type { Evpn, EvpnRoute, EvpnRoutesQuery } from '../evpn-schemas.ts';
import type {
  CaptureEvent,
  ConfigFile,
  DaemonEvent,
  Drops,
  ErrorBody,
  FdbEntry,
  Finding,
  FloodMember,
  Flushed,
  Reloaded,
  Stats,
  Status,
  Trace,
  VniStatus,
  Vtep,
} from '../schemas.ts';
import { readEvents } from './event-stream-reader.ts';

/** A daemon without an answer for this long counts as hung. */
export const ANSWER_TIMEOUT_MS = 10_000;

export interface ControlClientOptions {
  readonly timeoutMs?: number;
  /** Once aborted, every request fails at once. */
  readonly signal?: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * Every method fails with a VtepError: ERR_VTEP_UNREACHABLE where no daemon answers, else the code and the message that
 * the daemon gave.
 */
export class ControlClient {
  readonly #socketPath: string;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;

  constructor(socketPath: string, { timeoutMs = ANSWER_TIMEOUT_MS, signal }: ControlClientOptions = {}) {
    this.#socketPath = socketPath;
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
  }

  get socketPath(): string {
    return this.#socketPath;
  }

  /** A client for the same daemon whose requests end when `signal` is aborted. */
  until(signal: AbortSignal): ControlClient {
    return new ControlClient(this.#socketPath, { timeoutMs: this.#timeoutMs, signal });
  }

  async fdbEntries(filter: FdbFilter): Promise<FdbEntry[]> {
    return (await this.#ask('GET', withQuery('/v1/fdb', { ...filter }))) as FdbEntry[];
  }

  async addStatic(entry: StaticFdbEntry): Promise<void> {
    await this.#ask('POST', '/v1/fdb', entry);
  }

  async deleteEntry({ vni, mac }: EntryKey): Promise<void> {
    await this.#ask('DELETE', `/v1/fdb/${vni}/${mac}`);
  }

  async flush(filter: Omit<FdbFilter, 'type'> & { readonly all: boolean }): Promise<Flushed> {
    return (await this.#ask('DELETE', withQuery('/v1/fdb', { ...filter }))) as Flushed;
  }

  async vnis(vni?: number): Promise<VniStatus[]> {
    return (await this.#ask('GET', withQuery('/v1/vnis', { vni }))) as VniStatus[];
  }

  /** @param entry as written for `--vni` */
  async addVni(entry: string): Promise<VniStatus> {
    return (await this.#ask('POST', '/v1/vnis', { entry })) as VniStatus;
  }

  async deleteVni(vni: number): Promise<void> {
    await this.#ask('DELETE', `/v1/vnis/${vni}`);
  }

  async addRemote({ vni, remote }: FloodRemote): Promise<void> {
    await this.#ask('POST', `/v1/vnis/${vni}/remotes`, { remote });
  }

  /** The unicast flood lists, of one VNI or of all. */
  async floodMembers(vni?: number): Promise<FloodMember[]> {
    return (await this.#ask('GET', withQuery('/v1/remotes', { vni }))) as FloodMember[];
  }

  async deleteRemote({ vni, remote }: FloodRemote): Promise<void> {
    await this.#ask('DELETE', `/v1/vnis/${vni}/remotes/${remote}`);
  }

  async evpn(): Promise<Evpn> {
    return (await this.#ask('GET', '/v1/evpn')) as Evpn;
  }

  async evpnRoutes(filter: EvpnRoutesQuery): Promise<EvpnRoute[]> {
    return (await this.#ask('GET', withQuery('/v1/evpn/routes', { ...filter }))) as EvpnRoute[];
  }

  async drops(vni?: number): Promise<Drops> {
    return (await this.#ask('GET', withQuery('/v1/drops', { vni }))) as Drops;
  }

  async vteps(vtep?: IpAddress): Promise<Vtep[]> {
    return (await this.#ask('GET', withQuery('/v1/vteps', { vtep }))) as Vtep[];
  }

  async stats(vni?: number): Promise<Stats> {
    return (await this.#ask('GET', withQuery('/v1/stats', { vni }))) as Stats;
  }

  async status(): Promise<Status> {
    return (await this.#ask('GET', '/v1/status')) as Status;
  }

  async trace(frame: TracedFrame): Promise<Trace> {
    return (await this.#ask('GET', withQuery('/v1/trace', { ...frame }))) as Trace;
  }

  async doctor(): Promise<Finding[]> {
    return (await this.#ask('GET', '/v1/doctor')) as Finding[];
  }

  async config(): Promise<ConfigFile> {
    return (await this.#ask('GET', '/v1/config')) as ConfigFile;
  }

  /** @returns what was left out, which is nothing unless it is `partial` */
  async reload({ partial }: { readonly partial: boolean }): Promise<Reloaded> {
    return (await this.#ask('POST', withQuery('/v1/reload', { partial: partial || undefined }))) as Reloaded;
  }

  async setLogLevel(level: LogLevel): Promise<void> {
    await this.#ask('POST', '/v1/log-level', { level });
  }

  /**
   * Changes of the FDB from now on, in batches as they arrive; ends when `signal` is aborted.
   * @throws VtepError ERR_VTEP_UNREACHABLE also when the daemon ends
   */
  events(signal: AbortSignal): AsyncGenerator<readonly DaemonEvent[], void, undefined> {
    return this.#follow('/v1/events', readEvents<DaemonEvent>, signal);
  }

  /** Captured frames, likewise. */
  capture(query: CaptureQuery, signal: AbortSignal): AsyncGenerator<readonly CaptureEvent[], void, undefined> {
    return this.#follow(withQuery('/v1/capture', { ...query, format: 'events' }), readEvents<CaptureEvent>, signal);
  }

  /** Captured frames as octets of a pcapng file, in pieces that end anywhere; likewise. */
  captureFile(query: CaptureQuery, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#follow(withQuery('/v1/capture', { ...query, format: 'pcapng' }), readOctets, signal);
  }

  async *#follow<Item>(
    path: string,
    read: (chunks: AsyncIterable<unknown>) => AsyncGenerator<Item, void, undefined>,
    signal: AbortSignal,
  ): AsyncGenerator<Item, void, undefined> {
    try {
      const answer = await this.#exchange('GET', path, undefined, { read: openStream, signal });
      if ('text' in answer) throw this.#refusal(`GET ${path}`, answer.status, parseJson(answer.text));
      yield* read(answer);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof VtepError) throw error;
      // A stream that breaks off is a daemon that was killed.
    }
    if (!signal.aborted) throw this.#unreachable('vtepd ended', 'start it and try again');
  }

  /** @returns the parsed body, undefined for an empty one */
  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    const { status, text } = await this.#exchange(method, path, body && JSON.stringify(body), { read: readAnswer });
    const value = parseJson(text);
    if (status >= 200 && status < 300 && (text === '' || value !== undefined)) return value;
    throw this.#refusal(`${method} ${path}`, status, value);
  }

  #refusal(request: string, status: number, body: unknown): VtepError {
    return (
      errorOf(body) ?? this.#unreachable(`the program that answers there is not vtepd (${request}: HTTP ${status})`)
    );
  }

  #exchange<Result>(
    method: string,
    path: string,
    body: string | undefined,
    { read, signal = this.#signal }: { read: (response: IncomingMessage) => Promise<Result>; signal?: AbortSignal },
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException) => reject(this.#failure(error));
      const request = httpRequest({
        socketPath: this.#socketPath,
        method,
        path,
        agent: false,
        headers: {
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
        timeout: this.#timeoutMs,
        ...(signal && { signal }),
      });
      request.once('timeout', () => {
        const cause = `no answer within ${this.#timeoutMs / 1000} s`;
        // Refused here: destroying a half-read answer reports a reset connection, not its reason.
        reject(this.#unreachable(cause, 'look at the log of vtepd, or restart it'));
        request.destroy();
      });
      request.once('error', fail);
      request.once('response', (response) => {
        read(response).then(resolve, fail);
      });
      request.end(body);
    });
  }

  #failure({ code = '', message }: NodeJS.ErrnoException): VtepError {
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      return this.#unreachable(`no vtepd listens there (${code})`, 'start vtepd or name its socket with --socket');
    }
    if (code === 'EACCES' || code === 'EPERM') {
      return this.#unreachable(`no permission (${code})`, 'run as root or join group vtepd');
    }
    if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'EAGAIN') {
      return this.#unreachable(
        `closed without an answer (${code})`,
        'vtepd is stopping or has too many clients: try again',
      );
    }
    if (code.startsWith('HPE_')) return this.#unreachable(`the program that answers there is not vtepd (${code})`);
    return this.#unreachable(code || message);
  }

  #unreachable(cause: string, remedy = 'name the socket of vtepd with --socket'): VtepError {
    return new VtepError('ERR_VTEP_UNREACHABLE', { object: `control socket ${this.#socketPath}`, cause, remedy });
  }
}

function withQuery(path: string, query: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? path : `${path}?${given}`;
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') };
}

async function* readOctets(chunks: AsyncIterable<unknown>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) yield chunk as Uint8Array;
}

/** The response itself where it is a stream of events, which may be silent for as long as nothing happens. */
async function openStream(response: IncomingMessage): Promise<Answer | IncomingMessage> {
  if (response.statusCode !== 200) return readAnswer(response);
  response.socket.setTimeout(0);
  return response;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The error of the daemon with its message. A code that only a newer daemon knows becomes the internal one. */
function errorOf(body: unknown): VtepError | undefined {
  const { code, message, others } = (body as Partial<ErrorBody> | undefined)?.error ?? {};
  if (typeof code !== 'string' || typeof message !== 'string') return undefined;
  const known: ErrorCode = Object.hasOwn(ERROR_CATALOGUE, code) ? code : 'ERR_VTEP_INTERNAL';
  // The message is already `object: cause…`. It is split here only to be joined again.
  const [object, ...rest] = message.split(': ');
  const error =
    rest.length > 0
      ? new VtepError(known, { object: object ?? '', cause: rest.join(': ') })
      : new VtepError(known, { object: 'vtepd', cause: message });
  if (Array.isArray(others)) error.others = others;
  return error;
}
