import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SpeakerAddress } from '../../config/config.ts';
import { withSequence } from '../memory-bgp.ts';
import { type EvpnRoute, keyOf, type RouteKey } from '../route.ts';
import type { Dialect, Peer } from '../speaker.ts';
import { readNaively } from '../wire/naive-bgp.ts';
import type { FakePath } from './fake-messages-rig.ts';
import * as messages from './fake-messages-rig.ts';
import { FrameReader, frame } from './grpc-frames.ts';
import { Message } from './message.ts';

/** Which calls reach the service, and which of the two it is. */
const SERVICES = { v3: 'apipb.GobgpApi', v4: 'api.GoBgpService' } as const;

export interface FakeGobgpOptions {
  /** Default `v4`. */
  readonly dialect?: Dialect;
  /** Default 65000. 0: without a configuration. */
  readonly asn?: number;
  /** Default 198.18.0.1. */
  readonly routerId?: string;
  /** Path of its Unix socket. Default: a new one. */
  readonly path?: string;
}

/**
 * A GoBGP in memory: a server of gRPC at a Unix socket, with one table for all of its clients. It speaks one of the two APIs, and can misbehave. What
 * it does in order, it does as gobgpd does: one suite runs on both.
 */
export class FakeGobgp {
  /** May change between connections, as by an upgrade. */
  dialect: Dialect;
  asn: number;
  routerId: string;
  readonly address: Extract<SpeakerAddress, { kind: 'unix' }>;
  /** Names of the methods that were called, in order. */
  readonly calls: string[] = [];
  /** Whether a DeletePath without a path came, by which GoBGP deletes the routes of all programs. */
  wasEmptied = false;
  /** Says why a change of a route is refused. undefined: it is not. */
  refuse: (route: EvpnRoute, method: 'AddPath' | 'DeletePath') => string | undefined = () => undefined;
  readonly #folder: string | undefined;
  readonly #server: Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #watchers = new Set<ServerHttp2Stream>();
  /** By key, and there by peer; a local one has none. */
  readonly #table = new Map<RouteKey, FakePath[]>();
  readonly #neighbours = new Map<FakeGobgp, string>();
  #peers: readonly Peer[] = [];
  /** Calls that wait for the end of a stall; undefined: it answers. */
  #stalled: (() => void)[] | undefined;

  private constructor({ dialect = 'v4', asn = 65_000, routerId = '198.18.0.1', path }: FakeGobgpOptions) {
    this.dialect = dialect;
    this.asn = asn;
    this.routerId = routerId;
    this.#folder = path === undefined ? mkdtempSync(join(tmpdir(), 'fake-gobgp-')) : undefined;
    this.address = { kind: 'unix', path: path ?? join(this.#folder ?? '', 'api.sock') };
    this.#server = createServer();
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('session', (session) => session.on('error', () => undefined));
    this.#server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      void this.#serve(stream, headers[':path'] ?? '');
    });
  }

