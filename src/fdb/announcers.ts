import { MAX_SEGMENTS } from '../lib/limits.ts';
import type { FdbMemory } from './layout.ts';
import { LOCAL_SOURCE, NO_REMOTE, type RemoteTable, type SourceAddress } from './remotes.ts';

/**
 * The VTEPs that announce their MACs in a segment by a control plane. Nothing new is learned from their frames: the frame may be late, and the control
 * plane says where the MAC is.
 *
 * One bit for each remote and segment. The bits of one remote are together, so the memory that is used grows with the number of VTEPs. The table
 * cannot be full. Only the main thread writes it, one word at a time, so that nothing is half-written when a worker dies. Readers take no lock.
 */
export class Announcers {
  readonly #bits: Int32Array;
  readonly #remotes: RemoteTable;

  constructor({ announcers }: FdbMemory, remotes: RemoteTable) {
    this.#bits = announcers;
    this.#remotes = remotes;
  }

  /** Whether a frame of the segment from `source` comes from such a VTEP. */
  has(segment: number, source: SourceAddress): boolean {
    if (source === LOCAL_SOURCE) return false;
    const remote = this.#remotes.find(source.a, source.b, source.c, source.d);
    return remote !== NO_REMOTE && ((this.#bits[wordOf(segment, remote)] as number) & (1 << (segment & 31))) !== 0;
  }

  set(segment: number, remote: number, announces: boolean): void {
    const word = wordOf(segment, remote);
    const bit = 1 << (segment & 31);
    const bits = this.#bits[word] as number;
    this.#bits[word] = announces ? bits | bit : bits & ~bit;
  }
}

function wordOf(segment: number, remote: number): number {
  return remote * (MAX_SEGMENTS / 32) + (segment >>> 5);
}
