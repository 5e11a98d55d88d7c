import { type FdbMemory, HEADER, SEGMENT } from './layout.ts';
import { LOCAL } from './remotes.ts';
import { CONTROL, STATIC } from './table.ts';

/** The part that all code may read. Needs no lock. */
export type SegmentReadings = Pick<
  SegmentCounts,
  'totalOf' | 'localsOf' | 'staticsOf' | 'controlsOf' | 'movesOf' | 'evictionsOf' | 'fullOf' | 'heldOf'
>;

/**
 * The counters of each segment, and the VNI in its events. Expired entries are counted until the sweep removes them. Reading takes no lock. `add` and
 * all other methods that change a count are called with the lock of the FDB held.
 */
export class SegmentCounts {
  readonly #segments: Int32Array;
  readonly #header: Int32Array;

  constructor(memory: FdbMemory) {
    this.#segments = memory.segments;
    this.#header = memory.header;
  }

  /** Entries of all kinds. */
  totalOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.total);
  }

  /** Local entries, static ones included. */
  localsOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.locals);
  }

  /** Moves of learned MACs since the segment was created. */
  movesOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.moves);
  }

  /** Entries that were evicted since the segment was created. */
  evictionsOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.evictions);
  }

  /** Static entries. */
  staticsOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.statics);
  }

  /** Entries that a control plane placed. */
  controlsOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.controls);
  }

  learnedIn(segment: number): number {
    return this.#segments[segment * SEGMENT.words + SEGMENT.learned] as number;
  }

  /** On the packet path: one plain read. */
  hasStatics(segment: number): boolean {
    return this.#segments[segment * SEGMENT.words + SEGMENT.statics] !== 0;
  }

  /** One past the highest segment that ever had an entry. */
  get end(): number {
    return this.#header[HEADER.segmentsUsed] as number;
  }

  /** MACs that were heard but found no room, since the segment was created. Each frame counts. */
  fullOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.full);
  }

  /** MACs that were heard elsewhere but are held at their place, since the segment was created. Each frame counts. */
  heldOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.held);
  }

  /**
   * A number that changes whenever a MAC of any segment becomes local or stops being local, or a static entry is removed: a control plane may then
   * place the MAC.
   */
  get localChanges(): number {
    return Atomics.load(this.#header, HEADER.localChanges);
  }

  /** Resolves once `localChanges` is not `seen`, or after `patienceMs`. */
  async localChange(seen: number, patienceMs: number): Promise<void> {
    await Atomics.waitAsync(this.#header, HEADER.localChanges, seen, patienceMs).value;
  }

  /** Counts an entry of a kind, DYNAMIC, STATIC or CONTROL, at a remote. Step -1 removes it from the count. */
  add(segment: number, kind: number, remote: number, step: 1 | -1): void {
    this.addLocal(segment, remote, step);
    this.#add(segment, SEGMENT.total, step);
    this.#add(segment, wordOf(kind), step);
    if (kind === STATIC && step < 0 && remote !== LOCAL) this.#tellLocalChange();
  }

  /** Counts an entry whose kind has changed. */
  changeKind(segment: number, from: number, to: number): void {
    this.#add(segment, wordOf(from), -1);
    this.#add(segment, wordOf(to), 1);
  }

  /** Counts an entry if it is local. */
  addLocal(segment: number, remote: number, step: 1 | -1): void {
    if (remote !== LOCAL) return;
    this.#add(segment, SEGMENT.locals, step);
    this.#tellLocalChange();
  }

  addMove(segment: number): void {
    this.#add(segment, SEGMENT.moves, 1);
  }

  addEviction(segment: number): void {
    this.#add(segment, SEGMENT.evictions, 1);
  }

  /** Needs no lock. */
  addFull(segment: number): void {
    Atomics.add(this.#segments, segment * SEGMENT.words + SEGMENT.full, 1);
  }

  /** Needs no lock. */
  addHeld(segment: number): void {
    Atomics.add(this.#segments, segment * SEGMENT.words + SEGMENT.held, 1);
  }

  /** Sets the counters of a segment to zero. The segment must have no entries. */
  reset(segment: number): void {
    this.#segments.fill(0, segment * SEGMENT.words, (segment + 1) * SEGMENT.words);
  }

  /** The VNI in the events of a segment now. */
  vniOf(segment: number): number {
    return Atomics.load(this.#segments, segment * SEGMENT.words + SEGMENT.vni);
  }

  /** Sets the VNI in the later events of a segment. */
  name(segment: number, vni: number): void {
    this.#segments[segment * SEGMENT.words + SEGMENT.vni] = vni;
  }

  /** Sets the entry counts of all segments to zero. The entries are then added again one by one. */
  clear(): void {
    for (let at = 0; at < this.#segments.length; at += SEGMENT.words) {
      this.#segments[at + SEGMENT.learned] = 0;
      this.#segments[at + SEGMENT.total] = 0;
      this.#segments[at + SEGMENT.statics] = 0;
      this.#segments[at + SEGMENT.locals] = 0;
      this.#segments[at + SEGMENT.controls] = 0;
    }
    this.#tellLocalChange();
  }

  #add(segment: number, word: number, step: number): void {
    Atomics.add(this.#segments, segment * SEGMENT.words + word, step);
    if (segment >= (this.#header[HEADER.segmentsUsed] as number)) this.#header[HEADER.segmentsUsed] = segment + 1;
  }

  #tellLocalChange(): void {
    Atomics.add(this.#header, HEADER.localChanges, 1);
    Atomics.notify(this.#header, HEADER.localChanges);
  }
}

/** The word that counts entries of a kind. */
function wordOf(kind: number): number {
  if (kind === STATIC) return SEGMENT.statics;
  return kind === CONTROL ? SEGMENT.controls : SEGMENT.learned;
}
