import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { FdbEntry } from '../../api/schemas.ts';
import { Fdb, LOCAL_SOURCE } from '../../fdb/fdb.ts';
import { createFdbMemory } from '../../fdb/layout.ts';
import { type Listing, listFdb } from './fdb-listing.ts';

const AGEING_SECONDS = 10;
const HIGH = 0x0200_0000;
const NO_BOUND = 1_048_576;
const VTEP = { a: 0, b: 0, c: 0xffff, d: (198 << 24) | (18 << 16) | 2 };

/** Segments 0 and 1, of which the latter has the lower VNI. */
function newListing(changed: Partial<Listing> = {}) {
  const fdb = new Fdb(createFdbMemory(7, AGEING_SECONDS), 1);
  const clock = { now: 1_000 };
  const numbers = new Map([
    [0, 300],
    [1, 20],
  ]);
  const listing = { fdb, now: () => clock.now, numbers: () => new Map(numbers), matches: () => true, ...changed };
  const learn = (segment: number, station: number) =>
    fdb.learn(segment, HIGH + (station >>> 16), station & 0xffff, VTEP, NO_BOUND, clock.now);
  return { fdb, clock, numbers, listing, learn };
}

async function read(listing: Listing): Promise<FdbEntry[]> {
  const entries: FdbEntry[] = [];
  for await (const slice of listFdb(listing)) entries.push(...slice);
  return entries;
}

describe('listFdb', () => {
  it('is empty for an empty table', async () => {
    expect(await read(newListing().listing)).toEqual([]);
  });

  it('says of each entry what the API does, sorted by VNI, then MAC', async () => {
    const { fdb, clock, listing, learn } = newListing();
    for (const station of [0x1_0000, 0xffff, 2]) learn(0, station);
    learn(1, 9);
    fdb.addStatic(1, 0xfeff_ffff, 0xffff, LOCAL_SOURCE, clock.now);
    fdb.placeAll(0, [{ high: HIGH, low: 3, at: VTEP, isSticky: true }], clock.now);
    clock.now += 25;
    const learned = { vtep: '198.18.0.2', type: 'dynamic', age: 2, moves: 0 };
    expect(await read(listing)).toEqual([
      { vni: 20, mac: '02:00:00:00:00:09', ...learned },
      { vni: 20, mac: 'fe:ff:ff:ff:ff:ff', vtep: 'local', type: 'static', age: null, moves: 0 },
      { vni: 300, mac: '02:00:00:00:00:02', ...learned },
      { vni: 300, mac: '02:00:00:00:00:03', vtep: '198.18.0.2', type: 'evpn', age: null, moves: 0 },
      { vni: 300, mac: '02:00:00:00:ff:ff', ...learned },
      { vni: 300, mac: '02:00:00:01:00:00', ...learned },
    ]);
  });

  it('leaves out what does not match, has expired, or has no VNI', async () => {
    const { clock, listing, learn } = newListing({ matches: ({ low }) => low !== 5 });
    learn(0, 1);
    clock.now += AGEING_SECONDS * 10;
    for (const station of [2, 5]) learn(0, station);
    learn(2, 3);
    expect((await read(listing)).map(({ mac }) => mac)).toEqual(['02:00:00:00:00:02']);
  });

  it('lets others have their turn every thousand entries, and looks at ten thousand records for one', async () => {
    const { listing, learn } = newListing();
    for (let station = 0; station < 25_000; station++) learn(station % 2, station);
    let turns = 0;
    let isRead = false;
    const others = (async () => {
      for (; !isRead; turns++) await setImmediate();
    })();
    const sizes: number[] = [];
    for await (const slice of listFdb(listing)) sizes.push(slice.length);
    isRead = true;
    await others;
    expect(sizes).toEqual(new Array(25).fill(1_000));
    // Two between three slices of records, and one after each of entries; how Node counts the first and the last may differ.
    expect(turns).toBeGreaterThanOrEqual(25);
  });

  it('leaves out what goes while it is read, an entry or a whole VNI, and says where an entry is by then', async () => {
    const { fdb, clock, numbers, listing, learn } = newListing();
    for (let station = 0; station < 3_000; station++) learn(1, station);
    for (let station = 0; station < 10; station++) learn(0, station);
    const slices = listFdb(listing);
    const first = (await slices.next()).value ?? [];
    expect(first.at(-1)?.mac).toBe('02:00:00:00:03:e7');
    fdb.delete(1, HIGH, 1_000, clock.now);
    fdb.learn(1, HIGH, 1_001, LOCAL_SOURCE, NO_BOUND, clock.now);
    const second = (await slices.next()).value ?? [];
    expect(second[0]).toMatchObject({ mac: '02:00:00:00:03:e9', vtep: 'local', moves: 1 });
    // Its number goes to another VNI.
    numbers.set(1, 21);
    const rest: FdbEntry[] = [];
    for await (const slice of slices) rest.push(...slice);
    expect(rest.map(({ vni }) => vni)).toEqual(new Array(10).fill(300));
  });
});
