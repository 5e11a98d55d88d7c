import { MAX_HASH_PROBES } from '../lib/limits.ts';
import { ENTRY, type FdbMemory, HEADER } from './layout.ts';
import { hashWords, RecordIndex, RecordPool } from './records.ts';

/** No entry. */
export const NO_ENTRY = -1;

/** The result of `consistentValue` while the entry is being written. */
export const TORN = -1;

/**
 * Bits of ENTRY.segment above the segment number: the kind of the entry. A free record has none. A stronger kind replaces a weaker one, and never the
 * reverse. The order is static, control, dynamic. The only exception is in `answerAt`.
 */

/** Learned from a frame. It ages, it can be evicted, and it counts in max-macs. */
export const DYNAMIC = 1 << 24;
/** A user configured it. It stays until it is deleted. */
export const STATIC = 1 << 25;
/** A control plane placed it. It stays until it is withdrawn. Never LOCAL. */
export const CONTROL = 1 << 26;
const KINDS = DYNAMIC | STATIC | CONTROL;

/** A bit beside CONTROL: a frame from the own TAP does not move the MAC either (RFC 7432 §15.2). */
export const STICKY = 1 << 27;

const SEGMENT_MASK = 0xff_ffff;

/**
 * The entries themselves: (segment, MAC) to remote. Lookups take no lock. Each entry has a version, odd while it is being written, which is read
 * before and after its words. A change in between makes the lookup miss. Writers hold the lock of the FDB.
 */
export class EntryTable {
  readonly #entries: Int32Array;
  readonly #header: Int32Array;
  readonly #index: RecordIndex;
  readonly #pool: RecordPool;
  readonly #seed: number;

