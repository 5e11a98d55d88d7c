import type { ListenMode } from '../../config/config.ts';
import { type IpAddress, isLoopbackIp } from '../../lib/addresses.ts';
import type { HostAddresses } from '../host-addresses.ts';
import type { Underlay } from './underlay.ts';

/** Addresses that were added to the own ones, or removed. */
export interface AddressChanges {
  readonly added: readonly IpAddress[];
  readonly removed: readonly IpAddress[];
}

export interface OwnChanges {
  /** This VTEP's own. */
  readonly own: AddressChanges;
  /** Broadcast addresses of the prefixes that the host is in. */
  readonly broadcasts: AddressChanges;
}

/** Why nothing is sent to an address. */
export type Bar = 'own' | 'broadcast';

/**
 * Which addresses are this VTEP's own: all addresses of the host, since VXLAN is received on all of them. With `--listen local` only those that it
 * sends from, since the others may belong to another daemon. Only addresses in its own VRFs count, since the same address in another VRF may belong
 * to a peer.
 * Loopback never leaves the host (RFC 1122 §3.2.1.3). Datagrams from an own address are dropped, and nothing is sent to one.
 */
export class OwnAddresses {
  readonly #mode: ListenMode;
  readonly #host: HostAddresses;
  readonly #underlays: readonly Underlay[];
  /** As last reported. */
  readonly #told = new Set<IpAddress>();
  readonly #toldBroadcasts = new Set<IpAddress>();
  #toldSources: readonly IpAddress[] = [];
  /** The VRFs that it was in at the last report. */
  #toldVrfs = '0';

  /** @param underlays all that are open; the list changes */
  constructor(mode: ListenMode, host: HostAddresses, underlays: readonly Underlay[]) {
    this.#mode = mode;
    this.#host = host;
    this.#underlays = underlays;
  }

  has(address: IpAddress): boolean {
    // The host may send from an address that is not in its lists, if a local route names it.
    return (
      (this.#mode === 'any' && (isLoopbackIp(address) || this.#vrfs().some((vrf) => this.#host.has(address, vrf)))) ||
      this.#sources().includes(address)
    );
  }

  /** Whether an address is the broadcast address of a prefix that the host is in. */
  isBroadcast(address: IpAddress): boolean {
    return this.#vrfs().some((vrf) => this.#host.isBroadcast(address, vrf));
  }

  /**
   * Why nothing is sent to an address now; undefined: it is sent to. Flood lists, static entries and refusals use it. It can change with the
   * addresses of the host.
   */
  barOf(address: IpAddress): Bar | undefined {
    if (this.has(address)) return 'own';
    return this.isBroadcast(address) ? 'broadcast' : undefined;
  }

  /** As last reported. */
  get told(): readonly IpAddress[] {
    return [...this.#told];
  }

  /** As last reported. */
  get toldBroadcasts(): readonly IpAddress[] {
    return [...this.#toldBroadcasts];
  }

  /** The changes since the last call. It examines only what may have changed. */
  takeChanges(): OwnChanges {
    const vrfs = this.#vrfs().join();
    // In another VRF it is another host.
    const touched = vrfs === this.#toldVrfs ? this.#host.takeTouched() : this.#host.takeAll();
    this.#toldVrfs = vrfs;
    const sources = this.#sources();
    const candidates = new Set([...touched, ...sources, ...this.#toldSources]);
    this.#toldSources = sources;
    return {
      own: update(this.#told, candidates, (address) => this.has(address)),
      broadcasts: update(this.#toldBroadcasts, touched, (address) => this.isBroadcast(address)),
    };
  }

  /** Those that it is in, by their indices; 0: outside of all. */
  #vrfs(): number[] {
    const vrfs = new Set(this.#underlays.map(({ vrf }) => vrf?.index ?? 0));
    return vrfs.size === 0 ? [0] : [...vrfs];
  }

  #sources(): IpAddress[] {
    return this.#underlays.flatMap(({ source }) => (source ? source.address : []));
  }
}

/** Updates `told` where it may be out of date, and returns the changes. */
function update(
  told: Set<IpAddress>,
  candidates: ReadonlySet<IpAddress>,
  belongs: (address: IpAddress) => boolean,
): AddressChanges {
  const added = [...candidates].filter((address) => !told.has(address) && belongs(address));
  const removed = [...candidates].filter((address) => told.has(address) && !belongs(address));
  for (const address of added) told.add(address);
  for (const address of removed) told.delete(address);
  return { added, removed };
}
