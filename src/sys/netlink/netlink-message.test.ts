import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readString } from '../c-string.ts';
import {
  attribute,
  message,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_HEADER_BYTES,
  readAttributes,
  splitMessages,
  uint32,
} from './netlink-message.ts';

const octets = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));

/** Attribute types without the nested and byte-order flags, each once. */
const attributeList = fc.uniqueArray(fc.tuple(fc.nat(0x3fff), octets(40)), {
  selector: ([type]) => type,
  maxLength: 8,
});

const messageFields = fc.record({
  type: fc.nat(0xffff),
  flags: fc.nat(0xffff),
  sequence: fc.nat(0xffff_ffff),
  payload: octets(40),
});

/** Octets that often look like headers: small lengths, in either width. */
const noise = fc
  .array(fc.oneof(fc.nat(40), fc.nat(0xffff_ffff)), { maxLength: 60 })
  .chain((words) => octets(3).map((tail) => Buffer.concat([...words.map(uint32), tail])));

const padded = (buffer: Buffer): Buffer => Buffer.concat([buffer, Buffer.alloc((4 - (buffer.length % 4)) % 4)]);

const build = ({ type, flags, sequence, payload }: NetlinkMessage): Buffer => message(type, flags, sequence, [payload]);

/** Stops a generator that would never end. */
function taken(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (const one of splitMessages(datagram)) {
    messages.push(one);
    if (messages.length > datagram.length) throw new Error('more messages than octets');
  }
  return messages;
}

/** The same octets, which throw when they are read more often than by a loop that ends: one without end could not be stopped. */
function counted(octets: Buffer): Buffer {
  const copy = Buffer.from(octets);
  const readUInt16LE = copy.readUInt16LE.bind(copy);
  let reads = 0;
  copy.readUInt16LE = (offset) => {
    if (++reads > octets.length) throw new Error('more reads than octets');
    return readUInt16LE(offset);
  };
  return copy;
}

describe('message', () => {
  it('lays the header out as the kernel reads it', () => {
    const built = message(16, NLM_F_REQUEST | NLM_F_ACK, 0x01020304, [
      uint32(0xa5a5a5a5),
      attribute(3, Buffer.from('lo\0')),
    ]);
    expect(built.toString('hex')).toBe(
      ['1c000000', '1000', '0500', '04030201', '00000000', 'a5a5a5a5', '0700', '0300', '6c6f0000'].join(''),
    );
  });
});

describe('attribute', () => {
  it('counts its length without the padding, and pads with zeros to four octets', () => {
    expect(attribute(0x1234, Buffer.from([1])).toString('hex')).toBe('0500341201000000');
    expect(attribute(1, Buffer.alloc(0)).toString('hex')).toBe('04000100');
  });
});

describe('uint32', () => {
  it.each([
    [1, '01000000'],
    [-1, 'ffffffff'],
    [0xffff_fffe, 'feffffff'],
  ])('writes %i in little-endian order, as unsigned', (value, hex) => {
    expect(uint32(value).toString('hex')).toBe(hex);
  });
});

describe('splitMessages', () => {
  it('gives back what message built, one or many in a datagram, with the last unpadded', () => {
    fc.assert(
      fc.property(fc.array(messageFields, { maxLength: 6 }), messageFields, (most, last) => {
        const datagram = Buffer.concat([...most.map((one) => padded(build(one))), build(last)]);
        expect(taken(datagram)).toEqual([...most, last]);
      }),
    );
  });

  it('gives back exactly the messages that are complete, cut at every length', () => {
    const messages = [8, 0, 5, 3].map((length, i) => ({
      type: 16 + i,
      flags: 0x0100 + i,
      sequence: i,
      payload: Buffer.alloc(length, 0xa5),
    }));
    const built = messages.map(build);
    const datagram = Buffer.concat(built.map(padded));
    let start = 0;
    const ends = built.map((one) => {
      const end = start + one.length;
      start += padded(one).length;
      return end;
    });
    for (let length = 0; length <= datagram.length; length++) {
      const complete = messages.slice(0, ends.filter((end) => end <= length).length);
      expect(taken(datagram.subarray(0, length)), `cut at ${length}`).toEqual(complete);
    }
  });

  it.each([0, 1, 15])('ends at a message that says it is %i octets long, shorter than its header', (length) => {
    const datagram = Buffer.concat([
      build({ type: 1, flags: 0, sequence: 2, payload: Buffer.alloc(4) }),
      Buffer.alloc(40),
    ]);
    datagram.writeUInt32LE(length, 20);
    expect(taken(datagram)).toHaveLength(1);
  });

  it('ends, never throws and stays inside the datagram on random octets', () => {
    fc.assert(
      fc.property(noise, (datagram) => {
        const total = taken(datagram).reduce((sum, { payload }) => sum + NLMSG_HEADER_BYTES + payload.length, 0);
        expect(total).toBeLessThanOrEqual(datagram.length);
      }),
      { numRuns: 500 },
    );
  });
});

