import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldSum, sumOctets } from './checksum.ts';
import { decapsulateEcn, ECN, hasEcnEffect, INHERIT_TOS, innerTos, outerTos } from './ecn.ts';
import { type FrameHeaders, locateHeaders, newFrameHeaders } from './ip.ts';

const { notEct, ect0, ect1, ce } = ECN;
const FIELDS = [notEct, ect1, ect0, ce];

/** RFC 6040 §4.2, figure 4: rows by the inner field, columns Not-ECT, ECT(0), ECT(1), CE outside. */
const FIGURE_4 = new Map([
  [notEct, [notEct, notEct, notEct, 'drop']],
  [ect0, [ect0, ect0, ect1, ce]],
  [ect1, [ect1, ect1, ect1, ce]],
  [ce, [ce, ce, ce, ce]],
] as const);
const COMBINATIONS = [...FIGURE_4].flatMap(([inner, row]) =>
  [notEct, ect0, ect1, ce].map((outer, i) => ({ inner, outer, expected: row[i] as number | 'drop' })),
);

const GUARD = 0xa5;

interface Inner {
  readonly version: 4 | 6;
  readonly tos: number;
  readonly tags?: string;
  readonly flowLabel?: number;
  readonly id?: number;
}

/** A frame of IPv4 or IPv6 without payload, between guards, and its headers. */
function frameOf({ version, tos, tags = '', flowLabel = 0, id = 0 }: Inner) {
  const ip = Buffer.alloc(version === 4 ? 20 : 40);
  if (version === 4) {
    ip.set([0x45, tos, 0, 20, id >> 8, id & 0xff, 0x40, 0, 64, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    const view = new DataView(ip.buffer, ip.byteOffset, ip.length);
    ip.writeUInt16BE(~foldSum(sumOctets(view, 0, 20)) & 0xffff, 10);
  } else {
    ip.writeUInt32BE(6 * 2 ** 28 + tos * 2 ** 20 + flowLabel, 0);
    ip[6] = 59;
  }
  const type = version === 4 ? '0800' : '86dd';
  const frame = Buffer.concat([Buffer.from(`020000000001020000000002${tags}${type}`, 'hex'), ip]);
  const octets = new Uint8Array(frame.length + 16).fill(GUARD);
  octets.set(frame, 8);
  const view = new DataView(octets.buffer);
  const headers = newFrameHeaders();
  locateHeaders(view, 8, frame.length, headers);
  return { view, headers, octets };
}

function tosIn(view: DataView, { ipVersion, networkAt }: FrameHeaders): number {
  const word = view.getUint32(networkAt);
  return ipVersion === 4 ? (word >>> 16) & 0xff : (word >>> 20) & 0xff;
}

const inners = fc.record({
  version: fc.constantFrom(4, 6),
  tos: fc.nat({ max: 255 }),
  tags: fc.constantFrom('', '81000005', '88a8000581000006'),
  flowLabel: fc.nat({ max: 0xf_ffff }),
  id: fc.nat({ max: 0xffff }),
});

describe('T22: the tunnel’s ingress', () => {
  it.each(FIELDS)('copies the inner ECN field %i, whatever the ECN bits of --tos', (inner) => {
    for (const version of [4, 6] as const) {
      for (const tos of [0, 0x03, 0xb8, 0xff]) {
        const { view, headers } = frameOf({ version, tos: 0x50 | inner });
        expect(outerTos(view, headers, tos)).toBe((tos & 0xfc) | inner);
      }
    }
  });

  it('T23: inherits the whole octet, and sends 0 for what is not IP', () => {
    fc.assert(
      fc.property(inners, (inner) => {
        const { view, headers } = frameOf(inner);
        expect(innerTos(view, headers)).toBe(inner.tos);
        expect(outerTos(view, headers, INHERIT_TOS)).toBe(inner.tos);
      }),
    );
    const arp = new DataView(new Uint8Array(60).fill(0xff).buffer);
    expect([INHERIT_TOS, 0, 0xb8, 0xbb].map((tos) => outerTos(arp, newFrameHeaders(), tos))).toEqual([
      0, 0, 0xb8, 0xb8,
    ]);
  });
});

describe('T22: the tunnel’s egress, all 16 combinations', () => {
  it.each(COMBINATIONS)('inner $inner, outer $outer: $expected', ({ inner, outer, expected }) => {
    fc.assert(
      fc.property(inners, (any) => {
        const tos = (any.tos & 0xfc) | inner;
        const { view, headers, octets } = frameOf({ ...any, tos });
        const before = octets.slice();
        const isKept = hasEcnEffect(outer) ? decapsulateEcn(view, headers, outer) : true;
        expect(isKept).toBe(expected !== 'drop');
        if (expected === 'drop') return;
        expect(tosIn(view, headers)).toBe((tos & 0xfc) | expected);
        // It is the frame that would have been sent with that field: nothing else differs, and the IPv4 checksum is right.
        expect(octets).toEqual(frameOf({ ...any, tos: (tos & 0xfc) | expected }).octets);
        if (inner === expected) expect(octets).toEqual(before);
      }),
      { numRuns: 30 },
    );
  });

  it('lets pass what is not IP, and changes nothing of it', () => {
    const octets = new Uint8Array(60).fill(0x5a);
    for (const outer of [ect1, ce]) {
      expect(decapsulateEcn(new DataView(octets.buffer), newFrameHeaders(), outer)).toBe(true);
      expect(octets.every((octet) => octet === 0x5a)).toBe(true);
    }
  });

  it('does not mend a wrong IPv4 checksum', () => {
    const { view, headers } = frameOf({ version: 4, tos: ect0 });
    const at = headers.networkAt + 10;
    view.setUint16(at, view.getUint16(at) ^ 0x0101);
    expect(decapsulateEcn(view, headers, ce)).toBe(true);
    expect(foldSum(sumOctets(view, headers.networkAt, 20))).not.toBe(0xffff);
  });
});
