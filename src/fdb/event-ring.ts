import { MAX_FDB_EVENTS } from '../lib/limits.ts';
import { EVENT, type FdbMemory, HEADER, SEGMENT } from './layout.ts';
import { LOCAL, NO_REMOTE, type RemoteTable } from './remotes.ts';

/** The kinds of events. */
export const EVENT_KIND = {
  added: 1,
  /** The MAC was elsewhere before. */
  moved: 2,
  /** It expired: no frame came from the MAC for the ageing time. */
  aged: 3,
  /** On request, or evicted at a limit. */
  deleted: 4,
  /** It moved too often and is held at its place. `from` is the place where it was heard now. */
  held: 5,
  /** A thread died in the middle of a change, which was then undone or has no event. */
  repaired: 6,
} as const;

/**
 * Bits beside the kind: the entry is static; `from` is valid; the entry is behind the own TAP; it was behind the own TAP (which has no address); a
 * control plane placed the entry.
 */
export const STATIC_EVENT = 1 << 8;
export const HAS_FROM = 1 << 9;
export const AT_LOCAL = 1 << 10;
export const FROM_LOCAL = 1 << 11;
export const CONTROL_EVENT = 1 << 12;

const SLOT_MASK = MAX_FDB_EVENTS - 1;

/**
 * Changes of the FDB, in order. Writers fill the ring under the lock that a change holds anyway. One reader keeps the number of the next event that
 * it has not read. The oldest events are overwritten; the numbers show how many. An event has addresses instead of ids, and the VNI instead of the
 * segment number, so that it stays valid when ids and numbers are reused.
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

  /**
   * Lock held. @param at the place of the entry: LOCAL or a remote id @param from the same, or NO_REMOTE @param kind one of EVENT_KIND, perhaps with
   * STATIC_EVENT or CONTROL_EVENT
   */
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
   * Copies the oldest events from number `from` on, as many as fit. Lock held, so that none is overwritten meanwhile.
   *
   * @returns how many earlier ones were overwritten, and how many were copied
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
