import { MAX_SEGMENTS } from '../lib/limits.ts';
import { type FdbMemory, HEADER } from './layout.ts';
import { LOCAL_SOURCE, NO_REMOTE, type RemoteTable, type SourceAddress } from './remotes.ts';

/**
 * The VTEPs that announce their MACs in a segment by a control plane. Nothing new is learned from their frames: the frame may be late, and the control
 * plane says where the MAC is.
 *
 * One bit for each remote and segment. The bits of one remote are together, so the memory that is used grows with the number of VTEPs. The table
 * cannot be full. Only the main thread writes it, one word at a time, so that nothing is half-written when a worker dies. Readers take no lock.
 */
export class Announcers {
  readonly #header: Int32Array;
  readonly #bits: Int32Array;
  readonly #remotes: RemoteTable;

  constructor({ header, announcers }: FdbMemory, remotes: RemoteTable) {
    this.#header = header;
    this.#bits = announcers;
    this.#remotes = remotes;
  }

  /** Whether a frame of the segment from `source` comes from such a VTEP. */
  has(segment: number, source: SourceAddress): boolean {
    if (this.isEmpty || source === LOCAL_SOURCE) return false;
    const remote = this.#remotes.find(source.a, source.b, source.c, source.d);
    return remote !== NO_REMOTE && this.hasRemote(segment, remote);
  }

  hasRemote(segment: number, remote: number): boolean {
    return ((this.#bits[wordOf(segment, remote)] as number) & (1 << (segment & 31))) !== 0;
  }

  /** Whether no VTEP announces its MACs in any segment. One plain read. */
  get isEmpty(): boolean {
    return this.#header[HEADER.announcers] === 0;
  }

  set(segment: number, remote: number, announces: boolean): void {
    if (this.hasRemote(segment, remote) === announces) return;
    const word = wordOf(segment, remote);
    const bit = 1 << (segment & 31);
    this.#bits[word] = (this.#bits[word] as number) ^ bit;
    this.#header[HEADER.announcers] = (this.#header[HEADER.announcers] as number) + (announces ? 1 : -1);
  }
}

function wordOf(segment: number, remote: number): number {
  return remote * (MAX_SEGMENTS / 32) + (segment >>> 5);
}
