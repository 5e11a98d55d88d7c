import { describe, expect, it } from 'vitest';
import { HEADER_FAULT, readVni } from './reading.ts';
import { hasVxlanVni, isNextVxlan, peekVxlan, readVxlan, VXLAN_HEADER_BYTES, writeVxlan } from './vxlan.ts';

/** What RFC 7348 §5 says of VXLAN's bits. What all codecs have in common is in codec.test.ts. */

const AT = 3;
const OK = 0;

/** Of the 64 bits of a header, in the order of RFC 7348 §5. */
const I_BIT = 4;
const VNI_BITS = { first: 32, last: 55 };

const ALL_BITS = Array.from({ length: 64 }, (_, i) => i);

/** A header with these bits, behind AT octets of 0xff, in a buffer that ends with it. */
function withBits(...set: number[]): DataView {
  const octets = new Uint8Array(AT + VXLAN_HEADER_BYTES);
  octets.fill(0xff, 0, AT);
  for (const bit of set) octets[AT + (bit >> 3)] = (octets[AT + (bit >> 3)] as number) | (0x80 >> (bit & 7));
  return new DataView(octets.buffer);
}

function read(view: DataView, dropReservedBits: boolean) {
  const reading = readVxlan(view, AT, VXLAN_HEADER_BYTES, dropReservedBits);
  const hasVni = hasVxlanVni(view, AT, VXLAN_HEADER_BYTES);
  return { fault: reading < 0 ? reading : OK, hasVni, vni: readVni(peekVxlan(view, AT, VXLAN_HEADER_BYTES)) };
}

const isVniBit = (bit: number) => bit >= VNI_BITS.first && bit <= VNI_BITS.last;

describe('each of the 64 bits', () => {
  it('is the I flag in one place only', () => {
    for (const bit of ALL_BITS) expect(read(withBits(bit), false).hasVni, `bit ${bit}`).toBe(bit === I_BIT);
    const allButI = withBits(...ALL_BITS.filter((bit) => bit !== I_BIT));
    expect(read(allButI, false)).toMatchObject({ fault: HEADER_FAULT['no-i-flag'], hasVni: false });
  });

  it('is one of the 39 reserved ones or belongs to the I flag or the VNI', () => {
    const reserved = ALL_BITS.filter((bit) => read(withBits(I_BIT, bit), true).fault === HEADER_FAULT['reserved-bits']);
    expect(reserved).toEqual(ALL_BITS.filter((bit) => bit !== I_BIT && !isVniBit(bit)));
    expect(reserved).toHaveLength(39);
    for (const bit of reserved) expect(read(withBits(I_BIT, bit), false).fault, `bit ${bit}`).toBe(OK);
  });

  it('counts in the VNI with its own power of two, or not at all', () => {
    for (const bit of ALL_BITS) {
      const weight = isVniBit(bit) ? 2 ** (VNI_BITS.last - bit) : 0;
      expect(read(withBits(bit), false).vni, `bit ${bit}`).toBe(weight);
    }
  });
});

it.each([
  [0, [0x08, 0, 0, 0, 0, 0, 0, 0]],
  [1, [0x08, 0, 0, 0, 0, 0, 1, 0]],
  [100, [0x08, 0, 0, 0, 0, 0, 0x64, 0]],
  [0x80_0000, [0x08, 0, 0, 0, 0x80, 0, 0, 0]],
  [0x12_3456, [0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0]],
  [0xff_ffff, [0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0]],
])('all eight octets are written for VNI %i and none beside them', (vni, expected) => {
  const buffer = new Uint8Array(AT + VXLAN_HEADER_BYTES + 4).fill(0xa5);
  writeVxlan(new DataView(buffer.buffer), AT + VXLAN_HEADER_BYTES, vni);
  expect([...buffer]).toEqual([0xa5, 0xa5, 0xa5, ...expected, 0xa5, 0xa5, 0xa5, 0xa5]);
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
  expect(read(view, false).fault).toBe(isOther ? HEADER_FAULT['reserved-bits'] : OK);
});

it.each<[what: string, isOne: boolean, octets: number[], first: number[]]>([
  ['plain', true, [8, 0, 0, 0, 0, 0, 1, 0], [8, 0, 0, 0, 0, 0, 1, 0]],
  ['plain, behind one with a policy', true, [8, 0, 0, 0, 0, 0, 1, 0], [0x88, 0, 0, 7, 0, 0, 1, 0]],
  ['with another policy', true, [0x88, 0, 0, 9, 0, 0, 2, 0], [0x88, 0, 0, 7, 0, 0, 1, 0]],
  ['with reserved bits, behind a plain one', false, [8, 0, 0, 9, 0, 0, 1, 0], [8, 0, 0, 0, 0, 0, 1, 0]],
  ['with other flags', false, [0x88, 0, 0, 7, 0, 0, 1, 0], [0x48, 0, 0, 7, 0, 0, 1, 0]],
  ['with another last octet', false, [0x88, 0, 0, 7, 0, 0, 1, 1], [0x88, 0, 0, 7, 0, 0, 1, 0]],
  ['without the I flag', false, [0x80, 0, 0, 7, 0, 0, 1, 0], [0x80, 0, 0, 7, 0, 0, 1, 0]],
])('a header %s begins a datagram of a train: %s', (_what, isOne, octets, first) => {
  const view = new DataView(Uint8Array.from([...first, ...octets]).buffer);
  expect(isNextVxlan(view, 8, 8, 0)).toBe(isOne);
});
