import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIp, type IpAddress } from '../../lib/addresses.ts';
import { placedAt } from '../octets-rig.ts';
import { MLD_QUERY_BYTES, readMldQuery, writeMldQuery } from './mld.ts';
import { MLD_ALERT, type MldParts, naiveMld, numbers } from './naive-queries.ts';

const AT = 6;

const placed = (octets: readonly number[]) => placedAt(octets, AT);

const read = (octets: readonly number[]) => readMldQuery(placed(octets), AT, octets.length);

const GROUP = 'ff050000 00000000 00000000 00000200';
const HOST = 'fe800000 00000000 00000000 00000001';
const FOR_GROUP: MldParts = { group: GROUP, destination: GROUP };

const GENERAL = {
  version: 2,
  source: 'fe80::9',
  group: undefined,
  responseMs: 10_000,
  robustness: 2,
  intervalSeconds: 125,
};

describe('readMldQuery', () => {
  it.each<[string, MldParts, object]>([
    ['version 2', {}, {}],
    ['version 1', { tail: '' }, { version: 1 }],
    ['version 1 with the longest response time', { tail: '', response: 'ffff' }, { version: 1, responseMs: 65_535 }],
    ['one with other numbers', { response: '03e8', tail: '07 14 00 00' }, numbers(1_000, 7, 20)],
    ['one with floating-point codes', { response: '8001', tail: '02 80 00 00' }, numbers(32_776, 2, 128)],
    ['one that leaves the numbers to others', { tail: '00 00 00 00' }, {}],
    ['one for a group', FOR_GROUP, { group: 'ff05::200' }],
    ['one for sources', { ...FOR_GROUP, tail: `02 7d 00 01 ${GROUP}` }, { group: 'ff05::200' }],
    ['one with more behind it', { tail: '02 7d 00 00 77' }, {}],
    ['one with padding before the alert', { hopByHop: '3a 00 01 00 05 02 0000' }, {}],
    ['one with single octets of padding', { hopByHop: '3a 00 00 00 05 02 0000' }, {}],
    ['one with two units of options', { hopByHop: '3a 01 05 02 0000 01 08 0000000000000000' }, {}],
    ['one with Ethernet padding', { padding: 7 }, {}],
  ])('knows %s', (_, parts, differs) => {
    expect(read(naiveMld(parts))).toEqual({ ...GENERAL, ...differs });
  });

  it.each<[string, MldParts]>([
    ['a wrong checksum', { checksumError: 1 }],
    ['a hop limit that a router has left', { hopLimit: 2 }],
    ['no hop limit', { hopLimit: 0 }],
    ['no options', { hopByHop: '' }],
    ['options without the alert', { hopByHop: '3a 00 01 04 00000000' }],
    ['an alert for another protocol', { hopByHop: '3a 00 05 02 0001 01 00' }],
    ['an alert of another length', { hopByHop: '3a 00 05 04 0000 0000' }],
    ['an option longer than the rest', { hopByHop: '3a 00 01 05 0000 0000' }],
    ['another protocol behind the options', { hopByHop: '11 00 05 02 0000 01 00' }],
    ['a source that is not link-local', { source: 'fd000018 00000000 00000000 00000009' }],
    ['a source that is not there', { source: '00000000 00000000 00000000 00000000' }],
    ['a report', { type: 131 }],
    ['a code', { code: 1 }],
    ['a general query to one host', { destination: HOST }],
    ['a general query to some group', { destination: 'ff020000 00000000 00000000 00000002' }],
    ['a query for a group that goes to all', { group: GROUP }],
    ['a query for what is no group', { group: HOST, destination: HOST }],
    ['a length between the versions', { tail: '02 7d 00' }],
    ['more sources than there are', { ...FOR_GROUP, tail: `02 7d 00 02 ${GROUP}` }],
  ])('does not believe %s', (_, parts) => {
    expect(read(naiveMld(parts))).toBeUndefined();
  });

  it('does not believe a packet that is cut short, at any length', () => {
    const octets = naiveMld();
    for (let length = 0; length < octets.length; length++) expect(read(octets.slice(0, length))).toBeUndefined();
  });

  it('does not believe one with a wrong octet in address or message, wherever it is', () => {
    const places = fc.oneof(fc.integer({ min: 8, max: 39 }), fc.integer({ min: 48, max: MLD_QUERY_BYTES - 1 }));
    fc.assert(
      fc.property(places, fc.integer({ min: 1, max: 255 }), (place, difference) => {
        const octets = naiveMld();
        octets[place] = (octets[place] as number) ^ difference;
        expect(read(octets)).toBeUndefined();
      }),
    );
  });

  it('never reads beyond a packet of any octets', () => {
    const octets = fc.uint8Array({ maxLength: 120, size: 'max' });
    const almost = fc
      .tuple(fc.nat({ max: MLD_QUERY_BYTES - 1 }), fc.nat({ max: 255 }), fc.nat({ max: MLD_QUERY_BYTES }))
      .map(([place, octet, length]) => naiveMld().with(place, octet).slice(0, length));
    fc.assert(fc.property(fc.oneof(octets, almost), (packet) => void read([...packet])));
  });
});

describe('writeMldQuery', () => {
  it('writes the query and nothing else', () => {
    const view = placed(Array(MLD_QUERY_BYTES + 4).fill(0xa5));
    writeMldQuery(view, AT, 'fe80::9' as IpAddress);
    expect([...new Uint8Array(view.buffer)]).toEqual([
      ...Array(AT).fill(0xa5),
      ...naiveMld({ hopByHop: MLD_ALERT }),
      ...Array(4).fill(0xa5),
    ]);
  });

  it('is believed, whoever sends it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (identifier) => {
        const source = formatIp(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, ...identifier));
        const view = placed(Array(MLD_QUERY_BYTES).fill(0xa5));
        writeMldQuery(view, AT, source);
        expect(readMldQuery(view, AT, MLD_QUERY_BYTES)).toEqual({ ...GENERAL, source });
      }),
    );
  });
});
