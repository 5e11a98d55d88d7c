import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MAX_PLACED_NEIGHBOURS } from '../../lib/limits.ts';
import { mapNeighbours } from './neighbour-memory.ts';
import { NeighbourTable, STATION } from './neighbours.ts';
import { PLACED_NEIGHBOUR, PlacedNeighbours } from './placed-neighbours.ts';

const HIGH = 0xfe00_0001 | 0;

const newMemory = () => NeighbourTable.createMemory(7);
const newPlaced = () => new PlacedNeighbours(newMemory());

const of = (address: number, low: number, kind: number = STATION.host) => ({
  ...{ a: 0, b: 0, c: 0xffff, d: address },
  ...{ high: HIGH, low, kind },
});

function find(placed: PlacedNeighbours, address: number, segment = 1) {
  if (!placed.find(segment, 0, 0, 0xffff, address)) return undefined;
  return [placed.macHigh, placed.macLow, placed.kind];
}

it('tells what became of each, and counts them', () => {
  const placed = newPlaced();
  expect(placed.place(1, of(1, 1))).toBe(PLACED_NEIGHBOUR.added);
  expect(placed.place(1, of(1, 1))).toBe(PLACED_NEIGHBOUR.same);
  expect(placed.place(1, of(1, 2))).toBe(PLACED_NEIGHBOUR.changed);
  expect(placed.place(1, of(1, 2, STATION.router))).toBe(PLACED_NEIGHBOUR.changed);
  expect(placed.place(2, of(1, 3))).toBe(PLACED_NEIGHBOUR.added);
  expect([find(placed, 1), find(placed, 1, 2), placed.count]).toEqual([
    [HIGH, 2, STATION.router],
    [HIGH, 3, STATION.host],
    2,
  ]);
  expect(placed.withdraw(1, 0, 0, 0xffff, 1)).toBe(true);
  expect(placed.withdraw(1, 0, 0, 0xffff, 1)).toBe(false);
  expect([find(placed, 1), find(placed, 1, 2), placed.count]).toEqual([undefined, [HIGH, 3, STATION.host], 1]);
});

it('goes by the whole address', () => {
  const placed = newPlaced();
  placed.place(3, { a: 0x2001_0db8, b: -1, c: 0, d: 1, high: HIGH, low: 9, kind: STATION.unknown });
  expect(placed.find(3, 0x2001_0db8, -1, 0, 1)).toBe(true);
  for (const [segment, a, b, c, d] of [
    [2, 0x2001_0db8, -1, 0, 1],
    [3, 0x2001_0db9, -1, 0, 1],
    [3, 0x2001_0db8, 0, 0, 1],
    [3, 0x2001_0db8, -1, 1, 1],
    [3, 0x2001_0db8, -1, 0, 2],
  ] as const) {
    expect(placed.find(segment, a, b, c, d)).toBe(false);
  }
});

it('is one to all who share its memory', () => {
  const memory = newMemory();
  const [one, other] = [new PlacedNeighbours(memory), new PlacedNeighbours(memory)];
  one.place(1, of(1, 1));
  expect(find(other, 1)).toEqual([HIGH, 1, STATION.host]);
});

it('finds nothing that is denied, until something else is said of it', () => {
  const placed = newPlaced();
  placed.place(1, of(1, 1));
  placed.place(1, of(2, 2));
  placed.deny(1, 0, 0, 0xffff, 1);
  placed.deny(1, 0, 0, 0xffff, 3);
  expect([find(placed, 1), find(placed, 2)]).toEqual([undefined, [HIGH, 2, STATION.host]]);
  expect(placed.place(1, of(1, 1))).toBe(PLACED_NEIGHBOUR.same);
  expect(find(placed, 1)).toBeUndefined();
  expect(placed.place(1, of(1, 3))).toBe(PLACED_NEIGHBOUR.changed);
  expect(find(placed, 1)).toEqual([HIGH, 3, STATION.host]);
  placed.deny(1, 0, 0, 0xffff, 1);
  placed.withdraw(1, 0, 0, 0xffff, 1);
  placed.place(1, of(1, 3));
  expect(find(placed, 1)).toEqual([HIGH, 3, STATION.host]);
});

