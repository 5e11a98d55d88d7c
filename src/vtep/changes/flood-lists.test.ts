/** Who is sent the floods of a VNI, by whom it was asked for; the FDB is real, workers are the orders that they are given. */
import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../config/parse.ts';
import { ENCAP } from '../../encap/encapsulation.ts';
import { Fdb, LEARNED } from '../../fdb/fdb.ts';
import { createFdbMemory } from '../../fdb/layout.ts';
import type { Bar } from '../../host/underlay/own-addresses.ts';
import { type IpAddress, parseIp } from '../../lib/addresses.ts';
import { GROUP_MEMBER_SILENT_SECONDS, MAX_FLOOD_MEMBERS } from '../../lib/limits.ts';
import { NO_UNDERLAY } from '../../segment/segment.ts';
import { SegmentMap } from '../../segment/segment-map.ts';
import type { Order } from '../../worker/messages.ts';
import { FloodList } from '../vni/flood-list.ts';
import type { Vni } from '../vni/vni.ts';
import { addressOf, sourceOf } from '../vni/vtep-address.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';
import { FloodLists } from './flood-lists.ts';

const ip = (text: string) => parseIp(text) as IpAddress;
const [ONE, TWO, THREE] = [ip('198.18.0.1'), ip('198.18.0.2'), ip('198.18.0.3')];
const ADDRESSES = Array.from({ length: 6 }, (_, i) => ip(`198.18.0.${i + 1}`));

function newLists(bars = new Map<IpAddress, Bar>()) {
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const [config] = parseConfig({ vni: ['100,remote=198.18.0.1'], local: [], check: false, scalars: {} }).vnis;
  const flood = new FloodList();
  const vni = { config, index: 0, flood, underlay: { family: 4 }, underlays: [{ family: 4 }] } as unknown as Vni;
  // What a worker makes of the orders.
  const map = new SegmentMap();
  const segment = {
    index: 0,
    encap: ENCAP.vxlan,
    vni: 100,
    tap: 0,
    vlan: -1,
    floodRemotes: [],
    ipv6Underlay: NO_UNDERLAY,
  };
  map.apply({ kind: 'put', segment: segment as unknown as Parameters<SegmentMap['apply']>[0] & never });
  let orders = 0;
  let looks = 0;
  let now = 0;
  const warned: string[] = [];
  const workers = {
    orderAll: async (order: Order) => {
      orders++;
      if (order.kind === 'segment') map.apply(order.update);
    },
  } as unknown as WorkerPool;
  const lists = new FloodLists({
    ...{
      fdb,
      now: () => now,
      log: pino({ level: 'warn' }, { write: (line) => void warned.push(line) }),
      vnis: [vni],
      workers,
    },
    barOf: (address) => bars.get(address),
    lookAtPaths: () => void looks++,
  });
  const sentTo = () => (map.byVni(ENCAP.vxlan, 100)?.floodRemotes ?? []).map((id) => addressOf(fdb, id));
  const follow = () => lists.followOwnAddresses(new Set(ADDRESSES));
  /** A worker hears a member in the group. Others are not reported. */
  const hear = (address: IpAddress) => {
    const { a, b, c, d } = sourceOf(address);
    lists.heardInGroup(0, fdb.remotes.find(a, b, c, d));
    return lists.followGroups();
  };
  const wait = (seconds: number) => {
    now += seconds * 10;
    return lists.followGroups();
  };
  const parts = { lists, vni, flood, fdb, bars, sentTo, follow, hear, wait, warned };
  return { ...parts, orders: () => orders, looks: () => looks };
}

const put = ({ lists, vni }: ReturnType<typeof newLists>, ...members: IpAddress[]) =>
  lists.put(vni, 'evpn', new Set(members));

it('sends to what a control plane names beside the static members, and tells each worker once for a batch', async () => {
  const rig = newLists();
  await rig.follow();
  const before = rig.orders();
  expect(await put(rig, TWO, THREE)).toEqual([]);
  expect(rig.orders() - before).toBe(1);
  expect(rig.sentTo()).toEqual([ONE, TWO, THREE]);
  expect(rig.flood.members(rig.vni.config.remotes)).toEqual([
    { vtep: ONE, origin: 'static' },
    { vtep: TWO, origin: 'evpn' },
    { vtep: THREE, origin: 'evpn' },
  ]);
});

