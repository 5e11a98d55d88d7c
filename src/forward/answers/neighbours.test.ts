import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_NEIGHBOURS, NEIGHBOUR_FRESH_SECONDS } from '../../lib/limits.ts';
import { NeighbourTable, STATION } from './neighbours.ts';

const NOW = 5_000;
const FRESH = NEIGHBOUR_FRESH_SECONDS * 10;
const HIGH = 0xfe00_0001 | 0;

const newTable = () => new NeighbourTable(NeighbourTable.createMemory(7));

const learn = (
  table: NeighbourTable,
  address: number,
  low: number,
  now = NOW,
  kind: number = STATION.host,
  segment = 1,
) => table.learn(segment, 0, 0, 0xffff, address, HIGH, low, kind, now);

/** The MAC and kind of an address, or undefined. */
function find(table: NeighbourTable, address: number, now = NOW, segment = 1) {
  if (!table.find(segment, 0, 0, 0xffff, address, now)) return undefined;
  return [table.macHigh, table.macLow, table.kind];
}

it('counts those that are fresh, in each segment', () => {
  const table = newTable();
  learn(table, 1, 1, NOW - FRESH);
  learn(table, 2, 2, NOW - FRESH + 1);
  learn(table, 3, 3);
  learn(table, 3, 3, NOW, STATION.host, 2);
  expect(table.fresh(NOW)).toBe(3);
  table.forget(1, 0, 0, 0xffff, 3);
  expect(table.fresh(NOW)).toBe(2);
});

describe('a neighbour', () => {
  it('is found where it was heard, by its whole address', () => {
    const table = newTable();
    table.learn(3, 0x2001_0db8, -1, 0, 1, HIGH, 0xffff, STATION.router, NOW);
    expect(table.find(3, 0x2001_0db8, -1, 0, 1, NOW)).toBe(true);
    expect([table.macHigh, table.macLow, table.kind]).toEqual([HIGH, 0xffff, STATION.router]);
    for (const [segment, a, b, c, d] of [
      [2, 0x2001_0db8, -1, 0, 1],
      [3, 0x2001_0db9, -1, 0, 1],
      [3, 0x2001_0db8, 0, 0, 1],
      [3, 0x2001_0db8, -1, 1, 1],
      [3, 0x2001_0db8, -1, 0, 2],
    ] as const) {
      expect(table.find(segment, a, b, c, d, NOW)).toBe(false);
    }
  });

  it('is nobody in an empty table, not even the address of zeros', () => {
    expect(newTable().find(0, 0, 0, 0, 0, 0)).toBe(false);
    expect(newTable().find(-1, 0, 0, 0, 0, NOW)).toBe(false);
  });

  it(`is known for ${NEIGHBOUR_FRESH_SECONDS} s since it was last heard`, () => {
    const table = newTable();
    learn(table, 1, 1);
    expect(find(table, 1, NOW + FRESH - 1)).toEqual([HIGH, 1, STATION.host]);
    expect(find(table, 1, NOW + FRESH)).toBeUndefined();
    learn(table, 1, 1, NOW + FRESH + 5);
    expect(find(table, 1, NOW + 2 * FRESH)).toEqual([HIGH, 1, STATION.host]);
  });

  it('has the MAC that was heard last', () => {
    const table = newTable();
    learn(table, 1, 1);
    learn(table, 1, 2);
    expect(find(table, 1)).toEqual([HIGH, 2, STATION.host]);
  });

  it('stays what it was said to be while its MAC stays', () => {
    const table = newTable();
    learn(table, 1, 1, NOW, STATION.router);
    learn(table, 1, 1, NOW, STATION.unknown);
    expect(find(table, 1)).toEqual([HIGH, 1, STATION.router]);
    learn(table, 1, 2, NOW, STATION.unknown);
    expect(find(table, 1)).toEqual([HIGH, 2, STATION.unknown]);
    learn(table, 1, 2, NOW, STATION.host);
    expect(find(table, 1)).toEqual([HIGH, 2, STATION.host]);
  });
});

