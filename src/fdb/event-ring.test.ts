import { describe, expect, it } from 'vitest';
import { MAX_FDB_EVENTS } from '../lib/limits.ts';
import { CONTROL_EVENT, EVENT_KIND, HAS_FROM, STATIC_EVENT } from './event-ring.ts';
import { type EntryKind, Fdb, LEARNED, LOCAL_SOURCE, type SourceAddress } from './fdb.ts';
import { createFdbMemory, EVENT, HEADER, mapFdb } from './layout.ts';

const NOW = 5_000;
const AGEING_SECONDS = 10;
const HIGH = 0x0200_0000;
const [SEGMENT, VNI] = [3, 70_000];
const UNLIMITED = 100_000;

const vtep = (number: number): SourceAddress => ({ a: 0, b: 0, c: 0xffff, d: (198 << 24) | number });

interface Told {
  readonly kind: number;
  readonly mac: number;
  readonly at: number;
  readonly from: number | undefined;
  readonly owner: EntryKind;
}

function newFdb({ firstNumber = 0 } = {}) {
  const memory = createFdbMemory(3, AGEING_SECONDS);
  const { header } = mapFdb(memory);
  header[HEADER.events] = firstNumber;
  const fdb = new Fdb(memory, 1);
  fdb.nameSegment(SEGMENT, VNI);
  let next = fdb.nextEvent;
  /** What happened since the last call. */
  const told = (room = 100): Told[] => {
    const words = new Int32Array(room * EVENT.words);
    const { lost, count } = fdb.copyEvents(next, words);
    expect(lost).toBe(0);
    next = (next + count) | 0;
    return Array.from({ length: count }, (_, i) => {
      const word = (index: number) => words[i * EVENT.words + index] as number;
      const kind = word(EVENT.macLowAndKind);
      expect([word(EVENT.vni), word(EVENT.macHigh)]).toEqual([VNI, HIGH]);
      return {
        kind: kind & 0xff,
        mac: kind >>> 16,
        at: word(EVENT.at + 3),
        from: kind & HAS_FROM ? word(EVENT.from + 3) : undefined,
        owner: kind & STATIC_EVENT ? 'static' : kind & CONTROL_EVENT ? 'control' : 'learned',
      };
    });
  };
  const learn = (low: number, source: SourceAddress, { maxMacs = UNLIMITED, now = NOW } = {}) =>
    fdb.learn(SEGMENT, HIGH, low, source, maxMacs, now);
  return { memory, header, fdb, told, learn };
}

const event = (
  kind: keyof typeof EVENT_KIND,
  mac: number,
  at: SourceAddress,
  from?: SourceAddress,
  owner: EntryKind = 'learned',
) => ({
  kind: EVENT_KIND[kind],
  mac,
  at: at.d,
  from: from?.d,
  owner,
});

