import { readBlock } from '../../wire/capture/pcapng.ts';

/** Splits a pcapng stream, whose pieces end anywhere, after whole blocks, and counts its frames. */
export class BlockCutter {
  readonly #most: number;
  #rest: Uint8Array = new Uint8Array(0);
  /** Frames so far, and how many the stream says are missing. */
  frames = 0;
  lost = 0;

  /** @param most frames; what follows them is left out */
  constructor(most: number) {
    this.#most = most;
  }

  get isFull(): boolean {
    return this.frames >= this.#most;
  }

  /** The blocks that are whole with this piece and were not given yet. */
  take(piece: Uint8Array): Uint8Array {
    const octets = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    let end = 0;
    for (const block of blocksOf(octets)) {
      if (this.isFull) break;
      if (block.isPacket) this.frames++;
      this.lost = block.dropped ?? this.lost;
      end += block.bytes;
    }
    this.#rest = octets.subarray(end);
    return octets.subarray(0, end);
  }
}

/** As many of the octets as are whole blocks, and how many frames are in those. */
export function wholeBlocks(octets: Uint8Array): { bytes: number; frames: number } {
  let [bytes, frames] = [0, 0];
  for (const block of blocksOf(octets)) {
    bytes += block.bytes;
    if (block.isPacket) frames++;
  }
  return { bytes, frames };
}

function* blocksOf(octets: Uint8Array) {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  for (let at = 0; ; ) {
    const block = readBlock(view, at, octets.length);
    if (!block) return;
    yield block;
    at += block.bytes;
  }
}
