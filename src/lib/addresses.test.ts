import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatIp,
  formatMac,
  type IpAddress,
  ipBytes,
  ipFamily,
  isGroupMac,
  isIpv4Mapped,
  isLinkLocalIpv6,
  isMulticastIp,
  isUnspecifiedIp,
  isZeroMac,
  type MacAddress,
  macWords,
  parseIp,
  parseMac,
} from './addresses.ts';

const octet = fc.integer({ min: 0, max: 255 });
const macOctets = fc.uint8Array({ minLength: 6, maxLength: 6 });
/** Groups of an IPv6 address, zero often enough that every place and length of a zero run occurs. */
const groups = fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 0xffff })), {
  minLength: 8,
  maxLength: 8,
});

function mac(text: string): MacAddress {
  const parsed = parseMac(text);
  if (parsed === undefined) throw new Error(`no MAC: ${text}`);
  return parsed;
}

function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`no address: ${text}`);
  return parsed;
}

const toBytes = (parts: readonly number[]) => Uint8Array.from(parts.flatMap((part) => [part >> 8, part & 0xff]));

/** RFC 5952 text by the WHATWG URL serializer, which is independent of ours. */
const byUrl = (parts: readonly number[]) =>
  new URL(`http://[${parts.map((part) => part.toString(16)).join(':')}]/`).hostname.slice(1, -1);

describe('MAC text', () => {
  it.each([
    ['02:00:00:00:00:0a', '02:00:00:00:00:0a'],
    ['02:00:00:00:00:0A', '02:00:00:00:00:0a'],
    ['FF:FF:FF:FF:FF:FF', 'ff:ff:ff:ff:ff:ff'],
    ['00:00:00:00:00:00', '00:00:00:00:00:00'],
  ])('%j is read as %j', (text, canonical) => {
    expect(parseMac(text)).toBe(canonical);
  });

  it.each([
    '',
    '02:00:00:00:00',
    '02:00:00:00:00:0a:0b',
    '2:0:0:0:0:a',
    '02-00-00-00-00-0a',
    '0200.0000.000a',
    '02000000000a',
    '02:00:00:00:00:0g',
    ' 02:00:00:00:00:0a',
    '02:00:00:00:00:0a\n',
    '02:00:00:00:00:0a ',
    '0x:00:00:00:00:0a',
    '02::00:00:00:0a',
    '002:00:00:00:00:0a',
    '٠٢:00:00:00:00:0a',
  ])('%j is refused', (text) => {
    expect(parseMac(text)).toBeUndefined();
  });

  it('is the octets in hexadecimal, whichever case they were written in, and splits into words', () => {
    fc.assert(
      fc.property(macOctets, (octets) => {
        const text = [...octets].map((each) => each.toString(16).padStart(2, '0')).join(':');
        expect(parseMac(text)).toBe(text);
        expect(parseMac(text.toUpperCase())).toBe(text);
        const view = new DataView(octets.buffer, octets.byteOffset);
        expect(macWords(mac(text))).toEqual({ high: view.getUint32(0), low: view.getUint16(4) });
        expect(formatMac(view.getUint32(0), view.getUint16(4))).toBe(text);
      }),
    );
  });

  it('is made of signed words as of unsigned ones', () => {
    expect(formatMac(-1, -1)).toBe('ff:ff:ff:ff:ff:ff');
    expect(formatMac(0x8000_0000 | 0, 0x1_0001)).toBe('80:00:00:00:00:01');
  });

  it('is accepted only where six pairs of hexadecimal digits stand between colons', () => {
    const almost = fc
      .array(fc.constantFrom('0', '00', 'aF', '9c', 'g0', '', '100', ' 1'), { minLength: 5, maxLength: 7 })
      .chain((parts) => fc.constantFrom(':', '-').map((separator) => parts.join(separator)));
    fc.assert(
      fc.property(fc.oneof(almost, fc.string()), (text) => {
        const parts = text.split(':');
        const isMac = parts.length === 6 && parts.every((part) => part.length === 2 && /^[0-9a-fA-F]+$/.test(part));
        expect(parseMac(text) !== undefined).toBe(isMac);
      }),
    );
  });

  it('tells group addresses by the lowest bit of the first octet alone', () => {
    for (let first = 0; first < 256; first++) {
      const text = first.toString(16).padStart(2, '0');
      expect(isGroupMac(mac(`${text}:00:00:00:00:00`))).toBe(first % 2 === 1);
      expect(isGroupMac(mac(`${text}:01:ff:01:ff:01`))).toBe(first % 2 === 1);
    }
  });

  it('tells the zero address from those with one bit set', () => {
    expect(isZeroMac(mac('00:00:00:00:00:00'))).toBe(true);
    for (let bit = 0; bit < 48; bit++) {
      const octets = Array.from({ length: 6 }, (_, i) => (i === bit >> 3 ? 1 << (bit & 7) : 0));
      expect(isZeroMac(mac(octets.map((each) => each.toString(16).padStart(2, '0')).join(':')))).toBe(false);
    }
  });
});

