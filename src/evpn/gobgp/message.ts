import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** What was received is not what a speaker sends. */
export class Unreadable extends Error {
  override name = 'Unreadable';
}

/**
 * A received protobuf message, read without a schema: fields by their numbers. As in proto3, the last one of a number counts, and a field that is not
 * there has its default value. A field of an unexpected wire type is as one that is not there. The octets belong to the caller, and are not copied.
 */
export class Message {
  readonly #numbers: number[] = [];
  readonly #values: (number | Uint8Array)[] = [];

  /** @throws Unreadable */
  constructor(octets: Uint8Array) {
    const reader = new BinaryReader(octets);
    reading(() => {
      while (reader.pos < reader.len) {
        const [field, wireType] = reader.tag();
        if (wireType === WireType.Varint) this.#push(field, reader.uint32());
        else if (wireType === WireType.LengthDelimited) this.#push(field, reader.bytes());
        else reader.skip(wireType, field);
      }
    });
  }

  #push(field: number, value: number | Uint8Array): void {
    this.#numbers.push(field);
    this.#values.push(value);
  }

  /** 32 bits unsigned; 0 if it is not there. */
  number(field: number): number {
    const value = this.#last(field);
    return typeof value === 'number' ? value : 0;
  }

  flag(field: number): boolean {
    return this.number(field) !== 0;
  }

  bytes(field: number): Uint8Array | undefined {
    const value = this.#last(field);
    return typeof value === 'object' ? value : undefined;
  }

  text(field: number): string {
    const octets = this.bytes(field);
    return octets === undefined ? '' : asBuffer(octets).toString('utf8');
  }

  /** @throws Unreadable */
  message(field: number): Message | undefined {
    const octets = this.bytes(field);
    return octets && new Message(octets);
  }

  /** All of a repeated field, except packed numbers. */
  all(field: number): Uint8Array[] {
    const found: Uint8Array[] = [];
    for (const [index, number] of this.#numbers.entries()) {
      const value = this.#values[index];
      if (number === field && typeof value === 'object') found.push(value);
    }
    return found;
  }

  /** The first of repeated numbers, packed or not. @throws Unreadable */
  firstNumber(field: number): number | undefined {
    const value = this.#values[this.#numbers.indexOf(field)];
    if (typeof value !== 'object') return value;
    return value.length === 0 ? undefined : reading(() => new BinaryReader(value).uint32());
  }

  /** The field of a message that has one only, as a `oneof` has. */
  only(): { readonly field: number; readonly octets: Uint8Array } | undefined {
    const [field] = this.#numbers;
    const [octets] = this.#values;
    return this.#numbers.length === 1 && typeof octets === 'object' ? { field: field as number, octets } : undefined;
  }

  #last(field: number): number | Uint8Array | undefined {
    const index = this.#numbers.lastIndexOf(field);
    return index < 0 ? undefined : this.#values[index];
  }
}

function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Unreadable(`a message cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length);
}
