import fc from 'fast-check';
import { it } from 'vitest';
import type { EntryKind } from './fdb.ts';
import { Comparison, type Operation } from './fdb-model-rig.ts';
import { MACS, SEGMENTS, VTEPS } from './model-entries-rig.ts';

const mac = fc.nat(MACS - 1);
const place = { segment: fc.nat(SEGMENTS - 1), mac };
const anyVtep = fc.nat(VTEPS - 1);
const remoteVtep = fc.integer({ min: 1, max: VTEPS - 1 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('learn'), ...place, vtep: anyVtep, maxMacs: fc.nat(7) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('add-static'), ...place, vtep: anyVtep }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete'), ...place }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('flush'),
      segment: fc.nat(SEGMENTS),
      vtep: fc.nat(VTEPS),
      kinds: fc.subarray<EntryKind>(['learned', 'static', 'control'], { minLength: 1 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('place'),
      segment: fc.nat(SEGMENTS - 1),
      placements: fc.array(fc.record({ mac, vtep: remoteVtep, isSticky: fc.boolean() }), { maxLength: 5 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('withdraw'),
      segment: fc.nat(SEGMENTS - 1),
      macs: fc.array(mac, { maxLength: 5 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait'), tenths: fc.nat(60) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('sweep'), budget: fc.integer({ min: 1, max: 50 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('pin'), vtep: remoteVtep }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unpin') }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('announce'), segment: fc.nat(SEGMENTS - 1), announces: fc.boolean() }),
  },
);

/** A few MACs that move about, refreshed often enough to live, over times in which windows and holds end. */
const migration: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('learn'),
      segment: fc.constant(0),
      mac: fc.nat(1),
      vtep: fc.nat(2),
      maxMacs: fc.constant(7),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('wait'), tenths: fc.constantFrom(1, 7, 150, 299, 300, 1_799) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete'), segment: fc.constant(0), mac: fc.nat(1) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('place'),
      segment: fc.constant(0),
      placements: fc.array(fc.record({ mac: fc.nat(1), vtep: fc.constantFrom(1, 2), isSticky: fc.constant(false) }), {
        minLength: 1,
        maxLength: 2,
      }),
    }),
  },
);

it('answers as a Map does, and tells of each change once, after every one of any operations: learn, move, static, place, withdraw, delete, flush, wait, sweep, flood lists, announcers', () => {
  const steps = fc.array(operation, { minLength: 1, maxLength: 150, size: 'max' });
  fc.assert(
    fc.property(steps, (sequence) => {
      const comparison = new Comparison(100);
      for (const step of sequence) comparison.run(step);
    }),
    { numRuns: 40 },
  );
}, 60_000);

it('lets a MAC move as often as RFC 7432 §15.1 says, then holds it, then counts anew, at any times', () => {
  const steps = fc.array(migration, { minLength: 1, maxLength: 150, size: 'max' });
  fc.assert(
    fc.property(steps, (sequence) => {
      const comparison = new Comparison(4_000);
      for (const step of sequence) comparison.run(step);
    }),
    { numRuns: 60 },
  );
}, 60_000);
