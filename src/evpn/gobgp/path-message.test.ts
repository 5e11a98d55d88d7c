import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyFloodRoute, anyMacRoute } from '../routes-rig.ts';
import { destinationMessage, type FakePath, pathMessage } from './fake-messages-rig.ts';
import { GOLDEN_VERSIONS, readGolden } from './golden-rig.ts';
import { Message } from './message.ts';
import { readPath } from './path-message.ts';
import { deletePathRequest, listPathRequest, watchEventRequest } from './requests.ts';

const octetsOf = (dialect: 'v3' | 'v4', path: FakePath) =>
  new Message(destinationMessage([pathMessage(dialect, path)])).message(1)?.bytes(2) as Uint8Array;

const goldenPaths = (version: string) => {
  const { dialect, listPath } = readGolden(version);
  const paths = listPath.flatMap((text) => new Message(Buffer.from(text, 'base64')).message(1)?.all(2) ?? []);
  return { dialect, paths };
};

test.each(['v3', 'v4'] as const)('any route is read as it was written in %s', (dialect) => {
  fc.assert(
    fc.property(fc.oneof(anyMacRoute, anyFloodRoute), fc.boolean(), (route, isLocal) => {
      const octets = octetsOf(dialect, { route, from: isLocal ? undefined : '198.18.0.9' });
      expect(readPath(dialect, octets)).toEqual({ route, isLocal, isBest: true, isWithdrawn: false });
    }),
  );
});

describe.each(GOLDEN_VERSIONS)('paths of gobgpd %s', (version) => {
  const { dialect, paths } = goldenPaths(version);

  test('that are cut short are counted or skipped, at every length, and never throw', () => {
    for (const path of paths) {
      for (let length = 0; length < path.length; length++) readPath(dialect, path.subarray(0, length));
    }
  });

  test('that are damaged never throw', () => {
    const damage = fc.array(fc.record({ at: fc.nat(), octet: fc.integer({ min: 0, max: 255 }) }), { maxLength: 4 });
    fc.assert(
      fc.property(fc.constantFrom(...paths), damage, (path, changes) => {
        const octets = Uint8Array.from(path);
        for (const { at, octet } of changes) octets[at % octets.length] = octet;
        readPath(dialect, octets);
      }),
      { numRuns: 2_000 },
    );
  });
});

test('requests in octets', () => {
  const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex');
  expect(hex(listPathRequest('v3'))).toBe('1a0408191046');
  expect(hex(listPathRequest('v4'))).toBe('08011a0408191046508002');
  expect(hex(watchEventRequest('v3', 256))).toBe('0a0012020a00188002');
  expect(hex(watchEventRequest('v4', 256))).toBe('0a0012040a020801188002');
});

test('a withdrawal always names a path, and has no communities', () => {
  fc.assert(
    fc.property(
      fc.oneof(anyMacRoute, anyFloodRoute),
      fc.constantFrom('v3' as const, 'v4' as const),
      (route, dialect) => {
        const path = new Message(deletePathRequest(dialect, route)).message(4);
        expect(path?.bytes(20)?.length).toBeGreaterThan(16);
        expect(path?.all(21).map((attribute) => attribute[1])).toEqual([1, 3]);
      },
    ),
  );
});
