import { describe, expect, it } from 'vitest';
import { interfaceBlock, LINKTYPE, packetBlock, readBlock, sectionBlock, statisticsBlock } from './pcapng.ts';

const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex');
const viewOf = (octets: Uint8Array) => new DataView(octets.buffer, octets.byteOffset, octets.length);

/** 2026-01-02T03:04:05.600123Z. */
const TIME_US = 1_767_323_045_600_123;

const packet = { interface: 1, timeUs: TIME_US, direction: 'tx', comment: 'hi', length: 9 } as const;
const octets = [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5)];

describe('blocks, by the octet', () => {
  it('section: byte order, version 1.0, no length, who wrote it', () => {
    expect(hex(sectionBlock('vtepd 1'))).toBe(
      ['0a0d0d0a', '2c000000', '4d3c2b1a', '01000000', 'ffffffffffffffff']
        .concat(['04000700', '76746570642031' + '00', '00000000', '2c000000'])
        .join(''),
    );
  });

  it('interface: link type, no snapshot length, name, description, microseconds', () => {
    expect(hex(interfaceBlock(LINKTYPE.raw, 'u', 'ab'))).toBe(
      ['01000000', '30000000', '6500', '0000', '00000000', '02000100', '75000000', '03000200', '61620000']
        .concat(['09000100', '06000000', '00000000', '30000000'])
        .join(''),
    );
  });

  it('packet: interface, time in two halves, both lengths, octets in pieces, comment, direction', () => {
    const high = Math.floor(TIME_US / 2 ** 32);
    const time = Buffer.alloc(8);
    time.writeUInt32LE(high);
    time.writeUInt32LE(TIME_US - high * 2 ** 32, 4);
    expect(hex(packetBlock({ ...packet, octets }))).toBe(
      ['06000000', '3c000000', '01000000', time.toString('hex'), '05000000', '09000000', '0102030405000000']
        .concat(['01000200', '68690000', '02000400', '02000000', '00000000', '3c000000'])
        .join(''),
    );
    expect(hex(packetBlock({ ...packet, direction: 'rx', octets }))).toContain('0200040001000000');
  });

  it('statistics: what is missing, in 64 bits', () => {
    expect(hex(statisticsBlock(0, 2 ** 32 + 7, 2 ** 33 + 1))).toBe(
      ['05000000', '28000000', '00000000', '01000000', '07000000', '05000800', '0100000002000000', '00000000']
        .concat(['28000000'])
        .join(''),
    );
  });
});

describe('reading', () => {
  it.each([
    ['section', sectionBlock('vtepd'), false, undefined],
    ['interface', interfaceBlock(LINKTYPE.ethernet, 'o', 'x'), false, undefined],
    ['packet', packetBlock({ ...packet, octets }), true, undefined],
    ['statistics', statisticsBlock(0, TIME_US, 12), false, 12],
  ])('tells a %s from the others, and only when it is whole', (_, block, isPacket, dropped) => {
    const around = Buffer.concat([Buffer.alloc(3, 0xa5), block, Buffer.alloc(5, 0xa5)]);
    expect(readBlock(viewOf(around), 3, 3 + block.length)).toEqual({ bytes: block.length, isPacket, dropped });
    for (let length = 0; length < block.length; length++) {
      expect(readBlock(viewOf(around), 3, 3 + length)).toBeUndefined();
    }
  });

  it('goes on behind a block that says it has no length', () => {
    expect(readBlock(viewOf(new Uint8Array(16)), 0, 16)?.bytes).toBe(12);
  });
});
