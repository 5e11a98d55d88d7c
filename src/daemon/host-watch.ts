import type { IpAddress } from '../lib/addresses.ts';
import { type LinkEvent, linkEvents, listLinks } from '../sys/links.ts';
import { EVENT_GROUPS, watchNetlink } from '../sys/netlink-socket.ts';
import type { HeldOnHost } from './held-on-host.ts';
import { TapWatch } from './tap-watch.ts';
import { UnderlayWatch } from './underlay-watch.ts';
import type { Vni } from './vni.ts';

/** How often a group that could not be rejoined is tried again. */
const RETRY_INTERVAL_MS = 1_000;

/** Hears of the host's interfaces and addresses, and has what is held on the host kept in step with them. */
export class HostWatch {
  readonly underlays: UnderlayWatch;
  readonly taps: TapWatch;
  readonly #held: HeldOnHost;
  readonly #endings: (() => void)[] = [];
  #linkChanges = 0;

  constructor(held: HeldOnHost) {
    this.#held = held;
    this.underlays = new UnderlayWatch(held);
    this.taps = new TapWatch(held);
  }

  start(): void {
    this.#endings.push(
      watchNetlink(EVENT_GROUPS.link | EVENT_GROUPS.ipv4Address | EVENT_GROUPS.ipv6Address, (messages) => {
        this.#linkChanges++;
        // Without messages some were lost: look at everything.
        if (messages.length === 0) this.#lookAtAllLinks();
        for (const event of linkEvents(messages)) this.#onLink(event);
        this.underlays.lookForLocals();
      }),
    );
    // What changed between the first look and the watch.
    this.#lookAtAllLinks();
    this.underlays.lookForLocals();
    const retrying = setInterval(() => this.underlays.retryMemberships(), RETRY_INTERVAL_MS);
    this.#endings.push(() => clearInterval(retrying));
  }

  stop(): void {
    for (const end of this.#endings.splice(0)) end();
  }

  /** A number that changes whenever the host's links may have. */
  get linkChanges(): number {
    return this.#linkChanges;
  }

  /** A VNI with `join=lazy` wants its group joined from now on, or no more. */
  needGroup(vni: Vni, group: IpAddress, isNeeded: boolean): void {
    this.underlays.needGroup(vni, group, isNeeded);
  }

  #lookAtAllLinks(): void {
    const links = listLinks(this.#held.netlink);
    const known = [...this.#held.underlays, ...this.#held.vnis].flatMap(({ link }) => link ?? []);
    for (const link of known) {
      if (!links.some(({ index }) => index === link.index)) this.#onLink({ link, deleted: true });
    }
    for (const link of links) this.#onLink({ link, deleted: false });
  }

  #onLink(event: LinkEvent): void {
    this.underlays.onLink(event);
    this.taps.onLink(event);
  }
}
