import { setTimeout as sleep } from 'node:timers/promises';
import type { SpeakerAddress } from '../../config/config.ts';
import { formatSpeakerAddress } from '../../config/speaker-address.ts';
import type { Logger } from '../../observe/log.ts';
import type { EvpnSession, SessionState } from '../evpn-status.ts';
import { keyOf, type Path, type RouteKey } from '../route.ts';
import { type ConnectSpeaker, type Peer, type Speaker, type SpeakerListener, SpeakerLost } from '../speaker.ts';

/** Pause before the next attempt to connect: doubled from the first to the last. */
const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 5_000;

/** How often the peers are asked for while routes may be missing. An End-of-RIB causes no event in GoBGP before 3.24. */
const PEERS_LOOK_MS = 1_000;

/** FRR before 10.3 sends no End-of-RIB to a peer without graceful restart. After this time the routes are taken as complete. */
const END_OF_RIB_PATIENCE_MS = 30_000;

/** What the session tells, in this order: `connected`, `listed`, `known`, `complete`, `lost`, and `expired` unless it is connected again in time. */
export interface SessionListener extends Omit<SpeakerListener, 'peersChanged'> {
  /** Routes that are not reported from now on until `complete` are gone. */
  connected(speaker: Speaker): void;
  /** Routes that the speaker has. None of them has changed since. */
  listed(paths: readonly Path[]): void;
  /** All routes that the speaker has were reported. */
  known(speaker: Speaker): void;
  /** The peers of the speaker sent all routes that they have. */
  complete(): void;
  lost(): void;
  /** The hold time is over: what was received is not valid any more. */
  expired(): void;
}

export interface SessionOptions {
  readonly address: SpeakerAddress;
  readonly holdSeconds: number;
  readonly connect: ConnectSpeaker;
  readonly log: Logger;
  readonly endOfRibMs?: number;
}

