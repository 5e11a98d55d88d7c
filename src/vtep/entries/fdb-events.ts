import type { FdbListener } from '../../api/daemon-view.ts';
import { lostEvents } from '../../api/lost-events.ts';
import type { FdbEvent } from '../../api/schemas.ts';
import { AT_LOCAL, CONTROL_EVENT, EVENT_KIND, FROM_LOCAL, HAS_FROM, STATIC_EVENT } from '../../fdb/event-ring.ts';
import type { Fdb } from '../../fdb/fdb.ts';
import { EVENT } from '../../fdb/layout.ts';
import { LockTimeout } from '../../fdb/lock.ts';
import { formatIp, formatMac, type IpAddress } from '../../lib/addresses.ts';
import type { Logger } from '../../observe/log.ts';
import { ENTRY_TYPE } from './entry-type.ts';
import { FlapLog } from './flap-log.ts';

/** Maximum delay until a change is reported, while changes are few. */
const LOOK_MS = 100;

/** Events of one slice: converting them to text holds the event loop for about a millisecond. */
const SLICE_EVENTS = 512;

const KIND_MASK = 0xff;

const NAMES: Readonly<Record<number, 'add' | 'move' | 'age' | 'delete' | undefined>> = {
  [EVENT_KIND.added]: 'add',
  [EVENT_KIND.moved]: 'move',
  [EVENT_KIND.aged]: 'age',
  [EVENT_KIND.deleted]: 'delete',
};

interface Watch {
  readonly listener: FdbListener;
  /** Number of the first event for this listener. */
  readonly from: number;
}

/**
 * Follows the events of the FDB. Reports changes to listeners, and MACs that flap to the log. Events are converted to text only while there are
 * listeners.
 */
export class FdbEvents {
  readonly #fdb: Fdb;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #flaps: FlapLog;
  readonly #watches = new Set<Watch>();
  readonly #slice = new Int32Array(SLICE_EVENTS * EVENT.words);
  /** Number of the first event that was not read yet. */
  #next: number;
  #timer: NodeJS.Timeout | undefined;
  #lost = 0;

  constructor(fdb: Fdb, now: () => number, log: Logger) {
    this.#fdb = fdb;
    this.#now = now;
    this.#log = log;
    this.#flaps = new FlapLog(log, now);
    this.#next = fdb.nextEvent;
  }

  start(): void {
    this.#timer = setTimeout(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Reports all later events to the listener, until the returned function is called. */
  watch(listener: FdbListener): () => void {
    const watch = { listener, from: this.#fdb.nextEvent };
    this.#watches.add(watch);
    return () => this.#watches.delete(watch);
  }

  /** Changes that were overwritten before they were read. */
  get lost(): number {
    return this.#lost;
  }

  /** Reports everything that has happened so far. */
  tell(): void {
    while (this.#tellSlice());
  }

  #look(): void {
    const isMore = this.#tellSlice();
    this.#flaps.flush();
    this.#timer = setTimeout(() => this.#look(), isMore ? 0 : LOOK_MS);
  }

  /** Returns whether there may be more. */
  #tellSlice(): boolean {
    if (this.#fdb.nextEvent === this.#next) return false;
    try {
      const { lost, count } = this.#fdb.copyEvents(this.#next, this.#slice);
      this.#lost += lost;
      if (lost > 0) this.#tellWatches([lostEvents(lost)], this.#next, lost);
      const first = (this.#next + lost) | 0;
      this.#next = (first + count) | 0;
      for (let i = 0; i < count; i++) this.#logFlap(i * EVENT.words);
      if (this.#watches.size > 0) this.#tellEvents(first, count);
      return count === SLICE_EVENTS;
    } catch (error) {
      // The owner of the lock died. The event loop reports its end next, and the lock is then freed.
      if (!(error instanceof LockTimeout)) throw error;
      this.#log.warn({ event: 'fdb-locked', err: error });
      return false;
    }
  }

  #tellEvents(first: number, count: number): void {
    // The clock of the FDB and the system clock may drift apart, so their difference is computed anew here.
    const epochMs = Date.now() - this.#now() * 100;
    const events: FdbEvent[] = [];
    const numbers: number[] = [];
    for (let i = 0; i < count; i++) {
      const event = this.#read(i * EVENT.words, epochMs);
      if (!event) continue;
      events.push(event);
      numbers.push((first + i) | 0);
    }
    for (const { listener, from } of this.#watches) {
      const start = numbers.findIndex((number) => ((number - from) | 0) >= 0);
      if (start >= 0) listener(start === 0 ? events : events.slice(start));
    }
  }

  /** @param first number of the first event that is lost */
  #tellWatches(events: readonly FdbEvent[], first: number, count: number): void {
    for (const { listener, from } of this.#watches) if (((first + count - from) | 0) > 0) listener(events);
  }

  #read(at: number, epochMs: number): FdbEvent | undefined {
    const words = this.#slice;
    const kind = words[at + EVENT.macLowAndKind] as number;
    if ((kind & KIND_MASK) === EVENT_KIND.repaired) return lostEvents(1);
    const event = NAMES[kind & KIND_MASK];
    if (!event) return undefined;
    const tenths = Math.round(epochMs / 100) + (words[at + EVENT.time] as number);
    return {
      time: new Date(tenths * 100).toISOString(),
      event,
      vni: words[at + EVENT.vni] as number,
      mac: formatMac(words[at + EVENT.macHigh] as number, kind >>> 16),
      vtep: this.#vtep(at),
      from: (kind & HAS_FROM) !== 0 ? this.#from(at) : null,
      type: ENTRY_TYPE[(kind & STATIC_EVENT) !== 0 ? 'static' : (kind & CONTROL_EVENT) !== 0 ? 'control' : 'learned'],
    };
  }

  #logFlap(at: number): void {
    const words = this.#slice;
    const kind = words[at + EVENT.macLowAndKind] as number;
    if ((kind & KIND_MASK) !== EVENT_KIND.held) return;
    this.#flaps.add({
      vni: words[at + EVENT.vni] as number,
      mac: formatMac(words[at + EVENT.macHigh] as number, kind >>> 16),
      vteps: [this.#vtep(at), this.#from(at)],
    });
  }

  #vtep(at: number): IpAddress | 'local' {
    return this.#has(at, AT_LOCAL) ? 'local' : this.#address(at + EVENT.at);
  }

  #from(at: number): IpAddress | 'local' {
    return this.#has(at, FROM_LOCAL) ? 'local' : this.#address(at + EVENT.from);
  }

  #has(at: number, flag: number): boolean {
    return ((this.#slice[at + EVENT.macLowAndKind] as number) & flag) !== 0;
  }

  #address(at: number): IpAddress {
    const octets = Buffer.alloc(16);
    for (let word = 0; word < 4; word++) octets.writeInt32BE(this.#slice[at + word] as number, word * 4);
    return formatIp(octets);
  }
}
