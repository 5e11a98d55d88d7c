/** The contract between a VTEP and a control plane: one test suite for the VTEP in memory and for the running VTEP. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type IpAddress, type MacAddress, parseMac } from '../lib/addresses.ts';
import type { Batch, Forwarding, Refused } from './control-plane.ts';
import { newPair, STEP } from './twin-rig.ts';
import { A, B, C, ip, mac, RecordingPlane, segmentOf, type VtepUnderTest } from './vtep-under-test-rig.ts';

const [M, N] = [mac(1), mac(2)];
const [X, Y] = [ip('192.0.2.1'), ip('2001:db8::99')];
const NOTHING: Refused = { floods: [], macs: [], neighbours: [] };

export function describeControlContract(name: string, open: () => Promise<VtepUnderTest>): void {
  describe(`${name}: what a control plane says and hears`, () => {
    let vtep: VtepUnderTest;
    let plane: RecordingPlane;
    let forwarding: Forwarding;

    beforeEach(async () => {
      vtep = await open();
      await vtep.addSegment(segmentOf('100,remote=198.18.0.1'));
      plane = new RecordingPlane();
      forwarding = vtep.attach(plane);
    });
    afterEach(() => vtep.close());

    const say = (batch: Batch, vni = 100) => forwarding.say(vni, batch);
    const place = (vtepAddress: IpAddress, isSticky = false) =>
      say({ macs: { placed: [{ mac: M, vtep: vtepAddress, isSticky }] } });

    describe('MACs', () => {
      it('are where it says, and unknown once withdrawn', async () => {
        expect(
          await say({
            macs: {
              placed: [
                { mac: M, vtep: A },
                { mac: N, vtep: B },
              ],
            },
          }),
        ).toEqual(NOTHING);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'evpn' });
        expect(vtep.entryOf(100, N)).toEqual({ vtep: B, origin: 'evpn' });
        await say({ macs: { withdrawn: [M] } });
        expect(vtep.entryOf(100, M)).toBeUndefined();
        expect(vtep.entryOf(100, N)).toEqual({ vtep: B, origin: 'evpn' });
      });

      it('move when it says so, also within one batch', async () => {
        await place(A);
        await place(B);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: B, origin: 'evpn' });
        await say({ macs: { withdrawn: [M], placed: [{ mac: M, vtep: C }] } });
        expect(vtep.entryOf(100, M)).toEqual({ vtep: C, origin: 'evpn' });
      });

      it.each([A, 'local'] as const)('replace what was learned at %s', async (from) => {
        vtep.learn(100, M, from);
        await place(B);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: B, origin: 'evpn' });
      });

      it('are not moved by a frame from another VTEP', async () => {
        await place(A);
        vtep.learn(100, M, B);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'evpn' });
      });

      it('are not learned, and learned ones not moved, by frames from a member of its flood list', async () => {
        await say({ floods: { added: [B] } });
        vtep.learn(100, M, B);
        expect(vtep.entryOf(100, M)).toBeUndefined();
        vtep.learn(100, M, 'local');
        vtep.learn(100, N, C);
        for (const each of [M, N]) vtep.learn(100, each, B);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: 'local', origin: 'learned' });
        expect(vtep.entryOf(100, N)).toEqual({ vtep: C, origin: 'learned' });
        await vtep.addSegment(segmentOf('200,remote=198.18.0.1'));
        vtep.learn(200, M, B);
        expect(vtep.entryOf(200, M)).toEqual({ vtep: B, origin: 'learned' });
      });

      it('are learned from a former member of its flood list, and kept while a new member sends frames', async () => {
        await say({ floods: { added: [B] } });
        await say({ floods: { removed: [B] } });
        vtep.learn(100, M, B);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: B, origin: 'learned' });
        await say({ floods: { added: [B] } });
        vtep.elapse(200);
        vtep.learn(100, M, B);
        vtep.elapse(200);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: B, origin: 'learned' });
        vtep.elapse(400);
        vtep.learn(100, M, B);
        expect(vtep.entryOf(100, M)).toBeUndefined();
      });

      it('are learned from a static member that it named too', async () => {
        await say({ floods: { added: [A] } });
        vtep.learn(100, M, A);
        expect(vtep.entryOf(100, M)).toBeUndefined();
        await forwarding.withdrawAll();
        vtep.learn(100, M, A);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'learned' });
      });

      it('are taken over by a frame from the own TAP, and told, and can be placed again', async () => {
        await place(A);
        vtep.learn(100, M, 'local');
        expect(vtep.entryOf(100, M)).toEqual({ vtep: 'local', origin: 'learned' });
        await vtep.told();
        expect(plane.here.get(100)?.get(M)).toBe('learned');
        await place(B);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: B, origin: 'evpn' });
        await vtep.told();
        expect(plane.here.get(100)?.has(M)).toBe(false);
      });

      it('are not taken over while they are sticky', async () => {
        await place(A, true);
        vtep.learn(100, M, 'local');
        vtep.learn(100, M, B);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'evpn' });
      });

      it('do not age, as learned ones do', async () => {
        await place(A);
        vtep.learn(100, N, A);
        vtep.elapse(100_000);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'evpn' });
        expect(vtep.entryOf(100, N)).toBeUndefined();
      });

      it('give way to a static entry, which says when it is gone', async () => {
        vtep.addStatic(100, M, A);
        expect(await place(B)).toEqual({ ...NOTHING, macs: [{ mac: M, cause: 'outranked' }] });
        await place(C);
        vtep.addStatic(100, N, A);
        await say({ macs: { withdrawn: [M, N] } });
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'static' });
        expect(vtep.entryOf(100, N)).toEqual({ vtep: A, origin: 'static' });
        await vtep.told();
        plane.freed.length = 0;
        vtep.deleteStatic(100, M);
        await vtep.told();
        expect(plane.freed).toEqual([M]);
        expect(await place(B)).toEqual(NOTHING);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: B, origin: 'evpn' });
      });

      it('are replaced by a static entry that comes later', async () => {
        await place(B);
        vtep.addStatic(100, M, A);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'static' });
      });

      it('that were learned are not its own to withdraw', async () => {
        vtep.learn(100, M, A);
        await say({ macs: { withdrawn: [M] } });
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'learned' });
      });

      it('in one segment say nothing of another', async () => {
        await vtep.addSegment(segmentOf('200,remote=198.18.0.1'));
        await place(A);
        expect(vtep.entryOf(200, M)).toBeUndefined();
        await say({ macs: { withdrawn: [M] } }, 200);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: A, origin: 'evpn' });
      });

      it('come by the thousand', async () => {
        const macs = Array.from(
          { length: 3_000 },
          (_, i) => parseMac(`02:00:00:01:${hex(i >>> 8)}:${hex(i)}`) as MacAddress,
        );
        const placed = macs.map((each, i) => ({ mac: each, vtep: [A, B, C][i % 3] as IpAddress }));
        expect(await say({ macs: { placed } })).toEqual(NOTHING);
        for (const { mac: each, vtep: at } of placed)
          expect(vtep.entryOf(100, each)).toEqual({ vtep: at, origin: 'evpn' });
        await say({ macs: { withdrawn: macs } });
        expect(macs.filter((each) => vtep.entryOf(100, each))).toEqual([]);
      });
    });

    describe('floods', () => {
      it('go to its members and to the static ones, each once', async () => {
        expect(await say({ floods: { added: [B, C, A] } })).toEqual(NOTHING);
        expect(vtep.floodMembers(100)).toEqual([
          { vtep: A, origin: 'static' },
          { vtep: B, origin: 'evpn' },
          { vtep: C, origin: 'evpn' },
        ]);
        expect(vtep.floodedTo(100)).toEqual([A, B, C]);
      });

      it('go on to a static member that it withdraws', async () => {
        await say({ floods: { added: [A, B] } });
        await say({ floods: { removed: [A, B] } });
        expect(vtep.floodMembers(100)).toEqual([{ vtep: A, origin: 'static' }]);
      });

      it('go to a member as soon as its address is another host’s', async () => {
        await vtep.setOwn(B, true);
        expect(await say({ floods: { added: [B] } })).toEqual(NOTHING);
        expect(vtep.floodedTo(100)).toEqual([A]);
        await vtep.setOwn(B, false);
        expect(vtep.floodedTo(100)).toEqual([A, B]);
      });

      it('are said twice without harm', async () => {
        await say({ floods: { added: [B] } });
        await say({ floods: { added: [B] } });
        expect(vtep.floodedTo(100)).toEqual([A, B]);
      });
    });

    describe('neighbours', () => {
      it('are answered for until they are withdrawn, however long that is', async () => {
        const placed = [
          { ip: X, mac: M },
          { ip: Y, mac: N, station: 'router' },
        ] as const;
        expect(await say({ neighbours: { placed } })).toEqual(NOTHING);
        vtep.elapse(100_000);
        expect([X, Y].map((each) => vtep.neighbourOf(100, each))).toEqual([M, N]);
        await say({ neighbours: { withdrawn: [X] } });
        expect([X, Y].map((each) => vtep.neighbourOf(100, each))).toEqual([undefined, N]);
      });

      it('get another MAC', async () => {
        await say({ neighbours: { placed: [{ ip: X, mac: M }] } });
        await say({ neighbours: { placed: [{ ip: X, mac: N }] } });
        expect(vtep.neighbourOf(100, X)).toBe(N);
      });

      it('go with their segment, and with all that it withdraws', async () => {
        await vtep.addSegment(segmentOf('200,remote=198.18.0.1'));
        for (const vni of [100, 200]) await say({ neighbours: { placed: [{ ip: X, mac: M }] } }, vni);
        await vtep.removeSegment(100);
        await vtep.addSegment(segmentOf('100,remote=198.18.0.1'));
        expect([100, 200].map((vni) => vtep.neighbourOf(vni, X))).toEqual([undefined, M]);
        await forwarding.withdrawAll();
        expect(vtep.neighbourOf(200, X)).toBeUndefined();
      });

      it('behind the TAP are told as they are heard', async () => {
        vtep.hear(100, X, M);
        vtep.hear(100, Y, M);
        await vtep.told();
        vtep.hear(100, X, N);
        await vtep.told();
        expect(new Map(plane.neighbours.get(100))).toEqual(
          new Map([
            [X, N],
            [Y, M],
          ]),
        );
      });
    });

    describe('refusals', () => {
      it('name each part of a batch for a segment that is not here', async () => {
        expect(
          await say(
            {
              floods: { added: [B] },
              macs: { placed: [{ mac: M, vtep: B }] },
              neighbours: { placed: [{ ip: X, mac: M }] },
            },
            300,
          ),
        ).toEqual({
          floods: [{ vtep: B, cause: 'no-segment' }],
          macs: [{ mac: M, cause: 'no-segment' }],
          neighbours: [{ ip: X, cause: 'no-segment' }],
        });
      });

      it('take the rest of a batch', async () => {
        await vtep.setOwn(C, true);
        const v6 = ip('2001:db8::1');
        const refused = await say({
          floods: { added: [B, v6] },
          macs: {
            placed: [
              { mac: M, vtep: v6 },
              { mac: N, vtep: B },
              { mac: mac(3), vtep: C },
            ],
          },
        });
        expect(refused.floods).toEqual([{ vtep: v6, cause: 'family' }]);
        expect(new Set(refused.macs)).toEqual(
          new Set([
            { mac: M, cause: 'family' },
            { mac: mac(3), cause: 'own' },
          ]),
        );
        expect(vtep.floodedTo(100)).toEqual([A, B]);
        expect([M, N, mac(3)].map((each) => vtep.entryOf(100, each)?.vtep)).toEqual([undefined, B, undefined]);
      });
    });

    it('withdraws all that it said, and nothing else', async () => {
      await vtep.addSegment(segmentOf('200,remote=198.18.0.2'));
      for (const vni of [100, 200]) {
        await say({ floods: { added: [C] }, macs: { placed: [{ mac: M, vtep: C }] } }, vni);
        vtep.learn(vni, N, A);
        vtep.addStatic(vni, mac(3), A);
      }
      await forwarding.withdrawAll();
      for (const vni of [100, 200]) {
        expect(vtep.entryOf(vni, M)).toBeUndefined();
        expect(vtep.entryOf(vni, N)?.origin).toBe('learned');
        expect(vtep.entryOf(vni, mac(3))?.origin).toBe('static');
        expect(vtep.floodMembers(vni).map(({ origin }) => origin)).toEqual(['static']);
      }
    });

    describe('segments', () => {
      it('are told when it is attached, when they come and when they go', async () => {
        expect([...plane.segments.keys()]).toEqual([100]);
        await vtep.addSegment(segmentOf('200=239.1.1.1'));
        await vtep.told();
        expect([...plane.segments.keys()]).toEqual([100, 200]);
        expect(plane.segments.get(200)?.config.group).toBe(ip('239.1.1.1'));
        await vtep.removeSegment(100);
        await vtep.told();
        expect([...plane.segments.keys()]).toEqual([200]);
      });

      it('begin with what it knows of them', async () => {
        plane.known.set(200, { floods: [B], macs: [{ mac: M, vtep: B }], neighbours: [{ ip: X, mac: M }] });
        await vtep.addSegment(segmentOf('200,remote=198.18.0.1'));
        await vtep.told();
        expect(vtep.floodedTo(200)).toEqual([A, B]);
        expect(vtep.entryOf(200, M)).toEqual({ vtep: B, origin: 'evpn' });
        expect(vtep.neighbourOf(200, X)).toBe(M);
      });

      it('keep what it said when their configuration changes, unless it says otherwise', async () => {
        await say({ floods: { added: [B] }, macs: { placed: [{ mac: M, vtep: B }] } });
        await vtep.changeSegment(segmentOf('100,remote=198.18.0.1,name=other'));
        await vtep.told();
        expect(plane.segments.get(100)?.config.name).toBe('other');
        expect(vtep.floodedTo(100)).toEqual([A, B]);
        expect(vtep.entryOf(100, M)).toEqual({ vtep: B, origin: 'evpn' });
        plane.known.set(100, { floods: [C], macs: [{ mac: N, vtep: C }] });
        await vtep.changeSegment(segmentOf('100,remote=198.18.0.1,name=third'));
        await vtep.told();
        expect(vtep.floodedTo(100)).toEqual([A, C]);
        expect([M, N].map((each) => vtep.entryOf(100, each)?.vtep)).toEqual([undefined, C]);
      });

      it('begin anew when they were away', async () => {
        await say({ floods: { added: [B] }, macs: { placed: [{ mac: M, vtep: B }] } });
        await vtep.removeSegment(100);
        await vtep.addSegment(segmentOf('100,remote=198.18.0.3'));
        await vtep.told();
        expect(vtep.floodedTo(100)).toEqual([C]);
        expect(vtep.entryOf(100, M)).toBeUndefined();
      });
    });

    describe('stations behind the TAP', () => {
      it('are told as a whole at first', async () => {
        vtep.learn(100, M, 'local');
        vtep.learn(100, N, A);
        const late = new RecordingPlane();
        await vtep.told();
        await vtep.close();
        vtep = await open();
        await vtep.addSegment(segmentOf('100,remote=198.18.0.1'));
        vtep.learn(100, M, 'local');
        vtep.learn(100, N, A);
        vtep.attach(late);
        await vtep.told();
        expect([...(late.here.get(100) ?? [])]).toEqual([[M, 'learned']]);
      });

      it('are told as they appear, move away, age and are set', async () => {
        vtep.learn(100, M, 'local');
        vtep.learn(100, N, 'local');
        await vtep.told();
        expect([...(plane.here.get(100)?.keys() ?? [])].sort()).toEqual([M, N]);
        vtep.learn(100, M, A);
        await vtep.told();
        expect([...(plane.here.get(100)?.keys() ?? [])]).toEqual([N]);
        vtep.elapse(400);
        await vtep.told();
        expect(plane.here.get(100)?.size ?? 0).toBe(0);
        vtep.addStatic(100, M, 'local');
        await vtep.told();
        expect([...(plane.here.get(100) ?? [])]).toEqual([[M, 'static']]);
        vtep.deleteStatic(100, M);
        await vtep.told();
        expect(plane.here.get(100)?.size ?? 0).toBe(0);
      });
    });

    it('does what the VTEP in memory does, whatever happens', async () => {
      await vtep.close();
      await fc.assert(
        fc.asyncProperty(fc.array(STEP, { maxLength: 25 }), async (steps) => {
          const tried = await newPair(open);
          try {
            for (const step of steps) await tried.take(step);
          } finally {
            await tried.close();
          }
        }),
        { numRuns: 60 },
      );
      vtep = await open();
    });
  });
}

function hex(octet: number): string {
  return (octet & 0xff).toString(16).padStart(2, '0');
}
