import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Vtep } from '../api/schemas.ts';
import { Fdb } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { type IpAddress, ipWords } from '../lib/addresses.ts';
import { sourceOf } from '../vtep/vni/vtep-address.ts';
import { listVteps } from './vtep-listing.ts';

const at = (address: string) => sourceOf(address as IpAddress);

function newRig() {
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const counters = new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes);
  const pathMtus = () => (address: IpAddress) => (address === '198.18.0.9' ? 1_400 : null);
  const paths = { taps: { links: () => new Map() }, underlays: { pathMtus } };
  const list = (now = 0, only?: IpAddress) =>
    listVteps({ tables: { fdb, now: () => now }, workers: { remoteCounters: [counters] }, ...paths }, only);
  const show = async (now = 0, only?: IpAddress) => {
    const vteps: Vtep[] = [];
    for await (const slice of list(now, only)) vteps.push(...slice);
    return vteps;
  };
  return { fdb, counters, list, show };
}

it('lists VTEPs by address, those of flood lists too, and no groups', async () => {
  const { fdb, show } = newRig();
  for (const address of ['fd00::2', '198.18.0.10', '239.1.1.1', '198.18.0.9', 'ff05::1', 'fd00::10', '9.0.0.1']) {
    fdb.retainRemote(at(address));
  }
  const shown = await show();
  expect(shown.map(({ vtep }) => vtep)).toEqual(['9.0.0.1', '198.18.0.9', '198.18.0.10', 'fd00::2', 'fd00::10']);
  expect(shown.map(({ pathMtu }) => pathMtu)).toEqual([null, 1_400, null, null, null]);
});

it('counts the entries of each, not the flood lists that name it', async () => {
  const { fdb, show } = newRig();
  const peer = at('198.18.0.2');
  fdb.retainRemote(peer);
  fdb.learn(0, 1, 1, peer, 10, 0);
  fdb.learn(5, 1, 1, peer, 10, 0);
  fdb.addStatic(0, 1, 2, peer, 0);
  expect(await show()).toEqual([
    {
      ...{ vtep: '198.18.0.2', macs: 3, rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, drops: 0 },
      ...{ lastHeard: null, pathMtu: null },
    },
  ]);
});

it('says how many whole seconds ago each was heard', async () => {
  const { fdb, counters, show } = newRig();
  fdb.retainRemote(at('198.18.0.2'));
  counters.forwarded(100);
  counters.settle(at('198.18.0.2'), 20);
  expect((await show(49))[0]?.lastHeard).toBe(2);
});

it('is asked for one: what is no VTEP any more, or a group, is none', async () => {
  const { fdb, show } = newRig();
  for (const address of ['198.18.0.2', '198.18.0.3', '239.1.1.1', 'fd00::1']) fdb.retainRemote(at(address));
  const one = async (address: string) => (await show(0, address as IpAddress)).map(({ vtep }) => vtep);
  expect(await one('198.18.0.3')).toEqual(['198.18.0.3']);
  expect(await one('fd00::1')).toEqual(['fd00::1']);
  for (const none of ['239.1.1.1', '198.18.0.4']) expect(await one(none)).toEqual([]);
});

it('leaves out what has gone when its slice is made, and whoever has its id then', async () => {
  const { fdb, list } = newRig();
  for (let i = 0; i < 200; i++) fdb.learn(0, 1, i, at(`198.18.0.${i}`), 1_000, 0);
  const told: string[] = [];
  let isFirst = true;
  for await (const slice of list()) {
    told.push(...slice.map(({ vtep }) => vtep));
    if (!isFirst) continue;
    isFirst = false;
    fdb.delete(0, 1, 199, 0);
    fdb.delete(0, 1, 198, 0);
    // Idle ids are given again.
    fdb.sweep(0, 100_000, 1_000);
    fdb.learn(0, 1, 500, at('10.0.0.1'), 1_000, 1_000);
  }
  expect(told).toEqual(Array.from({ length: 198 }, (_, i) => `198.18.0.${i}`));
});

it('sorts as the addresses do in network order, and lets others have their turn, with tens of thousands', async () => {
  const { fdb, show } = newRig();
  const count = 40_000;
  // In no order, and with words of which each may decide, and be negative as a signed one.
  const scrambled = Array.from({ length: count }, (_, i) => (i * 7_919) % count);
  const isIpv4 = (i: number) => i < count / 2;
  const hex = (i: number) => (0x6fff + (i >> 2)).toString(16);
  const address = (i: number) =>
    isIpv4(i) ? `${100 + (i >> 8)}.18.1.${i & 255}` : `20${i & 3 ? '01' : 'ff'}:0:${hex(i)}::${hex(i)}:${(i & 3) + 1}`;
  for (const i of scrambled) fdb.retainRemote(at(address(i)));
  let turns = 0;
  let isDone = false;
  const others = (async () => {
    for (; !isDone; turns++) await setImmediate();
  })();
  const shown = (await show()).map(({ vtep }) => vtep);
  isDone = true;
  await others;
  const expected = Array.from({ length: count }, (_, i) => address(i) as IpAddress)
    .map((each) => ({ each, is6: each.includes(':'), words: Object.values(ipWords(each)).map((word) => word >>> 0) }))
    .sort((one, other) => {
      if (one.is6 !== other.is6) return one.is6 ? 1 : -1;
      const at = one.words.findIndex((word, i) => word !== other.words[i]);
      return (one.words[at] as number) - (other.words[at] as number);
    })
    .map(({ each }) => each);
  expect(shown).toHaveLength(count);
  expect(shown.map((each) => Object.values(ipWords(each)).join())).toEqual(
    expected.map((each) => Object.values(ipWords(each)).join()),
  );
  expect(turns).toBeGreaterThan(300);
});
