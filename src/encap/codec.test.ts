import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENCAPSULATIONS, hasVni, isNextHeader, peekHeader, readHeader, writeHeader } from './codec.ts';
import { ENCAP, type Encap, HEADER_ROOM_BYTES } from './encapsulation.ts';

import { type NaiveCodec, type NaiveReading, naiveVxlan } from './naive-headers.ts';
import { HEADER_REASONS, HEADER_SHORT, headerReading, readHeaderBytes, readVni, reasonIndex } from './reading.ts';

/** What every codec keeps. Another encapsulation is another row. */

interface Row {
  readonly naive: NaiveCodec;
  readonly maxVni: number;
  readonly port: number;
  /** Octets that a frame grows by, by its RFC, over IPv4 and over IPv6. */
  readonly outer: readonly [number, number];
}

const ROWS: { readonly [E in Encap]: Row } = {
  [ENCAP.vxlan]: { naive: naiveVxlan, maxVni: 0xff_ffff, port: 4789, outer: [20 + 8 + 8, 40 + 8 + 8] },
};

const AT = 5;
const FILL = 0xa5;

/** Octets behind AT others, in a buffer that ends with them: what reads beyond them throws. */
function viewOf(octets: readonly number[]): DataView {
  return new DataView(Uint8Array.from([...Array(AT).fill(FILL), ...octets]).buffer);
}

const octetsIn = (view: DataView) => [...new Uint8Array(view.buffer)];

function read(encap: Encap, octets: readonly number[], dropReservedBits: boolean): NaiveReading {
  const view = viewOf(octets);
  const before = octetsIn(view);
  const reading = readHeader(encap, view, AT, octets.length, dropReservedBits);
  const peeked = peekHeader(encap, view, AT, octets.length);
  const isOne = hasVni(encap, view, AT, octets.length);
  expect(octetsIn(view)).toEqual(before);
  // No reading is a heap number.
  for (const each of [reading, peeked]) expect(each | 0).toBe(each);
  if (peeked === HEADER_SHORT) {
    expect([reading, isOne]).toEqual([HEADER_SHORT, false]);
    return { verdict: 'short' };
  }
  if (reading >= 0) expect(reading).toBe(peeked);
  const verdict = reading >= 0 ? 'ok' : (HEADER_REASONS[reasonIndex(reading)] as string);
  return { verdict, vni: readVni(peeked), hasVni: isOne, bytes: readHeaderBytes(peeked) };
}

function written(encap: Encap, vni: number): number[] {
  const bytes = ENCAPSULATIONS[encap].headerBytes;
  const view = viewOf(Array(bytes + 3).fill(FILL));
  expect(writeHeader(encap, view, AT + bytes, vni)).toBe(AT);
  const octets = octetsIn(view);
  expect([...octets.slice(0, AT), ...octets.slice(AT + bytes)]).toEqual(Array(AT + 3).fill(FILL));
  return octets.slice(AT, AT + bytes);
}

const octetsOfHex = (text: string) => [...Buffer.from(text, 'hex')];
const anyOctets = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((octets) => [...octets]);

it('each encapsulation stands at its number, each with a row here', () => {
  for (const encap of Object.values(ENCAP)) expect(ENCAPSULATIONS[encap].encap).toBe(encap);
  expect(Object.keys(ENCAPSULATIONS)).toEqual(Object.values(ENCAP).map(String));
  expect(Object.keys(ROWS)).toEqual(Object.keys(ENCAPSULATIONS));
});

it('each reason belongs to an encapsulation', () => {
  const used = Object.values(ENCAPSULATIONS).flatMap(({ dropReasons }) => dropReasons);
  expect([...HEADER_REASONS].sort()).toEqual([...new Set(used)].sort());
});

