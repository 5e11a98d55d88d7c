import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { naiveSum } from './naive-sum.ts';
import { completeChecksum, portableSums } from './octet-sums.ts';
import { placedAt } from './octets-rig.ts';

const octetsOf = (view: DataView) => [...new Uint8Array(view.buffer)];

const UDP = 17;
const octetArrays = fc.uint8Array({ maxLength: 300, size: 'max' });
const places = fc.nat({ max: 15 });

// What it shares with the SIMD module is tested with that, in src/sys/simd-sums.test.ts.
describe('portableSums', () => {
  it.each([
    ['nothing', [], 0],
    ['the example of RFC 1071 §3', [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0xddf2],
    ['one octet, the high half of a word', [0xab], 0xab00],
    ['three octets', [0x00, 0x01, 0xab], 0xab01],
    ['a carry that carries again', [0xff, 0xff, 0xff, 0xff, 0x00, 0x01], 0x0001],
  ])('sums %s', (_name, octets, sum) => {
    expect(portableSums(Uint8Array.from([0xa5, ...octets, 0xa5])).sum(1, octets.length)).toBe(sum);
  });

  it('sums as RFC 1071 octet by octet, up to the last octet of its memory', () => {
    fc.assert(
      fc.property(octetArrays, places, (octets, at) => {
        const bytes = new Uint8Array(at + octets.length).fill(0xa5);
        bytes.set(octets, at);
        expect(portableSums(bytes).sum(at, octets.length)).toBe(naiveSum(octets));
      }),
    );
  });

  it('copies what it sums, and nothing else', () => {
    fc.assert(
      fc.property(octetArrays, places, places, (octets, from, to) => {
        const bytes = new Uint8Array(1_024).fill(0xa5);
        bytes.set(octets, from);
        const wanted = bytes.slice();
        wanted.set(octets, 512 + to);
        expect(portableSums(bytes).copySum(512 + to, from, octets.length)).toBe(naiveSum(octets));
        expect(bytes).toEqual(wanted);
      }),
    );
  });

  it('counts offsets from the start of its octets, which may be a part of a buffer', () => {
    const part = Uint8Array.from([0xff, 0xff, 0x12, 0x34, 0, 0, 0xff]).subarray(2, 6);
    const sums = portableSums(part);
    expect(sums.sum(0, 2)).toBe(0x1234);
    expect(sums.copySum(2, 0, 2)).toBe(0x1234);
    expect([...part]).toEqual([0x12, 0x34, 0x12, 0x34]);
  });
});

describe('completeChecksum', () => {
  const finish = (view: DataView, start: number, end: number, offset: number) =>
    completeChecksum(view, portableSums(new Uint8Array(view.buffer)), start, end, offset);

  it('gives a checksum that sums to 0xffff with its pseudo-header, and changes nothing else', () => {
    const segments = fc.uint8Array({ minLength: 20, maxLength: 120, size: 'max' });
    const offsets = fc.constantFrom(6, 16);
    const pseudos = fc.uint8Array({ minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(segments, places, offsets, pseudos, (segment, at, offset, pseudo) => {
        const view = placedAt(segment, at);
        view.setUint16(at + offset, naiveSum(pseudo));
        const before = octetsOf(view);
        finish(view, at, at + segment.length, offset);
        const after = octetsOf(view);
        expect(naiveSum([...pseudo, ...after.slice(at)])).toBe(0xffff);
        expect(view.getUint16(at + offset)).not.toBe(0);
        before.splice(at + offset, 2);
        after.splice(at + offset, 2);
        expect(after).toEqual(before);
      }),
      { numRuns: 300 },
    );
  });

  it('is right at every length of the segment, the odd ones too', () => {
    const pseudo = [192, 0, 2, 1, 192, 0, 2, 2, 0, UDP, 0, 8];
    for (let length = 8; length <= 72; length++) {
      const view = placedAt(new Uint8Array(length).fill(0xc3), 1);
      view.setUint16(7, naiveSum(pseudo));
      finish(view, 1, 1 + length, 6);
      expect(naiveSum([...pseudo, ...octetsOf(view).slice(1)]), `${length} octets`).toBe(0xffff);
    }
  });

  it('writes 0xffff where the sum comes to zero, since zero means none to UDP', () => {
    const view = placedAt(Uint8Array.from([0xf0, 0x0f, 0, 0, 0, 0, 0x0f, 0xf0]), 0);
    finish(view, 0, 8, 6);
    expect(view.getUint16(6)).toBe(0xffff);
  });

  it('leaves out what stands behind the end', () => {
    const segment = Uint8Array.from([1, 2, 3, 4, 5, 6, 0, 0, 9]);
    const alone = placedAt(segment, 0);
    const padded = placedAt(Uint8Array.from([...segment, 0xde, 0xad, 0xbe]), 0);
    finish(alone, 0, segment.length, 6);
    finish(padded, 0, segment.length, 6);
    // 0102 + 0304 + 0506 + 0900
    expect(alone.getUint16(6)).toBe(~0x120c & 0xffff);
    expect(padded.getUint16(6)).toBe(alone.getUint16(6));
  });
});