/** The session with the BGP speaker. It connects again and again, reads all routes after each connection, and follows changes. */
export class SpeakerSession {
  readonly #options: SessionOptions;
  readonly #listener: SessionListener;
  readonly #ending = new AbortController();
  #state: SessionState = 'connecting';
  #since = Date.now();
  #error: string | undefined;
  #speaker: Speaker | undefined;
  #peers: readonly Peer[] = [];
  #connections = 0;
  #hold: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions, listener: SessionListener) {
    this.#options = options;
    this.#listener = listener;
  }

  start(): void {
    void this.#connectAgainAndAgain();
  }

  /** Ends the connection. Nothing is reported any more. An attempt to connect may take a moment to end. */
  stop(): void {
    this.#ending.abort();
    clearTimeout(this.#hold);
    this.#speaker?.close();
  }

  /**
   * Asks whether routes are withdrawn because no peer is left. What was received from the peers is then not known to be wrong, and is kept for the hold
   * time: `complete` follows when a peer is back, or after that time.
   */
  async hasLostPeers(): Promise<boolean> {
    const speaker = this.#speaker;
    if (!speaker) return true;
    await this.#lookAtPeers(speaker);
    if (!this.#isCurrent(speaker)) return true;
    if (this.#hasPeer || !this.#peers.some(({ hasEvpn }) => hasEvpn)) return false;
    if (this.#state === 'up') {
      this.#become('stale');
      this.#options.log.warn({ event: 'evpn-peers-lost', peers: this.#peers.length }, 'received routes are kept');
      void this.#awaitRoutes(speaker);
    }
    return true;
  }

  get status(): EvpnSession {
    const { address } = this.#options;
    const speaker = this.#speaker;
    return {
      address: formatSpeakerAddress(address),
      ...{ state: this.#state, since: this.#since, error: this.#error, connections: this.#connections },
      ...{ dialect: speaker?.dialect, asn: speaker?.asn, routerId: speaker?.routerId },
      peers: speaker ? this.#peers : [],
    };
  }

  async #connectAgainAndAgain(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!this.#isEnding) {
      const connections = this.#connections;
      const reason = await this.#connectOnce();
      if (this.#isEnding) return;
      this.#failed(reason);
      pause = this.#connections > connections ? FIRST_PAUSE_MS : Math.min(pause * 2, LAST_PAUSE_MS);
      await sleep(pause, undefined, { ref: false, signal: this.#ending.signal }).catch(() => {});
    }
  }

  /** @returns why there is no connection any more */
  async #connectOnce(): Promise<SpeakerLost> {
    let speaker: Speaker | undefined;
    try {
      speaker = await this.#options.connect(this.#options.address);
      if (this.#isEnding) return new SpeakerLost('vtepd stops');
      await this.#read(speaker);
      return await speaker.lost;
    } catch (error) {
      if (!(error instanceof SpeakerLost)) throw error;
      return error;
    } finally {
      speaker?.close();
      if (this.#speaker) this.#isLost();
    }
  }

  /** Changes are followed first, so that none is missed while all routes are read. What a change says is newer than what is read. */
  async #read(speaker: Speaker): Promise<void> {
    const listener = this.#listener;
    clearTimeout(this.#hold);
    // Otherwise nothing is in force that could be missing.
    const hasOldRoutes = this.#state === 'stale';
    this.#speaker = speaker;
    this.#connections++;
    this.#become('syncing');
    listener.connected(speaker);
    const changed = new Set<RouteKey>();
    let isListing = true;
    await speaker.watch({
      paths: (paths) => {
        if (!this.#isCurrent(speaker)) return;
        if (isListing) for (const { route } of paths) changed.add(keyOf(route));
        listener.paths(paths);
      },
      others: (routes) => this.#isCurrent(speaker) && listener.others(routes),
      peersChanged: () => void this.#lookAtPeers(speaker),
    });
    await speaker.list({
      paths: (paths) => listener.listed(paths.filter(({ route }) => !changed.has(keyOf(route)))),
      others: (routes) => listener.others(routes),
    });
    isListing = false;
    changed.clear();
    listener.known(speaker);
    await this.#lookAtPeers(speaker);
    if (hasOldRoutes) void this.#awaitRoutes(speaker);
    else if (this.#isCurrent(speaker)) this.#complete(speaker);
  }

  /**
   * Routes of before are kept until every peer has sent its End-of-RIB, or none came for a while after the first was up. Without any peer they are kept
   * for the hold time.
   */
  async #awaitRoutes(speaker: Speaker): Promise<void> {
    const { holdSeconds, endOfRibMs = END_OF_RIB_PATIENCE_MS } = this.#options;
    let end = performance.now() + holdSeconds * 1_000;
    for (let hadPeer = false; performance.now() < end && !this.#isWhole; ) {
      if (this.#hasPeer && !hadPeer) {
        hadPeer = true;
        end = Math.min(end, performance.now() + endOfRibMs);
      }
      const pause = Math.min(PEERS_LOOK_MS, Math.max(0, end - performance.now()));
      await sleep(pause, undefined, { ref: false, signal: this.#ending.signal }).catch(() => {});
      if (!this.#isCurrent(speaker)) return;
      await this.#lookAtPeers(speaker);
    }
    if (this.#isCurrent(speaker)) this.#complete(speaker);
  }

  #complete(speaker: Speaker): void {
    this.#become('up');
    const { dialect, asn, routerId } = speaker;
    this.#options.log.info({
      event: 'evpn-up',
      address: formatSpeakerAddress(this.#options.address),
      dialect,
      asn,
      routerId,
    });
    this.#listener.complete();
  }

  /** Whether a peer with l2vpn-evpn is established. */
  get #hasPeer(): boolean {
    return this.#peers.some(({ hasEvpn, isEstablished }) => hasEvpn && isEstablished);
  }

  get #isWhole(): boolean {
    const peers = this.#peers.filter(({ hasEvpn }) => hasEvpn);
    return peers.length > 0 && peers.every(({ isEstablished, isEndOfRib }) => isEstablished && isEndOfRib);
  }

  async #lookAtPeers(speaker: Speaker): Promise<void> {
    try {
      const peers = await speaker.peers();
      if (this.#isCurrent(speaker)) this.#peers = peers;
    } catch (error) {
      // `lost` reports it too.
      if (!(error instanceof SpeakerLost)) throw error;
    }
  }

  #isLost(): void {
    this.#speaker = undefined;
    if (this.#isEnding) return;
    this.#become('stale');
    this.#listener.lost();
    this.#hold = setTimeout(() => {
      this.#become('connecting');
      this.#listener.expired();
    }, this.#options.holdSeconds * 1_000).unref();
  }

  #failed({ message }: SpeakerLost): void {
    const { address, log } = this.#options;
    // One line for each cause, not for each attempt.
    if (message !== this.#error) {
      log.warn({ event: 'evpn-lost', address: formatSpeakerAddress(address), reason: message }, 'forwarding goes on');
    }
    this.#error = message;
  }

  #become(state: SessionState): void {
    this.#state = state;
    this.#since = Date.now();
    if (state === 'up') this.#error = undefined;
  }

  #isCurrent(speaker: Speaker): boolean {
    return this.#speaker === speaker && !this.#isEnding;
  }

  get #isEnding(): boolean {
    return this.#ending.signal.aborted;
  }
}
