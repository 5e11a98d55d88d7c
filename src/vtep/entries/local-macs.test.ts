/** What listeners are told of the MACs behind the own TAP. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Fdb, LOCAL_SOURCE, type SourceAddress } from '../../fdb/fdb.ts';
import { createFdbMemory, HEADER, mapFdb } from '../../fdb/layout.ts';
import { LOCAL } from '../../fdb/remotes.ts';
import { formatMac } from '../../lib/addresses.ts';
import { MAX_FDB_ENTRIES, MAX_FDB_EVENTS } from '../../lib/limits.ts';
import { createLog } from '../../observe/log.ts';
import { type LocalMacBatch, LocalMacs, type LocalMacsOptions } from './local-macs.ts';

const log = await createLog('silent', 'json');

const HIGH = 0x0200_0000;
const AGEING_SECONDS = 30;
const UNLIMITED = 1_000_000;
const REMOTE: SourceAddress = { a: 0, b: 0, c: 0xffff, d: 0x0a00_0001 };

const running: LocalMacs[] = [];
afterEach(() => {
  for (const each of running.splice(0)) each.stop();
});

/** Two segments, VNI 100 and VNI 200. */
function newMacs(options: Pick<LocalMacsOptions, 'toldAtOnce'> = {}) {
  const memory = createFdbMemory(3, AGEING_SECONDS);
  const fdb = new Fdb(memory, 1, 20);
  const clock = { now: 1_000 };
  const names = [100, 200];
  const name = (segment: number, vni: number) => {
    names[segment] = vni;
    fdb.nameSegment(segment, vni);
  };
  for (const [segment, vni] of names.entries()) name(segment, vni);
  const macs = new LocalMacs({ fdb, now: () => clock.now, log, vnis: () => names, ...options });
  running.push(macs);
  const learn = (low: number, source = LOCAL_SOURCE, segment = 0) =>
    fdb.learn(segment, HIGH, low, source, UNLIMITED, clock.now);
  const place = (low: number, segment = 0) =>
    fdb.placeAll(segment, [{ high: HIGH, low, at: REMOTE, isSticky: false }], clock.now);
  const settle = () => {
    while (macs.slice());
  };
  return { memory, fdb, clock, names, name, macs, learn, place, settle };
}

const describeBatch = ({ vni, isWhole, endsWhole, here, gone }: LocalMacBatch) => {
  const words = [
    ...here.map(({ mac, origin }) => `${mac.slice(-2)} ${origin}`),
    ...gone.map((mac) => `${mac.slice(-2)} gone`),
  ];
  const part = isWhole ? (endsWhole ? ' whole' : ' begins') : endsWhole ? ' ends' : '';
  return `${vni}${part}: ${words.join(', ')}`;
};

function watch(macs: LocalMacs) {
  const told: string[] = [];
  const stop = macs.watch((batch) => told.push(describeBatch(batch)));
  return { told, stop };
}

