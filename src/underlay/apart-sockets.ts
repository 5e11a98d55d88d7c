import type { SourceAddress } from '../fdb/fdb.ts';

/** The words: a version that is odd during a write, the number of sockets, the four words of an address. */
const VERSION = 0;
const SOCKETS = 1;
const SOURCE = 2;

export const APART_WORDS = SOURCE + 4;

/** The writer finishes within a microsecond, unless its thread is not running. */
const READ_ATTEMPTS = 1_000;

/** What another thread sees of them. */
export interface ApartState {
  readonly sockets: number;
  /** Where the last message with datagrams of several VNIs came from; undefined while no socket is apart. */
  readonly source: SourceAddress | undefined;
}

/** The sockets of one worker whose datagrams come one by one for a while, by their numbers. It publishes them in words that the main thread reads. */
export class ApartSockets {
  readonly #words: Int32Array<ArrayBufferLike>;
  readonly #sockets = new Set<number>();

  /** @param words APART_WORDS of them */
  constructor(words: Int32Array<ArrayBufferLike> = new Int32Array(APART_WORDS)) {
    this.#words = words;
  }

  get isEmpty(): boolean {
    return this.#sockets.size === 0;
  }

  [Symbol.iterator](): IterableIterator<number> {
    return this.#sockets.values();
  }

  /** A message with datagrams of several VNIs came to a socket. */
  add(socket: number, source: SourceAddress): void {
    this.#sockets.add(socket);
    this.#write(source);
  }

  /** The datagrams of a socket come merged again, or it is closed. */
  delete(socket: number): void {
    if (this.#sockets.delete(socket)) this.#write();
  }

  #write(source?: SourceAddress): void {
    const words = this.#words;
    Atomics.add(words, VERSION, 1);
    Atomics.store(words, SOCKETS, this.#sockets.size);
    if (source !== undefined) {
      Atomics.store(words, SOURCE, source.a);
      Atomics.store(words, SOURCE + 1, source.b);
      Atomics.store(words, SOURCE + 2, source.c);
      Atomics.store(words, SOURCE + 3, source.d);
    }
    Atomics.add(words, VERSION, 1);
  }
}

/** Only the number if the words are written all the time, so that an address is never torn. */
export function readApart(words: Int32Array): ApartState {
  const word = (index: number) => Atomics.load(words, index);
  for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
    const version = word(VERSION);
    const sockets = word(SOCKETS);
    const source = { a: word(SOURCE), b: word(SOURCE + 1), c: word(SOURCE + 2), d: word(SOURCE + 3) };
    if (version % 2 === 0 && word(VERSION) === version) return { sockets, source: sockets > 0 ? source : undefined };
  }
  return { sockets: word(SOCKETS), source: undefined };
}
