/** From two readings of the counters to rates; pure. An unknown rate, e.g. across a restart, is null. */

import type { Drops, Stats, Status, VniStats, Vtep } from '../../api/schemas.ts';

/** One reading of the daemon for `top`. */
export interface Reading {
  /** Milliseconds of a clock that never steps. */
  readonly at: number;
  readonly status: Status;
  readonly stats: Stats;
  readonly vteps: readonly Vtep[];
  readonly drops: Drops;
}

/** Packets are VXLAN datagrams, bits are of inner frames; rx comes from the underlay. */
export interface Rates {
  readonly rxPacketsPerSecond: number | null;
  readonly rxBitsPerSecond: number | null;
  readonly txPacketsPerSecond: number | null;
  readonly txBitsPerSecond: number | null;
  readonly dropsPerSecond: number | null;
}

export interface VniRates extends Rates, Pick<VniStats, 'vni' | 'name' | 'macs'> {}

export interface VtepRates extends Rates, Pick<Vtep, 'vtep' | 'macs' | 'lastHeard'> {}

/** One reason that has occurred since the daemon started. */
export interface DropRate {
  readonly direction: 'rx' | 'tx';
  readonly reason: string;
  readonly dropsPerSecond: number | null;
  readonly drops: number;
}

/** What `top --json` prints a line of. */
export interface Top {
  /** ISO 8601. */
  readonly time: string;
  /** Seconds that the rates are the mean of; null if there are none. */
  readonly seconds: number | null;
  /** Why the daemon did not answer; all that follows is then null or empty. */
  readonly error: string | null;
  readonly status: Status | null;
  readonly workers: Stats['workers'];
  readonly vnis: readonly VniRates[];
  readonly vteps: readonly VtepRates[];
  readonly drops: readonly DropRate[];
}

/** Uptimes are whole seconds, and the four requests of a reading take some time: a smaller difference is no restart. */
const RESTART_TOLERANCE_SECONDS = 3;

/** @param before absent, or of a daemon that has ended since: there are no rates yet */
export function ratesBetween(before: Reading | undefined, now: Reading, time: string): Top {
  const first = before && !isAnotherDaemon(before, now) ? before : undefined;
  const seconds = first ? (now.at - first.at) / 1000 : null;
  // A counter that went back belongs to something that was deleted and made again meanwhile.
  const rate = (from: number | undefined, to: number) =>
    seconds === null || from === undefined || to < from ? null : thousandths((to - from) / seconds);
  const bits = (from: number | undefined, to: number) => rate(from && from * 8, to * 8);

  const vnisBefore = new Map(first?.stats.vnis.map((each) => [each.vni, each]));
  const vtepsBefore = new Map(first?.vteps.map((each) => [each.vtep, each]));
  const passages = (from: Passages | undefined, to: Passages) => ({
    rxPacketsPerSecond: rate(from?.rxPackets, to.rxPackets),
    rxBitsPerSecond: bits(from?.rxBytes, to.rxBytes),
    txPacketsPerSecond: rate(from?.txPackets, to.txPackets),
    txBitsPerSecond: bits(from?.txBytes, to.txBytes),
  });
  return {
    time,
    seconds: seconds === null ? null : thousandths(seconds),
    error: null,
    status: now.status,
    workers: now.stats.workers,
    vnis: now.stats.vnis.map((vni) => {
      const from = vnisBefore.get(vni.vni);
      const dropsPerSecond = rate(from && from.rxDrops + from.txDrops, vni.rxDrops + vni.txDrops);
      return { vni: vni.vni, name: vni.name, macs: vni.macs, ...passages(from, vni), dropsPerSecond };
    }),
    vteps: now.vteps.map((vtep) => {
      const from = vtepsBefore.get(vtep.vtep);
      const { macs, lastHeard } = vtep;
      return {
        vtep: vtep.vtep,
        macs,
        lastHeard,
        ...passages(from, vtep),
        dropsPerSecond: rate(from?.drops, vtep.drops),
      };
    }),
    drops: (['rx', 'tx'] as const).flatMap((direction) =>
      Object.entries(now.drops[direction])
        .filter(([, drops]) => drops > 0)
        .map(([reason, drops]) => ({
          ...{ direction, reason, drops },
          dropsPerSecond: rate(first?.drops[direction][reason], drops),
        })),
    ),
  };
}

function thousandths(number: number): number {
  return Math.round(number * 1000) / 1000;
}

export function unanswered(error: string, time: string): Top {
  return { time, seconds: null, error, status: null, workers: [], vnis: [], vteps: [], drops: [] };
}

type Passages = Pick<VniStats, 'rxPackets' | 'rxBytes' | 'txPackets' | 'txBytes'>;

/** In a container each daemon has the same pid. A restart is then detected from an uptime that did not grow with time. */
function isAnotherDaemon(before: Reading, now: Reading): boolean {
  const elapsed = (now.at - before.at) / 1000;
  const grown = now.status.uptime - before.status.uptime;
  return now.status.pid !== before.status.pid || grown < 0 || grown < elapsed - RESTART_TOLERANCE_SECONDS;
}

/** Bits a second both ways; null where either is unknown. */
export function bitsPerSecond({ rxBitsPerSecond, txBitsPerSecond }: Rates): number | null {
  return rxBitsPerSecond === null || txBitsPerSecond === null ? null : rxBitsPerSecond + txBitsPerSecond;
}

/** More columns than a sparkline is ever given. */
export const MAX_HISTORY = 60;

/** The last rates of each existing VNI and VTEP, oldest first. */
export class RateHistories {
  #byKey = new Map<number | string, (number | null)[]>();

  /** A daemon that does not answer leaves a gap in all. */
  add({ error, vnis, vteps }: Top): void {
    if (error !== null) {
      for (const history of this.#byKey.values()) append(history, null);
      return;
    }
    const next = new Map<number | string, (number | null)[]>();
    const keep = (key: number | string, rates: Rates) => {
      const history = this.#byKey.get(key) ?? [];
      append(history, bitsPerSecond(rates));
      next.set(key, history);
    };
    for (const rates of vnis) keep(rates.vni, rates);
    for (const rates of vteps) keep(rates.vtep, rates);
    this.#byKey = next;
  }

  of(key: number | string): readonly (number | null)[] {
    return this.#byKey.get(key) ?? [];
  }
}

function append(history: (number | null)[], rate: number | null): void {
  history.push(rate);
  if (history.length > MAX_HISTORY) history.shift();
}
