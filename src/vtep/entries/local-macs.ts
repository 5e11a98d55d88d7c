import type { LocalMac, Stations } from '../../control/control-plane.ts';
import { AT_LOCAL, EVENT_KIND, FROM_LOCAL, STATIC_EVENT } from '../../fdb/event-ring.ts';
import type { EntryView, Fdb } from '../../fdb/fdb.ts';
import { EVENT } from '../../fdb/layout.ts';
import { LOCAL } from '../../fdb/remotes.ts';
import { formatMac, type MacAddress } from '../../lib/addresses.ts';
import type { Logger } from '../../observe/log.ts';
import { SliceLoop } from './slice-loop.ts';

/** Work of one slice: the number of events that are read, of records that are examined, and of MACs that are reported after a walk. */
const SLICE_EVENTS = 1_024;
const SLICE_RECORDS = 2_000;
const SLICE_TOLD = 4_096;

const KIND_MASK = 0xff;

/** The state of a MAC after an event: it is behind the own TAP, or it is gone. */
type Holds = LocalMac | { readonly mac: MacAddress; readonly origin: 'gone' };

/** A batch of one VNI. Each MAC is in a batch at most once, and a full state comes in batches of at most SLICE_TOLD MACs. */
export type LocalMacBatch = Omit<Stations, 'neighbours'>;

export type LocalMacListener = (batch: LocalMacBatch) => void;

export interface LocalMacsOptions {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  readonly log: Logger;
  /** The existing VNIs. */
  readonly vnis: () => readonly number[];
  /** MACs of full states that are reported in one slice. */
  readonly toldAtOnce?: number;
}

interface Watch {
  readonly listener: LocalMacListener;
  /** Whether the listener has the full state of all VNIs, and now receives changes. */
  isCurrent: boolean;
}

/** By VNI, then by the 48 bits of the MAC. */
type ByVni<Each> = Map<number, Map<number, Each>>;

/** A walk over the FDB, and the reports of its result. */
interface Walk {
  /** The listeners that the walk is for. */
  readonly watches: Set<Watch>;
  readonly found: ByVni<LocalMac>;
  /** The next record to examine. undefined: all records were examined. */
  from: number | undefined;
  /** VNIs that are not reported yet. */
  left: Set<number>;
  /** The VNI that is being reported: `found` has the MACs that were not reported yet. */
  telling: number | undefined;
}

/**
 * Reports the MACs behind the own TAP. Each listener first receives all present MACs, VNI by VNI in one or more batches, and then changes. A report gives the state of a MAC
 * after the changes that were read so far. A later batch gives what changed since. Changes come from the events of the FDB. When events are lost,
 * every listener receives the full state again, but not for deleted VNIs: a listener forgets those by itself.
 *
 * A walk takes many slices, and the FDB changes meanwhile. Events that are read during the walk are applied to its result. Events arrive in order, so
 * the last event of a MAC is correct. If the walk examined the MAC later, the walk is correct.
 *
 * A MAC whose static entry was deleted is also reported as gone, wherever the entry placed it: the static entry had precedence over control planes.
 *
 * Without listeners this costs nothing. The MACs of the TAP and of its bridge are reported like all others.
 */
export class LocalMacs {
  readonly #options: LocalMacsOptions;
  readonly #loop: SliceLoop;
  readonly #watches = new Set<Watch>();
  readonly #events = new Int32Array(SLICE_EVENTS * EVENT.words);
  /** Number of the first event that was not read yet. */
  #next = 0;
  #walk: Walk | undefined;

