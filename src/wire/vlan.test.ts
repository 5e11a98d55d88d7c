import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placedAt } from './octets-rig.ts';
import {
  hasVlan,
  isVlanTagged,
  popTrunkTag,
  pushTrunkTag,
  stripVlanTags,
  trunkVlan,
  VLAN_TAG_BYTES,
  vlanId,
} from './vlan.ts';

const AT = 5;
const MACS = [0x02, 1, 2, 3, 4, 5, 0x06, 7, 8, 9, 10, 11];
const PAYLOAD = Array.from({ length: 46 }, (_, i) => 0x40 + i);

const C_TAG = 0x8100;
const S_TAG = 0x88a8;

const word = (value: number) => [value >> 8, value & 0xff];

const frame = (tags: readonly (readonly [tpid: number, tci: number])[], type = 0x0800, payload = PAYLOAD) => [
  ...MACS,
  ...tags.flatMap(([tpid, tci]) => [...word(tpid), ...word(tci)]),
  ...word(type),
  ...payload,
];

const placed = (octets: readonly number[]) => placedAt(octets, AT);

const octetsOf = (view: DataView) => [...new Uint8Array(view.buffer)];

/** Cuts out tag after tag as long as both MACs, the tag and a type are there. */
function naiveStrip(octets: readonly number[]): { rest: number[]; vids: number[] } {
  const rest = [...octets];
  const vids: number[] = [];
  while (rest.length >= 18) {
    const [tpidHigh = 0, tpidLow = 0, tciHigh = 0, tciLow = 0] = rest.slice(12, 16);
    const tpid = tpidHigh * 256 + tpidLow;
    if (tpid !== C_TAG && tpid !== S_TAG) break;
    vids.push((tciHigh * 256 + tciLow) % 4096);
    rest.splice(12, 4);
  }
  return { rest, vids };
}

const tags = fc.tuple(
  fc.constantFrom(C_TAG, S_TAG),
  fc.oneof(fc.constantFrom(0, 0x1000, 0xe000, 1, 0x0fff, 0xefff), fc.nat({ max: 0xffff })),
);
const types = fc.constantFrom(0x0800, 0x86dd, 0x0806, 0x8101, 0x9100, 0x88a9);
/** Whole frames of up to three tags and frames that are cut somewhere, inside a tag above all. */
const frames = fc
  .record({
    macs: fc.uint8Array({ minLength: 12, maxLength: 12 }),
    tags: fc.array(tags, { maxLength: 3 }),
    type: types,
    payload: fc.uint8Array({ maxLength: 20, size: 'max' }),
    cut: fc.option(fc.nat({ max: 30 }), { nil: 1000 }),
  })
  .map(({ macs, tags, type, payload, cut }) =>
    [...macs, ...frame(tags, type, [...payload]).slice(MACS.length)].slice(0, cut),
  );

describe('isVlanTagged and vlanId', () => {
  it.each([
    ['no tag', frame([]), false],
    ['802.1Q', frame([[C_TAG, 7]]), true],
    ['802.1ad', frame([[S_TAG, 7]]), true],
    ['the old QinQ type 0x9100, which is no tag', frame([[0x9100, 7]]), false],
    ['the octets of the type exchanged', frame([[0x0081, 7]]), false],
  ])('%s', (_name, octets, tagged) => {
    expect(isVlanTagged(placed(octets), AT, octets.length)).toBe(tagged);
  });

  it.each([
    [0x0000, 0],
    [0x0001, 1],
    [0x0fff, 4095],
    [0xf000, 0],
    [0xf00a, 10],
    [0xffff, 4095],
  ])('reads of the tag control %i the VLAN alone, without priority and drop bit', (tci, vid) => {
    expect(vlanId(placed(frame([[C_TAG, tci]])), AT)).toBe(vid);
  });
});

describe('hasVlan', () => {
  it.each([
    ['no tag', frame([]), false],
    ['a tag', frame([[C_TAG, 10]]), true],
    ['a service tag', frame([[S_TAG, 10]]), true],
    ['a priority tag', frame([[C_TAG, 0xe000]]), false],
    [
      'a VLAN behind a priority tag',
      frame([
        [S_TAG, 0xe000],
        [C_TAG, 10],
      ]),
      true,
    ],
    [
      'two priority tags',
      frame([
        [S_TAG, 0],
        [C_TAG, 0x2000],
      ]),
      false,
    ],
    [
      'a VLAN in a third tag',
      frame([
        [S_TAG, 0],
        [C_TAG, 0],
        [C_TAG, 4095],
      ]),
      true,
    ],
    ['octets like a tag in the payload', frame([], 0x0800, [...word(C_TAG), 0, 10, 8, 0]), false],
  ])('%s', (_name, octets, has) => {
    expect(hasVlan(placed(octets), AT, octets.length)).toBe(has);
  });
});

