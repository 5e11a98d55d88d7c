import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIp, type IpAddress } from '../../lib/addresses.ts';
import { placedAt } from '../octets-rig.ts';
import { IGMP_QUERY_BYTES, readIgmpQuery, writeIgmpQuery } from './igmp.ts';
import { type IgmpParts, naiveIgmp, numbers, V1_IGMP, V2_IGMP } from './naive-queries.ts';

const AT = 6;

const placed = (octets: readonly number[]) => placedAt(octets, AT);

const read = (octets: readonly number[]) => readIgmpQuery(placed(octets), AT, octets.length);

const GENERAL = {
  version: 3,
  source: '198.18.0.9',
  group: undefined,
  responseMs: 10_000,
  robustness: 2,
  intervalSeconds: 125,
};

describe('readIgmpQuery', () => {
  it.each<[string, IgmpParts, object]>([
    ['version 3', {}, {}],
    ['version 2', { tail: '' }, { version: 2 }],
    ['version 1, which has no response time', { head: V1_IGMP, tail: '' }, { version: 1 }],
    ['version 1 of old, without the option', { head: V1_IGMP, tail: '', options: '' }, { version: 1 }],
    ['one without the option', { options: '' }, {}],
    ['one of a switch that has no address', { source: '0.0.0.0' }, { source: '0.0.0.0' }],
    ['one with other numbers', { head: '11 0a', tail: '07 14 00 00' }, numbers(1_000, 7, 20)],
    ['one with floating-point codes', { head: '11 80', tail: '02 ff 00 00' }, numbers(12_800, 2, 31_744)],
    ['one that leaves the numbers to others', { tail: '00 00 00 00' }, {}],
    ['one with the suppress flag', { tail: '0a 7d 00 00' }, {}],
    ['version 2 with a response time of 25.5 s', { head: '11 ff', tail: '' }, { version: 2, responseMs: 25_500 }],
    ['one for a group', { group: '239.1.1.1', destination: '239.1.1.1' }, { group: '239.1.1.1' }],
    ['one for sources', { ...forGroup(), tail: '02 7d 00 01 c6120001' }, { group: '239.1.1.1' }],
    ['one with more behind it', { tail: '02 7d 00 00 77' }, {}],
    ['one with Ethernet padding', { tail: '', padding: 18 }, { version: 2 }],
  ])('knows %s', (_, parts, differs) => {
    expect(read(naiveIgmp(parts))).toEqual({ ...GENERAL, ...differs });
  });

  it.each<[string, IgmpParts]>([
    ['a wrong checksum', { checksumError: 1 }],
    ['a wrong checksum of the header', { headerChecksumError: 1 }],
    ['a TTL that a router has left', { ttl: 2 }],
    ['no TTL', { ttl: 0 }],
    ['another protocol', { protocol: 17 }],
    ['a report', { head: '16 00', tail: '' }],
    ['a fragment', { fragment: '20 00' }],
    ['a later fragment', { fragment: '00 01' }],
    ['a general query to one host', { destination: '198.18.0.1' }],
    ['a general query to some group', { destination: '224.0.0.2' }],
    ['a query for a group that goes to all', { group: '239.1.1.1' }],
    ['a query for what is no group', { group: '10.0.0.1', destination: '10.0.0.1' }],
    ['a sender that is a group', { source: '239.1.1.1' }],
    ['a sender that is everybody', { source: '255.255.255.255' }],
    ['a length between the versions', { tail: '02 7d 00' }],
    ['more sources than there are', { ...forGroup(), tail: '02 7d 00 02 c6120001' }],
  ])('does not believe %s', (_, parts) => {
    expect(read(naiveIgmp(parts))).toBeUndefined();
  });

  it('does not believe a packet that is cut short, at any length', () => {
    const octets = naiveIgmp();
    for (let length = 0; length < octets.length; length++) expect(read(octets.slice(0, length))).toBeUndefined();
  });

  it('does not believe one with a wrong octet, wherever it is', () => {
    fc.assert(
      fc.property(fc.nat({ max: IGMP_QUERY_BYTES - 1 }), fc.integer({ min: 1, max: 255 }), (place, difference) => {
        const octets = naiveIgmp();
        octets[place] = (octets[place] as number) ^ difference;
        expect(read(octets)).toBeUndefined();
      }),
    );
  });

  it('never reads beyond a packet of any octets', () => {
    const octets = fc.uint8Array({ maxLength: 80, size: 'max' });
    const almost = fc
      .tuple(fc.nat({ max: 35 }), fc.nat({ max: 255 }), fc.nat({ max: 36 }))
      .map(([place, octet, length]) => naiveIgmp().with(place, octet).slice(0, length));
    fc.assert(fc.property(fc.oneof(octets, almost), (packet) => void read([...packet])));
  });
});

describe('writeIgmpQuery', () => {
  it('writes the query and nothing else', () => {
    const view = placed(Array(IGMP_QUERY_BYTES + 4).fill(0xa5));
    writeIgmpQuery(view, AT, '198.18.0.9' as IpAddress);
    expect([...new Uint8Array(view.buffer)]).toEqual([
      ...Array(AT).fill(0xa5),
      ...naiveIgmp({ head: V2_IGMP }),
      ...Array(4).fill(0xa5),
    ]);
  });

  it('is believed, whoever sends it', () => {
    fc.assert(
      fc.property(fc.tuple(fc.nat({ max: 223 }), fc.nat({ max: 255 }), fc.nat({ max: 255 })), ([a, b, c]) => {
        const source = formatIp(Uint8Array.of(a, b, c, 7));
        const view = placed(Array(IGMP_QUERY_BYTES).fill(0xa5));
        writeIgmpQuery(view, AT, source);
        expect(readIgmpQuery(view, AT, IGMP_QUERY_BYTES)).toEqual({ ...GENERAL, source });
      }),
    );
  });
});

function forGroup(): IgmpParts {
  return { group: '239.1.1.1', destination: '239.1.1.1' };
}