describe('readAttributes', () => {
  it('gives back what attribute built', () => {
    fc.assert(
      fc.property(attributeList, (list) => {
        expect(readAttributes(Buffer.concat(list.map(([type, value]) => attribute(type, value))))).toEqual(
          new Map(list),
        );
      }),
    );
  });

  it('reads attributes in an attribute, whose type carries the nested flag', () => {
    const inner = [attribute(1, Buffer.from('tun\0')), attribute(2, uint32(7))];
    const outer = readAttributes(attribute(18 | 0x8000, Buffer.concat(inner)));
    expect([...outer.keys()]).toEqual([18]);
    const nested = readAttributes(outer.get(18) ?? Buffer.alloc(0));
    expect(readString(nested.get(1))).toBe('tun');
    expect(nested.get(2)).toEqual(uint32(7));
  });

  it('takes the later of two attributes of a type', () => {
    const twice = Buffer.concat([attribute(4, uint32(1)), attribute(4, uint32(2))]);
    expect(readAttributes(twice)).toEqual(new Map([[4, uint32(2)]]));
  });

  it('gives back exactly the attributes that are complete, cut at every length', () => {
    const list: [number, Buffer][] = [4, 0, 5, 3, 1].map((length, i) => [i + 1, Buffer.alloc(length, 0xa5)]);
    const built = list.map(([type, value]) => attribute(type, value));
    const all = Buffer.concat(built);
    let start = 0;
    const ends = list.map(([, value], i) => {
      const end = start + 4 + value.length;
      start += built[i]?.length ?? 0;
      return end;
    });
    for (let length = 0; length <= all.length; length++) {
      const complete = list.slice(0, ends.filter((end) => end <= length).length);
      expect(readAttributes(all.subarray(0, length)), `cut at ${length}`).toEqual(new Map(complete));
    }
  });

  it.each([0, 3])('ends at an attribute that says it is %i octets long, shorter than its header', (length) => {
    const octets = Buffer.concat([attribute(1, uint32(1)), attribute(2, uint32(2)), attribute(3, uint32(3))]);
    octets.writeUInt16LE(length, 8);
    expect(readAttributes(counted(octets))).toEqual(new Map([[1, uint32(1)]]));
  });

  it('ends, never throws and stays inside on random octets', () => {
    fc.assert(
      fc.property(noise, (random) => {
        const attributes = readAttributes(counted(random));
        let total = 0;
        for (const [type, value] of attributes) {
          expect(type).toBeLessThanOrEqual(0x3fff);
          total += 4 + value.length;
        }
        expect(total).toBeLessThanOrEqual(random.length);
      }),
      { numRuns: 500 },
    );
  });
});

describe('readString', () => {
  it.each([
    ['lo\0', 'lo'],
    ['lo', 'lo'],
    ['\0', ''],
    ['', ''],
    ['a\0b\nc\0', 'a'],
    ['a\nb\0', 'a\nb'],
  ])('reads %j as %j', (value, text) => {
    expect(readString(Buffer.from(value))).toBe(text);
  });

  it('reads a missing attribute as empty', () => {
    expect(readString(undefined)).toBe('');
  });
});
