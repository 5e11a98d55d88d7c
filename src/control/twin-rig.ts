/** The VTEP in memory as the twin of a VTEP under test: the same steps on both, and the same state after each. */
import fc from 'fast-check';
import { expect } from 'vitest';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { Batch } from './control-plane.ts';
import { MemoryVtep } from './memory-vtep.ts';
import { A, B, C, mac, RecordingPlane, segmentOf, type VtepUnderTest } from './vtep-under-test-rig.ts';

/** One operation on both VTEPs. */
export const STEP = fc.record({
  kind: fc.constantFrom(
    'place',
    'stick',
    'withdraw',
    'learn',
    'learn-local',
    'static',
    'unstatic',
    'elapse',
    'flood',
    'unflood',
    'own',
    'all',
    'remake',
  ),
  mac: fc.integer({ min: 1, max: 4 }).map(mac),
  vtep: fc.constantFrom(A, B, C),
});
export type Step = typeof STEP extends fc.Arbitrary<infer Value> ? Value : never;

/** A running VTEP and a VTEP in memory, to which the same operations are applied. */
export async function newPair(open: () => Promise<VtepUnderTest>) {
  const config = segmentOf('100,remote=198.18.0.1');
  const one = await open();
  const twin = new MemoryVtep();
  await one.addSegment(config);
  twin.addSegment(config);
  const planes = [new RecordingPlane(), new RecordingPlane()] as const;
  const forwardings = [one.attach(planes[0]), twin.attach(planes[1])] as const;
  const both = (what: (vtep: Pick<VtepUnderTest, 'learn' | 'addStatic' | 'deleteStatic' | 'elapse'>) => void) => {
    what(one);
    what(twin);
  };
  const say = async (batch: Batch) => {
    const [answer, expected] = [await forwardings[0].say(100, batch), await forwardings[1].say(100, batch)];
    expect(answer).toEqual(expected);
  };
  const own = new Set<IpAddress>();
  // The VTEP in memory does not detect MACs that move too often (RFC 7432 §15.1).
  const learnings = new Map<MacAddress, number>();
  const mayMove = (each: MacAddress) => {
    learnings.set(each, (learnings.get(each) ?? 0) + 1);
    return (learnings.get(each) as number) < 5;
  };
  return {
    close: () => one.close(),
    async take({ kind, mac: each, vtep }: Step) {
      if (kind === 'place' || kind === 'stick')
        await say({ macs: { placed: [{ mac: each, vtep, isSticky: kind === 'stick' }] } });
      else if (kind === 'withdraw') await say({ macs: { withdrawn: [each] } });
      else if (kind === 'learn' || kind === 'learn-local') {
        const from = kind === 'learn' ? vtep : 'local';
        if (mayMove(each)) both((it) => it.learn(100, each, from));
      } else if (kind === 'static') {
        // A MAC that is static elsewhere is refused earlier.
        if (one.entryOf(100, each)?.origin !== 'static' && !own.has(vtep)) both((it) => it.addStatic(100, each, vtep));
      } else if (kind === 'unstatic') both((it) => it.deleteStatic(100, each));
      else if (kind === 'elapse') both((it) => it.elapse(200));
      else if (kind === 'flood') await say({ floods: { added: [vtep] } });
      else if (kind === 'unflood') await say({ floods: { removed: [vtep] } });
      else if (kind === 'own') {
        const isOwn = !own.delete(vtep);
        if (isOwn) own.add(vtep);
        await one.setOwn(vtep, isOwn);
        twin.setOwn(vtep, isOwn);
      } else if (kind === 'all') {
        for (const forwarding of forwardings) await forwarding.withdrawAll();
      } else {
        await one.removeSegment(100);
        await one.addSegment(config);
        twin.removeSegment(100);
        twin.addSegment(config);
      }
      await one.told();
      for (const seen of [1, 2, 3, 4].map(mac)) expect(one.entryOf(100, seen)).toEqual(twin.entryOf(100, seen));
      expect(new Set(one.floodMembers(100))).toEqual(new Set(twin.floodMembers(100)));
      expect(new Set(one.floodedTo(100))).toEqual(new Set(twin.floodedTo(100)));
      expect(planes[0].here.get(100) ?? new Map()).toEqual(planes[1].here.get(100) ?? new Map());
    },
  };
}