it('answers nothing from a record that is being written', () => {
  const memory = newMemory();
  const placed = new PlacedNeighbours(memory);
  placed.place(1, of(1, 1));
  const words = mapNeighbours(memory).placed;
  const at = words.findIndex((value) => value !== 0);
  (words[at] as number)++;
  expect(find(placed, 1)).toBeUndefined();
  (words[at] as number)++;
  expect(find(placed, 1)).toEqual([HIGH, 1, STATION.host]);
});

it('takes as many as the limit says, but for few whose records are taken, and no more', () => {
  const placed = newPlaced();
  let full = 0;
  for (let address = 0; placed.count < MAX_PLACED_NEIGHBOURS; address++) {
    if (placed.place(1, of(address, address & 0xffff)) === PLACED_NEIGHBOUR.full) full++;
  }
  expect(full).toBeLessThan(MAX_PLACED_NEIGHBOURS / 50);
  expect(placed.place(2, of(1, 1))).toBe(PLACED_NEIGHBOUR.full);
  expect(find(placed, 1, 2)).toBeUndefined();
  placed.withdraw(1, 0, 0, 0xffff, 0);
  for (let address = 1; placed.count < MAX_PLACED_NEIGHBOURS; address++) placed.place(2, of(address, 1));
  expect(placed.count).toBe(MAX_PLACED_NEIGHBOURS);
});

it('withdraws all of a segment, a slice at a time', () => {
  const placed = newPlaced();
  for (let address = 0; address < 1_000; address++) placed.place(address % 2, of(address, 1));
  const records = (2 * MAX_PLACED_NEIGHBOURS) / 4;
  let slices = 0;
  for (let from = -1; from !== 0; slices++) from = placed.withdrawSlice(1, Math.max(from, 0), records);
  expect([slices, placed.count, find(placed, 1, 1)]).toEqual([4, 500, undefined]);
  expect(find(placed, 998, 0)).toEqual([HIGH, 1, STATION.host]);
});

it('keeps records of a segment that are to stay', () => {
  const placed = newPlaced();
  for (let address = 0; address < 100; address++) placed.place(address % 2, of(address, 1));
  const kept = new Set([1, 3, 7].map((address) => placed.recordOf(1, 0, 0, 0xffff, address)));
  expect(placed.recordOf(1, 0, 0, 0xffff, 2)).toBe(-1);
  placed.withdrawSlice(1, 0, 2 * MAX_PLACED_NEIGHBOURS, kept);
  const left = Array.from({ length: 100 }, (_, address) => address).filter((address) => find(placed, address, 1));
  expect([left, placed.count]).toEqual([[1, 3, 7], 53]);
});

it('says what a map would say', () => {
  const command = fc.record({
    kind: fc.constantFrom('place', 'place', 'withdraw', 'deny', 'forget-segment'),
    address: fc.nat({ max: 12 }),
    segment: fc.nat({ max: 2 }),
    low: fc.nat({ max: 2 }),
  });
  const placed = newPlaced();
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60, size: 'max' }), (commands) => {
      for (const segment of [0, 1, 2]) placed.withdrawSlice(segment, 0, 2 * MAX_PLACED_NEIGHBOURS);
      const model = new Map<string, { low: number; isDenied: boolean }>();
      for (const { kind, address, segment, low } of commands) {
        const key = `${segment} ${address}`;
        const known = model.get(key);
        if (kind === 'place') {
          const expected =
            known === undefined
              ? PLACED_NEIGHBOUR.added
              : known.low === low
                ? PLACED_NEIGHBOUR.same
                : PLACED_NEIGHBOUR.changed;
          expect(placed.place(segment, of(address, low))).toBe(expected);
          if (known?.low !== low) model.set(key, { low, isDenied: false });
        } else if (kind === 'withdraw') {
          expect(placed.withdraw(segment, 0, 0, 0xffff, address)).toBe(model.delete(key));
        } else if (kind === 'deny') {
          placed.deny(segment, 0, 0, 0xffff, address);
          if (known) known.isDenied = true;
        } else if (low === 0) {
          placed.withdrawSlice(segment, 0, 2 * MAX_PLACED_NEIGHBOURS);
          for (const each of model.keys()) if (each.startsWith(`${segment} `)) model.delete(each);
        }
        for (let each = 0; each <= 12; each++) {
          const said = model.get(`${segment} ${each}`);
          expect(find(placed, each, segment)).toEqual(
            said && !said.isDenied ? [HIGH, said.low, STATION.host] : undefined,
          );
        }
        expect(placed.count).toBe(model.size);
      }
    }),
    { numRuns: 60 },
  );
});
