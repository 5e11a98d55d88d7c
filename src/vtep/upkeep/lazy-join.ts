import { setTimeout } from 'node:timers/promises';
import type { Fdb } from '../../fdb/fdb.ts';
import { LockTimeout } from '../../fdb/lock.ts';
import { type MacWords, macWords, parseMac } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { Link } from '../../sys/netlink/links.ts';
import { seenTap, type Vni } from '../vni/vni.ts';
import type { HostWatch } from './host-watch.ts';

/** Maximum number of own MACs of the host in a segment: the MAC of the TAP and the MAC of its bridge. */
const MAX_OWN_MACS = 2;

/** Minimum time between two looks. Thousands of forged MACs then do not keep the thread busy, and a socket that was left is closed by then. */
const LOOK_GAP_MS = 100;

/** Maximum delay of a look after a change of the links of the host, which does not wake this loop. */
const PATIENCE_MS = 1_000;

export interface LazyJoinOptions {
  readonly fdb: Fdb;
  readonly log: Logger;
  readonly vnis: readonly Vni[];
  readonly host: Pick<HostWatch, 'linkChanges' | 'needGroup'>;
}

/**
 * `join=lazy` (RFC 7348 §4.2, "as needed"): the group of a VNI is joined while there is a station behind its TAP. This is so while the FDB has a
 * local MAC other than the MACs of the TAP and of its bridge. The FDB counts local MACs and wakes this thread when one is added or removed.
 */
export class LazyJoin {
  readonly #options: LazyJoinOptions;
  #isStopped = false;
  /** Number of requested looks. */
  #asked = 0;

  constructor(options: LazyJoinOptions) {
    this.#options = options;
  }

  /** Looks now and after every change, until it is stopped. */
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

  /** A VNI may have become one with `join=lazy`: requests another look. */
  look(): void {
    this.#asked++;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Returns whether everything could be examined. */
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
      // The owner of the lock died. The event loop reports its end next, and the lock is then freed.
      if (error instanceof LockTimeout) log.warn({ event: 'fdb-locked', err: error });
      // The kernel refuses a request now. The next look comes soon.
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

/** The own MACs, without duplicates. */
function ownMacs(links: readonly (Link | undefined)[]): MacWords[] {
  const macs = new Set(links.map((link) => link && parseMac(link.mac)));
  return [...macs].flatMap((mac) => (mac === undefined ? [] : macWords(mac)));
}
