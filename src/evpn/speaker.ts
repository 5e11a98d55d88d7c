import type { SpeakerAddress } from '../config/config.ts';
import type { IpAddress } from '../lib/addresses.ts';
import type { EvpnRoute, OtherRoute, Path } from './route.ts';

/** GoBGP's API has two: `v3` up to 3.37, `v4` from 4.0. */
export type Dialect = 'v3' | 'v4';

/** A BGP peer of the speaker. */
export interface Peer {
  readonly address: string;
  readonly isEstablished: boolean;
  /** Whether l2vpn-evpn is configured for it. */
  readonly hasEvpn: boolean;
  /** Whether its End-of-RIB for l2vpn-evpn was received in this session. */
  readonly isEndOfRib: boolean;
}

export interface SpeakerListener {
  /** Best paths that changed, in order. A path that vtepd itself announced comes back here too. */
  paths(paths: readonly Path[]): void;
  /** Routes of types that a VTEP does not use. */
  others(routes: readonly OtherRoute[]): void;
  /** A session of the speaker with a peer came up or went down. */
  peersChanged(): void;
}

/** The speaker refused a request: it is connected, and said why. A repetition of the same request is refused again. */
export class RefusedBySpeaker extends Error {
  override name = 'RefusedBySpeaker';
}

/** There is no answer of the speaker any more: it was closed, it does not answer, or what it sends cannot be read. */
export class SpeakerLost extends Error {
  override name = 'SpeakerLost';
}

/**
 * A connected BGP speaker. It stays connected or is lost for good; whoever wants another connects again. All methods throw SpeakerLost after that.
 * Requests may run at the same time, as many as the caller likes.
 */
export interface Speaker {
  readonly dialect: Dialect;
  /** Autonomous system, 1 to 4294967295. */
  readonly asn: number;
  readonly routerId: IpAddress;
  /** Fulfilled when the speaker is lost, with the reason. Never rejected. */
  readonly lost: Promise<SpeakerLost>;
  /** Announces a route. The same key again replaces it. @throws RefusedBySpeaker */
  add(route: EvpnRoute): Promise<void>;
  /** Withdraws a local route by its key. Does nothing if there is none. @throws RefusedBySpeaker */
  remove(route: EvpnRoute): Promise<void>;
  /** Reports all best paths and all local paths, in parts. Resolves after the last part. */
  list(listener: Pick<SpeakerListener, 'paths' | 'others'>): Promise<void>;
  /** Follows changes from now on. Resolves when no later change can be missed. Once per speaker. */
  watch(listener: SpeakerListener): Promise<void>;
  peers(): Promise<readonly Peer[]>;
  close(): void;
}

/**
 * Connects, and finds the dialect.
 *
 * @throws SpeakerLost with one line: what was seen, without the address
 */
export type ConnectSpeaker = (address: SpeakerAddress) => Promise<Speaker>;