describe('IPv4 text', () => {
  it('is the octets in decimal, both ways', () => {
    fc.assert(
      fc.property(octet, octet, octet, octet, (...octets) => {
        const text = octets.join('.');
        expect(parseIp(text)).toBe(text);
        expect([...ipBytes(ip(text))]).toEqual(octets);
        expect(formatIp(Uint8Array.from(octets))).toBe(text);
        expect(ipFamily(ip(text))).toBe(4);
      }),
    );
  });

  it('is accepted exactly where node:net accepts it: four parts, no leading zeros, nothing else', () => {
    const part = fc.constantFrom('0', '9', '255', '256', '00', '01', '010', '', ' 1', '1 ', '-1', '+1', '1e1', '0x1', '999', '1000'); // biome-ignore format: one line
    const parts = fc.oneof(part, octet.map(String));
    const text = fc.array(parts, { minLength: 3, maxLength: 5 }).map((each) => each.join('.'));
    fc.assert(
      fc.property(fc.oneof(text, fc.stringMatching(/^[0-9.]{0,16}$/)), (each) => {
        expect(parseIp(each) !== undefined).toBe(isIPv4(each));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('IPv6 text', () => {
  it.each([
    // RFC 5952 §1, §2 and §4.
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:db8:0000:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:DB8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:db8::0001', '2001:db8::1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:aaaa:bbbb:cccc:dddd:eeee:AAAA', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::', '::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['1::3:4:5:6:7:8', '1:0:3:4:5:6:7:8'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['::192.0.2.33', '::c000:221'],
    ['1:2:3:4:5:6:192.0.2.33', '1:2:3:4:5:6:c000:221'],
  ])('%j is written %j', (text, canonical) => {
    expect(parseIp(text)).toBe(canonical);
  });

  it.each([
    '',
    ':',
    ':::',
    '1',
    '1:',
    ':1',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '1::2::3',
    '1:::2',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '[::1]',
    '::1/128',
    ' ::1',
    '::1 ',
    '::1\n',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '::1.2.3',
    '::01.2.3.4',
    '::1.2.3.256',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::-1',
    '::+1',
    '::0x1',
  ])('%j is refused', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  it('is as the URL standard writes it, and reads back to the same octets', () => {
    fc.assert(
      fc.property(groups, (parts) => {
        const octets = toBytes(parts);
        fc.pre(!isIpv4Mapped(octets));
        const text = formatIp(octets);
        expect(text).toBe(byUrl(parts));
        expect([...ipBytes(text)]).toEqual([...octets]);
        expect(ipFamily(text)).toBe(6);
      }),
      { numRuns: 500 },
    );
  });

  it('does not depend on case, leading zeros, a dotted tail, or which zeros are written ::', () => {
    const choices = fc.record({
      parts: groups,
      width: fc.constantFrom(1, 2, 3, 4),
      upper: fc.boolean(),
      dotted: fc.boolean(),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(choices, ({ parts, width, upper, dotted, pick }) => {
        const written = parts.map((part) => part.toString(16).padStart(width, '0'));
        if (dotted) written.splice(6, 2, toBytes(parts.slice(6)).join('.'));
        const hidden = abbreviations(parts, dotted ? 6 : 8);
        const run = hidden[pick % (hidden.length + 1)];
        const plain = run
          ? `${written.slice(0, run.start).join(':')}::${written.slice(run.end).join(':')}`
          : written.join(':');
        expect(parseIp(upper ? plain.toUpperCase() : plain)).toBe(formatIp(toBytes(parts)));
      }),
      { numRuns: 500 },
    );
  });

  it('is accepted exactly where node:net accepts it', () => {
    const part = fc.constantFrom('', '0', '1', 'ffff', 'ABCD', '00000', 'g', '1.2.3.4', '1.2.3', '01.2.3.4', '10000');
    const joined = fc.array(part, { minLength: 1, maxLength: 9 }).map((parts) => parts.join(':'));
    const dense = fc.stringMatching(/^[0-9a-f]{0,2}(:{1,2}[0-9a-f]{1,4}){1,8}:{0,2}$/);
    fc.assert(
      fc.property(fc.oneof(joined, dense, fc.stringMatching(/^[0-9a-f:.]{2,24}$/)), (text) => {
        expect(parseIp(text) !== undefined).toBe(isIPv6(text) || isIPv4(text));
      }),
      { numRuns: 2000 },
    );
  });
});

/** The runs of zero groups before `end` that may be written `::`. */
function abbreviations(parts: readonly number[], end: number): { start: number; end: number }[] {
  const runs: { start: number; end: number }[] = [];
  for (let start = 0; start < end; start++) {
    for (let last = start; last < end && parts[last] === 0; last++) runs.push({ start, end: last + 1 });
  }
  return runs;
}

describe('IPv4-mapped IPv6', () => {
  it.each(['::ffff:192.0.2.1', '::FFFF:C000:201', '0:0:0:0:0:ffff:192.0.2.1', '::ffff:c000:0201'])(
    '%j is the IPv4 address',
    (text) => {
      expect(parseIp(text)).toBe('192.0.2.1');
      expect([...ipBytes(ip(text))]).toEqual([192, 0, 2, 1]);
    },
  );

  it.each([
    ['::fffe:192.0.2.1', '::fffe:c000:201'],
    ['::ffff:0:192.0.2.1', '::ffff:0:c000:201'],
    ['1::ffff:192.0.2.1', '1::ffff:c000:201'],
    ['::1:ffff:192.0.2.1', '::1:ffff:c000:201'],
    ['::192.0.2.1', '::c000:201'],
  ])('%j stays IPv6', (text, canonical) => {
    expect(parseIp(text)).toBe(canonical);
  });

  it('of any octets is told by the first twelve', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.nat({ max: 96 }), (tail, flip) => {
        const octets = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...tail]);
        if (flip < 96) octets[flip >> 3] = (octets[flip >> 3] ?? 0) ^ (1 << (flip & 7));
        expect(isIpv4Mapped(octets)).toBe(flip === 96);
        expect(ipFamily(formatIp(octets))).toBe(flip === 96 ? 4 : 6);
      }),
    );
  });
});

describe('address kinds', () => {
  it.each<[text: string, multicast: boolean, unspecified: boolean, linkLocal: boolean]>([
    ['0.0.0.0', false, true, false],
    ['0.0.0.1', false, false, false],
    ['223.255.255.255', false, false, false],
    ['224.0.0.0', true, false, false],
    ['239.255.255.255', true, false, false],
    ['240.0.0.0', false, false, false],
    ['255.255.255.255', false, false, false],
    ['169.254.0.1', false, false, false],
    ['254.128.0.1', false, false, false],
    ['::', false, true, false],
    ['::1', false, false, false],
    ['e000::1', false, false, false],
    ['feff::', false, false, false],
    ['ff00::', true, false, false],
    ['ff02::1', true, false, false],
    ['ffff::', true, false, false],
    ['fe7f:ffff::', false, false, false],
    ['fe80::', false, false, true],
    ['febf:ffff::1', false, false, true],
    ['fec0::', false, false, false],
    ['::ffff:224.0.0.1', true, false, false],
    ['::ffff:0.0.0.0', false, true, false],
  ])('%s: multicast %s, unspecified %s, link-local IPv6 %s', (text, multicast, unspecified, linkLocal) => {
    const address = ip(text);
    expect([isMulticastIp(address), isUnspecifiedIp(address), isLinkLocalIpv6(address)]).toEqual([
      multicast,
      unspecified,
      linkLocal,
    ]);
  });
});
