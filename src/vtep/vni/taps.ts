import { randomInt } from 'node:crypto';
import type { Status } from '../../api/schemas.ts';
import type { Config, VniConfig } from '../../config/config.ts';
import { tapAlias } from '../../host/state-dir.ts';
import { deleteLeftoverTaps, formerTaps } from '../../host/tap/leftover-taps.ts';
import { findExisting, releaseTap, settleTap, setUpTap, type Tap, type TapPlan } from '../../host/tap/tap.ts';
import type { Logger } from '../../observe/log.ts';
import { deleteLinkGroup, findLinks, type Link, listLinks } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { distinctTaps, type Vni } from './vni.ts';

export interface TapsOptions {
  readonly netlink: NetlinkSocket;
  readonly log: Logger;
  /** All existing VNIs. The list changes. */
  readonly vnis: readonly Vni[];
  /** `persist`: the TAPs that vtepd creates outlive it. */
  readonly config: Pick<Config, 'persist' | 'stateDir' | 'workers'>;
  /** The offloads that are possible. */
  readonly offload: Status['offload'];
}

/**
 * The TAPs of all VNIs: created, adopted, and released at the end. The TAPs that vtepd created and deletes at its end are in a link group of their
 * own, so that one request deletes them all.
 */
export class Taps {
  /** Alias of the TAPs that vtepd creates to outlive it. */
  readonly ownAlias: string;
  readonly #options: TapsOptions;
  readonly #linkGroup: number;
  /** TAPs of former runs that no VNI names and no program uses. Empty after the start. */
  #former: readonly Link[] = [];
  /** The start has ended. From now on, TAPs that are to outlive the process do so. */
  #isSettled = false;

  constructor(options: TapsOptions) {
    this.#options = options;
    this.ownAlias = tapAlias(options.config.stateDir);
    this.#linkGroup = unusedLinkGroup(options.netlink);
  }

  /** Finds the TAPs of former runs. A TAP that was renamed is adopted by its alias. @param vnis the VNIs of the configuration */
  findFormer(vnis: readonly VniConfig[]): void {
    const { netlink } = this.#options;
    this.#former = formerTaps(netlink, this.ownAlias).filter(({ name }) => !vnis.some(({ tap }) => tap === name));
  }

  /** The existing TAP for a VNI. @param local the source address of the VNI */
  existing(vni: VniConfig, local: TapPlan['local']): Link | undefined {
    return findExisting(this.#options.netlink, { vni, local, former: this.#former, ownAlias: this.ownAlias });
  }

  /** Creates the TAP of a VNI or adopts an existing one. @throws VtepError naming the TAP; a TAP that vtepd created is deleted then */
  make(vni: VniConfig, place: Pick<TapPlan, 'local' | 'mtuBytes' | 'before'>): Tap {
    const { netlink, config, offload } = this.#options;
    const tap = setUpTap(netlink, {
      ...place,
      vni,
      linkGroup: this.#linkGroup,
      newAlias: config.persist ? this.ownAlias : undefined,
      ownAlias: this.ownAlias,
      former: this.#former,
      options: { queues: config.workers, gso: offload.tapGso, gro: offload.udpGro },
    });
    try {
      if (this.#isSettled) this.#settle(tap);
      return tap;
    } catch (error) {
      releaseTap(tap);
      throw error;
    }
  }

  /** The start has ended: each TAP of vtepd gets its lasting property (deleted or kept at the end), and leftovers of former runs are deleted. */
  settle(): void {
    const { netlink, log, vnis, config } = this.#options;
    for (const { tap } of distinctTaps(vnis)) this.#settle(tap);
    this.#isSettled = true;
    this.#former = [];
    if (!config.persist) return;
    const kept = new Set(vnis.flatMap(({ link }) => link?.index ?? []));
    deleteLeftoverTaps(netlink, { log, ownAlias: this.ownAlias, kept, linkGroup: unusedLinkGroup(netlink) });
  }

  /** Releases all TAPs, and deletes those that do not outlive vtepd. No worker uses them any more. */
  release(): void {
    const { netlink, log, vnis } = this.#options;
    if (vnis.some((vni) => this.#isDoomed(vni))) {
      try {
        deleteLinkGroup(netlink, this.#linkGroup);
      } catch (error) {
        // Closing the fds also deletes the TAPs, but more slowly.
        log.warn({ event: 'taps-not-deleted', err: error });
      }
    }
    for (const vni of distinctTaps(vnis)) {
      this.#tellLeft(vni);
      releaseTap(vni.tap);
    }
  }

  /** Whether all TAPs accept super-frames. */
  get gso(): boolean {
    const { offload, vnis } = this.#options;
    return offload.tapGso && vnis.every((vni) => vni.tap.gso);
  }

  /** The TAPs and their bridges as the kernel has them now, by index. */
  links(): ReadonlyMap<number, Link> {
    const { netlink, vnis } = this.#options;
    const indexes = distinctTaps(vnis).map(({ tap }) => tap.link.index);
    return new Map(findLinks(netlink, indexes).map((link) => [link.index, link]));
  }

  #settle(tap: Tap): void {
    const { netlink, config } = this.#options;
    settleTap(netlink, tap, { isPersistent: config.persist, linkGroup: this.#linkGroup });
  }

  /** A TAP in another namespace that is to outlive vtepd stays there, where no start finds it. */
  #tellLeft({ config, tap, elsewhere }: Vni): void {
    const { log, config: asked } = this.#options;
    if (!elsewhere || !tap.isOwn || !asked.persist || !this.#isSettled) return;
    const { namespace } = elsewhere;
    const message = 'the next start finds it only if it is moved back';
    log.warn({ event: 'tap-left', tap: config.tap, namespace: namespace ?? null }, message);
  }

  /** Whether the TAP is deleted when vtepd stops. If the start fails, this includes the TAPs that it has just created. */
  #isDoomed({ tap, link }: Vni): boolean {
    if (!link) return false;
    return this.#isSettled ? tap.isOwn && !this.#options.config.persist : tap.link.group === this.#linkGroup;
  }
}

/** A link group without any interface. It is random, so that two daemons that start at the same time get different groups. */
function unusedLinkGroup(netlink: NetlinkSocket): number {
  const used = new Set(listLinks(netlink).map(({ group }) => group));
  for (;;) {
    const group = randomInt(1, 2 ** 31);
    if (!used.has(group)) return group;
  }
}
