import { Type } from 'typebox';
import { expect, it } from 'vitest';
import { compileValidator } from './request-validation.ts';

const compile = (property: Parameters<typeof Type.Object>[0][string]) =>
  compileValidator({ schema: Type.Object({ property }), method: 'POST', url: '/', httpPart: 'body' });

it.each([
  ['a pattern', Type.String({ pattern: '^a' }), 'pattern'],
  ['a bound of another kind', Type.Integer({ exclusiveMinimum: 0 }), 'exclusiveMinimum'],
  ['another type', Type.Number(), 'type number'],
  ['an inner pattern', Type.Union([Type.String({ pattern: '^a' }), Type.Boolean()]), 'pattern'],
])('a schema that says more than is checked is refused at once: %s', (_, schema, said) => {
  expect(() => compile(schema)).toThrow(said);
});

it.each([
  [Type.Integer({ minimum: 1, maximum: 3 }), [1, 3], [0, 4, 1.5, '1', Number.NaN, null]],
  [Type.String(), ['', 'a'], [1, true, null]],
  [Type.Boolean(), [true, false], ['true', 0, null]],
  [Type.Union([Type.Literal('a'), Type.Literal(4)]), ['a', 4], ['b', '4', null]],
])('%j', (schema, good, bad) => {
  const check = compile(schema);
  for (const property of good) expect(check({ property })).toEqual({ value: { property } });
  for (const property of bad) expect(check({ property })).toHaveProperty('error');
});
