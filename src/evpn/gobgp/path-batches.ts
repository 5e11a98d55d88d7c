import { setImmediate } from 'node:timers/promises';
import { MAX_SPEAKER_PATHS, SPEAKER_SLICE_MS } from '../../lib/limits.ts';
import type { OtherRoute, Path } from '../route.ts';
import type { Dialect, SpeakerListener } from '../speaker.ts';
import { type ReadPath, readPath } from './path-message.ts';

type Receiver = Pick<SpeakerListener, 'paths' | 'others'>;

/** Reads paths of one stream and hands them over in batches, in order. It lets other work of the main thread have its turn. */
export class PathBatches {
  readonly #dialect: Dialect;
  readonly #receiver: Receiver;
  readonly #accepts: (path: ReadPath) => boolean;
  #paths: Path[] = [];
  #others: OtherRoute[] = [];
  #sliceBegan = performance.now();

  /** @param accepts which paths are handed over */
  constructor(dialect: Dialect, receiver: Receiver, accepts: (path: ReadPath) => boolean) {
    this.#dialect = dialect;
    this.#receiver = receiver;
    this.#accepts = accepts;
  }

  /** Resolves when the next message may be read. */
  async take(messages: readonly Uint8Array[]): Promise<void> {
    for (const octets of messages) {
      const path = readPath(this.#dialect, octets);
      if (path && this.#accepts(path)) this.#keep(path);
      if (performance.now() - this.#sliceBegan < SPEAKER_SLICE_MS) continue;
      this.flush();
      await setImmediate();
      this.#sliceBegan = performance.now();
    }
  }

  /** Hands over what is left. */
  flush(): void {
    if (this.#paths.length > 0) this.#receiver.paths(this.#paths);
    if (this.#others.length > 0) this.#receiver.others(this.#others);
    this.#paths = [];
    this.#others = [];
  }

  #keep(path: ReadPath): void {
    if (path.other) this.#others.push(path.other);
    else this.#paths.push({ route: path.route, isLocal: path.isLocal, isWithdrawn: path.isWithdrawn });
    if (this.#paths.length + this.#others.length >= MAX_SPEAKER_PATHS) this.flush();
  }
}
