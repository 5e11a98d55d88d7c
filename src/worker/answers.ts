import type { Fdb } from '../fdb/fdb.ts';
import type { AnswerSink } from '../forward/answers/answer-sink.ts';
import { NeighbourTable } from '../forward/answers/neighbours.ts';
import { ANSWER_BYTES, Suppression } from '../forward/answers/suppression.ts';
import { NeighbourTeller } from '../forward/answers/told-neighbours.ts';
import { TooBigAnswers } from '../forward/answers/too-big.ts';
import type { Slab } from '../sys/slab.ts';
import { MAX_TOO_BIG_BYTES } from '../wire/answers/icmp.ts';
import { MAX_VLAN_TAGS, type StrippedTags, VLAN_TAG_BYTES } from '../wire/vlan.ts';

/** The answers that a worker gives itself. Each kind has room in the slab for one answer and the tags in front of it. */
export interface Answers {
  readonly suppression: Suppression;
  readonly tooBig: TooBigAnswers;
}

/** The tags that were stripped, and the tag of a trunk. */
const TAG_ROOM_BYTES = (MAX_VLAN_TAGS + 1) * VLAN_TAG_BYTES;

interface AnswerParts {
  /** Shared by all workers. */
  readonly neighboursMemory: SharedArrayBuffer;
  /** The number of this worker. */
  readonly worker: number;
  readonly taps: AnswerSink;
  /** As the send path strips them. */
  readonly tags: StrippedTags;
}

export function newAnswers(slab: Slab, fdb: Fdb, { neighboursMemory, worker, taps, tags }: AnswerParts): Answers {
  const neighbours = new NeighbourTable(neighboursMemory);
  return {
    suppression: new Suppression(
      slab.view,
      fdb,
      neighbours,
      new NeighbourTeller(neighboursMemory, worker),
      slab.allocate(TAG_ROOM_BYTES + ANSWER_BYTES) + TAG_ROOM_BYTES,
      taps,
      tags,
    ),
    tooBig: new TooBigAnswers(
      slab.view,
      slab.allocate(TAG_ROOM_BYTES + MAX_TOO_BIG_BYTES) + TAG_ROOM_BYTES,
      taps,
      tags,
    ),
  };
}