it('leaves the configuration alone: what a control plane names is in no file', async () => {
  const rig = newLists();
  await put(rig, TWO);
  expect(rig.vni.config.remotes).toEqual([ONE]);
});

it('sends once to a member that both name, until neither does', async () => {
  const rig = newLists();
  await put(rig, ONE);
  expect(rig.sentTo()).toEqual([ONE]);
  expect(rig.flood.members([ONE])).toEqual([{ vtep: ONE, origin: 'static' }]);
  await rig.lists.remove(rig.vni, ONE);
  expect(rig.sentTo()).toEqual([ONE]);
  expect(rig.flood.members([])).toEqual([{ vtep: ONE, origin: 'evpn' }]);
  await put(rig);
  expect(rig.sentTo()).toEqual([]);
});

it('has the routes looked at again when the last member of a control plane goes', async () => {
  const rig = newLists();
  await put(rig, TWO);
  const before = rig.looks();
  await put(rig);
  expect(rig.looks()).toBe(before + 1);
});

it('asks for no new member when the lock of the table cannot be had', async () => {
  const rig = newLists();
  rig.fdb.retainRemote = () => {
    throw new Error('locked');
  };
  await expect(rig.lists.add(rig.vni, TWO)).rejects.toThrow('locked');
  expect(rig.vni.config.remotes).toEqual([ONE]);
});

it('says the same twice without an order', async () => {
  const rig = newLists();
  await put(rig, TWO);
  const before = rig.orders();
  await put(rig, TWO);
  expect(rig.orders()).toBe(before);
});

it('keeps an own address and sends to it as soon as it is another host’s', async () => {
  const rig = newLists(new Map([[TWO, 'own']]));
  expect(await put(rig, TWO)).toEqual([]);
  expect(rig.sentTo()).not.toContain(TWO);
  rig.bars.delete(TWO);
  await rig.follow();
  expect(rig.sentTo()).toContain(TWO);
});

it('forgets what was learned behind an address that becomes the own one, and nothing else that is there', async () => {
  const rig = newLists();
  const { fdb } = rig;
  const at = sourceOf(TWO);
  fdb.learn(0, 1, 1, at, 10, 0);
  fdb.addStatic(0, 1, 2, at, 0);
  fdb.placeAll(0, [{ high: 1, low: 3, at, isSticky: false }], 0);
  rig.bars.set(TWO, 'own');
  await rig.follow();
  expect([1, 2, 3].map((low) => fdb.entryOf(0, 1, low, 0)?.kind)).toEqual([undefined, 'static', 'control']);
  expect(fdb.isBarred(fdb.lookup(0, 1, 3, 0))).toBe(true);
});

describe('a member that is heard in the group', () => {
  it('gets no unicast copies while it is heard there, and again once it is silent', async () => {
    const rig = newLists();
    await put(rig, TWO, THREE);
    expect(await rig.hear(TWO)).toBe(true);
    expect([rig.sentTo(), rig.flood.isByGroup(TWO)]).toEqual([[ONE, THREE], true]);
    await rig.wait(GROUP_MEMBER_SILENT_SECONDS - 1);
    await rig.hear(TWO);
    const orders = rig.orders();
    expect(await rig.wait(GROUP_MEMBER_SILENT_SECONDS - 1)).toBe(true);
    expect([rig.sentTo(), rig.orders()]).toEqual([[ONE, THREE], orders]);
    expect(await rig.wait(1)).toBe(false);
    expect(rig.sentTo()).toEqual([ONE, THREE, TWO]);
    expect(rig.warned).toEqual([]);
  });

  it('still announces its MACs', async () => {
    const rig = newLists();
    await put(rig, TWO);
    await rig.hear(TWO);
    expect(rig.fdb.learn(0, 1, 1, sourceOf(TWO), 10, 0)).toBe(LEARNED.announced);
  });

  it('gets each flood twice if it is static, which is logged once', async () => {
    const rig = newLists();
    await rig.follow();
    await put(rig, ONE);
    for (let i = 0; i < 2; i++) expect(await rig.hear(ONE)).toBe(false);
    expect(rig.sentTo()).toEqual([ONE]);
    expect(rig.warned.map((line) => JSON.parse(line).event)).toEqual(['remote-in-group']);
    await rig.lists.remove(rig.vni, ONE);
    await rig.hear(ONE);
    expect(rig.sentTo()).toEqual([]);
    await rig.lists.add(rig.vni, ONE);
    expect(rig.sentTo()).toEqual([ONE]);
  });

  it('gets unicast copies again when its VNI leaves the group', async () => {
    const rig = newLists();
    await put(rig, TWO);
    await rig.hear(TWO);
    rig.flood.leaveGroup();
    await rig.follow();
    expect(rig.sentTo()).toEqual([ONE, TWO]);
  });
});

