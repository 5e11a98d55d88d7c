/** The running VTEP as control planes see it: its forwarding database, flood lists and stations are real; workers are the orders that they are given. */

import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { describeControlContract } from '../../control/contract-rig.ts';
import { ENCAP } from '../../encap/encapsulation.ts';
import { Fdb } from '../../fdb/fdb.ts';
import { createFdbMemory } from '../../fdb/layout.ts';
import { NeighbourTable } from '../../forward/answers/neighbours.ts';
import { NeighbourTeller, ToldNeighbours } from '../../forward/answers/told-neighbours.ts';
import type { Bar } from '../../host/underlay/own-addresses.ts';
import { formatMac, type IpAddress, ipWords, macWords } from '../../lib/addresses.ts';
import { Serial } from '../../lib/serial.ts';
import { NO_GROUP, NO_UNDERLAY, type Segment } from '../../segment/segment.ts';
import { SegmentMap } from '../../segment/segment-map.ts';
import type { Order } from '../../worker/messages.ts';
import { FloodLists } from '../changes/flood-lists.ts';
import { refuseAll, SaidChanges } from '../changes/said-changes.ts';
import { addStatics, forgetVni } from '../changes/vni-setup.ts';
import { ENTRY_TYPE } from '../entries/entry-type.ts';
import { LocalMacs } from '../entries/local-macs.ts';
import { LocalNeighbours } from '../entries/local-neighbours.ts';
import { FloodList } from '../vni/flood-list.ts';
import type { Vni } from '../vni/vni.ts';
import { Vnis } from '../vni/vnis.ts';
import { addressOf, sourceOf } from '../vni/vtep-address.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';
import { ControlPlanes } from './control-planes.ts';

const MAX_MACS = 10_000;

describeControlContract('the running VTEP', async () => {
  let tenths = 0;
  const now = () => tenths;
  const log = pino({ level: 'silent' });
  const neighboursMemory = NeighbourTable.createMemory(7);
  const neighbours = new NeighbourTable(neighboursMemory);
  const teller = new NeighbourTeller(neighboursMemory, 0);
  const localNeighbours = new LocalNeighbours(new ToldNeighbours(neighboursMemory, 1), log);
  const fdb = new Fdb(createFdbMemory(7, 300), 1);
  const registry = new Vnis();
  const vnis = registry.list;
  const bars = new Map<IpAddress, Bar>();
  const barOf = (address: IpAddress) => bars.get(address);
  // What a worker makes of the orders.
  const map = new SegmentMap();
  const workers = {
    orderAll: async (order: Order) => {
      if (order.kind === 'segment') map.apply(order.update);
    },
  } as unknown as WorkerPool;
  const floodLists = new FloodLists({ fdb, now, log, vnis, workers, barOf, lookAtPaths: () => {} });
  const said = new SaidChanges({ fdb, now, barOf, neighbours }, floodLists);
  const serial = new Serial();
  const changes: ConstructorParameters<typeof ControlPlanes>[0]['changes'] = {
    say: (vni, origin, batch) =>
      serial.run(() => {
        const found = registry.find(vni);
        return found ? said.say(found, origin, batch) : refuseAll(batch);
      }),
    replaceSaid: (vni, origin, all) =>
      serial.run(async () => {
        const found = registry.find(vni);
        if (found) await said.replace(found, origin, all);
      }),
  };
  const localMacs = new LocalMacs({ fdb, now, log, vnis: () => [...registry.numbers().values()] });
  const planes = new ControlPlanes({ log, vnis, changes, localMacs, localNeighbours });

  const need = (vni: number): Vni => registry.need(vni);
  const words = (mac: Parameters<typeof macWords>[0]) => macWords(mac);
  return {
    attach: (plane) => planes.attach(plane),
    addSegment: async (config) => {
      const underlay = { family: 4, source: undefined } as unknown as Vni['underlay'];
      const vni = registry.add((index) => {
        fdb.nameSegment(index, config.vni);
        const flood = new FloodList();
        addStatics({ fdb, now, barOf }, config.statics, { config, index, ownMac: undefined });
        const held = { config, index, underlay, underlays: [underlay], reach: { ipv4: 0, ipv6: NO_UNDERLAY } };
        return { ...held, group: NO_GROUP, groupRemote: 0, flood } as unknown as Vni;
      });
      const segment = { index: vni.index, vni: config.vni, tap: vni.index, vlan: -1, floodRemotes: [] };
      map.apply({ kind: 'put', segment: segment as never });
      // What the configuration says is sent to.
      await floodLists.followOwnAddresses(new Set(config.remotes));
      planes.look();
    },
    removeSegment: async (number) => {
      await serial.run(async () => {
        const vni = need(number);
        registry.remove(vni);
        map.apply({ kind: 'remove', index: vni.index });
        forgetVni(fdb, { ...vni, groupRemote: -1 }, now());
        await said.forgetNeighbours(vni);
        registry.release(vni);
      });
      planes.look();
    },
    changeSegment: async (config) => {
      need(config.vni).config = config;
      planes.look();
    },
    addStatic: (vni, mac, vtep) => {
      const { high, low } = words(mac);
      fdb.addStatic(need(vni).index, high, low, sourceOf(vtep), now());
    },
    deleteStatic: (vni, mac) => {
      const { index } = need(vni);
      const { high, low } = words(mac);
      if (fdb.entryOf(index, high, low, now())?.kind === 'static') fdb.delete(index, high, low, now());
    },
    learn: (vni, mac, from) => {
      const { high, low } = words(mac);
      fdb.learn(need(vni).index, high, low, sourceOf(from), MAX_MACS, now());
    },
    hear: (vni, ip, mac) => {
      const { a, b, c, d } = ipWords(ip);
      const { high, low } = words(mac);
      const { index } = need(vni);
      teller.tell({ index, vni } as Segment, a, b, c, d, high, low, now());
    },
    neighbourOf: (vni, ip) => {
      const { a, b, c, d } = ipWords(ip);
      const isKnown = neighbours.find(need(vni).index, a, b, c, d, now());
      return isKnown ? formatMac(neighbours.macHigh, neighbours.macLow) : undefined;
    },
    elapse: (seconds) => {
      tenths += seconds * 10;
      fdb.sweep(0, 2_000_000, now());
    },
    setOwn: async (address, isOwn) => {
      if (isOwn) bars.set(address, 'own');
      else bars.delete(address);
      await floodLists.followOwnAddresses(new Set([address]));
    },
    entryOf: (vni, mac) => {
      const { high, low } = words(mac);
      const entry = fdb.entryOf(need(vni).index, high, low, now());
      if (!entry) return undefined;
      const origin = entry.kind === 'learned' ? 'learned' : ENTRY_TYPE[entry.kind];
      return { vtep: addressOf(fdb, entry.remote), origin };
    },
    floodMembers: (vni) => need(vni).flood.members(need(vni).config.remotes),
    floodedTo: (vni) => (map.byVni(ENCAP.vxlan, vni)?.floodRemotes ?? []).map((id) => addressOf(fdb, id) as IpAddress),
    told: async () => {
      // What was told of a segment is put into force one change after the other.
      await serial.run(() => {});
      while (localMacs.slice() || localNeighbours.slice()) await setImmediate();
    },
    close: async () => {
      planes.stop();
      localMacs.stop();
      localNeighbours.stop();
    },
  };
});
