import { setImmediate } from 'node:timers/promises';
import { NO_SEGMENT } from '../forward/counters.ts';
import { RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import { DROP_SNAPSHOT_MS } from '../lib/limits.ts';
import { findLink } from '../sys/netlink/links.ts';
import type { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import type { Underlays } from './vni/underlays.ts';
import { seenTap, tapOverrun, type Vni } from './vni/vni.ts';
import type { Vnis } from './vni/vnis.ts';
import type { WorkerPool } from './workers/worker-pool.ts';

/** All drop reasons by number, followed by the losses in the kernel. */
const RX_NAMES = [...RX_REASONS, 'socket-overrun'];
const TX_NAMES = [...TX_REASONS, 'tap-overrun'];

/** Drops by number of the reason: first those of `rx`, then those of `tx`. */
type Row = Float64Array;

/** Rows by VNI; undefined: drops that belong to no VNI. A VNI without drops has no row, and neither has a VNI that is added later. */
type Rows = ReadonlyMap<Vni | undefined, Row>;

interface Snapshot {
  readonly atMs: number;
  readonly rows: Rows;
}

/** A VNI that drops frames, and the facts that explain why. */
export interface DroppingVni extends Pick<Vni['config'], 'vni' | 'tap' | 'vlan' | 'l2Control'> {
  /** The present state of its TAP. undefined: it is deleted, or cannot be seen. */
  readonly tapNow: { readonly name: string; readonly up: boolean } | undefined;
  readonly elsewhere: { readonly namespace: string | undefined } | undefined;
  /** Why one of its underlays cannot send. */
  readonly underlayTrouble: string | undefined;
}

export interface RecentDrop {
  readonly direction: 'rx' | 'tx';
  readonly reason: string;
  readonly count: number;
  /** The VNIs with drops, for drops that belong to a VNI. The VNIs with the most drops come first. */
  readonly vnis: readonly DroppingVni[];
}

export interface RecentDrops {
  /** The period that the drops cover. */
  readonly seconds: number;
  readonly drops: readonly RecentDrop[];
}

/** Number of VNIs whose counters the main thread reads in one slice. */
const SLICE_VNIS = 100;

/**
 * Recent drops, in contrast to the counters, which only increase. There are two snapshots of the counters; the older one is one to two intervals old.
 */
export class DropHistory {
  readonly #read: () => Promise<Rows>;
  readonly #nowMs: () => number;
  #older: Snapshot;
  #newer: Snapshot | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(read: () => Promise<Rows>, nowMs: () => number = () => performance.now()) {
    this.#read = read;
    this.#nowMs = nowMs;
    this.#older = { atMs: nowMs(), rows: new Map() };
  }

  start(): void {
    // The kernel may fail to answer, for example while a TAP is being deleted. The next snapshot is then tried as usual, and the existing ones stay.
    this.#timer = setInterval(() => void this.take().catch(() => {}), DROP_SNAPSHOT_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Takes a snapshot and forgets the oldest one. */
  async take(): Promise<void> {
    const rows = await this.#read();
    if (this.#newer) this.#older = this.#newer;
    this.#newer = { atMs: this.#nowMs(), rows };
  }

  /** What was dropped since the older snapshot. */
  async recent(): Promise<RecentDrops> {
    const { atMs, rows: before } = this.#older;
    const grown = new Map<number, { count: number; vnis: { vni: Vni; count: number }[] }>();
    for (const [vni, row] of await this.#read()) {
      for (const [reason, total] of row.entries()) {
        const count = total - (before.get(vni)?.[reason] ?? 0);
        if (count <= 0) continue;
        const drop = grown.get(reason) ?? { count: 0, vnis: [] };
        drop.count += count;
        if (vni) drop.vnis.push({ vni, count });
        grown.set(reason, drop);
      }
    }
    const drops = [...grown].map(([number, { count, vnis }]): RecentDrop => {
      const isRx = number < RX_NAMES.length;
      const reason = (isRx ? RX_NAMES[number] : TX_NAMES[number - RX_NAMES.length]) as string;
      const most = vnis.sort((a, b) => b.count - a.count);
      return { direction: isRx ? 'rx' : 'tx', reason, count, vnis: most.map(({ vni }) => droppingVni(vni)) };
    });
    return { seconds: Math.max(1, Math.round((this.#nowMs() - atMs) / 1000)), drops };
  }
}

function droppingVni(of: Vni): DroppingVni {
  const { vni, tap, vlan, l2Control } = of.config;
  const troubles = of.underlays.map(({ sourceTrouble, interfaceTrouble }) => sourceTrouble ?? interfaceTrouble);
  const underlayTrouble = troubles.find((trouble) => trouble !== undefined);
  return { vni, tap, vlan, l2Control, tapNow: seenTap(of), elsewhere: of.elsewhere, underlayTrouble };
}

/** The parts that count drops, and the parts that the drops belong to. */
interface CountedParts {
  readonly vnis: Pick<Vnis, 'list'>;
  readonly workers: Pick<WorkerPool, 'counters'>;
  readonly underlays: Pick<Underlays, 'dropped'>;
}

/** The counters of a running VTEP as they are now. */
export async function readDropRows(
  { vnis: { list: vnis }, workers, underlays }: CountedParts,
  netlink: NetlinkSocket,
): Promise<Rows> {
  const rows = new Map<Vni | undefined, Row>();
  const add = (vni: Vni | undefined, segment: number, [rxLost, txLost]: readonly [number, number]) => {
    const row = new Float64Array(RX_NAMES.length + TX_NAMES.length);
    for (const each of workers.counters) {
      const { rx, tx } = each.drops(segment);
      for (const [reason, count] of rx.entries()) row[reason] = (row[reason] as number) + count;
      for (const [reason, count] of tx.entries()) {
        row[RX_NAMES.length + reason] = (row[RX_NAMES.length + reason] as number) + count;
      }
    }
    row[RX_NAMES.length - 1] = rxLost;
    row[row.length - 1] = txLost;
    if (row.some((count) => count > 0)) rows.set(vni, row);
  };
  // Frames that the kernel lost at the trunk belong to no single VNI.
  const trunk = vnis.find(({ config, link }) => config.vlan !== undefined && link)?.tap;
  add(undefined, NO_SEGMENT, [underlays.dropped, trunk ? tapOverrun(trunk, findLink(netlink, trunk.link.index)) : 0]);
  for (const [i, vni] of [...vnis].entries()) {
    if (i % SLICE_VNIS === SLICE_VNIS - 1) await setImmediate();
    const { tap, link, config } = vni;
    const hasOwnTap = config.vlan === undefined && link !== undefined;
    add(vni, vni.index, [0, hasOwnTap ? tapOverrun(tap, findLink(netlink, tap.link.index)) : 0]);
  }
  return rows;
}
