import { parseMac } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { TAP_UPKEEP } from '../../lib/limits.ts';
import { close } from '../../sys/libc.ts';
import { changeLink, findLink, findMaster, isAsWanted, type Link, type LinkChange } from '../../sys/netlink/links.ts';
import { mtuLimit, mtuWithin, trunkMtuLimit } from '../vni/tap-mtu.ts';
import { distinctTaps, hasTap, sharersOf, tapNumber, type Vni } from '../vni/vni.ts';
import { addTap, putSegment } from '../workers/worker-state.ts';
import type { HeldTaps } from './held-on-host.ts';

/** Interval at which pending work is checked. */
const TICK_MS = 250;

interface Task {
  dueMs: number;
  /** The former state of a TAP that was deleted. */
  readonly before?: TapBefore;
}

interface TapBefore {
  readonly mac: string | undefined;
  readonly overrun: number;
}

/**
 * Restores what the configuration says of a TAP after another program has changed it: bridge, MAC, MTU, the TAP itself. It waits a while after the
 * change, so that the other program can finish several changes, or can move the TAP to another bridge. The number of restorations is limited, since
 * the other program may undo each one; then status and doctor report it. If another program has put the TAP into another bridge, it stays there.
 */
export class TapUpkeep {
  readonly #held: HeldTaps;
  /** By the TAP's name in the configuration. */
  readonly #tasks = new Map<string, Task>();
  readonly #actedMs = new Map<string, number[]>();
  readonly #refusals = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(held: HeldTaps) {
    this.#held = held;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#tasks.clear();
  }

  /** A TAP may differ from its configuration. */
  consider(vni: Vni): void {
    const { tap } = vni.config;
    if (this.#tasks.has(tap) || !vni.link || !differs(vni, vni.link)) return;
    this.#add(tap, { dueMs: performance.now() + TAP_UPKEEP.patienceMs });
  }

  /** A TAP was deleted. */
  remake(vni: Vni, before: TapBefore): void {
    this.#add(vni.config.tap, { dueMs: performance.now() + TAP_UPKEEP.remakePatienceMs, before });
  }

  /** Why the last attempt to restore the TAP failed. undefined: it succeeded, or there was none. */
  refusalOf({ config }: Pick<Vni, 'config'>): string | undefined {
    return this.#refusals.get(config.tap);
  }

  /** How often a TAP was restored recently. */
  timesOf({ config }: Pick<Vni, 'config'>): number {
    return this.#recent(config.tap).length;
  }

  /**
   * Gives a TAP at once the state that a start would give it: up, out of a wrong bridge, and with the MTU of a start. What the host refuses is in the
   * log and in the status.
   */
  assert(vni: Vni): void {
    const task = this.#tasks.get(vni.config.tap);
    if (task?.before) this.#remake(vni, task.before);
    else if (vni.link) this.#putBack(vni, vni.link, { asAtStart: true });
  }

  /** The same for all TAPs. */
  assertAll(): void {
    for (const vni of distinctTaps(this.#held.vnis)) this.assert(vni);
  }

  #add(tap: string, task: Task): void {
    this.#tasks.set(tap, task);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    const now = performance.now();
    for (const [tap, task] of this.#tasks) {
      if (task.dueMs > now) continue;
      const vni = this.#held.vnis.find(({ config }) => config.tap === tap);
      const [first] = this.#recent(tap);
      if (vni && first !== undefined && this.#recent(tap).length >= TAP_UPKEEP.times) {
        task.dueMs = first + TAP_UPKEEP.spanMs;
        this.#held.log.warn(
          { event: 'tap-contested', tap, times: TAP_UPKEEP.times },
          'another program keeps changing it',
        );
        continue;
      }
      this.#tasks.delete(tap);
      if (!vni) continue;
      if (task.before && !hasTap(vni)) this.#remake(vni, task.before);
      else if (vni.link) this.#putBack(vni, vni.link, { asAtStart: false });
    }
    if (this.#tasks.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #recent(tap: string): number[] {
    const since = performance.now() - TAP_UPKEEP.spanMs;
    const recent = (this.#actedMs.get(tap) ?? []).filter((ms) => ms > since);
    if (recent.length > 0) this.#actedMs.set(tap, recent);
    else this.#actedMs.delete(tap);
    return recent;
  }

  #acted(tap: string): void {
    // This includes TAPs that no VNI has any more.
    for (const other of [...this.#actedMs.keys()]) this.#recent(other);
    this.#actedMs.set(tap, [...this.#recent(tap), performance.now()]);
  }

  #putBack(vni: Vni, seen: Link, { asAtStart }: { asAtStart: boolean }): void {
    const { netlink, log, vnis } = this.#held;
    const { tap } = vni.config;
    try {
      // Another interface may have this index now.
      const link = findLink(netlink, seen.index);
      if (!link?.isTap) return;
      const bridge = vni.config.bridge === undefined ? undefined : findLink(netlink, vni.config.bridge);
      const change = asAtStart ? startChange(vni, bridge, vnis) : repair(vni, link, bridge);
      if (isAsWanted(link, change)) return;
      this.#acted(tap);
      changeLink(netlink, link.index, change, `TAP "${link.name}"`);
      this.#refusals.delete(tap);
      const { master, mac, mtuBytes: mtu, up } = onlyOther(link, change);
      log.warn({ event: 'tap-put-back', tap, ...(master && { bridge: bridge?.name }), mac, mtu, up });
    } catch (error) {
      this.#refused(vni, error);
      this.#add(tap, { dueMs: performance.now() + TAP_UPKEEP.retryMs });
    }
  }

  #remake(vni: Vni, before: TapBefore): void {
    const { netlink, log, workers } = this.#held;
    const { tap: name, bridge } = vni.config;
    this.#acted(name);
    try {
      // If the bridge is missing, vtepd waits for it.
      const config =
        bridge !== undefined && !findLink(netlink, bridge) ? { ...vni.config, bridge: undefined } : vni.config;
      const tap = this.#held.taps.make(config, {
        local: vni.underlay.local,
        mtuBytes: startMtu(vni, this.#held.vnis),
        before: { mac: before.mac ? parseMac(before.mac) : undefined, overrun: before.overrun },
      });
      const old = vni.tap;
      const place = { tap, link: tap.link, elsewhere: undefined, master: findMaster(netlink, tap.link) };
      const members = sharersOf(this.#held.vnis, vni);
      for (const member of members) Object.assign(member, place);
      const number = tapNumber(vni);
      const letGo = workers.orderAll({ kind: 'remove-tap', tap: number });
      for (const member of members) workers.tellAll(putSegment(member));
      for (let worker = 0; worker < workers.size; worker++) workers.tellOne(worker, addTap(vni, worker));
      // The fds are closed only after all workers have released them: the kernel could reuse the numbers at once.
      void letGo.then(() => {
        for (const fd of old.fds) close(fd);
      });
      this.#tasks.delete(name);
      this.#refusals.delete(name);
      log.warn({ event: 'tap-remade', tap: name, mac: tap.link.mac }, 'its addresses are gone');
    } catch (error) {
      this.#refused(vni, error);
      this.#add(name, { dueMs: performance.now() + TAP_UPKEEP.remakePatienceMs, before });
    }
  }

  #refused(vni: Vni, error: unknown): void {
    if (!(error instanceof VtepError)) throw error;
    const { message } = error;
    if (this.#refusals.get(vni.config.tap) === message) return;
    this.#refusals.set(vni.config.tap, message);
    this.#held.log.warn({ event: 'tap-not-put-back', tap: vni.config.tap, reason: message });
  }
}

/** Returns whether there is something to restore. A missing bridge is found later. */
function differs({ config }: Vni, { master, mac, mtuBytes }: Link): boolean {
  return (
    (config.bridge !== undefined && master === 0) ||
    (config.mac !== undefined && mac !== config.mac) ||
    (config.mtuBytes !== undefined && mtuBytes !== config.mtuBytes)
  );
}

/** The requested settings, except those that another program has decided otherwise. */
function repair({ config }: Vni, link: Link, bridge: Link | undefined): LinkChange {
  const master = link.master === 0 && bridge?.kind === 'bridge' ? bridge.index : undefined;
  return { master, mac: config.mac, mtuBytes: config.mtuBytes };
}

function startChange(vni: Vni, bridge: Link | undefined, vnis: readonly Vni[]): LinkChange {
  const master = bridge?.kind === 'bridge' ? bridge.index : undefined;
  return { master, mac: vni.config.mac, mtuBytes: startMtu(vni, vnis), up: true };
}

/** The MTU that a start would give to a TAP now. */
export function startMtu({ config, underlays }: Vni, vnis: readonly Vni[]): number {
  if (config.vlan !== undefined) return mtuWithin(trunkMtuLimit(vnis));
  return config.mtuBytes ?? mtuWithin(mtuLimit(config, underlays));
}

/** The settings that differ, for the log. */
function onlyOther(link: Link, change: LinkChange): LinkChange {
  const entries = Object.entries(change) as [keyof LinkChange, unknown][];
  return Object.fromEntries(entries.filter(([name, value]) => value !== undefined && value !== link[name]));
}