describe('a neighbour that a control plane placed', () => {
  const place = (table: NeighbourTable, address: number, low: number, kind: number = STATION.host) =>
    table.placed.place(1, { a: 0, b: 0, c: 0xffff, d: address, high: HIGH, low, kind });

  it('is known until it is withdrawn, and comes before what was heard', () => {
    const table = newTable();
    learn(table, 1, 1);
    place(table, 1, 2);
    learn(table, 1, 1);
    expect(find(table, 1)).toEqual([HIGH, 2, STATION.host]);
    expect(find(table, 1, NOW + 100 * FRESH)).toEqual([HIGH, 2, STATION.host]);
    table.placed.withdraw(1, 0, 0, 0xffff, 1);
    expect(find(table, 1)).toEqual([HIGH, 1, STATION.host]);
    expect(find(table, 1, NOW + FRESH)).toBeUndefined();
  });

  it('is what its station said lately that it is, if the control plane does not know', () => {
    const table = newTable();
    place(table, 1, 2, STATION.unknown);
    expect(find(table, 1)).toEqual([HIGH, 2, STATION.unknown]);
    learn(table, 1, 2, NOW, STATION.router);
    expect(find(table, 1)).toEqual([HIGH, 2, STATION.router]);
    expect(find(table, 1, NOW + FRESH)).toEqual([HIGH, 2, STATION.unknown]);
    learn(table, 1, 3, NOW, STATION.router);
    expect(find(table, 1)).toEqual([HIGH, 2, STATION.unknown]);
  });

  it('stays whoever is heard, however many', () => {
    const table = newTable();
    for (let address = 0; address < 1_000; address++) place(table, address, 7);
    for (let address = 1_000; address < 3 * MAX_NEIGHBOURS; address++) learn(table, address, 1);
    for (let address = 0; address < 1_000; address++) expect(find(table, address)).toEqual([HIGH, 7, STATION.host]);
    expect(table.fresh(NOW)).toBeGreaterThan(0.99 * MAX_NEIGHBOURS);
  });

  it('is not known any more once it is forgotten, but what is heard then is', () => {
    const table = newTable();
    place(table, 1, 2);
    learn(table, 1, 1);
    table.forget(1, 0, 0, 0xffff, 1);
    expect(find(table, 1)).toBeUndefined();
    learn(table, 1, 3);
    expect(find(table, 1)).toEqual([HIGH, 3, STATION.host]);
    place(table, 1, 4);
    expect(find(table, 1)).toEqual([HIGH, 4, STATION.host]);
  });
});

describe('a table', () => {
  it('is one to all who share its memory', () => {
    const memory = NeighbourTable.createMemory(7);
    const [one, other] = [new NeighbourTable(memory), new NeighbourTable(memory)];
    learn(one, 1, 1);
    expect(find(other, 1)).toEqual([HIGH, 1, STATION.host]);
  });

  it('that is over-full has whom it heard last', () => {
    const table = newTable();
    const last = 1_000;
    for (let address = 0; address < 2 * MAX_NEIGHBOURS; address++)
      learn(table, address, address & 0xffff, NOW + (address >> 10));
    const now = NOW + ((2 * MAX_NEIGHBOURS) >> 10);
    for (let address = 2 * MAX_NEIGHBOURS - last; address < 2 * MAX_NEIGHBOURS; address++) {
      expect(find(table, address, now)).toEqual([HIGH, address & 0xffff, STATION.host]);
    }
  });

  it('keeps an address that others were chosen to push out, two words of which undo each other', () => {
    const table = newTable();
    table.learn(1, 1, 0, 0, 1, HIGH, 9, STATION.host, NOW);
    for (let c = 1; c <= 2_000; c++) {
      table.learn(1, 1, Math.imul(c, 0x85eb_ca6b), c, 1, HIGH, 1, STATION.host, NOW + 1);
    }
    expect(table.find(1, 1, 0, 0, 1, NOW + 2)).toBe(true);
  });

  it('leaves a record alone that another is writing, and answers nothing from it', () => {
    const memory = NeighbourTable.createMemory(7);
    const table = new NeighbourTable(memory);
    learn(table, 1, 1);
    const words = new Int32Array(memory);
    const at = words.findIndex((value, i) => i >= 16 && value !== 0);
    expect(words[at]).toBe(2);
    words[at] = 3;
    expect(find(table, 1)).toBeUndefined();
    learn(table, 1, 2);
    expect([find(table, 1), words[at]]).toEqual([undefined, 3]);
    words[at] = 4;
    expect(find(table, 1)).toEqual([HIGH, 1, STATION.host]);
  });

  it('takes the later of two records that two workers made of one address', () => {
    const memory = NeighbourTable.createMemory(7);
    const table = new NeighbourTable(memory);
    learn(table, 1, 1, NOW);
    const words = new Int32Array(memory);
    const at = words.findIndex((value, i) => i >= 16 && value !== 0);
    // The next record of the same set, or the one before it.
    const other = at + 10;
    words.copyWithin(other, at, at + 10);
    words[other + 7] = 2;
    words[other + 9] = NOW + 1;
    expect(find(table, 1, NOW + 2)).toEqual([HIGH, 2, STATION.host]);
  });

  it('says what a map would say, as long as it has room', () => {
    const command = fc.record({
      address: fc.nat({ max: 20 }),
      segment: fc.nat({ max: 2 }),
      low: fc.nat({ max: 3 }),
      after: fc.nat({ max: 300 }),
    });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 100, size: 'max' }), (commands) => {
        const table = newTable();
        const model = new Map<string, { low: number; heard: number }>();
        let now = NOW;
        for (const { address, segment, low, after } of commands) {
          now += after;
          const known = model.get(`${segment} ${address}`);
          const expected = known && now - known.heard < FRESH ? [HIGH, known.low, STATION.host] : undefined;
          expect(find(table, address, now, segment)).toEqual(expected);
          learn(table, address, low, now, STATION.host, segment);
          model.set(`${segment} ${address}`, { low, heard: now });
        }
      }),
    );
  });
});
