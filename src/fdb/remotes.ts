import { MAX_HASH_PROBES, MAX_REMOTES } from '../lib/limits.ts';
import { type FdbMemory, HEADER, REMOTE } from './layout.ts';
import { keyedHash, RecordIndex, RecordPool } from './records.ts';

/** The id for "behind our own TAP". */
export const LOCAL = 0;

/** There is no such remote, or no room for it. */
export const NO_REMOTE = -1;

/** The outer source address of a frame as four signed words, IPv4 as ::ffff:a.b.c.d. LOCAL_SOURCE for frames of the TAP. */
export interface SourceAddress {
  a: number;
  b: number;
  c: number;
  d: number;
}

/** Means "behind our own TAP". */
export const LOCAL_SOURCE: SourceAddress = { a: 0, b: 0, c: 0, d: 0 };

/** All ids are below this number. */
const ID_SPAN = MAX_REMOTES + 1;

/** @param key of `RemoteTable.keyOf` */
export function idOf(key: number): number {
  return key % ID_SPAN;
}

/**
 * Time, in tenths of a second, that a remote stays known after its last entry was removed. It is longer than a thread can use an id that it has just
 * looked up.
 */
const IDLE_TENTHS = 100;

/**
 * Remote VTEPs, interned: an address has a small id while an entry or a flood list names it. A group to which a segment floods has an id too, so that
 * every destination has one. Addresses are four words, IPv4 as ::ffff:a.b.c.d. `find` and the readers take no lock; all other methods are called with
 * the lock of the FDB held.
 */
export class RemoteTable {
  readonly #remotes: Int32Array;
  readonly #barred: Int32Array;
  readonly #header: Int32Array;
  readonly #index: RecordIndex;
  readonly #pool: RecordPool;
  readonly #key0: number;
  readonly #key1: number;