describe.each(Object.values(ENCAP).map((encap) => [ENCAPSULATIONS[encap].label, encap] as const))('%s', (_, encap) => {
  const { naive, maxVni, port, outer } = ROWS[encap];
  const description = ENCAPSULATIONS[encap];
  const vnis = fc.oneof(fc.constantFrom(0, 1, maxVni), fc.nat({ max: maxVni }));
  /** What peers send, what they send damaged in a bit or two, and anything. With what is inside. */
  const datagrams = fc
    .tuple(
      fc.oneof(
        vnis.map(naive.write),
        fc.constantFrom(...naive.variants.map(octetsOfHex)),
        fc
          .tuple(fc.constantFrom(...naive.variants.map(octetsOfHex)), fc.array(fc.nat(), { maxLength: 2 }))
          .map(([octets, bits]) => withFlipped(octets, bits)),
        anyOctets(0, 24),
      ),
      anyOctets(0, 24),
    )
    .map(([header, inner]) => [...header, ...inner]);

  it('is described as its RFC has it', () => {
    expect(description).toMatchObject({ label: naive.name, port, headerBytes: naive.write(0).length });
    expect([description.outerBytes[4], description.outerBytes[6]]).toEqual(outer);
    expect(description.headerBytes).toBeLessThanOrEqual(HEADER_ROOM_BYTES);
    expect(description.otherPorts).not.toContain(port);
  });

  it('is written as by the oracle, and nothing beside it', () => {
    fc.assert(
      fc.property(vnis, (vni) => {
        expect(written(encap, vni)).toEqual(naive.write(vni));
      }),
    );
  });

  it('is read back as it was written, without reserved bits', () => {
    fc.assert(
      fc.property(vnis, anyOctets(0, 40), (vni, inner) => {
        const reading = { verdict: 'ok', vni, hasVni: true, bytes: description.headerBytes };
        expect(read(encap, [...written(encap, vni), ...inner], true)).toEqual(reading);
      }),
    );
  });

  it('is read as by the oracle, whatever comes', () => {
    fc.assert(
      fc.property(datagrams, fc.boolean(), (octets, dropReservedBits) => {
        expect(read(encap, octets, dropReservedBits)).toEqual(naive.read(octets, dropReservedBits));
      }),
      { numRuns: 2_000 },
    );
  });

  it.each(naive.variants)('is read as by the oracle at every length: %s', (variant) => {
    const octets = [...octetsOfHex(variant), ...Array(16).fill(FILL)];
    for (let length = 0; length <= octets.length; length++) {
      for (const dropReservedBits of [false, true]) {
        const cut = octets.slice(0, length);
        expect(read(encap, cut, dropReservedBits), `${length} octets`).toEqual(naive.read(cut, dropReservedBits));
      }
    }
  });

  it('is refused for the reasons of its description, and for each of them', () => {
    const verdicts = naive.variants.map((variant) => read(encap, octetsOfHex(variant), true).verdict);
    const refusals = new Set(verdicts.filter((verdict) => verdict !== 'ok' && verdict !== 'short'));
    expect([...refusals].sort()).toEqual([...description.dropReasons].sort());
  });

  it('says all in its first eight octets', () => {
    fc.assert(
      fc.property(datagrams, anyOctets(300, 300), fc.boolean(), (octets, others, dropReservedBits) => {
        fc.pre(octets.length >= 8);
        const [one, other] = [octets, others].map((tail) => [...octets.slice(0, 8), ...tail.slice(8), ...others]);
        expect(read(encap, one as number[], dropReservedBits)).toEqual(
          read(encap, other as number[], dropReservedBits),
        );
      }),
    );
  });

  describe('begins a datagram of a train', () => {
    const begins = (octets: readonly number[], first: readonly number[]) =>
      isNextHeader(encap, viewOf([...first, ...octets]), AT + first.length, octets.length, AT);

    it('where it stands as vtepd writes it, behind whatever header', () => {
      fc.assert(
        fc.property(vnis, datagrams, anyOctets(0, 8), (vni, first, inner) => {
          fc.pre(first.length >= HEADER_ROOM_BYTES);
          expect(begins([...written(encap, vni), ...inner], first)).toBe(true);
        }),
      );
    });

    it('where it is as the first one, if that is one', () => {
      fc.assert(
        fc.property(datagrams, (octets) => {
          const reading = naive.read(octets, false);
          expect(begins(octets, octets)).toBe(reading.hasVni === true);
        }),
      );
    });

    it('not where octets of it are missing, at every length', () => {
      const whole = written(encap, maxVni);
      for (let length = 0; length < whole.length; length++) {
        expect(begins(whole.slice(0, length), whole), `${length} octets`).toBe(false);
      }
    });

    it('not where another thing stands', () => {
      fc.assert(
        fc.property(datagrams, datagrams, (octets, first) => {
          fc.pre(first.length >= HEADER_ROOM_BYTES && !naive.read(octets, false).hasVni);
          expect(begins(octets, first)).toBe(false);
        }),
      );
    });
  });
});

it('a reading has its VNI and the length of its header, up to 508 octets, and is never below 0', () => {
  fc.assert(
    fc.property(fc.nat({ max: 127 }), fc.nat({ max: 0xff_ffff }), (words, vni) => {
      const reading = headerReading(4 * words, vni);
      expect([readHeaderBytes(reading), readVni(reading)]).toEqual([4 * words, vni]);
      expect(reading).toBeGreaterThanOrEqual(0);
      expect(reading | 0).toBe(reading);
    }),
  );
});

function withFlipped(octets: readonly number[], bits: readonly number[]): number[] {
  const flipped = [...octets];
  for (const bit of bits) {
    const at = Math.floor(bit / 8) % octets.length;
    flipped[at] = (flipped[at] as number) ^ (1 << (bit % 8));
  }
  return flipped;
}