describe('a change', () => {
  it('is one event: learned, moved, deleted', () => {
    const { fdb, told, learn } = newFdb();
    learn(0xfffe, vtep(1));
    learn(0xfffe, LOCAL_SOURCE);
    learn(0xfffe, vtep(2));
    fdb.delete(SEGMENT, HIGH, 0xfffe, NOW);
    expect(told()).toEqual([
      event('added', 0xfffe, vtep(1)),
      event('moved', 0xfffe, LOCAL_SOURCE, vtep(1)),
      event('moved', 0xfffe, vtep(2), LOCAL_SOURCE),
      event('deleted', 0xfffe, vtep(2)),
    ]);
  });

  it('is none where nothing changes: refreshed, refused, not there', () => {
    const { fdb, told, learn } = newFdb();
    learn(1, vtep(1));
    fdb.addStatic(SEGMENT, HIGH, 2, vtep(1), NOW);
    const placement = { high: HIGH, low: 3, at: vtep(1), isSticky: false };
    fdb.placeAll(SEGMENT, [placement], NOW);
    told();
    fdb.placeAll(SEGMENT, [placement, { ...placement, low: 2, at: vtep(2) }], NOW);
    fdb.withdrawAll(
      SEGMENT,
      [1, 2, 9].map((low) => ({ high: HIGH, low })),
      NOW,
    );
    learn(3, vtep(2));
    fdb.delete(SEGMENT, HIGH, 3, NOW);
    learn(1, vtep(1), { now: NOW + 5 });
    learn(2, vtep(1));
    learn(2, vtep(2));
    fdb.addStatic(SEGMENT, HIGH, 2, vtep(1), NOW);
    fdb.addStatic(SEGMENT, HIGH, 2, vtep(3), NOW);
    fdb.delete(SEGMENT, HIGH, 9, NOW);
    fdb.flush(() => false, NOW);
    fdb.lookup(SEGMENT, HIGH, 1, NOW);
    fdb.sweep(0, 100, NOW);
    expect(told()).toEqual([]);
  });

  it('is none where there is no room', () => {
    const { told, learn } = newFdb();
    learn(1, LOCAL_SOURCE);
    told();
    expect(learn(2, vtep(1), { maxMacs: 1 })).toBe(LEARNED.full);
    expect(told()).toEqual([]);
  });

  it('of a static entry says so; one that takes the place of a learned one is one event, and says where that was', () => {
    const { fdb, told, learn } = newFdb();
    learn(1, vtep(1));
    told();
    fdb.addStatic(SEGMENT, HIGH, 1, vtep(2), NOW);
    fdb.addStatic(SEGMENT, HIGH, 2, vtep(2), NOW);
    fdb.flush(() => true, NOW);
    expect(told()).toEqual([
      event('added', 1, vtep(2), vtep(1), 'static'),
      event('added', 2, vtep(2), undefined, 'static'),
      event('deleted', 1, vtep(2), undefined, 'static'),
      event('deleted', 2, vtep(2), undefined, 'static'),
    ]);
  });

  it('of a control plane says so: placed, moved, withdrawn, replaced', () => {
    const { fdb, told, learn } = newFdb();
    const place = (low: number, at: SourceAddress, isSticky = false) =>
      fdb.placeAll(SEGMENT, [{ high: HIGH, low, at, isSticky }], NOW);
    learn(2, vtep(1));
    learn(3, vtep(1));
    told();
    place(1, vtep(1));
    place(1, vtep(2));
    place(1, vtep(2), true);
    place(2, vtep(1));
    place(3, vtep(2));
    expect(told()).toEqual([
      event('added', 1, vtep(1), undefined, 'control'),
      event('moved', 1, vtep(2), vtep(1), 'control'),
      event('added', 2, vtep(1), vtep(1), 'control'),
      event('moved', 3, vtep(2), vtep(1), 'control'),
    ]);
    learn(3, LOCAL_SOURCE);
    fdb.addStatic(SEGMENT, HIGH, 2, vtep(2), NOW);
    fdb.withdrawAll(
      SEGMENT,
      [1, 2, 3].map((low) => ({ high: HIGH, low })),
      NOW,
    );
    expect(told()).toEqual([
      event('moved', 3, LOCAL_SOURCE, vtep(2)),
      event('added', 2, vtep(2), vtep(1), 'static'),
      event('deleted', 1, vtep(2), undefined, 'control'),
    ]);
  });

  it('by the limit is a deletion and an addition', () => {
    const { told, learn } = newFdb();
    learn(1, vtep(1));
    told();
    learn(2, vtep(1), { maxMacs: 1 });
    expect(told()).toEqual([event('deleted', 1, vtep(1)), event('added', 2, vtep(1))]);
  });

  it.each<[string, (fdb: Fdb, now: number) => void, object[]]>([
    ['the sweep', (fdb, now) => fdb.sweep(0, 10, now), []],
    ['a deletion', (fdb, now) => fdb.delete(SEGMENT, HIGH, 1, now), []],
    ['a flush', (fdb, now) => fdb.flush(() => true, now), []],
    [
      'the machine itself',
      (fdb, now) => fdb.learn(SEGMENT, HIGH, 1, vtep(1), UNLIMITED, now),
      [event('added', 1, vtep(1))],
    ],
    [
      'a static entry',
      (fdb, now) => fdb.addStatic(SEGMENT, HIGH, 1, vtep(3), now),
      [event('added', 1, vtep(3), undefined, 'static')],
    ],
    [
      'another that needs its room',
      (fdb, now) => fdb.learn(SEGMENT, HIGH, 2, vtep(2), 1, now),
      [event('added', 2, vtep(2))],
    ],
  ])('of an entry that had expired is that it aged, found by %s', (_, find, then) => {
    const { fdb, told, learn } = newFdb();
    learn(1, vtep(1));
    told();
    find(fdb, NOW + AGEING_SECONDS * 10);
    expect(told()).toEqual([event('aged', 1, vtep(1)), ...then]);
  });

  it('says the address it had, though the VTEP is forgotten and its number another’s', () => {
    const { fdb, told, learn } = newFdb();
    learn(1, vtep(1));
    fdb.delete(SEGMENT, HIGH, 1, NOW);
    fdb.sweep(0, 10, NOW + 1_000);
    learn(2, vtep(2), { now: NOW + 1_000 });
    expect(told().map(({ at }) => at)).toEqual([vtep(1), vtep(1), vtep(2)].map(({ d }) => d));
  });

  it('says the VNI that the segment had then', () => {
    const { fdb, learn } = newFdb();
    learn(1, vtep(1));
    fdb.flush(() => true, NOW);
    fdb.resetSegment(SEGMENT);
    fdb.nameSegment(SEGMENT, 5);
    learn(1, vtep(1));
    const words = new Int32Array(3 * EVENT.words);
    fdb.copyEvents(0, words);
    expect([0, 1, 2].map((i) => words[i * EVENT.words + EVENT.vni])).toEqual([VNI, VNI, 5]);
  });

  it('by another thread is seen by this one', () => {
    const { memory, told } = newFdb();
    new Fdb(memory, 2).learn(SEGMENT, HIGH, 1, vtep(1), UNLIMITED, NOW);
    expect(told()).toEqual([event('added', 1, vtep(1))]);
  });
});

