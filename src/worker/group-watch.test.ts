import { expect, it } from 'vitest';
import { Fdb, type SourceAddress } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { GROUP_MEMBER_TOLD_AGAIN_SECONDS } from '../lib/limits.ts';
import { NO_GROUP, type Segment } from '../segment/segment.ts';
import { GroupWatch } from './group-watch.ts';
import {
  datagram,
  frame,
  GROUP_SOCKET,
  newFloodingRig,
  OTHER_PEER,
  PEER,
  SEGMENT,
  UNICAST_SOCKET,
} from './ladder-rig.ts';

const MAPPED = { a: 0, b: 0, c: 0xffff };
const [ONE, TWO]: [SourceAddress, SourceAddress] = [
  { ...MAPPED, d: 1 },
  { ...MAPPED, d: 2 },
];

function newWatch() {
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const ids = [fdb.retainRemote(ONE), fdb.retainRemote(TWO)] as [number, number];
  const told: [segment: number, remote: number][] = [];
  const watch = new GroupWatch(fdb, (segment, remote) => told.push([segment, remote]));
  const put = (index: number, floodRemotes: readonly number[]): Segment => {
    const segment = { ...SEGMENT, index, floodRemotes };
    watch.apply({ kind: 'put', segment });
    return segment;
  };
  return { fdb, watch, ids, told, put };
}

it('tells each remote of the list once for each segment', () => {
  const { watch, ids, told, put } = newWatch();
  const [three, four] = [put(3, ids), put(4, ids)];
  for (let round = 0; round < 3; round++) {
    for (const segment of [three, four]) for (const source of [ONE, TWO]) watch.heard(segment, source, 0);
  }
  expect(told).toEqual([
    [3, ids[0]],
    [3, ids[1]],
    [4, ids[0]],
    [4, ids[1]],
  ]);
});

it('tells nothing of who is not in the list, known or unknown, and nothing without a list', () => {
  const { watch, ids, told, put } = newWatch();
  watch.heard(put(3, [ids[0]]), TWO, 0);
  watch.heard(put(3, [ids[0]]), { ...MAPPED, d: 3 }, 0);
  watch.heard(put(4, []), ONE, 0);
  expect(told).toEqual([]);
});

it('tells of a VTEP that announces its MACs, in the list or not, and of none once it does not', () => {
  const { fdb, watch, ids, told, put } = newWatch();
  fdb.setAnnouncer(3, ids[0], true);
  watch.heard(put(3, []), ONE, 0);
  watch.heard(put(3, []), TWO, 0);
  watch.heard(put(4, []), ONE, 0);
  expect(told).toEqual([[3, ids[0]]]);
  fdb.setAnnouncer(3, ids[0], false);
  watch.apply({ kind: 'flood-list', index: 3, added: [], removed: [ids[0]] });
  watch.heard(put(3, []), ONE, 0);
  expect(told).toHaveLength(1);
});

it('tells again of who is still heard after the time between two reports', () => {
  const { watch, ids, told, put } = newWatch();
  const segment = put(3, ids);
  const again = GROUP_MEMBER_TOLD_AGAIN_SECONDS * 10;
  for (const now of [7, 8, 7 + again - 1]) watch.heard(segment, ONE, now);
  expect(told).toHaveLength(1);
  watch.heard(segment, ONE, 7 + again);
  watch.heard(segment, ONE, 7 + again + 1);
  expect(told).toHaveLength(2);
});

it('does not tell again when the segment is put again with the remote still in its list', () => {
  const { watch, ids, told, put } = newWatch();
  watch.heard(put(3, ids), ONE, 0);
  watch.heard(put(3, [ids[0]]), ONE, 0);
  expect(told).toHaveLength(1);
});

it('tells again once the remote left the list and came back, or the segment did; other segments are not concerned', () => {
  const { watch, ids, told, put } = newWatch();
  watch.heard(put(3, ids), ONE, 0);
  watch.heard(put(2, ids), ONE, 0);
  watch.heard(put(4, ids), ONE, 0);
  put(3, [ids[1]]);
  watch.heard(put(3, ids), ONE, 0);
  watch.apply({ kind: 'remove', index: 3 });
  watch.heard(put(3, ids), ONE, 0);
  for (const index of [2, 4]) watch.heard(put(index, ids), ONE, 0);
  expect(told.map(([segment]) => segment)).toEqual([3, 2, 4, 3, 3]);
});

it('tells again once a change of the list took the remote out, and of no other', () => {
  const { watch, ids, told, put } = newWatch();
  watch.heard(put(3, ids), ONE, 0);
  watch.heard(put(3, ids), TWO, 0);
  watch.apply({ kind: 'flood-list', index: 3, added: [], removed: [ids[0] as number] });
  watch.heard({ ...put(3, ids) }, ONE, 0);
  watch.heard(put(3, ids), TWO, 0);
  expect(told.map(([, remote]) => remote)).toEqual([ids[0], ids[1], ids[0]]);
});

it('tells again of another group', () => {
  const { watch, ids, told, put } = newWatch();
  watch.heard(put(3, ids), ONE, 0);
  watch.apply({ kind: 'put', segment: { ...SEGMENT, index: 3, floodRemotes: ids, group: SEGMENT.group + 1 } });
  watch.heard(put(3, ids), ONE, 0);
  expect(told).toHaveLength(2);
});

it('is asked about what came by the group and was forwarded, and about nothing else', () => {
  const rig = newFloodingRig([PEER]);
  const inner = frame({ src: '020000000077' });
  rig.receive(datagram(inner), { source: PEER, socket: UNICAST_SOCKET });
  rig.receive(datagram(inner, { vni: 77 }), { source: PEER, socket: GROUP_SOCKET });
  rig.receive(datagram(frame({ src: '010000000077' })), { source: PEER, socket: GROUP_SOCKET });
  expect(rig.heardInGroup).toEqual([]);
  rig.receive(datagram(inner), { source: OTHER_PEER, socket: GROUP_SOCKET });
  rig.receive(datagram(inner), { source: PEER, socket: GROUP_SOCKET });
  expect(rig.heardInGroup).toEqual([
    { segment: SEGMENT.index, source: OTHER_PEER },
    { segment: SEGMENT.index, source: PEER },
  ]);
  expect(SEGMENT.group).not.toBe(NO_GROUP);
});
