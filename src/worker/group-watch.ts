import type { SourceAddress } from '../fdb/fdb.ts';
import { NO_REMOTE, type RemoteTable } from '../fdb/remotes.ts';
import { MAX_REMOTES } from '../lib/limits.ts';
import { NO_GROUP, type Segment, type SegmentUpdate } from '../segment/segment.ts';

/**
 * Finds remotes of a segment's flood list in the segment's own group: they get each flood twice. Each is told once, until it has left the
 * list. Bounded by the flood lists themselves.
 */
export class GroupWatch {
  readonly #remotes: RemoteTable;
  readonly #tell: (segment: number, remote: number) => void;
  /** By `key`. */
  readonly #told = new Set<number>();
  /** Number of each segment's group. */
  readonly #groups = new Map<number, number>();

  /** @param tell is given the segment's index and the remote's id */
  constructor(remotes: RemoteTable, tell: (segment: number, remote: number) => void) {
    this.#remotes = remotes;
    this.#tell = tell;
  }

  /** A datagram of the segment came from `source` by the segment's group. */
  heard(segment: Segment, { a, b, c, d }: SourceAddress): void {
    if (segment.floodRemotes.length === 0) return;
    const remote = this.#remotes.find(a, b, c, d);
    if (remote === NO_REMOTE || !segment.floodRemotes.includes(remote)) return;
    const told = key(segment.index, remote);
    if (this.#told.has(told)) return;
    this.#told.add(told);
    this.#tell(segment.index, remote);
  }

  /** A remote that has left the list, or whose segment is no more or has another group, is told again if it comes back. */
  apply(update: SegmentUpdate): void {
    if (update.kind === 'flood-list') {
      for (const remote of update.removed) this.#told.delete(key(update.index, remote));
      return;
    }
    const { index, group, floodRemotes } =
      update.kind === 'put' ? update.segment : { index: update.index, group: NO_GROUP, floodRemotes: [] };
    // Of another group nothing was told yet.
    const list = group === this.#groups.get(index) ? floodRemotes : [];
    if (update.kind === 'put') this.#groups.set(index, group);
    else this.#groups.delete(index);
    for (const told of this.#told) {
      const remote = told - key(index, 0);
      if (remote >= 0 && remote <= MAX_REMOTES && !list.includes(remote)) this.#told.delete(told);
    }
  }
}

/** Of a remote in a segment: an integer that needs no memory of its own. */
function key(segment: number, remote: number): number {
  return segment * (MAX_REMOTES + 1) + remote;
}
