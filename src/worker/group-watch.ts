import type { SourceAddress } from '../fdb/fdb.ts';
import { NO_REMOTE, type RemoteTable } from '../fdb/remotes.ts';
import { MAX_REMOTES } from '../lib/limits.ts';
import { NO_GROUP, type Segment, type SegmentUpdate } from '../segment/segment.ts';

/**
 * Finds remotes of the flood list of a segment that are also in the group of the segment: they receive each flood twice. Each is reported once until
 * it leaves the list. The size is limited by the flood lists.
 */
export class GroupWatch {
  readonly #remotes: RemoteTable;
  readonly #tell: (segment: number, remote: number) => void;
  /** By `key`. */
  readonly #told = new Set<number>();
  /** Number of each segment's group. */
  readonly #groups = new Map<number, number>();

  /** @param tell receives the index of the segment and the id of the remote */
  constructor(remotes: RemoteTable, tell: (segment: number, remote: number) => void) {
    this.#remotes = remotes;
    this.#tell = tell;
  }

  /** A datagram of the segment came from `source` by the group of the segment. */
  heard(segment: Segment, { a, b, c, d }: SourceAddress): void {
    if (segment.floodRemotes.length === 0) return;
    const remote = this.#remotes.find(a, b, c, d);
    if (remote === NO_REMOTE || !segment.floodRemotes.includes(remote)) return;
    const told = key(segment.index, remote);
    if (this.#told.has(told)) return;
    this.#told.add(told);
    this.#tell(segment.index, remote);
  }

  /** If a remote leaves the list, or its segment is deleted or gets another group, it is reported again when it returns. */
  apply(update: SegmentUpdate): void {
    if (update.kind === 'flood-list') {
      for (const remote of update.removed) this.#told.delete(key(update.index, remote));
      return;
    }
    const { index, group, floodRemotes } =
      update.kind === 'put' ? update.segment : { index: update.index, group: NO_GROUP, floodRemotes: [] };
    // Nothing was reported for the new group yet.
    const list = group === this.#groups.get(index) ? floodRemotes : [];
    if (update.kind === 'put') this.#groups.set(index, group);
    else this.#groups.delete(index);
    for (const told of this.#told) {
      const remote = told - key(index, 0);
      if (remote >= 0 && remote <= MAX_REMOTES && !list.includes(remote)) this.#told.delete(told);
    }
  }
}

/** Key of a remote in a segment: an integer without a heap allocation. */
function key(segment: number, remote: number): number {
  return segment * (MAX_REMOTES + 1) + remote;
}