describe('the ring', () => {
  /** Around the wrap of the number's 32 bits, of its sign, and of the ring. */
  it.each([0, 2 ** 31 - 3, -3, MAX_FDB_EVENTS - 3])(
    'is read in pieces of any size, from number %i on',
    (firstNumber) => {
      const { told, learn } = newFdb({ firstNumber });
      for (let low = 0; low < 10; low++) learn(low, vtep(1));
      expect([told(4), told(4), told(4), told(4)].map((piece) => piece.map(({ mac }) => mac))).toEqual([
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
        [],
      ]);
    },
  );

  it.each([0, 2 ** 31 - 100, -100])(
    'loses the oldest when it is full, and says how many, from number %i on',
    (firstNumber) => {
      const { fdb, learn } = newFdb({ firstNumber });
      learn(1, vtep(1));
      // Two events each.
      for (let i = 0; i < MAX_FDB_EVENTS / 2; i++) {
        learn(2, vtep(1));
        fdb.delete(SEGMENT, HIGH, 2, NOW);
      }
      learn(3, vtep(1));
      const words = new Int32Array(EVENT.words);
      expect(fdb.copyEvents(firstNumber, words)).toEqual({ lost: 2, count: 1 });
      expect((words[EVENT.macLowAndKind] as number) >>> 16).toBe(2);
      expect((words[EVENT.macLowAndKind] as number) & 0xff).toBe(EVENT_KIND.deleted);
      expect(fdb.copyEvents((fdb.nextEvent - 1) | 0, words)).toEqual({ lost: 0, count: 1 });
      expect((words[EVENT.macLowAndKind] as number) >>> 16).toBe(3);
      expect(fdb.copyEvents(fdb.nextEvent, words)).toEqual({ lost: 0, count: 0 });
    },
  );
});

describe('recovery', () => {
  it('says that events may be lost', () => {
    const { header, fdb } = newFdb();
    header[HEADER.lock] = 7;
    expect(fdb.recover(7)).toBe(true);
    const words = new Int32Array(2 * EVENT.words);
    expect(fdb.copyEvents(0, words)).toEqual({ lost: 0, count: 1 });
    expect((words[EVENT.macLowAndKind] as number) & 0xff).toBe(EVENT_KIND.repaired);
  });
});
