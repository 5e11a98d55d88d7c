import { setTimeout } from 'node:timers/promises';
import type { IpAddress } from '../lib/addresses.ts';
import { droppedByKernel, hasQueued, hearNobody, mergeReceived, openUnicastSockets } from '../sys/socket/udp-socket.ts';
import type { Device } from './group-membership.ts';
import type { HeldPort } from './held-port.ts';

/** How long what is queued at a place waits for workers to read it before the place is closed. */
const EMPTYING_MS = 200;
const LOOK_MS = 2;

const ANY = { 4: '0.0.0.0' as IpAddress, 6: '::' as IpAddress } as const;

/** Where unicast VXLAN is heard. */
export interface ListenPlace {
  readonly family: 4 | 6;
  /** The one address that it is heard on; undefined: any of the host. */
  readonly local: IpAddress | undefined;
  /** The VRF that it is heard in, or the interface that it is heard by; undefined: the host itself. */
  readonly device: Device | undefined;
}

/** Sockets that share one place, one for each worker. */
export interface Listener {
  /** Number of the socket, the same for every worker. */
  readonly socket: number;
  /** One for each worker. */
  readonly fds: readonly number[];
}

export interface ListenersOptions {
  readonly held: HeldPort;
  readonly port: number;
  readonly workers: number;
  /** Gives numbers for sockets and groups, unique in the daemon. */
  readonly nextSocket: () => number;
  /** Whether received datagrams may come merged. */
  readonly udpGro: boolean;
}

interface Used extends Listener {
  readonly key: string;
  users: number;
}

/** The places that unicast is heard at, each with its sockets while an underlay needs it; underlays share them. */
export class Listeners {
  readonly #options: ListenersOptions;
  readonly #used = new Map<string, Used>();
  /** Those that workers are still to let go, too. */
  readonly #open = new Set<Listener>();
  /** Datagrams lost at sockets that are closed by now. */
  #droppedBefore = 0;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** All that are to be read. */
  get all(): Listener[] {
    return [...this.#used.values()];
  }

  /** Opens a place, or counts one user more. `isNew`: workers are to be told. @throws VtepError if the port is taken */
  take(place: ListenPlace): { listener: Listener; isNew: boolean } {
    // A socket is bound to the interface itself, whatever its name becomes.
    const key = `${place.family} ${place.local ?? ''} ${place.device?.index ?? ''}`;
    const known = this.#used.get(key);
    if (known) {
      known.users++;
      return { listener: known, isNew: false };
    }
    const listener = { key, users: 1, socket: this.#options.nextSocket(), fds: this.#openSockets(place) };
    this.#used.set(key, listener);
    this.#open.add(listener);
    return { listener, isNew: true };
  }

  /** One user less. Whether it was the last: workers are to let it go, then `close` is due. */
  release(listener: Listener): boolean {
    const used = listener as Used;
    if (--used.users > 0) return false;
    this.#used.delete(used.key);
    return true;
  }

  /**
   * Resolves when workers have read what is queued at a place that was released, which nothing is added to: what comes goes to a place that is
   * wider, if there is one. Bounded, since a worker may hang.
   */
  async emptied({ fds }: Listener): Promise<void> {
    for (const fd of fds) hearNobody(fd);
    const endMs = performance.now() + EMPTYING_MS;
    while (performance.now() < endMs && fds.some(hasQueued)) await setTimeout(LOOK_MS);
  }

  close(listener: Listener): void {
    if (!this.#open.delete(listener)) return;
    for (const fd of listener.fds) {
      this.#droppedBefore += droppedByKernel(fd);
      this.#options.held.close(fd);
    }
  }

  closeAll(): void {
    for (const listener of this.#open) this.close(listener);
  }

  /** Datagrams that the kernel lost because vtepd did not read them in time. */
  get dropped(): number {
    let dropped = this.#droppedBefore;
    for (const { fds } of this.#open) for (const fd of fds) dropped += droppedByKernel(fd);
    return dropped;
  }

  #openSockets({ family, local, device }: ListenPlace): number[] {
    const { held, port, workers, udpGro } = this.#options;
    const fds = held.openListeners(family, (isBeside) =>
      openUnicastSockets(local ?? ANY[family], port, workers, { device: device?.name, isBeside }),
    );
    if (udpGro) for (const fd of fds) mergeReceived(fd);
    return fds;
  }
}
