import { expect, it } from 'vitest';
import { nearestName } from './nearest-name.ts';

const NAMES = ['show', 'add', 'del', 'flush', 'status', 'drops', 'fdb', 'vni'];

it.each([
  ['show', 'show'],
  ['shwo', 'show'],
  ['sho', 'show'],
  ['shows', 'show'],
  ['stauts', 'status'],
  ['fbd', 'fdb'],
  ['ad', 'add'],
  ['drop', 'drops'],
  ['trace', undefined],
  ['x', undefined],
  ['', undefined],
  ['a'.repeat(10_000), undefined],
])('%s is near to %s', (wrong, near) => {
  expect(nearestName(wrong, NAMES)).toBe(near);
});
