import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  hasOtherPayload,
  hasReservedBits,
  hasVniFlag,
  hasVxlanHeader,
  VXLAN_HEADER_BYTES,
  vxlanVni,
  writeVxlanHeader,
} from './vxlan.ts';

const AT = 3;

/** Of the 64 bits of a header, in the order of RFC 7348 §5. */
const I_BIT = 4;
const VNI_BITS = { first: 32, last: 55 };

/** A header from 64 characters 0 and 1, behind AT octets of 0xff, in a buffer that ends with it. */
function fromBits(bits: string): DataView {
  const octets = bits.match(/.{8}/g) ?? [];
  return new DataView(Uint8Array.from([...Array(AT).fill(0xff), ...octets.map((o) => Number.parseInt(o, 2))]).buffer);
}

const toBits = (octets: Uint8Array) => [...octets].map((octet) => octet.toString(2).padStart(8, '0')).join('');

const isVniBit = (bit: number) => bit >= VNI_BITS.first && bit <= VNI_BITS.last;

/** All zeros but for the bits named. */
const withBits = (...set: number[]) => Array.from({ length: 64 }, (_, i) => (set.includes(i) ? '1' : '0')).join('');

const headers = fc.oneof(
  fc.uint8Array({ minLength: 8, maxLength: 8 }),
  // Valid but for a bit or two: what peers with extensions send.
  fc.array(fc.nat({ max: 63 }), { maxLength: 2 }).map((bits) => {
    const octets = fromBits(withBits(I_BIT, ...bits));
    return new Uint8Array(octets.buffer).slice(AT);
  }),
);

it('is there from 8 octets on', () => {
  for (let length = 0; length <= 16; length++) expect(hasVxlanHeader(length), `${length}`).toBe(length >= 8);
  expect(VXLAN_HEADER_BYTES).toBe(8);
});

describe('each of the 64 bits', () => {
  it('is the I flag in one place only', () => {
    for (let bit = 0; bit < 64; bit++)
      expect(hasVniFlag(fromBits(withBits(bit)), AT), `bit ${bit}`).toBe(bit === I_BIT);
    const allButI = withBits(...Array.from({ length: 64 }, (_, i) => i).filter((i) => i !== I_BIT));
    expect(hasVniFlag(fromBits(allButI), AT)).toBe(false);
  });

  it('is one of the 39 reserved ones or belongs to the I flag or the VNI', () => {
    const reserved = Array.from({ length: 64 }, (_, i) => i).filter((bit) =>
      hasReservedBits(fromBits(withBits(I_BIT, bit)), AT),
    );
    expect(reserved).toEqual(Array.from({ length: 64 }, (_, i) => i).filter((i) => i !== I_BIT && !isVniBit(i)));
    expect(reserved).toHaveLength(39);
  });

  it('counts in the VNI with its own power of two, or not at all', () => {
    for (let bit = 0; bit < 64; bit++) {
      const weight = isVniBit(bit) ? 2 ** (VNI_BITS.last - bit) : 0;
      expect(vxlanVni(fromBits(withBits(bit)), AT), `bit ${bit}`).toBe(weight);
    }
  });
});

describe('writeVxlanHeader', () => {
  it.each([
    [0, [0x08, 0, 0, 0, 0, 0, 0, 0]],
    [1, [0x08, 0, 0, 0, 0, 0, 1, 0]],
    [100, [0x08, 0, 0, 0, 0, 0, 0x64, 0]],
    [0x80_0000, [0x08, 0, 0, 0, 0x80, 0, 0, 0]],
    [0x12_3456, [0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0]],
    [0xff_ffff, [0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0]],
  ])('writes all eight octets for VNI %i and none beside them', (vni, expected) => {
    const buffer = new Uint8Array(AT + VXLAN_HEADER_BYTES + 4).fill(0xa5);
    writeVxlanHeader(new DataView(buffer.buffer), AT, vni);
    expect([...buffer]).toEqual([0xa5, 0xa5, 0xa5, ...expected, 0xa5, 0xa5, 0xa5, 0xa5]);
  });

  it('is read back as the same VNI, flagged and without reserved bits', () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xff_ffff }), (vni) => {
        const view = new DataView(new Uint8Array(AT + VXLAN_HEADER_BYTES).fill(0xa5).buffer);
        writeVxlanHeader(view, AT, vni);
        expect(toBits(new Uint8Array(view.buffer, AT))).toBe(
          `00001000${'0'.repeat(24)}${vni.toString(2).padStart(24, '0')}00000000`,
        );
        expect([hasVniFlag(view, AT), hasReservedBits(view, AT), vxlanVni(view, AT)]).toEqual([true, false, vni]);
      }),
    );
  });
});

it('any eight octets are read as their bits say', () => {
  fc.assert(
    fc.property(headers, (octets) => {
      const bits = toBits(octets);
      const view = fromBits(bits);
      expect(hasVniFlag(view, AT)).toBe(bits[I_BIT] === '1');
      expect(vxlanVni(view, AT)).toBe(Number.parseInt(bits.slice(32, 56), 2));
      expect(hasReservedBits(view, AT)).toBe(`${bits.slice(0, 4)}${bits.slice(5, 32)}${bits.slice(56)}`.includes('1'));
    }),
    { numRuns: 500 },
  );
});

it.each<[what: string, isOther: boolean, octets: number[]]>([
  ['none', false, [0x08, 0, 0, 0]],
  ['none, but a policy (VXLAN-GBP)', false, [0x88, 0x08, 1, 2]],
  ['Ethernet', false, [0x0c, 0, 0, 3]],
  ['Ethernet, of a broadcast', false, [0x0e, 0, 0, 3]],
  ['no protocol', false, [0x0c, 0, 0, 0]],
  ['a protocol without the P flag', false, [0x08, 0, 0, 1]],
  ['a protocol of another version', false, [0x1c, 0, 0, 1]],
  ['IPv4', true, [0x0c, 0, 0, 1]],
  ['IPv6', true, [0x0c, 0, 0, 2]],
  ['NSH', true, [0x0c, 0, 0, 4]],
  ['MPLS, of a broadcast', true, [0x0e, 0, 0, 5]],
  ['iOAM, with what GPE reserves', true, [0x0c, 1, 2, 0x82]],
])('a header that says %s as its payload: something else than Ethernet is %s', (_what, isOther, octets) => {
  const view = new DataView(Uint8Array.from([...Array(AT).fill(0xff), ...octets, 0, 0, 1, 0]).buffer);
  expect(hasOtherPayload(view, AT)).toBe(isOther);
});
