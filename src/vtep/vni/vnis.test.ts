import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Vni } from './vni.ts';
import { Vnis } from './vnis.ts';

const vniOf = (number: number, index: number) => ({ config: { vni: number }, index }) as unknown as Vni;
const adding = (vnis: Vnis, number: number) => vnis.add((index) => vniOf(number, index));
const refuse = (): never => {
  throw new Error('no TAP');
};

describe('the VNIs', () => {
  it('are found by number while they are in the list', () => {
    const vnis = new Vnis();
    const [first, second] = [adding(vnis, 100), adding(vnis, 200)];
    expect(vnis.find(100)).toBe(first);
    expect(vnis.need(200)).toBe(second);
    expect([...vnis.numbers()]).toEqual([
      [0, 100],
      [1, 200],
    ]);
    vnis.remove(first);
    expect(vnis.find(100)).toBeUndefined();
    expect(() => vnis.need(100)).toThrow(expect.objectContaining({ code: 'ERR_VTEP_NOT_FOUND' }));
    expect([...vnis.numbers().values()]).toEqual([200]);
  });

  it('keep an index until it is released, and a number may come back before', () => {
    const vnis = new Vnis();
    const first = adding(vnis, 100);
    vnis.remove(first);
    expect([...vnis.leaving]).toEqual([first]);
    const second = adding(vnis, 100);
    expect(second.index).toBe(1);
    vnis.release(first);
    expect(vnis.leaving.size).toBe(0);
    expect(adding(vnis, 200).index).toBe(0);
    expect(vnis.list.map(({ index }) => index)).toEqual([1, 0]);
  });

  it('give an index back where the VNI cannot be made', () => {
    const vnis = new Vnis();
    expect(() => vnis.add(refuse)).toThrow('no TAP');
    expect(vnis.list).toEqual([]);
    expect(adding(vnis, 100).index).toBe(0);
  });

  it('refuse to remove what is not there, and release an index once', () => {
    const vnis = new Vnis();
    const [first, second] = [adding(vnis, 100), adding(vnis, 200)];
    expect(() => vnis.remove(vniOf(100, 0))).toThrow('VNI 100 is not in the list');
    vnis.release(second);
    vnis.remove(first);
    vnis.release(first);
    vnis.release(first);
    expect([adding(vnis, 300).index, adding(vnis, 400).index]).toEqual([0, 2]);
  });

  it('are as in a naive list, whatever the order of changes', () => {
    const step = fc.record({ kind: fc.constantFrom('add', 'fail', 'remove', 'release'), pick: fc.nat(7) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const vnis = new Vnis();
        const [there, leaving]: [Vni[], Vni[]] = [[], []];
        let [number, most] = [0, 0];
        for (const { kind, pick } of steps) {
          if (kind === 'add') there.push(adding(vnis, number++));
          if (kind === 'fail') {
            // It had an index for a moment.
            most = Math.max(most, there.length + leaving.length + 1);
            expect(() => vnis.add(refuse)).toThrow('no TAP');
          }
          const [removed] = kind === 'remove' ? there.splice(pick, 1) : [];
          if (removed) {
            vnis.remove(removed);
            leaving.push(removed);
          }
          const [released] = kind === 'release' ? leaving.splice(pick, 1) : [];
          if (released) vnis.release(released);
          const used = [...there, ...leaving].map(({ index }) => index);
          most = Math.max(most, used.length);
          expect(new Set(used).size).toBe(used.length);
          expect(Math.max(-1, ...used)).toBeLessThan(most);
          expect(vnis.list).toEqual(there);
          expect(new Set(vnis.leaving)).toEqual(new Set(leaving));
          expect([...vnis.numbers()]).toEqual(there.map((vni) => [vni.index, vni.config.vni]));
          for (const vni of leaving) expect(vnis.find(vni.config.vni)).toBeUndefined();
        }
      }),
    );
  });
});