  constructor(memory: FdbMemory) {
    this.#remotes = memory.remotes;
    this.#barred = memory.barred;
    this.#header = memory.header;
    this.#key0 = memory.header[HEADER.seed] as number;
    this.#key1 = memory.header[HEADER.seedHigh] as number;
    this.#index = new RecordIndex(memory.remoteIndex, (id) => this.#hashOf(id), MAX_HASH_PROBES);
    const place = { records: memory.remotes, recordWords: REMOTE.words, linkWord: REMOTE.idleSince };
    this.#pool = new RecordPool(
      { header: memory.header, free: HEADER.remotesFree, used: HEADER.remotesUsed, ...place },
      LOCAL + 1,
    );
  }

  /** The id of an address, or NO_REMOTE. */
  find(a: number, b: number, c: number, d: number): number {
    const hash = this.hash(a, b, c, d);
    const end = this.#index.end(hash);
    for (let slot = this.#index.slot(hash); slot !== end; slot = this.#index.next(slot)) {
      const id = this.#index.at(slot);
      if (id < 0) return NO_REMOTE;
      const at = id * REMOTE.words;
      if (
        this.#remotes[at + 3] === (d | 0) &&
        this.#remotes[at + 2] === (c | 0) &&
        this.#remotes[at + 1] === (b | 0) &&
        this.#remotes[at] === (a | 0)
      ) {
        return id;
      }
    }
    return NO_REMOTE;
  }

  /** Word 0–3 of a remote's address, signed. */
  word(id: number, index: number): number {
    return this.#remotes[id * REMOTE.words + index] as number;
  }

  /** Whether a remote's address is IPv4. */
  isIpv4(id: number): boolean {
    const at = id * REMOTE.words;
    return this.#remotes[at + 2] === 0xffff && this.#remotes[at + 1] === 0 && this.#remotes[at] === 0;
  }

  /** Whether sending to a remote is barred: its address now is not the address of another host. On the packet path: one plain read. */
  isBarred(id: number): boolean {
    return this.#barred[id] !== 0;
  }

  /** One store, which needs no lock. An id that is assigned again starts as not barred. */
  bar(id: number, isBarred: boolean): void {
    this.#barred[id] = isBarred ? 1 : 0;
  }

  /** Whether a frame from `source` comes from this remote, or from LOCAL. */
  isAt(id: number, source: SourceAddress): boolean {
    if (id === LOCAL) return source === LOCAL_SOURCE;
    return (
      this.word(id, 3) === source.d &&
      this.word(id, 2) === source.c &&
      this.word(id, 1) === source.b &&
      this.word(id, 0) === source.a
    );
  }

  /** Number of VTEPs that an entry or a flood list names, without groups. Reads the whole table. */
  get count(): number {
    return this.vteps().length;
  }

  /** Their ids. */
  vteps(): number[] {
    const ids: number[] = [];
    for (let id = LOCAL + 1; id < this.#pool.end; id++)
      if (this.#references(id) > 0 && !this.#isGroup(id)) ids.push(id);
    return ids;
  }

  /** The remote that has an id now, as one number. No other remote has had this number, until 32 bits of generations wrap. `idOf` extracts the id. */
  keyOf(id: number): number {
    return (this.generation(id) >>> 0) * ID_SPAN + id;
  }

  /** Whether a key belongs to a VTEP that an entry or a flood list still names. */
  isKnown(key: number): boolean {
    const id = idOf(key);
    return this.keyOf(id) === key && this.#references(id) > 0 && !this.#isGroup(id);
  }

  /** Number of assigned ids, including groups and remotes without a reference. Reads the whole table. */
  get idsInUse(): number {
    let count = 0;
    for (let id = LOCAL + 1; id < this.#pool.end; id++) if (this.#references(id) >= 0) count++;
    return count;
  }

  /** Number of entries that name a remote. Expired ones count until the sweep removes them. */
  entriesAt(id: number): number {
    return Math.max(0, this.#references(id) - this.#pins(id));
  }

  /** A number that is different for each remote that had this id, until 32 bits wrap. On the packet path: one plain read. */
  generation(id: number): number {
    return this.#remotes[id * REMOTE.words + REMOTE.generation] as number;
  }

  /** Finds or assigns the id of an address. NO_REMOTE when the table is full. The caller retains it before it releases the lock. */
  intern(a: number, b: number, c: number, d: number): number {
    const known = this.find(a, b, c, d);
    if (known !== NO_REMOTE) return known;
    const id = this.#pool.take();
    if (id < 0) return NO_REMOTE;
    const at = id * REMOTE.words;
    this.#remotes[at] = a;
    this.#remotes[at + 1] = b;
    this.#remotes[at + 2] = c;
    this.#remotes[at + 3] = d;
    this.#barred[id] = 0;
    this.#remotes[at + REMOTE.pins] = 0;
    this.#remotes[at + REMOTE.references] = 0;
    this.#beginGeneration(id);
    if (!this.#index.insert(this.hash(a, b, c, d), id)) {
      this.#free(id);
      return NO_REMOTE;
    }
    return id;
  }

  /** `intern` for the source of a frame. */
  internSource(source: SourceAddress): number {
    return source === LOCAL_SOURCE ? LOCAL : this.intern(source.a, source.b, source.c, source.d);
  }

  retain(id: number): void {
    if (id === LOCAL) return;
    this.#remotes[id * REMOTE.words + REMOTE.references] = this.#references(id) + 1;
  }

  /** @param now tenths of a second */
  release(id: number, now: number): void {
    if (id === LOCAL) return;
    const at = id * REMOTE.words;
    this.#remotes[at + REMOTE.references] = this.#references(id) - 1;
    this.#remotes[at + REMOTE.idleSince] = now;
  }

  /** `retain` for a flood list. It is counted separately, since `rebuild` cannot derive it from the entries. */
  pin(id: number): void {
    this.retain(id);
    this.#remotes[id * REMOTE.words + REMOTE.pins] = this.#pins(id) + 1;
  }

  /** Undoes `pin`. @param now tenths of a second */
  unpin(id: number, now: number): void {
    this.#remotes[id * REMOTE.words + REMOTE.pins] = this.#pins(id) - 1;
    this.release(id, now);
  }

  /** Rebuilds index, free list and counts after a writer died in the middle of a change. The entries are then retained again one by one. */
  rebuild(): void {
    this.#index.clear();
    this.#header[HEADER.remotesFree] = 0;
    for (let id = LOCAL + 1; id < this.end; id++) {
      if (this.#references(id) < 0) {
        this.#pool.give(id);
      } else {
        this.#remotes[id * REMOTE.words + REMOTE.references] = this.#pins(id);
        this.#index.insert(this.#hashOf(id), id);
      }
    }
  }

  /** Whether a remote is in no flood list and has at most `entries` entries. */
  isSmall(id: number, entries: number): boolean {
    return this.#pins(id) === 0 && this.#references(id) <= entries;
  }

  /** Whether nothing has named a remote for IDLE_TENTHS, so that it may be forgotten. */
  isIdle(id: number, now: number): boolean {
    const idleSince = this.#remotes[id * REMOTE.words + REMOTE.idleSince] as number;
    return this.#references(id) === 0 && now - idleSince >= IDLE_TENTHS;
  }

  /** Forgets an idle remote. */
  forget(id: number): void {
    this.#index.remove(this.#hashOf(id), id);
    this.#free(id);
  }

  /** Hashes addresses, which outsiders choose, with a key that they do not know. */
  hash(a: number, b: number, c: number, d: number): number {
    return keyedHash(this.#key0, this.#key1, a, b, c, d);
  }

  /** One past the highest id ever assigned. */
  get end(): number {
    return this.#pool.end;
  }

  /** 224.0.0.0/4 or ff00::/8. */
  #isGroup(id: number): boolean {
    return this.isIpv4(id) ? this.word(id, 3) >>> 28 === 0xe : this.word(id, 0) >>> 24 === 0xff;
  }

  #beginGeneration(id: number): void {
    this.#remotes[id * REMOTE.words + REMOTE.generation] = (this.generation(id) + 1) | 0;
  }

  #references(id: number): number {
    return this.#remotes[id * REMOTE.words + REMOTE.references] as number;
  }

  #pins(id: number): number {
    return this.#remotes[id * REMOTE.words + REMOTE.pins] as number;
  }

  #hashOf(id: number): number {
    return this.hash(this.word(id, 0), this.word(id, 1), this.word(id, 2), this.word(id, 3));
  }

  #free(id: number): void {
    // A negative number marks a free record.
    this.#remotes[id * REMOTE.words + REMOTE.references] = -1;
    this.#beginGeneration(id);
    this.#pool.give(id);
  }
}
