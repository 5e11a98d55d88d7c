import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import type { SpeakerAddress } from '../../config/config.ts';
import { SPEAKER_TIMES, SPEAKER_WINDOW_BYTES } from '../../lib/limits.ts';
import { SpeakerLost } from '../speaker.ts';
import { causeOf, expectsTls } from './connection-faults.ts';
import { FrameReader, frame } from './grpc-frames.ts';
import { GRPC_STATUS, GrpcError, messageIn, statusIn } from './grpc-status.ts';
import { Unreadable } from './message.ts';

/**
 * One HTTP/2 connection without TLS, for gRPC. Whatever is outside of the protocol ends it for good; a status other than OK ends a call only.
 *
 * It sends no PINGs: the server of gRPC in Go closes a connection on which more than two come within five minutes while it sends nothing itself
 * (`too_many_pings`, its enforcement policy). Whoever wants to know whether the server is alive calls a method.
 */
export class GrpcConnection {
  readonly #session: ClientHttp2Session;
  /** Fulfilled when the connection is at its end, with the reason. */
  readonly lost: Promise<SpeakerLost>;
  #resolveLost: (loss: SpeakerLost) => void = () => undefined;
  #loss: SpeakerLost | undefined;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    session.on('error', (error) => this.lose(causeOf(error)));
    session.on('goaway', () => this.lose('it ends the connection'));
    session.on('close', () => this.lose('it closed the connection'));
  }

  /** @throws SpeakerLost */
  static async open(address: SpeakerAddress): Promise<GrpcConnection> {
    const session = connect('http://localhost', {
      createConnection: () => socketTo(address),
      settings: { enablePush: false, initialWindowSize: SPEAKER_WINDOW_BYTES },
    });
    const connection = new GrpcConnection(session);
    // It took the connection, and then did what a server of HTTP/2 does not do.
    let isStranger = false;
    session.once('connect', () => {
      isStranger = true;
    });
    const timer = setTimeout(() => {
      isStranger = false;
      connection.lose(noAnswer(SPEAKER_TIMES.connectMs));
    }, SPEAKER_TIMES.connectMs);
    // The first frame of a server of HTTP/2 is SETTINGS (RFC 9113 §3.4).
    const settings = new Promise<undefined>((resolve) => session.once('remoteSettings', () => resolve(undefined)));
    const loss = await Promise.race([settings, connection.lost]);
    clearTimeout(timer);
    if (loss === undefined) {
      session.setLocalWindowSize(4 * SPEAKER_WINDOW_BYTES);
      return connection;
    }
    if (isStranger && (await expectsTls(address))) {
      throw new SpeakerLost('it expects TLS, which vtepd does not speak');
    }
    throw loss;
  }

  /** Ends the connection. All calls fail with this reason, unless there was one before. */
  lose(reason: string): void {
    if (this.#loss) return;
    this.#loss = new SpeakerLost(reason);
    this.#session.destroy();
    this.#resolveLost(this.#loss);
  }

  throwIfLost(): void {
    if (this.#loss) throw this.#loss;
  }

  /**
   * A call with one answer.
   *
   * @param path `/SERVICE/METHOD`  @param answerMs the connection is lost if there is no answer for so long
   * @throws GrpcError, SpeakerLost
   */
  async unary(path: string, request: Uint8Array, answerMs: number): Promise<Uint8Array> {
    let answer: Uint8Array | undefined;
    await this.stream(path, request, {
      answerMs,
      onMessage: (message) => {
        answer = message;
      },
    });
    if (answer) return answer;
    this.lose('it answered without a message');
    throw this.#loss;
  }

  /**
   * A call with any number of answers. Where `onMessage` returns a promise, the next message waits for it, and the server is made to wait.
   *
   * @throws GrpcError, SpeakerLost, and whatever `onMessage` throws
   */
  async stream(path: string, request: Uint8Array, { onMessage, answerMs }: StreamOptions): Promise<void> {
    this.throwIfLost();
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const ending = new Ending(stream);
    stream.end(frame(request));
    const frames = new FrameReader();
    const timer = answerMs === undefined ? undefined : setTimeout(() => this.lose(noAnswer(answerMs)), answerMs);
    try {
      for await (const chunk of stream) {
        if (!ending.isGrpc) break;
        for (const message of frames.push(chunk)) await onMessage(message);
        timer?.refresh();
      }
      if (ending.isGrpc && !frames.isAtEnd) throw new Unreadable('an answer ends within a message');
      await ending.closed;
    } catch (error) {
      this.throwIfLost();
      if (!(error instanceof Unreadable) && !isOfStream(error)) throw error;
      this.lose(causeOf(error));
    } finally {
      clearTimeout(timer);
      stream.destroy();
    }
    this.throwIfLost();
    const fault = ending.fault();
    if (fault instanceof GrpcError) throw fault;
    if (fault !== undefined) this.lose(fault);
    this.throwIfLost();
  }
}

export interface StreamOptions {
  readonly onMessage: (message: Uint8Array) => void | Promise<void>;
  /** The connection is lost if nothing comes for so long. undefined: it may take any time. */
  readonly answerMs?: number;
}

const HTTP2_HEADER_STATUS = ':status';

/** How an answer ended. */
class Ending {
  readonly closed: Promise<void>;
  #headers: IncomingHttpHeaders & { ':status'?: number | undefined } = {};
  #trailers: IncomingHttpHeaders | undefined;

  constructor(stream: ClientHttp2Stream) {
    this.closed = new Promise((resolve) => stream.once('close', () => resolve()));
    stream.once('response', (headers) => {
      this.#headers = headers;
    });
    stream.once('trailers', (trailers) => {
      this.#trailers = trailers;
    });
  }

  /** Whether the headers are those of gRPC. Before they came: no. */
  get isGrpc(): boolean {
    return this.#headers[HTTP2_HEADER_STATUS] === constants.HTTP_STATUS_OK;
  }

  /** undefined: status OK. Text: it is no answer of gRPC. */
  fault(): GrpcError | string | undefined {
    if (!this.isGrpc) return `it does not speak gRPC: HTTP status ${this.#headers[HTTP2_HEADER_STATUS] ?? 'missing'}`;
    const last = this.#trailers ?? this.#headers;
    const status = statusIn(last);
    if (status === undefined) return 'it does not speak gRPC: an answer has no status';
    if (status === GRPC_STATUS.ok) return undefined;
    const isGone = [GRPC_STATUS.canceled, GRPC_STATUS.deadline, GRPC_STATUS.unavailable].some(
      (gone) => gone === status,
    );
    return isGone ? messageIn(last) : new GrpcError(status, messageIn(last));
  }
}

export function socketTo(address: SpeakerAddress): Socket {
  return address.kind === 'unix' ? connectSocket(address.path) : connectSocket(address.port, address.host);
}

function isOfStream(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string';
}

function noAnswer(ms: number): string {
  return `no answer within ${ms / 1000} s`;
}
