import { expect, it } from 'vitest';
import { Fdb } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import type { IpAddress } from '../lib/addresses.ts';
import { vtepsOf } from './statistics.ts';
import { sourceOf } from './vtep-address.ts';

const at = (address: string) => sourceOf(address as IpAddress);

function newRig() {
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const counters = new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes);
  const paths = () => (address: IpAddress) => (address === '198.18.0.9' ? 1_400 : null);
  const show = (now = 0) => vtepsOf({ fdb, remoteCounters: [counters], now: () => now, paths });
  return { fdb, counters, show };
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
