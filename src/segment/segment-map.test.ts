import { describe, expect, it } from 'vitest';
import { ENCAP } from '../encap/encapsulation.ts';
import { type Segment, UNTAGGED } from './segment.ts';
import { SegmentMap } from './segment-map.ts';
import { plainSegment } from './segment-rig.ts';

function segment(index: number, differs: Partial<Segment> = {}): Segment {
  return plainSegment({ index, vni: 100 + index, tap: 10 + index, ...differs });
}

function mapOf(...segments: readonly Segment[]): SegmentMap {
  const map = new SegmentMap();
  for (const each of segments) map.apply({ kind: 'put', segment: each });
  return map;
}

it('finds a segment by VNI and by TAP, and nothing else', () => {
  const [one, two] = [segment(0), segment(1)];
  const map = mapOf(one, two);
  expect([map.byVni(ENCAP.vxlan, 100), map.byVni(ENCAP.vxlan, 101), map.byVni(ENCAP.vxlan, 102)]).toEqual([
    one,
    two,
    undefined,
  ]);
  expect([map.byTap(10), map.byTap(11), map.byTap(100)]).toEqual([one, two, undefined]);
});

it('knows VNI 0 and the highest', () => {
  const map = mapOf(segment(0, { vni: 0 }), segment(1, { vni: 0xff_ffff }));
  expect([map.byVni(ENCAP.vxlan, 0)?.index, map.byVni(ENCAP.vxlan, 0xff_ffff)?.index]).toEqual([0, 1]);
});

it('replaces the segment of the same index, and forgets its old VNI and TAP', () => {
  const map = mapOf(segment(0), segment(1));
  const changed = segment(0, { vni: 500, tap: 50 });
  map.apply({ kind: 'put', segment: changed });
  expect([map.byVni(ENCAP.vxlan, 100), map.byTap(10)]).toEqual([undefined, undefined]);
  expect([map.byVni(ENCAP.vxlan, 500), map.byTap(50)]).toEqual([changed, changed]);
  expect(map.byVni(ENCAP.vxlan, 101)?.index).toBe(1);
});

it('removes a segment, leaves the others, and takes the same removal twice', () => {
  const map = mapOf(segment(0), segment(1));
  map.apply({ kind: 'remove', index: 0 });
  map.apply({ kind: 'remove', index: 0 });
  expect([map.byVni(ENCAP.vxlan, 100), map.byTap(10)]).toEqual([undefined, undefined]);
  expect([map.byVni(ENCAP.vxlan, 101)?.index, map.byTap(11)?.index]).toEqual([1, 1]);
});

describe('a trunk', () => {
  const vlan = (index: number, id: number) => segment(index, { tap: 99, vlan: id });

  it('has its segments by VLAN, and no TAP but it has them', () => {
    const [ten, untagged, own] = [vlan(0, 10), vlan(1, UNTAGGED), segment(2)];
    const map = mapOf(ten, untagged, own);
    const trunk = map.trunkOf(99);
    expect([10, 0, 11, 4_095].map((id) => trunk?.byVlan(id))).toEqual([ten, untagged, undefined, undefined]);
    expect([map.byTap(99), map.trunkOf(own.tap), map.byTap(own.tap)]).toEqual([undefined, undefined, own]);
    expect([map.byVni(ENCAP.vxlan, 100), map.byVni(ENCAP.vxlan, 101)]).toEqual([ten, untagged]);
  });

  it('forgets a VLAN with its segment, and stays a trunk without any', () => {
    const map = mapOf(vlan(0, 10), vlan(1, 20));
    map.apply({ kind: 'remove', index: 0 });
    expect([map.trunkOf(99)?.byVlan(10), map.trunkOf(99)?.byVlan(20)?.index]).toEqual([undefined, 1]);
    map.apply({ kind: 'remove', index: 1 });
    expect([map.trunkOf(99)?.byVlan(20), map.trunkOf(99)]).toEqual([undefined, expect.anything()]);
  });

  it('may give one VLAN from segment to segment, the new one first', () => {
    const map = mapOf(vlan(0, 10));
    map.apply({ kind: 'put', segment: vlan(1, 10) });
    map.apply({ kind: 'put', segment: vlan(0, 20) });
    expect([10, 20].map((id) => map.trunkOf(99)?.byVlan(id)?.index)).toEqual([1, 0]);
  });
});

describe('a change of a flood list', () => {
  it('adds and removes members of one segment, and keeps all else of it', () => {
    const map = mapOf(segment(0, { floodRemotes: [1, 2] }), segment(1, { floodRemotes: [1, 2] }));
    map.apply({ kind: 'flood-list', index: 0, added: [3, 4], removed: [1] });
    expect(map.byVni(ENCAP.vxlan, 100)).toEqual(segment(0, { floodRemotes: [2, 3, 4] }));
    expect(map.byTap(10)).toBe(map.byVni(ENCAP.vxlan, 100));
    expect(map.byVni(ENCAP.vxlan, 101)).toEqual(segment(1, { floodRemotes: [1, 2] }));
  });

  it('may be told twice', () => {
    const map = mapOf(segment(0, { floodRemotes: [1] }));
    const change = { kind: 'flood-list', index: 0, added: [2], removed: [1] } as const;
    for (let i = 0; i < 2; i++) map.apply(change);
    expect(map.byVni(ENCAP.vxlan, 100)?.floodRemotes).toEqual([2]);
  });

  it('of a segment that is gone changes nothing', () => {
    const map = mapOf(segment(1));
    map.apply({ kind: 'flood-list', index: 0, added: [2], removed: [] });
    expect([map.byVni(ENCAP.vxlan, 100), map.byVni(ENCAP.vxlan, 101)]).toEqual([undefined, segment(1)]);
  });

  it('keeps a segment of a trunk on its VLAN', () => {
    const map = mapOf(segment(0, { vlan: 7, tap: 50 }));
    map.apply({ kind: 'flood-list', index: 0, added: [2], removed: [] });
    expect(map.trunkOf(50)?.byVlan(7)?.floodRemotes).toEqual([2]);
  });
});
