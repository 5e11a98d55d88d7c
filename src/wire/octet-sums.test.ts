import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { portableSums } from './octet-sums.ts';

/** RFC 1071 octet by octet, the carry brought round after each. */
function naiveSum(octets: Iterable<number>): number {
  let sum = 0;
  let isHigh = true;
  for (const octet of octets) {
    sum += isHigh ? octet * 256 : octet;
    if (sum > 0xffff) sum -= 0xffff;
    isHigh = !isHigh;
  }
  return sum;
}

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
