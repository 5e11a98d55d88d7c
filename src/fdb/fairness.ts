import { REMOTE_CANDIDATES } from '../lib/limits.ts';
import { BUCKET, type FdbMemory, GROUP, HEADER, LINK, SEGMENT } from './layout.ts';
import { hashWords, RecordIndex, RecordPool } from './records.ts';
import { LOCAL } from './remotes.ts';

/** No group, no bucket. Record 0 of both is never used. */
const NONE = 0;

/** Number of the oldest entries of a group that are examined to select one to evict. */
const VICTIM_CANDIDATES = 8;

/**
 * How many learned MACs each VTEP has in each segment. When a segment is full, the VTEP with the most learned MACs loses one, as in mac-learning.c of
 * Open vSwitch. So one rogue VTEP cannot evict the entries of the others. All steps take constant time: groups (one per segment and remote) with
 * equal counts share a bucket, and a count changes by one at a time. Called with the lock of the FDB held.
 */
export class Fairness {
  readonly #memory: FdbMemory;
  readonly #seed: number;
  readonly #index: RecordIndex;
  readonly #groupPool: RecordPool;
  readonly #bucketPool: RecordPool;

  constructor(memory: FdbMemory) {
    this.#memory = memory;
    this.#seed = memory.header[HEADER.seed] as number;
    const { header, groups, buckets } = memory;
    this.#index = new RecordIndex(memory.groupIndex, (group) =>
      this.#hash(this.#group(group, GROUP.segment), this.#group(group, GROUP.remote)),
    );
    this.#groupPool = new RecordPool(
      {
        header,
        free: HEADER.groupsFree,
        used: HEADER.groupsUsed,
        records: groups,
        recordWords: GROUP.words,
        linkWord: GROUP.next,
      },
      NONE + 1,
    );
    this.#bucketPool = new RecordPool(
      {
        header,
        free: HEADER.bucketsFree,
        used: HEADER.bucketsUsed,
        records: buckets,
        recordWords: BUCKET.words,
        linkWord: BUCKET.lower,
      },
      NONE + 1,
    );
  }

  /** Counts `entry` as learned from `remote`, as the youngest of its group. */
  add(entry: number, segment: number, remote: number): void {
    const group = this.#find(segment, remote) || this.#makeGroup(segment, remote);
    const { links, groups } = this.#memory;
    const tail = this.#group(group, GROUP.tail);
    const at = entry * LINK.words;
    links[at + LINK.group] = group;
    links[at + LINK.previous] = tail;
    links[at + LINK.next] = -1;
    if (tail < 0) groups[group * GROUP.words + GROUP.head] = entry;
    else links[tail * LINK.words + LINK.next] = entry;
    groups[group * GROUP.words + GROUP.tail] = entry;
    this.#changeCount(group, 1);
  }

  /** Undoes `add`. */
  remove(entry: number): void {
    const { links, groups } = this.#memory;
    const at = entry * LINK.words;
    const [group, next, previous] = [links[at], links[at + LINK.next], links[at + LINK.previous]] as [
      number,
      number,
      number,
    ];
    if (previous < 0) groups[group * GROUP.words + GROUP.head] = next;
    else links[previous * LINK.words + LINK.next] = next;
    if (next < 0) groups[group * GROUP.words + GROUP.tail] = previous;
    else links[next * LINK.words + LINK.previous] = previous;
    this.#changeCount(group, -1);
  }

  /**
   * The entry to evict for a new one of `remote`: an entry of the VTEP with the most entries. If several VTEPs have equally many, it is not one of
   * `remote` itself. A remote never displaces a local MAC. -1: there is no such entry.
   *
   * @param heard returns when an entry was last heard; of the oldest few, the one silent for the longest time is selected
   */
  victim(segment: number, remote: number, heard: (entry: number) => number): number {
    const { segments } = this.#memory;
    let bucket = segments[segment * SEGMENT.words + SEGMENT.topBucket] as number;
    for (; bucket !== NONE; bucket = this.#bucket(bucket, BUCKET.lower)) {
      let own = NONE;
      for (let group = this.#bucket(bucket, BUCKET.head); group !== NONE; group = this.#group(group, GROUP.next)) {
        const candidate = this.#group(group, GROUP.remote);
        if (candidate === LOCAL && remote !== LOCAL) continue;
        // At most two groups are skipped: the local one and the one of `remote`.
        if (candidate === remote) own = group;
        else return this.#oldest(group, heard);
      }
      if (own !== NONE) return this.#oldest(own, heard);
    }
    return -1;
  }

  /** Whether `victim` would find an entry in a segment. */
  hasVictim(segment: number, remote: number): boolean {
    const bucket = this.#memory.segments[segment * SEGMENT.words + SEGMENT.topBucket] as number;
    if (bucket === NONE) return false;
    const first = this.#bucket(bucket, BUCKET.head);
    const isLocalAlone = this.#group(first, GROUP.remote) === LOCAL && this.#group(first, GROUP.next) === NONE;
    return remote === LOCAL || !isLocalAlone || this.#bucket(bucket, BUCKET.lower) !== NONE;
  }

  /**
   * The group of a VTEP that may be forgotten to make room for another. Of the next few groups it is the one that was silent for the longest time, if
   * its VTEP has few entries in all segments and is in no flood list. The chance of a segment is proportional to its number of VTEPs. -1: there is
   * none among these groups.
   */
  silentGroup(heard: (entry: number) => number, isSmall: (remote: number) => boolean): number {
    const { header } = this.#memory;
    const end = this.#groupPool.end;
    let group = header[HEADER.remoteHand] as number;
    let chosen = -1;
    let silentSince = 0;
    for (let i = 0; i < REMOTE_CANDIDATES; i++) {
      group = group + 1 < end ? group + 1 : NONE + 1;
      const count = this.#group(group, GROUP.count);
      const remote = this.#group(group, GROUP.remote);
      if (group >= end || count <= 0 || remote === LOCAL || !isSmall(remote)) continue;
      const latest = this.#latest(group, heard);
      if (chosen >= 0 && latest >= silentSince) continue;
      chosen = group;
      silentSince = latest;
    }
    header[HEADER.remoteHand] = group;
    return chosen;
  }

  /** The entry of a group that was learned first, or -1. */
  firstOf(group: number): number {
    return this.#group(group, GROUP.count) > 0 ? this.#group(group, GROUP.head) : -1;
  }

  /** Forgets everything. The entries are then added again one by one. For the supervisor, after a writer died in the middle of a change. */
  clear(): void {
    const { header, groupIndex, segments } = this.#memory;
    groupIndex.fill(0);
    const { groupsFree, groupsUsed, bucketsFree, bucketsUsed, remoteHand } = HEADER;
    for (const word of [groupsFree, groupsUsed, bucketsFree, bucketsUsed, remoteHand]) header[word] = 0;
    for (let at = 0; at < segments.length; at += SEGMENT.words) {
      segments[at + SEGMENT.topBucket] = NONE;
      segments[at + SEGMENT.lowBucket] = NONE;
    }
  }

  #oldest(group: number, heard: (entry: number) => number): number {
    let oldest = this.#group(group, GROUP.head);
    let entry = oldest;
    for (let seen = 0; entry >= 0 && seen < VICTIM_CANDIDATES; seen++) {
      if (heard(entry) < heard(oldest)) oldest = entry;
      entry = this.#memory.links[entry * LINK.words + LINK.next] as number;
    }
    return oldest;
  }

  /** When an entry of a small group was last heard. */
  #latest(group: number, heard: (entry: number) => number): number {
    let latest = heard(this.#group(group, GROUP.head));
    for (let entry = this.#group(group, GROUP.head); entry >= 0; ) {
      latest = Math.max(latest, heard(entry));
      entry = this.#memory.links[entry * LINK.words + LINK.next] as number;
    }
    return latest;
  }

  #find(segment: number, remote: number): number {
    for (let slot = this.#index.slot(this.#hash(segment, remote)); ; slot = this.#index.next(slot)) {
      const group = this.#index.at(slot);
      if (group < 0) return NONE;
      if (this.#group(group, GROUP.remote) === remote && this.#group(group, GROUP.segment) === segment) return group;
    }
  }

  /** An empty group, in no bucket yet. There is always room: a group has at least one entry. */
  #makeGroup(segment: number, remote: number): number {
    const group = this.#groupPool.take();
    const at = group * GROUP.words;
    const { groups } = this.#memory;
    groups[at + GROUP.segment] = segment;
    groups[at + GROUP.remote] = remote;
    groups[at + GROUP.count] = 0;
    groups[at + GROUP.head] = -1;
    groups[at + GROUP.tail] = -1;
    groups[at + GROUP.bucket] = NONE;
    this.#index.insert(this.#hash(segment, remote), group);
    return group;
  }

  /** Moves a group to the neighbouring bucket for its new count. Creates that bucket and removes the old one if necessary. */
  #changeCount(group: number, step: 1 | -1): void {
    const { groups, segments } = this.#memory;
    const segment = this.#group(group, GROUP.segment);
    const count = this.#group(group, GROUP.count) + step;
    const old = this.#group(group, GROUP.bucket);
    groups[group * GROUP.words + GROUP.count] = count;

    // The new count is between these two counts, or equal to one of them. A new group has the lowest possible count.
    const lowest = segments[segment * SEGMENT.words + SEGMENT.lowBucket] as number;
    const above = step < 0 ? old : old === NONE ? lowest : this.#bucket(old, BUCKET.higher);
    const below = step < 0 ? this.#bucket(old, BUCKET.lower) : old;
    if (old !== NONE) this.#leaveBucket(group, old);
    if (count === 0) {
      this.#index.remove(this.#hash(segment, this.#group(group, GROUP.remote)), group);
      this.#groupPool.give(group);
    } else {
      this.#joinBucket(group, this.#bucketBetween(segment, { above, below, count }));
    }
    if (old !== NONE && this.#bucket(old, BUCKET.head) === NONE) {
      this.#linkBuckets(segment, this.#bucket(old, BUCKET.higher), this.#bucket(old, BUCKET.lower));
      this.#bucketPool.give(old);
    }
  }

  #bucketBetween(segment: number, { above, below, count }: { above: number; below: number; count: number }): number {
    if (above !== NONE && this.#bucket(above, BUCKET.count) === count) return above;
    if (below !== NONE && this.#bucket(below, BUCKET.count) === count) return below;
    const bucket = this.#bucketPool.take();
    this.#memory.buckets[bucket * BUCKET.words + BUCKET.count] = count;
    this.#memory.buckets[bucket * BUCKET.words + BUCKET.head] = NONE;
    this.#linkBuckets(segment, above, bucket);
    this.#linkBuckets(segment, bucket, below);
    return bucket;
  }

  #linkBuckets(segment: number, higher: number, lower: number): void {
    const { buckets, segments } = this.#memory;
    if (higher !== NONE) buckets[higher * BUCKET.words + BUCKET.lower] = lower;
    else segments[segment * SEGMENT.words + SEGMENT.topBucket] = lower;
    if (lower !== NONE) buckets[lower * BUCKET.words + BUCKET.higher] = higher;
    else segments[segment * SEGMENT.words + SEGMENT.lowBucket] = higher;
  }

  #joinBucket(group: number, bucket: number): void {
    const { groups, buckets } = this.#memory;
    const head = this.#bucket(bucket, BUCKET.head);
    groups[group * GROUP.words + GROUP.bucket] = bucket;
    groups[group * GROUP.words + GROUP.next] = head;
    groups[group * GROUP.words + GROUP.previous] = NONE;
    if (head !== NONE) groups[head * GROUP.words + GROUP.previous] = group;
    buckets[bucket * BUCKET.words + BUCKET.head] = group;
  }

  #leaveBucket(group: number, bucket: number): void {
    const { groups, buckets } = this.#memory;
    const next = this.#group(group, GROUP.next);
    const previous = this.#group(group, GROUP.previous);
    if (previous !== NONE) groups[previous * GROUP.words + GROUP.next] = next;
    else buckets[bucket * BUCKET.words + BUCKET.head] = next;
    if (next !== NONE) groups[next * GROUP.words + GROUP.previous] = previous;
  }

  #group(group: number, word: number): number {
    return this.#memory.groups[group * GROUP.words + word] as number;
  }

  #bucket(bucket: number, word: number): number {
    return this.#memory.buckets[bucket * BUCKET.words + word] as number;
  }

  #hash(segment: number, remote: number): number {
    return hashWords(this.#seed, segment, remote, 0);
  }
}
