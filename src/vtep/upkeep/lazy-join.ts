import { setTimeout } from 'node:timers/promises';
import type { Fdb } from '../../fdb/fdb.ts';
import { LockTimeout } from '../../fdb/lock.ts';
import { type MacWords, macWords, parseMac } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { Link } from '../../sys/netlink/links.ts';
import { seenTap, type Vni } from '../vni/vni.ts';
import type { HostWatch } from './host-watch.ts';

/** MACs of a segment that are the host's own at most: the TAP's and its bridge's. */
const MAX_OWN_MACS = 2;

/** Between two looks: whoever makes up MACs by the thousand keeps nobody busy, and a socket that was left is closed by then. */
const LOOK_GAP_MS = 100;

/** How long a look may wait for a change of the host's links, which wakes nobody. */
const PATIENCE_MS = 1_000;

export interface LazyJoinOptions {
  readonly fdb: Fdb;
  readonly log: Logger;
  readonly vnis: readonly Vni[];
  readonly host: Pick<HostWatch, 'linkChanges' | 'needGroup'>;
}

/**
 * `join=lazy` (RFC 7348 §4.2, "as needed"): a VNI's group is joined while somebody lives behind its TAP, that is, while the FDB has a local
 * MAC other than the TAP's own and that of the bridge it is a port of. The FDB counts local MACs and wakes this thread when one comes or
 * goes.
 */
export class LazyJoin {
  readonly #options: LazyJoinOptions;
  #isStopped = false;
  /** How often somebody asked for a look. */
  #asked = 0;

  constructor(options: LazyJoinOptions) {
    this.#options = options;
  }

  /** Looks now, and whenever something has changed, until it is stopped. */
  async run(): Promise<void> {
    const { fdb, host } = this.#options;
    while (!this.#isStopped) {
      const [locals, links, asked] = [fdb.localChanges, host.linkChanges, this.#asked];
      const isDone = this.#look();
      await setTimeout(LOOK_GAP_MS, undefined, { ref: false });
      while (
        !this.#isStopped &&
        isDone &&
        fdb.localChanges === locals &&
        host.linkChanges === links &&
        this.#asked === asked
      ) {
        await fdb.localChange(locals, PATIENCE_MS);
      }
    }
  }

  /** A VNI may have become one with `join=lazy`: looks again soon. */
  look(): void {
    this.#asked++;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Whether everything could be looked at. */
  #look(): boolean {
    const { vnis, host, log } = this.#options;
    try {
      for (const vni of vnis) {
        const { group } = vni.config;
        if (vni.config.join !== 'lazy' || group === undefined) continue;
        const isNeeded = this.#hasStations(vni);
        if (isNeeded === vni.needsGroup) continue;
        host.needGroup(vni, group, isNeeded);
        log.debug({ event: isNeeded ? 'group-needed' : 'group-not-needed', vni: vni.config.vni, group });
      }
      return true;
    } catch (error) {
      // The owner died with the lock; its end is the next thing the event loop tells, and frees it.
      if (error instanceof LockTimeout) log.warn({ event: 'fdb-locked', err: error });
      // The kernel refuses something now: the next look is soon.
      else if (error instanceof VtepError) log.debug({ event: 'lazy-join-failed', err: error });
      else throw error;
      return false;
    }
  }

  #hasStations(vni: Vni): boolean {
    const { fdb } = this.#options;
    const locals = fdb.counts.localsOf(vni.index);
    if (locals === 0 || locals > MAX_OWN_MACS) return locals !== 0;
    return fdb.localsBeside(vni.index, ownMacs([seenTap(vni) ?? vni.tap.link, vni.master])) > 0;
  }
}

/** Distinct. */
function ownMacs(links: readonly (Link | undefined)[]): MacWords[] {
  const macs = new Set(links.map((link) => link && parseMac(link.mac)));
  return [...macs].flatMap((mac) => (mac === undefined ? [] : macWords(mac)));
}
