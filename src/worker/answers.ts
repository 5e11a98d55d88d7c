import type { Fdb } from '../fdb/fdb.ts';
import type { AnswerSink } from '../forward/answer-sink.ts';
import { NeighbourTable } from '../forward/neighbours.ts';
import { ANSWER_BYTES, Suppression } from '../forward/suppression.ts';
import { TooBigAnswers } from '../forward/too-big.ts';
import type { Slab } from '../sys/slab.ts';
import { MAX_TOO_BIG_BYTES } from '../wire/icmp.ts';
import { VLAN_TAG_BYTES } from '../wire/vlan.ts';

/** What a worker answers by itself, each kind with room in the slab for one answer and a trunk's tag in front of it. */
export interface Answers {
  readonly suppression: Suppression;
  readonly tooBig: TooBigAnswers;
}

/** @param neighboursMemory shared by all workers */
export function newAnswers(
  slab: Slab,
  fdb: Fdb,
  { neighboursMemory, taps }: { neighboursMemory: SharedArrayBuffer; taps: AnswerSink },
): Answers {
  const neighbours = new NeighbourTable(neighboursMemory);
  return {
    suppression: new Suppression(
      slab.view,
      fdb,
      neighbours,
      slab.allocate(VLAN_TAG_BYTES + ANSWER_BYTES) + VLAN_TAG_BYTES,
      taps,
    ),
    tooBig: new TooBigAnswers(slab.view, slab.allocate(VLAN_TAG_BYTES + MAX_TOO_BIG_BYTES) + VLAN_TAG_BYTES, taps),
  };
}
