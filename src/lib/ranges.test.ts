import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatRanges } from './ranges.ts';

test.each([
  [[], ''],
  [[7], '7'],
  [[3, 1, 2, 9, 2], '1-3, 9'],
  [Array.from({ length: 40 }, (_, i) => 2 * i), `${Array.from({ length: 16 }, (_, i) => 2 * i).join(', ')}, …`],
])('%j is %j', (numbers, text) => {
  expect(formatRanges(numbers)).toBe(text);
});

test('what is not cut has every number once', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 30 })), (numbers) => {
      const text = formatRanges(numbers);
      const read =
        text === ''
          ? []
          : text.split(', ').flatMap((range) => {
              const [first = 0, last = first] = range.split('-').map(Number);
              return Array.from({ length: last - first + 1 }, (_, i) => first + i);
            });
      expect(read).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    }),
  );
});
