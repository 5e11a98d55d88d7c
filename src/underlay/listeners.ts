import { setTimeout } from 'node:timers/promises';
import type { IpAddress } from '../lib/addresses.ts';
import { droppedByKernel, hasQueued, hearNobody, mergeReceived, openUnicastSockets } from '../sys/socket/udp-socket.ts';
import type { Device } from './group-membership.ts';
import type { HeldPort } from './held-port.ts';

/** How long queued datagrams may wait for workers before the place is closed. */
const EMPTYING_MS = 200;
const LOOK_MS = 2;

const ANY = { 4: '0.0.0.0' as IpAddress, 6: '::' as IpAddress } as const;

/** A place where unicast VXLAN is received. */
export interface ListenPlace {
  readonly family: 4 | 6;
  /** The only address; undefined: any of the host. */
  readonly local: IpAddress | undefined;
  /** The VRF or the interface; undefined: the host itself. */
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

/** The places where unicast is received, each with its sockets while an underlay needs it. Underlays share them. */
export class Listeners {
  readonly #options: ListenersOptions;
  readonly #used = new Map<string, Used>();
  /** Includes those that workers have not released yet. */
  readonly #open = new Set<Listener>();
  /** Datagrams lost at sockets that are closed by now. */
  #droppedBefore = 0;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** All sockets to read. */
  get all(): Listener[] {
    return [...this.#used.values()];
  }

  /** Opens a place, or counts one more user. `isNew`: the caller must tell the workers. @throws VtepError if the port is taken */
  take(place: ListenPlace): { listener: Listener; isNew: boolean } {
    // A socket is bound to the interface itself, also after it is renamed.
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

  /** Counts one user less. Returns whether it was the last: then workers must release it before `close`. */
  release(listener: Listener): boolean {
    const used = listener as Used;
    if (--used.users > 0) return false;
    this.#used.delete(used.key);
    return true;
  }

  /**
   * Resolves when workers have read all datagrams of a released place. New ones go to a place with a wider bind, if there is one. Bounded, since a
   * worker may hang.
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