describe('who listens', () => {
  it('is told the whole of each VNI first, also of those with no MAC', () => {
    const { fdb, clock, macs, learn, settle } = newMacs();
    learn(1);
    learn(2, REMOTE);
    learn(3);
    fdb.addStatic(0, HIGH, 4, LOCAL_SOURCE, clock.now);
    fdb.addStatic(0, HIGH, 5, REMOTE, clock.now);
    const { told } = watch(macs);
    settle();
    expect(told).toEqual(['100 whole: 01 learned, 03 learned, 04 static', '200 whole: ']);
  });

  it('is then told what comes, moves here, moves away, is deleted, ages, and changes its origin', () => {
    const { fdb, clock, macs, learn, place, settle } = newMacs();
    const { told } = watch(macs);
    settle();
    const tells = (act: () => void, ...expected: string[]) => {
      told.length = 0;
      act();
      settle();
      expect(told).toEqual(expected);
    };
    tells(() => learn(1), '100: 01 learned');
    tells(() => learn(1));
    tells(() => learn(2, REMOTE));
    tells(() => learn(2), '100: 02 learned');
    tells(() => learn(2, REMOTE), '100: 02 gone');
    tells(() => learn(9, LOCAL_SOURCE, 1), '200: 09 learned');
    tells(() => fdb.addStatic(0, HIGH, 1, LOCAL_SOURCE, clock.now), '100: 01 static');
    tells(() => fdb.delete(0, HIGH, 1, clock.now), '100: 01 gone');
    tells(() => learn(3), '100: 03 learned');
    tells(() => fdb.addStatic(0, HIGH, 3, REMOTE, clock.now), '100: 03 gone');
    // It held the MAC against control planes.
    tells(() => fdb.delete(0, HIGH, 3, clock.now), '100: 03 gone');
    tells(() => place(3));
    tells(() => learn(3), '100: 03 learned');
    tells(() => place(3), '100: 03 gone');
    tells(() => fdb.withdrawAll(0, [{ high: HIGH, low: 3 }], clock.now));
    clock.now += AGEING_SECONDS * 10;
    tells(() => fdb.sweep(0, 1_000, clock.now), '200: 09 gone');
  });

  it('is told once of a MAC that changed often, namely what holds at the end', () => {
    const { fdb, clock, macs, learn, settle } = newMacs();
    const { told } = watch(macs);
    settle();
    told.length = 0;
    for (let time = 0; time < 100; time++) {
      learn(1);
      learn(2);
      fdb.delete(0, HIGH, 2, clock.now);
      if (time < 99) fdb.delete(0, HIGH, 1, clock.now);
    }
    settle();
    expect(told).toEqual(['100: 01 learned, 02 gone']);
  });

  it('is told the whole when it comes later, and the others are not', () => {
    const { macs, learn, settle } = newMacs();
    const first = watch(macs);
    settle();
    learn(1);
    settle();
    const second = watch(macs);
    settle();
    learn(2);
    first.stop();
    settle();
    expect(first.told).toEqual(['100 whole: ', '200 whole: ', '100: 01 learned']);
    expect(second.told).toEqual(['100 whole: 01 learned', '200 whole: ', '100: 02 learned']);
  });

  it('is told the whole again after more changes than the ring holds', () => {
    const { fdb, clock, macs, learn, settle } = newMacs();
    learn(1);
    learn(2);
    const { told } = watch(macs);
    settle();
    told.length = 0;
    fdb.delete(0, HIGH, 1, clock.now);
    for (let change = 0; change < MAX_FDB_EVENTS / 2 + 1; change++) {
      learn(3, REMOTE, 1);
      fdb.delete(1, HIGH, 3, clock.now);
    }
    settle();
    expect(told).toEqual(['100 whole: 02 learned', '200 whole: ']);
  });

  it('is told the whole again after a repair', () => {
    const { memory, fdb, macs, learn, settle } = newMacs();
    learn(1);
    const { told } = watch(macs);
    settle();
    told.length = 0;
    mapFdb(memory).header[HEADER.lock] = 9;
    expect(() => settle()).toThrow();
    fdb.recover(9);
    settle();
    expect(told).toEqual(['100 whole: 01 learned', '200 whole: ']);
  });

  it('is told under the new VNI of a segment that was given to another', () => {
    const { fdb, clock, name, macs, learn, settle } = newMacs();
    learn(1, LOCAL_SOURCE, 1);
    const { told } = watch(macs);
    settle();
    told.length = 0;
    fdb.flush(({ segment }) => segment === 1, clock.now);
    fdb.resetSegment(1);
    name(1, 300);
    learn(1, LOCAL_SOURCE, 1);
    settle();
    expect(told).toEqual(['200: 01 gone', '300: 01 learned']);
  });

  it('is told by itself, soon after the change', async () => {
    const { macs, learn } = newMacs();
    const { told } = watch(macs);
    await expect.poll(() => told.length).toBe(2);
    // The loop sleeps by now.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const start = performance.now();
    learn(1);
    await expect.poll(() => told, { interval: 2 }).toContain('100: 01 learned');
    expect(performance.now() - start).toBeLessThan(1_000);
  });

  it('is told by itself of what wakes nobody: an expired MAC that is heard again', async () => {
    const { clock, macs, learn } = newMacs();
    learn(1);
    clock.now += AGEING_SECONDS * 10;
    const { told } = watch(macs);
    await expect.poll(() => told).toEqual(['100 whole: ', '200 whole: ']);
    learn(1);
    await expect.poll(() => told, { timeout: 5_000 }).toContain('100: 01 learned');
  });

  it('is told later while a dead thread holds the lock', async () => {
    const { memory, fdb, macs, learn } = newMacs();
    learn(1);
    mapFdb(memory).header[HEADER.lock] = 9;
    const { told } = watch(macs);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told).toEqual([]);
    fdb.recover(9);
    await expect.poll(() => told, { timeout: 5_000 }).toEqual(['100 whole: 01 learned', '200 whole: ']);
  });

  it('is told nothing more once it stops, or all do, and may come back', async () => {
    const { macs, learn, settle } = newMacs();
    const { told, stop } = watch(macs);
    settle();
    stop();
    learn(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([told.length, macs.slice()]).toEqual([2, false]);
    const again = watch(macs);
    await expect.poll(() => again.told).toEqual(['100 whole: 01 learned', '200 whole: ']);
    macs.stop();
    learn(2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(again.told).toHaveLength(2);
  });
});

it('takes many slices for many MACs, so that others have their turn', () => {
  const { macs, learn } = newMacs();
  for (let low = 0; low < 60_000; low++) learn(low, LOCAL_SOURCE, low & 1);
  const told: LocalMacBatch[] = [];
  macs.watch((batch) => told.push(batch));
  let mostMacs = 0;
  for (let before = 0; macs.slice(); before = told.length) {
    mostMacs = Math.max(
      mostMacs,
      told.slice(before).reduce((sum, { here }) => sum + here.length, 0),
    );
  }
  expect(mostMacs).toBeLessThan(5_000);
  for (const vni of [100, 200]) {
    const parts = told.filter((batch) => batch.vni === vni);
    expect(new Set(parts.flatMap(({ here }) => here.map(({ mac }) => mac))).size).toBe(30_000);
    expect(parts.map(({ isWhole }) => isWhole)).toEqual(parts.map((_, i) => i === 0));
    expect(parts.map(({ endsWhole }) => endsWhole)).toEqual(parts.map((_, i) => i === parts.length - 1));
  }
});

it('tells at once what changes while a full state is told in parts, and each MAC as it is', () => {
  const { fdb, clock, macs, learn, settle } = newMacs({ toldAtOnce: 2 });
  for (let low = 1; low <= 5; low++) learn(low);
  const { told } = watch(macs);
  while (told.length === 0) macs.slice();
  expect(told).toEqual(['100 begins: 01 learned, 02 learned']);
  fdb.delete(0, HIGH, 1, clock.now);
  fdb.delete(0, HIGH, 3, clock.now);
  learn(6);
  fdb.addStatic(0, HIGH, 4, LOCAL_SOURCE, clock.now);
  learn(7, LOCAL_SOURCE, 1);
  settle();
  expect(told.slice(1)).toEqual([
    '100: 06 learned, 04 static, 01 gone, 03 gone',
    '100 ends: 05 learned',
    '200 whole: 07 learned',
  ]);
});

/** Puts together what batches say. */
class Picture {
  readonly vnis = new Map<number, Map<string, string>>();
  /** MACs of each VNI that were here since its full state began. */
  readonly #seen = new Map<number, Set<string>>();
  stop = () => {};

  take({ vni, isWhole, endsWhole, here, gone }: LocalMacBatch): void {
    const known = this.vnis.get(vni) ?? new Map<string, string>();
    this.vnis.set(vni, known);
    if (isWhole) this.#seen.set(vni, new Set());
    for (const { mac } of here) this.#seen.get(vni)?.add(mac);
    expect(new Set([...here.map(({ mac }) => mac), ...gone]).size).toBe(here.length + gone.length);
    for (const { mac, origin } of here) known.set(mac, origin);
    for (const mac of gone) known.delete(mac);
    if (endsWhole) for (const mac of known.keys()) if (!this.#seen.get(vni)?.has(mac)) known.delete(mac);
  }

  /** Of VNIs that are there: what was told of others does not count. */
  of(vnis: readonly number[]): string[] {
    return vnis.flatMap((vni) => [...(this.vnis.get(vni) ?? [])].map((mac) => `${vni} ${mac.join(' ')}`)).sort();
  }
}

describe('whatever happens', () => {
  const [mac, segment, source] = [fc.nat({ max: 7 }), fc.nat({ max: 1 }), fc.constantFrom(LOCAL_SOURCE, REMOTE)];
  const operation = fc.oneof(
    { weight: 12, arbitrary: fc.record({ kind: fc.constant('learn' as const), mac, segment, source }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('static' as const), mac, segment, source }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('place' as const), mac, segment }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), mac, segment }) },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('delete' as const), mac, segment }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const), segment }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), tenths: fc.nat({ max: 400 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('sweep' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('rename' as const), segment, vni: fc.nat({ max: 4 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('watch' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('repair' as const) }) },
    { weight: 14, arbitrary: fc.record({ kind: fc.constant('slice' as const) }) },
  );

  type Operation = typeof operation extends fc.Arbitrary<infer Each> ? Each : never;

  // One for all runs, with so many records that a walk takes several slices.
  const { memory, fdb, clock, names, name, macs, learn, place, settle } = newMacs({ toldAtOnce: 2 });
  for (let low = 100; low < 5_200; low++) fdb.addStatic(low & 1, HIGH, low, REMOTE, clock.now);
  const forget = (of: number) => fdb.flush((entry) => entry.segment === of && entry.low < 100, clock.now);
  const sweepAll = () => {
    for (let from = -1; from !== 0; ) from = fdb.sweep(Math.max(from, 0), MAX_FDB_ENTRIES, clock.now);
  };
  const overrun = () => {
    for (let change = 0; change < MAX_FDB_EVENTS / 2 + 10; change++) {
      fdb.learn(1, HIGH, 99, REMOTE, UNLIMITED, clock.now);
      fdb.delete(1, HIGH, 99, clock.now);
    }
  };

  /** Runs the operations, with slices in between as they say; then every listener's picture must be what a walk says. */
  function play(operations: readonly Operation[], overrunAt: number): void {
    for (const segment of [0, 1]) {
      forget(segment);
      name(segment, 100 + 100 * segment);
    }
    const pictures: Picture[] = [];
    for (const [number, step] of operations.entries()) {
      if (number === overrunAt) overrun();
      switch (step.kind) {
        case 'learn':
          learn(step.mac, step.source, step.segment);
          break;
        case 'static':
          fdb.addStatic(step.segment, HIGH, step.mac, step.source, clock.now);
          break;
        case 'place':
          place(step.mac, step.segment);
          break;
        case 'withdraw':
          fdb.withdrawAll(step.segment, [{ high: HIGH, low: step.mac }], clock.now);
          break;
        case 'delete':
          fdb.delete(step.segment, HIGH, step.mac, clock.now);
          break;
        case 'flush':
          forget(step.segment);
          break;
        case 'wait':
          clock.now += step.tenths;
          break;
        case 'sweep':
          sweepAll();
          break;
        case 'rename':
          if (names.includes(1_000 + step.vni)) break;
          forget(step.segment);
          // As a control plane does, which hears of it.
          for (const picture of pictures) picture.vnis.delete(names[step.segment] as number);
          name(step.segment, 1_000 + step.vni);
          break;
        case 'watch': {
          if (pictures.length === 3) break;
          const picture = new Picture();
          picture.stop = macs.watch((batch) => picture.take(batch));
          pictures.push(picture);
          break;
        }
        case 'leave':
          pictures.shift()?.stop();
          break;
        case 'repair':
          mapFdb(memory).header[HEADER.lock] = 77;
          fdb.recover(77);
          break;
        case 'slice':
          macs.slice();
          break;
      }
    }
    // An expired MAC is told until the sweep takes it.
    sweepAll();
    settle();
    const truth: string[] = [];
    fdb.forEachSlice(
      0,
      MAX_FDB_ENTRIES,
      ({ segment: of, high, low, remote, kind }) => {
        if (remote === LOCAL) truth.push(`${names[of]} ${formatMac(high, low)} ${kind}`);
      },
      clock.now,
    );
    for (const picture of pictures) expect(picture.of(names)).toEqual(truth.sort());
    macs.stop();
  }

  it('a listener knows what a walk would say', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120, size: 'max' }), (operations) => play(operations, -1)),
      { numRuns: 150 },
    );
  });

  it('also where the ring is overrun in the middle', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { minLength: 40, maxLength: 120, size: 'max' }),
        fc.nat({ max: 60 }),
        (operations, overrunAt) => play(operations, overrunAt),
      ),
      { numRuns: 8 },
    );
  });
});
