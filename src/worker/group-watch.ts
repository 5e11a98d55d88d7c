import type { Fdb, SourceAddress } from '../fdb/fdb.ts';
import { NO_REMOTE } from '../fdb/remotes.ts';
import { GROUP_MEMBER_TOLD_AGAIN_SECONDS, MAX_REMOTES } from '../lib/limits.ts';
import { NO_GROUP, type Segment, type SegmentUpdate } from '../segment/segment.ts';

const TOLD_AGAIN_TENTHS = GROUP_MEMBER_TOLD_AGAIN_SECONDS * 10;

/**
 * Finds VTEPs that are in the group of a segment and are also a remote of its flood list, or announce their MACs by a control plane. By both ways, they
 * would receive each flood twice. Each is reported when it is heard, and again if it is still heard after GROUP_MEMBER_TOLD_AGAIN_SECONDS. The size is
 * limited by the flood lists.
 */
export class GroupWatch {
  readonly #fdb: Pick<Fdb, 'remotes' | 'announcers'>;
  readonly #tell: (segment: number, remote: number) => void;
  /** The tenth of a second of the last report, by `keyOf`. */
  readonly #told = new Map<number, number>();
  /** Number of each segment's group. */
  readonly #groups = new Map<number, number>();

  /** @param tell receives the index of the segment and the id of the remote */
  constructor(fdb: Pick<Fdb, 'remotes' | 'announcers'>, tell: (segment: number, remote: number) => void) {
    this.#fdb = fdb;
    this.#tell = tell;
  }

  /** A datagram of the segment came from `source` by the group of the segment. @param now tenths of a second */
  heard({ index, floodRemotes }: Segment, { a, b, c, d }: SourceAddress, now: number): void {
    const { remotes, announcers } = this.#fdb;
    if (floodRemotes.length === 0 && announcers.isEmpty) return;
    const remote = remotes.find(a, b, c, d);
    if (remote === NO_REMOTE) return;
    const key = keyOf(index, remote);
    const told = this.#told.get(key);
    if (told !== undefined && now - told < TOLD_AGAIN_TENTHS) return;
    if (!announcers.hasRemote(index, remote) && !floodRemotes.includes(remote)) return;
    this.#told.set(key, now);
    this.#tell(index, remote);
  }

  /** If a remote leaves the list, or its segment is deleted or gets another group, it is reported again when it returns. */
  apply(update: SegmentUpdate): void {
    if (update.kind === 'flood-list') {
      for (const remote of update.removed) this.#told.delete(keyOf(update.index, remote));
      return;
    }
    const { index, group, floodRemotes } =
      update.kind === 'put' ? update.segment : { index: update.index, group: NO_GROUP, floodRemotes: [] };
    // Nothing was reported for the new group yet.
    const list = group === this.#groups.get(index) ? floodRemotes : [];
    if (update.kind === 'put') this.#groups.set(index, group);
    else this.#groups.delete(index);
    for (const told of this.#told.keys()) {
      const remote = told - keyOf(index, 0);
      if (remote >= 0 && remote <= MAX_REMOTES && !list.includes(remote)) this.#told.delete(told);
    }
  }
}

/** Key of a remote in a segment: an integer without a heap allocation. */
function keyOf(segment: number, remote: number): number {
  return segment * (MAX_REMOTES + 1) + remote;
}