  constructor(memory: FdbMemory) {
    this.#entries = memory.entries;
    this.#header = memory.header;
    this.#seed = memory.header[HEADER.seed] as number;
    this.#index = new RecordIndex(memory.entryIndex, (entry) => this.#hashOf(entry), MAX_HASH_PROBES);
    this.#pool = new RecordPool(
      {
        header: memory.header,
        free: HEADER.entriesFree,
        used: HEADER.entriesUsed,
        records: memory.entries,
        recordWords: ENTRY.words,
        // Not `heard`: a refresh without the lock may still write `heard` when the record is free already.
        linkWord: ENTRY.moves,
      },
      0,
    );
  }

  /**
   * The entry of a MAC, or NO_ENTRY. Without the lock it may miss an entry that is being moved in the index, and the entry may change at any time.
   * Read it with `consistentValue` and the same MAC.
   */
  find(segment: number, high: number, low: number): number {
    const index = this.#index;
    const hash = this.#hash(segment, high, low);
    const end = index.end(hash);
    for (let slot = index.slot(hash); slot !== end; slot = index.next(slot)) {
      const entry = index.at(slot);
      if (entry < 0) return NO_ENTRY;
      const at = entry * ENTRY.words;
      if (
        this.#entries[at + ENTRY.macHigh] === (high | 0) &&
        (this.#entries[at + ENTRY.macLow] as number) >>> 16 === low &&
        ((this.#entries[at + ENTRY.segment] as number) & SEGMENT_MASK) === segment
      ) {
        return entry;
      }
    }
    return NO_ENTRY;
  }

  /**
   * Kind and remote of an entry at one moment, for the MAC that `find` was given: the bits of `bitsOf`, or-ed with the remote id. TORN: the entry is
   * being written, or the record belongs to another MAC now.
   */
  consistentValue(entry: number, segment: number, high: number, low: number): number {
    const entries = this.#entries;
    const at = entry * ENTRY.words;
    const version = Atomics.load(entries, at + ENTRY.version);
    const kindAndSegment = Atomics.load(entries, at + ENTRY.segment);
    const macHigh = Atomics.load(entries, at + ENTRY.macHigh);
    const macLowAndRemote = Atomics.load(entries, at + ENTRY.macLow);
    if ((version & 1) !== 0 || Atomics.load(entries, at + ENTRY.version) !== version) return TORN;
    if ((kindAndSegment & SEGMENT_MASK) !== segment || macHigh !== (high | 0) || macLowAndRemote >>> 16 !== low)
      return TORN;
    const kind = kindAndSegment & ~SEGMENT_MASK;
    return kind === 0 ? TORN : kind | (macLowAndRemote & 0xffff);
  }

  /** Tenths of a second at which a dynamic entry was last heard. */
  heard(entry: number): number {
    return this.#entries[entry * ENTRY.words + ENTRY.heard] as number;
  }

  /** One plain store without a lock. In the worst case, a record that has just become free or another MAC's looks slightly younger. */
  touch(entry: number, now: number): void {
    const at = entry * ENTRY.words + ENTRY.heard;
    if (this.#entries[at] !== now) this.#entries[at] = now;
  }

  /** The ageing time for `isExpired` from now on, in all threads. 0: nothing expires. */
  setAgeing(tenths: number): void {
    this.#header[HEADER.ageingTenths] = tenths;
  }

  /** Whether the ageing time of a learned entry has passed. The sweep may not have removed it yet. */
  isExpired(entry: number, now: number): boolean {
    const ageing = this.#header[HEADER.ageingTenths] as number;
    return ageing !== 0 && now - this.heard(entry) >= ageing;
  }

  /** Whether an entry is in force: a learned one that has not expired, or any other. */
  isAlive(entry: number, now: number): boolean {
    return this.kindOf(entry) !== DYNAMIC || !this.isExpired(entry, now);
  }

  segmentOf(entry: number): number {
    return (this.#entries[entry * ENTRY.words + ENTRY.segment] as number) & SEGMENT_MASK;
  }

  /** DYNAMIC, STATIC, CONTROL, or 0 for a free record. */
  kindOf(entry: number): number {
    return (this.#entries[entry * ENTRY.words + ENTRY.segment] as number) & KINDS;
  }

  /** The kind, or-ed with STICKY for a sticky entry. */
  bitsOf(entry: number): number {
    return (this.#entries[entry * ENTRY.words + ENTRY.segment] as number) & ~SEGMENT_MASK;
  }

  remoteOf(entry: number): number {
    return (this.#entries[entry * ENTRY.words + ENTRY.macLow] as number) & 0xffff;
  }

  macHighOf(entry: number): number {
    return (this.#entries[entry * ENTRY.words + ENTRY.macHigh] as number) >>> 0;
  }

  macLowOf(entry: number): number {
    return (this.#entries[entry * ENTRY.words + ENTRY.macLow] as number) >>> 16;
  }

  movesOf(entry: number): number {
    return this.#entries[entry * ENTRY.words + ENTRY.moves] as number;
  }

  /** One past the highest record ever used: the end of the range to search. */
  get end(): number {
    return this.#pool.end;
  }

  /** Number of entries of all segments. */
  get count(): number {
    return Atomics.load(this.#header, HEADER.entries);
  }

  /** Creates an entry for a MAC that has none. NO_ENTRY when the table is full. Lock held. @param value `bits` as returned by `bitsOf` */
  insert(value: { segment: number; high: number; low: number; remote: number; bits: number; now: number }): number {
    const entry = this.#pool.take();
    if (entry < 0) return NO_ENTRY;
    const { segment, high, low, remote, bits, now } = value;
    const at = entry * ENTRY.words;
    this.#beginWrite(at);
    // Atomic like the version stores around it: on processors other than x86, a plain store could become visible before the odd version.
    Atomics.store(this.#entries, at + ENTRY.segment, bits | segment);
    Atomics.store(this.#entries, at + ENTRY.macHigh, high);
    Atomics.store(this.#entries, at + ENTRY.macLow, (low << 16) | remote);
    this.#entries[at + ENTRY.heard] = now;
    this.#entries[at + ENTRY.moves] = 0;
    this.#endWrite(at);
    if (!this.#index.insert(this.#hash(segment, high, low), entry)) {
      this.#clear(at);
      this.#pool.give(entry);
      return NO_ENTRY;
    }
    Atomics.add(this.#header, HEADER.entries, 1);
    return entry;
  }

  /** Changes remote, kind or moves of an entry. Lock held. @param value `bits` as returned by `bitsOf` */
  update(entry: number, value: { remote: number; bits: number; moves: number; now: number }): void {
    const at = entry * ENTRY.words;
    this.#beginWrite(at);
    Atomics.store(this.#entries, at + ENTRY.segment, value.bits | this.segmentOf(entry));
    Atomics.store(this.#entries, at + ENTRY.macLow, (this.macLowOf(entry) << 16) | value.remote);
    this.#entries[at + ENTRY.heard] = value.now;
    this.#entries[at + ENTRY.moves] = value.moves;
    this.#endWrite(at);
  }

  /** Lock held. */
  remove(entry: number): void {
    const at = entry * ENTRY.words;
    this.#index.remove(this.#hashOf(entry), entry);
    this.#clear(at);
    this.#pool.give(entry);
    Atomics.sub(this.#header, HEADER.entries, 1);
  }

  /**
   * Rebuilds index, free list and count from the completely written entries, after a writer died in the middle of a change. Lock held. Entries that
   * were being written are lost; they are learned again.
   */
  rebuild(): void {
    this.#index.clear();
    this.#header[HEADER.entriesFree] = 0;
    Atomics.store(this.#header, HEADER.entries, 0);
    for (let entry = 0; entry < this.end; entry++) {
      const at = entry * ENTRY.words;
      if (((this.#entries[at + ENTRY.version] as number) & 1) !== 0) {
        this.#entries[at + ENTRY.segment] = 0;
        this.#endWrite(at);
      }
      const isDuplicate = this.find(this.segmentOf(entry), this.macHighOf(entry), this.macLowOf(entry)) !== NO_ENTRY;
      const isKept = this.kindOf(entry) !== 0 && !isDuplicate && this.#index.insert(this.#hashOf(entry), entry);
      if (isKept) {
        Atomics.add(this.#header, HEADER.entries, 1);
      } else {
        this.#entries[at + ENTRY.segment] = 0;
        this.#pool.give(entry);
      }
    }
  }

  #clear(at: number): void {
    this.#beginWrite(at);
    this.#entries[at + ENTRY.segment] = 0;
    this.#endWrite(at);
  }

  #beginWrite(at: number): void {
    Atomics.add(this.#entries, at + ENTRY.version, 1);
  }

  #endWrite(at: number): void {
    Atomics.add(this.#entries, at + ENTRY.version, 1);
  }

  #hashOf(entry: number): number {
    return this.#hash(this.segmentOf(entry), this.macHighOf(entry), this.macLowOf(entry));
  }

  #hash(segment: number, high: number, low: number): number {
    return hashWords(this.#seed, segment, high, low);
  }
}