describe('refuses', () => {
  it('a broadcast address and a family that the VNI does not send over, and takes the others', async () => {
    const rig = newLists(new Map([[TWO, 'broadcast']]));
    expect(await put(rig, TWO, ip('2001:db8::1'), THREE)).toEqual([
      { vtep: TWO, cause: 'broadcast' },
      { vtep: ip('2001:db8::1'), cause: 'family' },
    ]);
    expect(rig.sentTo()).toEqual([ONE, THREE]);
  });

  it('members above the limit', async () => {
    const rig = newLists();
    const many = Array.from({ length: MAX_FLOOD_MEMBERS + 2 }, (_, i) => ip(`198.19.${i >>> 8}.${i & 255}`));
    const refused = await put(rig, ...many);
    expect(refused.map(({ vtep }) => vtep)).toEqual(many.slice(MAX_FLOOD_MEMBERS));
    expect(rig.sentTo()).toHaveLength(MAX_FLOOD_MEMBERS + 1);
  });
});

it('holds each remote that it sends to, and lets go of the others', async () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'remove', 'put', 'bar', 'unbar', 'hear', 'wait'),
    address: fc.constantFrom(...ADDRESSES),
    members: fc.uniqueArray(fc.constantFrom(...ADDRESSES)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const rig = newLists();
      await rig.follow();
      const [statics, said, own] = [new Set([ONE]), new Set<IpAddress>(), new Set<IpAddress>()];
      const silentIn = new Map<IpAddress, number>();
      for (const { kind, address, members } of steps) {
        if (kind === 'add') {
          await rig.lists.add(rig.vni, address);
          statics.add(address);
        } else if (kind === 'remove') {
          await rig.lists.remove(rig.vni, address);
          statics.delete(address);
        } else if (kind === 'put') {
          await put(rig, ...members);
          said.clear();
          for (const member of members) said.add(member);
        } else if (kind === 'hear') {
          await rig.hear(address);
          if (said.has(address) && !statics.has(address) && !own.has(address)) {
            silentIn.set(address, GROUP_MEMBER_SILENT_SECONDS);
          }
        } else if (kind === 'wait') {
          await rig.wait(GROUP_MEMBER_SILENT_SECONDS / 3);
          for (const [each, left] of silentIn) {
            if (left <= GROUP_MEMBER_SILENT_SECONDS / 3) silentIn.delete(each);
            else silentIn.set(each, left - GROUP_MEMBER_SILENT_SECONDS / 3);
          }
        } else {
          if (kind === 'bar') rig.bars.set(address, 'own');
          else rig.bars.delete(address);
          if (kind === 'bar') own.add(address);
          else own.delete(address);
          await rig.follow();
        }
        for (const each of silentIn.keys()) {
          if (!said.has(each) || statics.has(each) || own.has(each)) silentIn.delete(each);
        }
        const expected = [...new Set([...statics, ...said])].filter((each) => !own.has(each) && !silentIn.has(each));
        expect(rig.sentTo().sort()).toEqual(expected.sort());
        expect([...rig.vni.config.remotes].sort()).toEqual([...statics].sort());
        for (const each of ADDRESSES) {
          const announces = said.has(each) && !own.has(each);
          const learned = rig.fdb.wouldLearn(0, 1, 1, sourceOf(each), 0);
          expect([each, learned]).toEqual([each, announces ? LEARNED.announced : LEARNED.added]);
        }
      }
      for (const [address, id] of rig.flood.held) expect(addressOf(rig.fdb, id)).toBe(address);
      await put(rig);
      for (const address of statics) await rig.lists.remove(rig.vni, address);
      // Nobody holds a remote any more: the sweep forgets all of them.
      rig.fdb.sweep(0, 1_000_000, 1_000_000);
      expect(rig.fdb.remotes.count).toBe(0);
    }),
    { numRuns: 100 },
  );
});
