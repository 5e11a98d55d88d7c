/** Which underlays are closed, and when. */
import { expect, it } from 'vitest';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { NO_UNDERLAY } from '../../segment/segment.ts';
import type { Vni } from '../vni/vni.ts';
import { type MoverGround, VniMover } from './vni-mover.ts';

/** The mover of a VTEP with two underlays, each with a VNI. */
function openTwo(keepsUnused = false) {
  const [near, far] = [0, 1].map((number) => ({ number, family: 4, link: { index: number + 2 } })) as unknown as [
    Underlay,
    Underlay,
  ];
  const underlays = [near, far];
  const vnis = underlays.map((underlay) => {
    const reach = { ipv4: underlay.number, ipv6: NO_UNDERLAY };
    return { underlay, underlays: [underlay], reach } as unknown as Vni;
  });
  const forget = (underlay: Underlay) => underlays.splice(underlays.indexOf(underlay), 1);
  const workers = { size: 1, orderAll: async () => {}, orderOne: async () => {} };
  const ground = { underlays, vnis, workers, opened: { forget }, keepsUnused, settle: () => {} };
  return { mover: new VniMover(ground as unknown as MoverGround), underlays, vnis, near, far };
}

it('closes an underlay that has lost its last VNI, and no other', async () => {
  const { mover, underlays, vnis, near } = openTwo();
  await mover.closeUnused();
  expect(underlays).toHaveLength(2);
  vnis.pop();
  await mover.closeUnused();
  expect(underlays).toEqual([near]);
});

it('closes none of an interface that was named', async () => {
  const { mover, underlays, vnis } = openTwo(true);
  vnis.pop();
  await mover.closeUnused();
  expect(underlays).toHaveLength(2);
});

it('closes none that is held, by whichever of several, and then those that nobody took meanwhile', async () => {
  const { mover, underlays, vnis, far } = openTwo();
  const releases = [mover.hold(), mover.hold()];
  const [, other] = vnis.splice(0);
  await mover.closeUnused();
  await releases[0]?.();
  expect(underlays).toHaveLength(2);
  vnis.push(other as Vni);
  await releases[1]?.();
  expect(underlays).toEqual([far]);
});
