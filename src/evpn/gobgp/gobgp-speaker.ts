import type { IpAddress } from '../../lib/addresses.ts';
import { MAX_SPEAKER_PATHS, MAX_SPEAKER_REQUESTS, SPEAKER_TIMES } from '../../lib/limits.ts';
import type { EvpnRoute } from '../route.ts';
import {
  type Dialect,
  type Peer,
  RefusedBySpeaker,
  type Speaker,
  type SpeakerListener,
  SpeakerLost,
} from '../speaker.ts';
import { DIALECTS } from './dialect.ts';
import type { GrpcConnection } from './grpc-connection.ts';
import { GrpcError } from './grpc-status.ts';
import { Message } from './message.ts';
import { PathBatches } from './path-batches.ts';
import { readGlobal, readPeer } from './peer-messages.ts';
import { RequestTurns } from './request-turns.ts';
import { addPathRequest, deletePathRequest, EMPTY_REQUEST, listPathRequest, watchEventRequest } from './requests.ts';

/** What GetBgp said. */
export interface GobgpIdentity {
  readonly dialect: Dialect;
  readonly asn: number;
  readonly routerId: IpAddress;
}

/** WatchEventResponse.PeerEvent.Type. */
const [PEER_END_OF_INIT, PEER_STATE] = [2, 3];

/** GoBGP by its gRPC API. */
export class GobgpSpeaker implements Speaker {
  readonly dialect: Dialect;
  readonly asn: number;
  readonly routerId: IpAddress;
  readonly #connection: GrpcConnection;
  readonly #turns = new RequestTurns(MAX_SPEAKER_REQUESTS);

  constructor(connection: GrpcConnection, { dialect, asn, routerId }: GobgpIdentity) {
    this.#connection = connection;
    this.dialect = dialect;
    this.asn = asn;
    this.routerId = routerId;
    const probes = setInterval(() => void this.#probe(), SPEAKER_TIMES.probeMs);
    void connection.lost.then(() => clearInterval(probes));
  }

  get lost(): Promise<SpeakerLost> {
    return this.#connection.lost;
  }

  add(route: EvpnRoute): Promise<void> {
    return this.#change('AddPath', () => addPathRequest(this.dialect, route, Date.now()));
  }

  remove(route: EvpnRoute): Promise<void> {
    return this.#change('DeletePath', () => deletePathRequest(this.dialect, route));
  }

  async list(listener: Pick<SpeakerListener, 'paths' | 'others'>): Promise<void> {
    const batches = new PathBatches(this.dialect, listener, (path) => path.isBest || (!path.other && path.isLocal));
    await this.#stream('ListPath', listPathRequest(this.dialect), {
      answerMs: SPEAKER_TIMES.listMs,
      // ListPathResponse {destination = 1 {paths = 2}}.
      onMessage: (message) => batches.take(new Message(message).message(1)?.all(2) ?? []),
    });
    batches.flush();
  }

  watch(listener: SpeakerListener): Promise<void> {
    const batches = new PathBatches(this.dialect, listener, (path) => !path.other || !path.isWithdrawn);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#connection.lose(`no events within ${SPEAKER_TIMES.answerMs / 1000} s`),
        SPEAKER_TIMES.answerMs,
      );
      let isFollowing = false;
      // WatchEventResponse {peer = 2 {type = 1}, table = 3 {paths = 2}}.
      const onMessage = async (octets: Uint8Array) => {
        const message = new Message(octets);
        const peerEvent = message.message(2)?.number(1);
        if (peerEvent === PEER_END_OF_INIT) {
          clearTimeout(timer);
          isFollowing = true;
          resolve();
        } else if (peerEvent === PEER_STATE && isFollowing) listener.peersChanged();
        await batches.take(message.message(3)?.all(2) ?? []);
        batches.flush();
      };
      this.#stream('WatchEvent', watchEventRequest(this.dialect, MAX_SPEAKER_PATHS), { onMessage })
        .then(() => this.#connection.lose('it ended the events'))
        .catch((error: unknown) => {
          clearTimeout(timer);
          reject(error);
          if (error instanceof RefusedBySpeaker) this.#connection.lose(error.message);
          // An error of the listener is one of the program, and must not vanish.
          else if (isFollowing && !(error instanceof SpeakerLost)) throw error;
        });
    });
  }

  async peers(): Promise<readonly Peer[]> {
    const peers: Peer[] = [];
    await this.#stream('ListPeer', EMPTY_REQUEST, {
      answerMs: SPEAKER_TIMES.answerMs,
      onMessage: (message) => void peers.push(readPeer(message)),
    });
    return peers;
  }

  close(): void {
    this.#connection.lose('it was closed');
  }

  #path(method: string): string {
    return `${DIALECTS[this.dialect].service}/${method}`;
  }

  async #change(method: string, request: () => Uint8Array): Promise<void> {
    await this.#turns
      .run(() => this.#connection.unary(this.#path(method), request(), SPEAKER_TIMES.answerMs))
      .catch(refuse);
  }

  async #stream(method: string, request: Uint8Array, options: Parameters<GrpcConnection['stream']>[2]): Promise<void> {
    await this.#connection.stream(this.#path(method), request, options).catch(refuse);
  }

  /** Whether it is alive, and still the speaker that it was. */
  async #probe(): Promise<void> {
    try {
      const answer = await this.#connection.unary(this.#path('GetBgp'), EMPTY_REQUEST, SPEAKER_TIMES.answerMs);
      const global = readGlobal(answer);
      if (global?.asn !== this.asn || global.routerId !== this.routerId) {
        this.#connection.lose('its AS or router id changed');
      }
    } catch (error) {
      if (!(error instanceof SpeakerLost)) this.#connection.lose((error as Error).message);
    }
  }
}

function refuse(error: unknown): never {
  throw error instanceof GrpcError ? new RefusedBySpeaker(error.message) : error;
}
