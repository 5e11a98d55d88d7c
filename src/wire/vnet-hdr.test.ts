import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checksumOffset,
  checksumStart,
  GSO_TYPE,
  gsoSize,
  gsoType,
  markSuperFrame,
  needsChecksum,
  VNET_HDR_BYTES,
  writePartialHeader,
  writePlainHeader,
} from './vnet-hdr.ts';

const AT = 3;

interface VirtioNetHdr {
  readonly flags: number;
  readonly gsoType: number;
  readonly hdrLen: number;
  readonly gsoSize: number;
  readonly csumStart: number;
  readonly csumOffset: number;
}

/** struct virtio_net_hdr as a little-endian C compiler lays it out. */
function encode({ flags, gsoType, hdrLen, gsoSize, csumStart, csumOffset }: VirtioNetHdr): number[] {
  return [flags, gsoType, ...[hdrLen, gsoSize, csumStart, csumOffset].flatMap((n) => [n % 256, Math.floor(n / 256)])];
}

const PLAIN: VirtioNetHdr = { flags: 0, gsoType: 0, hdrLen: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 };

/** What `write` makes of a buffer of 0xa5; octets outside the header must stay so. */
function written(write: (view: DataView) => void): number[] {
  const buffer = new Uint8Array(AT + VNET_HDR_BYTES + 4).fill(0xa5);
  write(new DataView(buffer.buffer));
  expect([...buffer.subarray(0, AT), ...buffer.subarray(AT + VNET_HDR_BYTES)]).toEqual(Array(AT + 4).fill(0xa5));
  return [...buffer.subarray(AT, AT + VNET_HDR_BYTES)];
}

/** The header behind AT octets of 0xff, in a buffer that ends with it. */
const placed = (header: readonly number[]) =>
  new DataView(Uint8Array.from([...Array(AT).fill(0xff), ...header]).buffer);

const u8 = fc.nat({ max: 0xff });
const u16 = fc.nat({ max: 0xffff });

it('the numbers are those of linux/virtio_net.h', () => {
  expect(VNET_HDR_BYTES).toBe(10);
  expect(GSO_TYPE).toEqual({ none: 0, tcpv4: 1, tcpv6: 4, udp: 5, ecn: 0x80 });
});

describe('writing', () => {
  it('writePlainHeader leaves nothing of what stood there', () => {
    expect(written((view) => writePlainHeader(view, AT))).toEqual(encode(PLAIN));
  });

  it('writePartialHeader puts start and offset low octet first and clears the rest', () => {
    expect(written((view) => writePartialHeader(view, AT, 0x0122, 0x1310))).toEqual([
      1, 0, 0, 0, 0, 0, 0x22, 0x01, 0x10, 0x13,
    ]);
  });

  it('markSuperFrame adds the segmentation and keeps the rest', () => {
    const header = written((view) => {
      writePartialHeader(view, AT, 34, 16);
      markSuperFrame(view, AT, GSO_TYPE.tcpv6 | GSO_TYPE.ecn, 0x0142, 0x05a8);
    });
    expect(header).toEqual([1, 0x84, 0x42, 0x01, 0xa8, 0x05, 34, 0, 16, 0]);
  });

  it('any partial header and super-frame is the C struct of its values', () => {
    fc.assert(
      fc.property(u16, u16, u8, u16, u16, (csumStart, csumOffset, gsoType, hdrLen, gsoSize) => {
        const partial = { ...PLAIN, flags: 1, csumStart, csumOffset };
        expect(written((view) => writePartialHeader(view, AT, csumStart, csumOffset))).toEqual(encode(partial));
        const superFrame = written((view) => {
          writePartialHeader(view, AT, csumStart, csumOffset);
          markSuperFrame(view, AT, gsoType, hdrLen, gsoSize);
        });
        expect(superFrame).toEqual(encode({ ...partial, gsoType, hdrLen, gsoSize }));
      }),
    );
  });
});

describe('reading', () => {
  it('needsChecksum is bit 0 of the flags and no other', () => {
    for (let flags = 0; flags < 256; flags++) {
      expect(needsChecksum(placed(encode({ ...PLAIN, flags })), AT), `${flags}`).toBe(flags % 2 === 1);
    }
    expect(needsChecksum(placed([0, ...Array(9).fill(0xff)]), AT)).toBe(false);
  });

  it('any C struct is read as its values, from a buffer that ends with it', () => {
    const structs = fc.record({
      flags: u8,
      gsoType: u8,
      hdrLen: u16,
      gsoSize: u16,
      csumStart: u16,
      csumOffset: u16,
    });
    fc.assert(
      fc.property(structs, (struct) => {
        const view = placed(encode(struct));
        expect(needsChecksum(view, AT)).toBe((struct.flags & 1) === 1);
        expect(checksumStart(view, AT)).toBe(struct.csumStart);
        expect(checksumOffset(view, AT)).toBe(struct.csumOffset);
        expect(gsoType(view, AT)).toBe(struct.gsoType % 128);
        expect(gsoSize(view, AT)).toBe(struct.gsoSize);
      }),
    );
  });

  it('gives back what was written', () => {
    fc.assert(
      fc.property(u16, u16, (start, offset) => {
        const view = placed(written((out) => writePartialHeader(out, AT, start, offset)));
        expect([needsChecksum(view, AT), checksumStart(view, AT), checksumOffset(view, AT)]).toEqual([
          true,
          start,
          offset,
        ]);
        writePlainHeader(view, AT);
        expect([needsChecksum(view, AT), checksumStart(view, AT), checksumOffset(view, AT)]).toEqual([false, 0, 0]);
      }),
    );
  });
});
