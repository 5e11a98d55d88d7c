import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE,
  hasEthernetHeader,
  hasValidSource,
  isGroupDestination,
  macHigh,
  macLow,
  SOURCE_MAC_AT,
} from './ethernet.ts';
import { isLinkLocalDestination } from './link-local.ts';

const AT = 3;

const macOctets = (text: string) => text.split(':').map((octet) => Number.parseInt(octet, 16));

const macText = (octets: Iterable<number>) => [...octets].map((octet) => octet.toString(16).padStart(2, '0')).join(':');

/** A bare header behind AT octets of 0xff, in a buffer that ends with it. */
function header(destination: Iterable<number>, source: Iterable<number>): DataView {
  return new DataView(Uint8Array.from([...Array(AT).fill(0xff), ...destination, ...source, 0x08, 0x00]).buffer);
}

const ANY_MAC = macOctets('02:00:00:00:00:01');
const ALL_ONES = macOctets('ff:ff:ff:ff:ff:ff');

/** The 48 MACs with one bit set, the bit sent in octet `i >> 3` with the value `0x80 >> (i & 7)`. */
const singleBitMacs = Array.from({ length: 48 }, (_, i) => {
  const mac = [0, 0, 0, 0, 0, 0];
  mac[i >> 3] = 0x80 >> (i & 7);
  return mac;
});

/** Random, but near the edges often: mostly zeros, and mostly 01:80:c2:00:00:xx. */
const macs = fc.oneof(
  fc.uint8Array({ minLength: 6, maxLength: 6 }),
  fc.array(fc.constantFrom(0, 0, 0, 1), { minLength: 6, maxLength: 6 }).map((octets) => Uint8Array.from(octets)),
  fc
    .tuple(fc.constantFrom(0xc2, 0xc3), fc.constantFrom(0, 1), fc.integer({ min: 0, max: 0x20 }))
    .map(([third, fifth, last]) => Uint8Array.of(1, 0x80, third, 0, fifth, last)),
);

it('is there from 14 octets on', () => {
  for (let length = 0; length <= 20; length++) expect(hasEthernetHeader(length), `${length}`).toBe(length >= 14);
  expect(ETHERNET_HEADER_BYTES).toBe(14);
});

it('knows the types of IEEE 802 as they stand on the wire', () => {
  expect(ETHERTYPE).toEqual({ ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, serviceVlan: 0x88a8 });
});

it('reads both MACs as a signed and an unsigned word', () => {
  const view = header(macOctets('fe:dc:ba:98:76:54'), macOctets('80:00:00:01:ff:fe'));
  expect([macHigh(view, AT), macLow(view, AT)]).toEqual([0xfedc_ba98 | 0, 0x7654]);
  expect([macHigh(view, AT + SOURCE_MAC_AT), macLow(view, AT + SOURCE_MAC_AT)]).toEqual([0x8000_0001 | 0, 0xfffe]);
});

it('reads any MAC so that its words spell it out', () => {
  fc.assert(
    fc.property(macs, macs, (destination, source) => {
      const view = header(destination, source);
      const spelt = (at: number) =>
        (macHigh(view, at) >>> 0).toString(16).padStart(8, '0') + macLow(view, at).toString(16).padStart(4, '0');
      expect(spelt(AT)).toBe(macText(destination).replaceAll(':', ''));
      expect(spelt(AT + SOURCE_MAC_AT)).toBe(macText(source).replaceAll(':', ''));
    }),
  );
});

describe('isGroupDestination', () => {
  it.each([
    ['ff:ff:ff:ff:ff:ff', true],
    ['01:00:5e:00:00:01', true],
    ['33:33:00:00:00:01', true],
    ['02:00:00:00:00:01', false],
    ['fe:ff:ff:ff:ff:ff', false],
    ['00:00:00:00:00:00', false],
  ])('%s: %s', (mac, group) => {
    expect(isGroupDestination(header(macOctets(mac), ALL_ONES), AT)).toBe(group);
    expect(isGroupDestination(header(macOctets(mac), ANY_MAC), AT)).toBe(group);
  });

  it('depends on the lowest bit of the first octet and on no other', () => {
    for (const mac of singleBitMacs) expect(isGroupDestination(header(mac, ALL_ONES), AT)).toBe(mac[0] === 1);
  });
});

describe('hasValidSource', () => {
  it.each([
    ['02:00:00:00:00:01', true],
    ['00:00:00:00:00:01', true],
    ['00:00:00:00:01:00', true],
    ['00:00:00:01:00:00', true],
    ['80:00:00:00:00:00', true],
    ['fe:ff:ff:ff:ff:ff', true],
    ['00:00:00:00:00:00', false],
    ['ff:ff:ff:ff:ff:ff', false],
    ['01:00:00:00:00:00', false],
    ['01:00:5e:00:00:01', false],
    ['33:33:00:00:00:01', false],
  ])('%s: %s, whatever the destination', (mac, valid) => {
    for (const destination of [ANY_MAC, ALL_ONES, [0, 0, 0, 0, 0, 0]]) {
      expect(hasValidSource(header(destination, macOctets(mac)), AT)).toBe(valid);
    }
  });

  it('refuses of all MACs with one bit set the one with the group bit', () => {
    for (const mac of singleBitMacs) expect(hasValidSource(header(ANY_MAC, mac), AT), macText(mac)).toBe(mac[0] !== 1);
  });
});

describe('isLinkLocalDestination', () => {
  it('is 01:80:c2:00:00:00 to 01:80:c2:00:00:0f, all 16 of 256', () => {
    for (let last = 0; last < 256; last++) {
      expect(isLinkLocalDestination(header([1, 0x80, 0xc2, 0, 0, last], ANY_MAC), AT), `${last}`).toBe(last < 16);
    }
  });

  it('is none of the MACs one bit away from 01:80:c2:00:00:0, those four last bits aside', () => {
    const base = macOctets('01:80:c2:00:00:00');
    for (const [i, flip] of singleBitMacs.entries()) {
      const mac = base.map((octet, n) => octet ^ (flip[n] ?? 0));
      expect(isLinkLocalDestination(header(mac, base), AT), macText(mac)).toBe(i >= 44);
    }
  });
});

it('the predicates agree with MACs read as text, on headers that end the buffer', () => {
  fc.assert(
    fc.property(macs, macs, (destination, source) => {
      const view = header(destination, source);
      const isGroup = (mac: Uint8Array) => /^.[13579bdf]/.test(macText(mac));
      expect(isGroupDestination(view, AT)).toBe(isGroup(destination));
      expect(hasValidSource(view, AT)).toBe(!isGroup(source) && macText(source) !== '00:00:00:00:00:00');
      expect(isLinkLocalDestination(view, AT)).toBe(/^01:80:c2:00:00:0.$/.test(macText(destination)));
    }),
    { numRuns: 500 },
  );
});
