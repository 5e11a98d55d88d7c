import type { LocalMac, Stations } from '../../control/control-plane.ts';
import { AT_LOCAL, EVENT_KIND, FROM_LOCAL, STATIC_EVENT } from '../../fdb/event-ring.ts';
import type { EntryView, Fdb } from '../../fdb/fdb.ts';
import { EVENT } from '../../fdb/layout.ts';
import { LOCAL } from '../../fdb/remotes.ts';
import { formatMac, type MacAddress } from '../../lib/addresses.ts';
import type { Logger } from '../../observe/log.ts';
import { SliceLoop } from './slice-loop.ts';

/** Work of one slice: so many events are read, so many records looked at, and MACs told of after a walk until they are so many. */
const SLICE_EVENTS = 1_024;
const SLICE_RECORDS = 2_000;
const SLICE_TOLD = 4_096;

const KIND_MASK = 0xff;

/** What holds of a MAC after an event: it is behind the own TAP, or it is gone. */
type Holds = LocalMac | { readonly mac: MacAddress; readonly origin: 'gone' };

/** Of one VNI. Each MAC is in a batch once at most. */
export type LocalMacBatch = Omit<Stations, 'neighbours'>;

export type LocalMacListener = (batch: LocalMacBatch) => void;

export interface LocalMacsOptions {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  readonly log: Logger;
  /** The VNIs that there are. */
  readonly vnis: () => readonly number[];
}

interface Watch {
  readonly listener: LocalMacListener;
  /** Whether it was told the whole of all VNIs, and is told of changes. */
  isCurrent: boolean;
}

/** By VNI, then by the 48 bits of the MAC. */
type ByVni<Each> = Map<number, Map<number, Each>>;

/** A walk over the FDB, and the telling of what it found. */
interface Walk {
  /** Those whom it is for. */
  readonly watches: Set<Watch>;
  readonly found: ByVni<LocalMac>;
  /** The record that it has come to; undefined once it has seen all. */
  from: number | undefined;
  /** VNIs that are still to be told. */
  left: Set<number>;
}

/**
 * Tells of the MACs behind the own TAP: each listener first of all that there are, VNI by VNI, and then of changes. What is told of a MAC is what
 * holds after the changes that were read so far; a later batch says what changed since. Events of the FDB tell of changes. When some are lost,
 * every listener is told the whole again, but not of VNIs that have gone: a listener forgets those by itself.
 *
 * A walk takes many slices, and the FDB changes meanwhile. Events that are read during the walk are applied to what it found. They come in
 * order, so that the last of a MAC tells the truth, unless the walk looked at the MAC later, and then the walk does.
 *
 * Also told as gone is a MAC whose static entry has gone, wherever that placed it: it held the MAC against control planes.
 *
 * Costs nothing while nobody listens. The MACs of the TAP and of its bridge are told like all others.
 */
export class LocalMacs {
  readonly #options: LocalMacsOptions;
  readonly #loop: SliceLoop;
  readonly #watches = new Set<Watch>();
  readonly #events = new Int32Array(SLICE_EVENTS * EVENT.words);
  /** Number of the first event that was not read. */
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

  /** Tells the listener the whole of each VNI, then of changes, until the function that it returns is called. */
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

  /** Tells nobody anything more. */
  stop(): void {
    this.#watches.clear();
    this.#walk?.watches.clear();
    this.#walk = undefined;
    this.#loop.stop();
  }

  /** Reads some events, and takes a walk that is under way a step further. Whether there may be more to do. @throws LockTimeout */
  slice(): boolean {
    if (this.#watches.size === 0) return false;
    const isBehind = this.#readEvents();
    this.#walk ??= this.#newWalk();
    if (this.#walk === undefined) return isBehind;
    if (this.#walk.from !== undefined) this.#lookOn(this.#walk, this.#walk.from);
    else this.#tellSome(this.#walk);
    return true;
  }

  /** Whether there may be more of them. */
  #readEvents(): boolean {
    const { lost, count } = this.#options.fdb.copyEvents(this.#next, this.#events);
    this.#next = (this.#next + lost + count) | 0;
    if (lost > 0) this.#startAgain();
    const changes: ByVni<Holds> = new Map();
    for (let at = 0; at < count * EVENT.words; at += EVENT.words) {
      const words = this.#events;
      const kind = words[at + EVENT.macLowAndKind] as number;
      // A change was not told, or was told and undone. What was read before it does not count any more.
      if ((kind & KIND_MASK) === EVENT_KIND.repaired) this.#startAgain();
      const origin = originAfter(kind);
      if (!origin) continue;
      const [high, low] = [words[at + EVENT.macHigh] as number, kind >>> 16];
      macsOf(changes, words[at + EVENT.vni] as number).set(keyOf(high, low), { mac: formatMac(high, low), origin });
    }
    for (const [vni, macs] of changes) this.#apply(vni, macs);
    return count === SLICE_EVENTS;
  }

  /** Nobody can be told of changes only: all are told the whole. */
  #startAgain(): void {
    for (const watch of this.#watches) watch.isCurrent = false;
    this.#walk = undefined;
  }

  /** Undefined: nobody needs one. */
  #newWalk(): Walk | undefined {
    const watches = new Set([...this.#watches].filter(({ isCurrent }) => !isCurrent));
    return watches.size === 0 ? undefined : { watches, found: new Map(), from: 0, left: new Set() };
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
    }
    const here: LocalMac[] = [];
    const gone: MacAddress[] = [];
    for (const holds of macs.values()) {
      if (holds.origin === 'gone') gone.push(holds.mac);
      else here.push(holds);
    }
    const batch = { vni, isWhole: false, here, gone };
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
    let told = 0;
    for (const vni of walk.left) {
      walk.left.delete(vni);
      const here = [...(walk.found.get(vni)?.values() ?? [])];
      walk.found.delete(vni);
      for (const { listener } of walk.watches) listener({ vni, isWhole: true, here, gone: [] });
      told += 1 + here.length;
      if (told >= SLICE_TOLD) break;
    }
    if (walk.left.size > 0 || this.#walk !== walk) return;
    for (const watch of walk.watches) watch.isCurrent = true;
    this.#walk = undefined;
  }
}

/** @returns undefined: the MAC neither is nor was behind the own TAP, and no static entry has gone */
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

function macsOf<Each>(all: ByVni<Each>, vni: number): Map<number, Each> {
  const known = all.get(vni);
  if (known) return known;
  const macs = new Map<number, Each>();
  all.set(vni, macs);
  return macs;
}
