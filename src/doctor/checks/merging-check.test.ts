import { expect, it } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import { checkMerging } from './merging-check.ts';

const VTEP = '198.18.0.2' as IpAddress;

it('says nothing while every socket receives as it should', () => {
  expect(checkMerging({ sockets: 0, vteps: [] })).toEqual([]);
});

it.each([
  [1, [VTEP], /^1 socket receives .* in one message, the last from 198\.18\.0\.2; no remedy is needed, it ends 60 s /],
  [2, [], /^2 sockets receive .* in one message; no remedy/],
])('warns of %i sockets, and names %j', (sockets, vteps, message) => {
  expect(checkMerging({ sockets, vteps })).toEqual([
    { check: 'merging', status: 'warning', object: 'UDP_GRO', message: expect.stringMatching(message), remedy: null },
  ]);
});
