import { CONTROL_EVENT, EVENT_KIND, type EventRing, STATIC_EVENT } from './event-ring.ts';
import type { Fairness } from './fairness.ts';
import type { Flapping } from './flapping.ts';
import { LOCAL, NO_REMOTE, type RemoteTable } from './remotes.ts';
import type { SegmentCounts } from './segment-counts.ts';
import { CONTROL, DYNAMIC, type EntryTable, NO_ENTRY, STATIC } from './table.ts';

/** The parts of the forwarding database. */
export interface Parts {
  readonly table: EntryTable;
  readonly remotes: RemoteTable;
  readonly fairness: Fairness;
  readonly flapping: Flapping;
  readonly counts: SegmentCounts;
  readonly events: EventRing;
}

/** The key of an entry. */
export interface SegmentMac {
  readonly segment: number;
  readonly high: number;
  readonly low: number;
}

/**
 * All changes of entries are made here, because each change keeps the table, the remotes, the fairness lists, the counts and the events consistent.
 * Other classes decide when to make a change. All methods are called with the lock of the FDB held.
 */
export class EntryChanges {
  readonly #table: EntryTable;
  readonly #remotes: RemoteTable;
  readonly #fairness: Fairness;
  readonly #flapping: Flapping;
  readonly #counts: SegmentCounts;
  readonly #events: EventRing;

  constructor({ table, remotes, fairness, flapping, counts, events }: Parts) {
    this.#table = table;
    this.#remotes = remotes;
    this.#fairness = fairness;
    this.#flapping = flapping;
    this.#counts = counts;
    this.#events = events;
  }

  /**
   * Creates an entry for a MAC that has none, and reports it.
   *
   * @param bits as returned by `EntryTable.bitsOf`
   * @param replaced the remote of the entry that was just removed; NO_REMOTE if there was none
   * @returns whether there was room
   */
  add({ segment, high, low }: SegmentMac, remote: number, bits: number, now: number, replaced = NO_REMOTE): boolean {
    const entry = this.#table.insert({ segment, high, low, remote, bits, now });
    if (entry === NO_ENTRY) return false;
    const kind = this.#table.kindOf(entry);
    this.#remotes.retain(remote);
    if (kind === DYNAMIC) this.#fairness.add(entry, segment, remote);
    this.#counts.add(segment, kind, remote, 1);
    this.tell(entry, EVENT_KIND.added, replaced, now);
    return true;
  }

  /** Changes the remote or the kind of an entry. The caller reports it. @param moves number of moves after this change */
  change(entry: number, remote: number, bits: number, moves: number, now: number): void {
    const table = this.#table;
    const [segment, from, was] = [table.segmentOf(entry), table.remoteOf(entry), table.kindOf(entry)];
    if (was === DYNAMIC) this.#fairness.remove(entry);
    this.#remotes.release(from, now);
    table.update(entry, { remote, bits, moves, now });
    this.#remotes.retain(remote);
    const kind = table.kindOf(entry);
    if (kind === DYNAMIC) this.#fairness.add(entry, segment, remote);
    if (kind !== was) this.#counts.changeKind(segment, was, kind);
    if (from === remote) return;
    this.#counts.addLocal(segment, from, -1);
    this.#counts.addLocal(segment, remote, 1);
  }

  /** Removes an entry and reports it. An expired entry is reported as aged, whatever removed it. Returns whether it was alive. */
  drop(entry: number, now: number): boolean {
    const isAlive = this.#table.isAlive(entry, now);
    this.tell(entry, isAlive ? EVENT_KIND.deleted : EVENT_KIND.aged, NO_REMOTE, now);
    this.remove(entry, now);
    return isAlive;
  }

  /** Removes an entry. The caller reports it. */
  remove(entry: number, now: number): void {
    const segment = this.#table.segmentOf(entry);
    const remote = this.#table.remoteOf(entry);
    const kind = this.#table.kindOf(entry);
    if (kind === DYNAMIC) this.#fairness.remove(entry);
    this.#table.remove(entry);
    this.#remotes.release(remote, now);
    this.#counts.add(segment, kind, remote, -1);
  }

  /** @param event one of EVENT_KIND @param from the previous remote, or NO_REMOTE */
  tell(entry: number, event: number, from: number, now: number): void {
    const table = this.#table;
    const kind = table.kindOf(entry);
    const owner = kind === STATIC ? STATIC_EVENT : kind === CONTROL ? CONTROL_EVENT : 0;
    const segment = table.segmentOf(entry);
    this.#events.append(
      event | owner,
      segment,
      table.macHighOf(entry),
      table.macLowOf(entry),
      table.remoteOf(entry),
      from,
      now,
    );
  }

  /** Rebuilds everything that depends on the entries, after a writer died in the middle of a change. */
  rebuild(): void {
    this.#table.rebuild();
    this.#remotes.rebuild();
    this.#fairness.clear();
    this.#counts.clear();
    for (let entry = 0; entry < this.#table.end; entry++) this.#addAgain(entry);
    this.#events.append(EVENT_KIND.repaired, 0, 0, 0, LOCAL, NO_REMOTE, 0);
  }

  #addAgain(entry: number): void {
    const kind = this.#table.kindOf(entry);
    if (kind === 0) return;
    const segment = this.#table.segmentOf(entry);
    const remote = this.#table.remoteOf(entry);
    this.#remotes.retain(remote);
    this.#counts.add(segment, kind, remote, 1);
    if (kind === DYNAMIC) this.#fairness.add(entry, segment, remote);
    this.#flapping.forget(entry, this.#table.movesOf(entry));
  }
}
