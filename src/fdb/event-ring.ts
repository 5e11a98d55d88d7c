import { MAX_FDB_EVENTS } from '../lib/limits.ts';
import { EVENT, type FdbMemory, HEADER, SEGMENT } from './layout.ts';
import { LOCAL, NO_REMOTE, type RemoteTable } from './remotes.ts';

/** What happened to an entry. */
export const EVENT_KIND = {
  added: 1,
  /** It was elsewhere before. */
  moved: 2,
  /** It expired: nothing was heard of the MAC for the ageing time. */
  aged: 3,
  /** Asked for, or evicted at a limit. */
  deleted: 4,
  /** It moved too often and is held where it is; `from` is where it was heard now. */
  held: 5,
  /** A thread died in the middle of a change, which was then undone or was not told. */
  repaired: 6,
} as const;

/**
 * Bits beside the kind: the entry is static; `from` says something; the entry is behind the own TAP; it was there (no address says that);
 * a control plane placed the entry.
 */
export const STATIC_EVENT = 1 << 8;
export const HAS_FROM = 1 << 9;
export const AT_LOCAL = 1 << 10;
export const FROM_LOCAL = 1 << 11;
export const CONTROL_EVENT = 1 << 12;

const SLOT_MASK = MAX_FDB_EVENTS - 1;

/**
 * What changed in the FDB, in order: a ring that its writers fill under the lock that a change holds anyway, and that one reader follows by
 * the number of the next event it has not seen. The oldest are overwritten; the numbers tell how many. An event has addresses, not
 * ids, and the VNI, not the segment's number, so that it can be read when those are somebody else's.
 */
export class EventRing {
  readonly #header: Int32Array;
  readonly #events: Int32Array;
  readonly #segments: Int32Array;
  readonly #remotes: RemoteTable;

  constructor(memory: FdbMemory, remotes: RemoteTable) {
    this.#header = memory.header;
    this.#events = memory.events;
    this.#segments = memory.segments;
    this.#remotes = remotes;
  }

  /** Lock held. @param at where the entry is: LOCAL or a remote id @param from likewise, or NO_REMOTE @param kind one of EVENT_KIND, perhaps with STATIC_EVENT or CONTROL_EVENT */
  append(kind: number, segment: number, high: number, low: number, at: number, from: number, now: number): void {
    const events = this.#events;
    const number = this.next;
    const slot = (number & SLOT_MASK) * EVENT.words;
    const places =
      (at === LOCAL ? AT_LOCAL : 0) | (from === NO_REMOTE ? 0 : HAS_FROM) | (from === LOCAL ? FROM_LOCAL : 0);
    events[slot + EVENT.macLowAndKind] = (low << 16) | kind | places;
    events[slot + EVENT.macHigh] = high;
    events[slot + EVENT.vni] = this.#segments[segment * SEGMENT.words + SEGMENT.vni] as number;
    events[slot + EVENT.time] = now;
    this.#writeAddress(slot + EVENT.at, at);
    this.#writeAddress(slot + EVENT.from, from);
    Atomics.store(this.#header, HEADER.events, number + 1);
  }

  /** Number of the next event, 32 bits that wrap. Needs no lock. */
  get next(): number {
    return Atomics.load(this.#header, HEADER.events);
  }

  /**
   * Copies the oldest events that are there from number `from` on, as many as fit. Lock held, so that none is overwritten meanwhile.
   *
   * @returns how many before them are overwritten, and how many were copied
   */
  copy(from: number, into: Int32Array): { readonly lost: number; readonly count: number } {
    const behind = (this.next - from) >>> 0;
    const lost = Math.max(0, behind - MAX_FDB_EVENTS);
    const count = Math.min(behind - lost, Math.floor(into.length / EVENT.words));
    const first = (from + lost) & SLOT_MASK;
    const upToEnd = Math.min(count, MAX_FDB_EVENTS - first);
    into.set(this.#events.subarray(first * EVENT.words, (first + upToEnd) * EVENT.words));
    into.set(this.#events.subarray(0, (count - upToEnd) * EVENT.words), upToEnd * EVENT.words);
    return { lost, count };
  }

  #writeAddress(at: number, remote: number): void {
    for (let word = 0; word < 4; word++) {
      this.#events[at + word] = remote <= LOCAL ? 0 : this.#remotes.word(remote, word);
    }
  }
}