  static async start(options: FakeGobgpOptions = {}): Promise<FakeGobgp> {
    const fake = new FakeGobgp(options);
    await new Promise<void>((resolve) => fake.#server.listen(fake.address.path, resolve));
    return fake;
  }

  /** Ends as by SIGKILL. Another one may be started at the same path. */
  async close(): Promise<void> {
    this.tear();
    await new Promise((resolve) => this.#server.close(resolve));
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Routes that came by the API. */
  get local(): EvpnRoute[] {
    return this.#localPaths().map(({ route }) => route as EvpnRoute);
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Calls that wait for the end of a stall. */
  get waiting(): number {
    return this.#stalled?.length ?? 0;
  }

  /** A route comes from a BGP peer. A number is the type of a route that has nothing to read. */
  receive(route: EvpnRoute | number, from = '198.18.0.9'): void {
    this.#put(keyIn(route), { route, from });
  }

  /** A BGP peer withdraws a route. */
  withdraw(route: EvpnRoute | number, from = '198.18.0.9'): void {
    this.#drop(keyIn(route), from);
  }

  /** The routes that come by the API of one are received by the other, now and later. */
  peerWith(other: FakeGobgp): void {
    for (const [one, two] of [[this, other] as const, [other, this] as const]) {
      one.#neighbours.set(two, two.routerId);
      for (const { route } of one.#localPaths()) two.receive(route, one.routerId);
      one.setPeers([...one.#peers, { address: two.routerId, isEstablished: true, hasEvpn: true, isEndOfRib: false }]);
    }
  }

  /** A peer is gone, with its routes. */
  endPeer(other: FakeGobgp): void {
    const from = other.routerId;
    this.#neighbours.delete(other);
    this.setPeers(this.#peers.map((peer) => (peer.address === from ? { ...peer, isEstablished: false } : peer)));
    for (const [key, paths] of [...this.#table]) if (paths.some((path) => path.from === from)) this.#drop(key, from);
  }

  /** Its peers are these. Watchers are told. */
  setPeers(peers: readonly Peer[]): void {
    this.#peers = peers;
    for (const peer of peers) this.tellWatchers(messages.peerEvent(3, peer));
  }

  /** Sends a message to all watchers, whatever it is. */
  tellWatchers(message: Uint8Array): void {
    for (const watcher of this.#watchers) watcher.write(frame(message));
  }

  /** Sends octets to all watchers, which need not be a message. */
  tellWatchersOctets(octets: Uint8Array): void {
    for (const watcher of this.#watchers) watcher.write(octets);
  }

  /** Ends the streams of all watchers, with status OK. */
  endEvents(): void {
    for (const watcher of this.#watchers) watcher.end();
  }

  /** Answers nothing from now on, as by SIGSTOP. */
  stall(): void {
    this.#stalled ??= [];
  }

  resume(): void {
    const waiting = this.#stalled ?? [];
    this.#stalled = undefined;
    for (const answer of waiting) answer();
  }

  /** Breaks all connections. */
  tear(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #serve(stream: ServerHttp2Stream, path: string): Promise<void> {
    const frames = new FrameReader();
    let request: Message | undefined;
    for await (const chunk of stream) for (const octets of frames.push(chunk)) request = new Message(octets);
    if (this.#stalled) await new Promise<void>((resolve) => this.#stalled?.push(resolve));
    if (stream.destroyed || !request) return;
    const [, service, method = ''] = path.split('/');
    if (service !== SERVICES[this.dialect]) fail(stream, 12, `unknown service ${service}`);
    else this.#answer(stream, method, request);
  }

  #answer(stream: ServerHttp2Stream, method: string, request: Message): void {
    this.calls.push(method);
    const isGlobal = request.number(1) === (this.dialect === 'v3' ? 0 : 1);
    if (method === 'GetBgp') succeed(stream, [messages.globalMessage(this)]);
    else if (method === 'ListPeer') succeed(stream, this.#peers.map(messages.peerMessage));
    else if (method === 'WatchEvent') this.#watch(stream);
    else if (!isGlobal) fail(stream, 2, 'this is not the global table');
    else if (method === 'ListPath') succeed(stream, this.#destinations());
    else if (method === 'AddPath') this.#change(stream, method, request.message(3));
    else if (method === 'DeletePath') this.#change(stream, method, request.message(4));
    else fail(stream, 12, `unknown method ${method}`);
  }

  #watch(stream: ServerHttp2Stream): void {
    this.#watchers.add(stream);
    stream.once('close', () => this.#watchers.delete(stream));
    respond(stream);
    for (const peer of this.#peers) stream.write(frame(messages.peerEvent(1, peer)));
    stream.write(frame(messages.peerEvent(2)));
  }

  #destinations(): Uint8Array[] {
    return [...this.#table.values()].map((paths) =>
      messages.destinationMessage(
        paths.map((path, index) => messages.pathMessage(this.dialect, path, { isBest: index === 0 })),
      ),
    );
  }

  #change(stream: ServerHttp2Stream, method: 'AddPath' | 'DeletePath', path: Message | undefined): void {
    try {
      const route = path && readRoute(path);
      const refusal = route && this.refuse(route, method);
      if (refusal !== undefined) throw new Error(refusal);
      if (!route) this.#deleteAll(method);
      else if (method === 'AddPath')
        this.#put(keyOf(route), { route: withSequence(route, this.#known()), from: undefined });
      else this.#drop(keyOf(route), undefined);
    } catch (error) {
      fail(stream, 2, (error as Error).message);
      return;
    }
    succeed(stream, [method === 'AddPath' ? messages.uuidMessage(randomBytes(16)) : new Uint8Array(0)]);
  }

  #deleteAll(method: string): void {
    if (method === 'AddPath') throw new Error('nil path');
    this.wasEmptied = true;
    for (const { route } of this.#localPaths()) this.#drop(keyIn(route), undefined);
  }

  #known(): { route: EvpnRoute; isLocal: boolean }[] {
    const paths = [...this.#table.values()].flat();
    return paths.flatMap(({ route, from }) =>
      typeof route === 'number' ? [] : { route, isLocal: from === undefined },
    );
  }

  #localPaths(): FakePath[] {
    return [...this.#table.values()].flat().filter(({ from }) => from === undefined);
  }

  #put(key: RouteKey, path: FakePath): void {
    const others = (this.#table.get(key) ?? []).filter(({ from }) => from !== path.from);
    this.#tellBest(key, path.from === undefined ? [path, ...others] : [...others, path]);
    if (path.from === undefined) for (const other of this.#neighbours.keys()) other.receive(path.route, this.routerId);
  }

  #drop(key: RouteKey, from: string | undefined): void {
    const paths = this.#table.get(key) ?? [];
    const gone = paths.find((path) => path.from === from);
    if (!gone) return;
    this.#tellBest(
      key,
      paths.filter((path) => path !== gone),
    );
    if (from === undefined) for (const other of this.#neighbours.keys()) other.withdraw(gone.route, this.routerId);
  }

  /** The first of the paths is the best: the local one, else the oldest. */
  #tellBest(key: RouteKey, paths: FakePath[]): void {
    const before = this.#table.get(key)?.[0];
    if (paths.length > 0) this.#table.set(key, paths);
    else this.#table.delete(key);
    const [best] = paths;
    if (best === before || (!best && !before)) return;
    const path = best ?? (before as FakePath);
    this.tellWatchers(messages.tableEvent([messages.pathMessage(this.dialect, path, { isWithdrawn: !best })]));
  }
}

/** Path {family = 9, nlri_binary = 20, pattrs_binary = 21}. @throws Error */
function readRoute(path: Message): EvpnRoute {
  const family = path.message(9);
  if (family?.number(1) !== 25 || family.number(2) !== 70) throw new Error('the family is not l2vpn-evpn');
  return readNaively(path.bytes(20) ?? new Uint8Array(0), path.all(21));
}

/** Of a route without anything to read, its type is the key. */
function keyIn(route: EvpnRoute | number): RouteKey {
  return typeof route === 'number' ? `${route}` : keyOf(route);
}

function succeed(stream: ServerHttp2Stream, answers: readonly Uint8Array[]): void {
  respond(stream);
  for (const answer of answers) stream.write(frame(answer));
  stream.end();
}

/** Headers of an answer. Its trailers follow when it ends. */
function respond(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': '' }));
}

/** Headers without a body have the status. */
function fail(stream: ServerHttp2Stream, status: number, text: string): void {
  const headers = { ':status': 200, 'content-type': 'application/grpc' };
  stream.respond(
    { ...headers, 'grpc-status': `${status}`, 'grpc-message': encodeURIComponent(text) },
    { endStream: true },
  );
}