describe('stripVlanTags', () => {
  it.each([0, 1, 2, 3])('removes %i tags and leaves MACs, type and payload', (count) => {
    const octets = frame(Array.from({ length: count }, (_, i) => [i % 2 === 0 ? S_TAG : C_TAG, 10 + i] as const));
    const view = placed(octets);
    const skip = stripVlanTags(view, AT, octets.length);
    expect(skip).toBe(count * VLAN_TAG_BYTES);
    expect(octetsOf(view).slice(AT + skip)).toEqual(frame([]));
  });

  it('removes a priority tag too', () => {
    const octets = frame([[C_TAG, 0xe000]]);
    const view = placed(octets);
    expect(stripVlanTags(view, AT, octets.length)).toBe(4);
    expect(octetsOf(view).slice(AT + 4)).toEqual(frame([]));
  });
});

it('a frame cut at any length is read only as far as it goes, and a tag cut short is none', () => {
  const whole = frame([
    [S_TAG, 0],
    [C_TAG, 10],
  ]);
  for (let length = 0; length <= whole.length; length++) {
    const cut = whole.slice(0, length);
    expect(isVlanTagged(placed(cut), AT, length), `isVlanTagged of ${length}`).toBe(length >= 18);
    expect(hasVlan(placed(cut), AT, length), `hasVlan of ${length}`).toBe(length >= 22);
    expect(stripVlanTags(placed(cut), AT, length), `stripVlanTags of ${length}`).toBe(
      length >= 22 ? 8 : length >= 18 ? 4 : 0,
    );
    // Nor does the length alone decide where the buffer goes on behind it.
    expect(hasVlan(placed(whole), AT, length), `hasVlan of ${length} in a longer buffer`).toBe(length >= 22);
  }
});

it('hasVlan and stripVlanTags do what cutting the tags out of an array does, for any frame', () => {
  fc.assert(
    fc.property(frames, (octets) => {
      const { rest, vids } = naiveStrip(octets);
      const view = placed(octets);
      const before = octetsOf(view);
      expect(hasVlan(view, AT, octets.length)).toBe(vids.some((vid) => vid !== 0));
      expect(octetsOf(view)).toEqual(before);
      const skip = stripVlanTags(view, AT, octets.length);
      expect(skip).toBe(octets.length - rest.length);
      expect(octetsOf(view).slice(AT + skip)).toEqual(rest);
      expect(octetsOf(view).slice(0, AT)).toEqual(before.slice(0, AT));
    }),
    { numRuns: 1000 },
  );
});

it('a frame of nothing but tags is walked to its end and no further', () => {
  const octets = [...MACS, ...Array.from({ length: 300 }, () => [...word(C_TAG), 0, 0]).flat()];
  const view = placed(octets);
  expect(hasVlan(view, AT, octets.length)).toBe(false);
  // The last tag has no type behind it.
  expect(stripVlanTags(view, AT, octets.length)).toBe(299 * VLAN_TAG_BYTES);
  expect(octetsOf(view).slice(-16)).toEqual([...MACS, ...word(C_TAG), 0, 0]);
});

describe('the tag of a trunk', () => {
  it.each<[tags: [number, number][], vlan: number, popped: number]>([
    [[], 0, 0],
    [[[C_TAG, 10]], 10, 4],
    [[[C_TAG, 0xefff]], 4_095, 4],
    [[[C_TAG, 0xe000]], 0, 4],
    [[[S_TAG, 10]], 0, 0],
    [
      [
        [C_TAG, 10],
        [C_TAG, 20],
      ],
      10,
      4,
    ],
    [
      [
        [C_TAG, 0],
        [C_TAG, 20],
      ],
      0,
      4,
    ],
  ])('of %j is VLAN %i, and popping takes %i octets', (given, vlan, popped) => {
    const octets = frame(given);
    const view = placed(octets);
    expect(trunkVlan(view, AT, octets.length)).toBe(vlan);
    expect(popTrunkTag(view, AT, octets.length)).toBe(popped);
    expect(octetsOf(view).slice(AT + popped)).toEqual(frame(popped === 0 ? given : given.slice(1)));
  });

  it('is none where the frame ends inside of it', () => {
    const whole = frame([[C_TAG, 10]]);
    for (let length = 0; length <= whole.length; length++) {
      expect(trunkVlan(placed(whole), AT, length)).toBe(length >= 18 ? 10 : 0);
      expect(popTrunkTag(placed(whole), AT, length)).toBe(length >= 18 ? 4 : 0);
    }
  });

  it('is pushed into the four octets in front of the frame, and popped again', () => {
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 4_094 }), (octets, vlan) => {
        fc.pre(octets.length >= 14);
        const view = placed(octets);
        pushTrunkTag(view, AT, vlan);
        const tagged = [...octets.slice(0, 12), ...word(C_TAG), ...word(vlan), ...octets.slice(12)];
        expect(octetsOf(view)).toEqual([0xa5, ...tagged]);
        expect(trunkVlan(view, AT - 4, octets.length + 4)).toBe(vlan);
        expect(popTrunkTag(view, AT - 4, octets.length + 4)).toBe(4);
        expect(octetsOf(view).slice(AT)).toEqual(octets);
      }),
    );
  });
});
