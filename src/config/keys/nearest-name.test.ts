import fc from 'fast-check';
import { expect, it } from 'vitest';
import { nearestName, suggestion } from './nearest-name.ts';

const KNOWN = ['ttl', 'port', 'mcast-ttl', 'source-ports', 'source-port-range', 'local'];

it.each([
  ['ttl', 'ttl'],
  ['tll', 'ttl'],
  ['TTL', 'ttl'],
  ['prot', 'port'],
  ['ports', 'port'],
  ['source-port', 'source-ports'],
  ['sourceports', 'source-ports'],
  ['mcast_ttl', 'mcast-ttl'],
  ['locale', 'local'],
  ['workers', undefined],
  ['x', undefined],
  ['', undefined],
  ['p'.repeat(100_000), undefined],
])('%j: %j', (text, nearest) => {
  expect(nearestName(text, KNOWN)).toBe(nearest);
});

it('takes the earlier of two equally near names', () => {
  expect(nearestName('bat', ['cat', 'hat'])).toBe('cat');
});

it('finds every known name by itself, and after one swap of neighbours', () => {
  fc.assert(
    fc.property(fc.constantFrom(...KNOWN), fc.nat(), (name, seed) => {
      const at = seed % (name.length - 1);
      const swapped = name.slice(0, at) + name.charAt(at + 1) + name.charAt(at) + name.slice(at + 2);
      expect(nearestName(name, KNOWN)).toBe(name);
      expect(nearestName(swapped, [name])).toBe(name);
    }),
  );
});

it('words a suggestion, or says something else', () => {
  expect(suggestion('tll', KNOWN, 'see the list')).toBe('did you mean ttl?');
  expect(suggestion('zzz', KNOWN, 'see the list')).toBe('see the list');
});