  constructor(options: LocalMacsOptions) {
    this.#options = options;
    const { fdb, log } = options;
    this.#loop = new SliceLoop(
      {
        changes: () => fdb.localChanges,
        change: (seen, patienceMs) => fdb.localChange(seen, patienceMs),
        slice: () => this.slice(),
      },
      log,
    );
  }

  /** Reports the full state of each VNI to the listener, then changes, until the returned function is called. */
  watch(listener: LocalMacListener): () => void {
    if (this.#watches.size === 0) this.#next = this.#options.fdb.nextEvent;
    const watch = { listener, isCurrent: false };
    this.#watches.add(watch);
    this.#loop.start();
    return () => {
      this.#watches.delete(watch);
      this.#walk?.watches.delete(watch);
      if (this.#watches.size === 0) this.stop();
    };
  }

  /** Stops all reports. */
  stop(): void {
    this.#watches.clear();
    this.#walk?.watches.clear();
    this.#walk = undefined;
    this.#loop.stop();
  }

  /** Reads some events, and continues a walk. Returns whether there may be more to do. @throws LockTimeout */
  slice(): boolean {
    if (this.#watches.size === 0) return false;
    const isBehind = this.#readEvents();
    this.#walk ??= this.#newWalk();
    if (this.#walk === undefined) return isBehind;
    if (this.#walk.from !== undefined) this.#lookOn(this.#walk, this.#walk.from);
    else this.#tellSome(this.#walk);
    return true;
  }

  /** Returns whether there may be more events. */
  #readEvents(): boolean {
    const { lost, count } = this.#options.fdb.copyEvents(this.#next, this.#events);
    this.#next = (this.#next + lost + count) | 0;
    if (lost > 0) this.#startAgain();
    const changes: ByVni<Holds> = new Map();
    for (let at = 0; at < count * EVENT.words; at += EVENT.words) {
      const words = this.#events;
      const kind = words[at + EVENT.macLowAndKind] as number;
      // A change has no event, or was reported and then undone. What was read before is not valid any more.
      if ((kind & KIND_MASK) === EVENT_KIND.repaired) this.#startAgain();
      const origin = originAfter(kind);
      if (!origin) continue;
      const [high, low] = [words[at + EVENT.macHigh] as number, kind >>> 16];
      macsOf(changes, words[at + EVENT.vni] as number).set(keyOf(high, low), { mac: formatMac(high, low), origin });
    }
    for (const [vni, macs] of changes) this.#apply(vni, macs);
    return count === SLICE_EVENTS;
  }

  /** Changes alone are not enough any more: all listeners receive the full state again. */
  #startAgain(): void {
    for (const watch of this.#watches) watch.isCurrent = false;
    this.#walk = undefined;
  }

  /** undefined: no listener needs a walk. */
  #newWalk(): Walk | undefined {
    const watches = new Set([...this.#watches].filter(({ isCurrent }) => !isCurrent));
    return watches.size === 0 ? undefined : { watches, found: new Map(), from: 0, left: new Set(), telling: undefined };
  }

  #apply(vni: number, macs: ReadonlyMap<number, Holds>): void {
    const walk = this.#walk;
    const isToBeTold = walk !== undefined && (walk.from !== undefined || walk.left.has(vni));
    if (isToBeTold) {
      const found = macsOf(walk.found, vni);
      for (const [key, holds] of macs) {
        if (holds.origin === 'gone') found.delete(key);
        else found.set(key, holds);
      }
    } else if (walk?.telling === vni) {
      // These MACs are reported now, not as parts of the full state.
      for (const key of macs.keys()) walk.found.get(vni)?.delete(key);
    }
    const here: LocalMac[] = [];
    const gone: MacAddress[] = [];
    for (const holds of macs.values()) {
      if (holds.origin === 'gone') gone.push(holds.mac);
      else here.push(holds);
    }
    const batch = { vni, isWhole: false, endsWhole: false, here, gone };
    for (const watch of this.#watches) {
      if (watch.isCurrent || (!isToBeTold && walk?.watches.has(watch))) watch.listener(batch);
    }
  }

  #lookOn(walk: Walk, from: number): void {
    const { fdb, now, vnis } = this.#options;
    const visit = ({ segment, high, low, remote, kind }: EntryView) => {
      if (remote !== LOCAL || kind === 'control') return;
      macsOf(walk.found, fdb.vniOf(segment)).set(keyOf(high, low), { mac: formatMac(high, low), origin: kind });
    };
    const next = fdb.forEachSlice(from, SLICE_RECORDS, visit, now());
    walk.from = next === 0 ? undefined : next;
    if (next === 0) walk.left = new Set(vnis());
  }

  #tellSome(walk: Walk): void {
    const { toldAtOnce = SLICE_TOLD } = this.#options;
    for (let told = 0; told < toldAtOnce; told++) {
      const isWhole = walk.telling === undefined;
      const [vni] = isWhole ? walk.left : [walk.telling as number];
      if (vni === undefined) break;
      walk.left.delete(vni);
      const found = macsOf(walk.found, vni);
      const here = takeSome(found, toldAtOnce - told);
      const endsWhole = found.size === 0;
      walk.telling = endsWhole ? undefined : vni;
      if (endsWhole) walk.found.delete(vni);
      for (const { listener } of walk.watches) listener({ vni, isWhole, endsWhole, here, gone: [] });
      told += here.length;
    }
    if (walk.left.size > 0 || walk.telling !== undefined || this.#walk !== walk) return;
    for (const watch of walk.watches) watch.isCurrent = true;
    this.#walk = undefined;
  }
}

/** @returns undefined: the MAC is not and was not behind the own TAP, and no static entry was deleted */
function originAfter(kind: number): Holds['origin'] | undefined {
  const isAtLocal = (kind & AT_LOCAL) !== 0;
  const isStatic = (kind & STATIC_EVENT) !== 0;
  switch (kind & KIND_MASK) {
    case EVENT_KIND.added:
    case EVENT_KIND.moved:
      if (isAtLocal) return isStatic ? 'static' : 'learned';
      return (kind & FROM_LOCAL) !== 0 ? 'gone' : undefined;
    case EVENT_KIND.aged:
    case EVENT_KIND.deleted:
      return isAtLocal || isStatic ? 'gone' : undefined;
    default:
      return undefined;
  }
}

function keyOf(high: number, low: number): number {
  return (high >>> 0) * 0x1_0000 + low;
}

/** Takes at most `most` values out. */
function takeSome<Each>(macs: Map<number, Each>, most: number): Each[] {
  const taken: Each[] = [];
  for (const [key, each] of macs) {
    if (taken.length === most) break;
    taken.push(each);
    macs.delete(key);
  }
  return taken;
}

function macsOf<Each>(all: ByVni<Each>, vni: number): Map<number, Each> {
  const known = all.get(vni);
  if (known) return known;
  const macs = new Map<number, Each>();
  all.set(vni, macs);
  return macs;
}
