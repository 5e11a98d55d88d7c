/** The state that a control plane announces anew; FDB and neighbours are real, there are no workers. */
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { Neighbour, Said } from '../../control/control-plane.ts';
import { Fdb } from '../../fdb/fdb.ts';
import { createFdbMemory } from '../../fdb/layout.ts';
import { NeighbourTable } from '../../forward/answers/neighbours.ts';
import { formatMac, type IpAddress, ipWords, type MacAddress, parseIp, parseMac } from '../../lib/addresses.ts';
import { FloodList } from '../vni/flood-list.ts';
import type { Vni } from '../vni/vni.ts';
import type { WorkerPool } from '../workers/worker-pool.ts';
import { FloodLists } from './flood-lists.ts';
import { SaidChanges } from './said-changes.ts';

const MAC = parseMac('02:00:00:00:00:01') as MacAddress;
const OTHER_MAC = parseMac('02:00:00:00:00:02') as MacAddress;

function newChanges() {
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const neighbours = new NeighbourTable(NeighbourTable.createMemory(1));
  const barOf = () => undefined;
  const ground = { fdb, now: () => 0, barOf, neighbours };
  const workers = { orderAll: async () => {} } as unknown as WorkerPool;
  const log = pino({ level: 'silent' });
  const changes = new SaidChanges(ground, new FloodLists({ ...ground, log, vnis: [], workers, lookAtPaths: () => {} }));
  const vni = (index: number) =>
    ({ index, config: { vni: 100 + index, remotes: [] }, flood: new FloodList(), underlays: [] }) as unknown as Vni;
  const replace = (of: Vni, said: Partial<Said>) =>
    changes.replace(of, 'evpn', { group: undefined, floods: [], macs: [], neighbours: [], ...said });
  const find = ({ index }: Vni, ip: IpAddress) => {
    const { a, b, c, d } = ipWords(ip);
    const isKnown = neighbours.find(index, a, b, c, d, 0);
    return isKnown ? formatMac(neighbours.macHigh, neighbours.macLow) : undefined;
  };
  return { changes, neighbours, vni, replace, find };
}

/** @param from number of the first address */
function neighboursOf(count: number, mac: MacAddress, from = 0): Neighbour[] {
  return Array.from({ length: count }, (_, i) => {
    const number = from + i;
    return { ip: parseIp(`198.18.${number >>> 8}.${number & 255}`) as IpAddress, mac };
  });
}

it('a neighbour that stays is never missing while the state is replaced, and all others go', async () => {
  const { vni, replace, find, neighbours } = newChanges();
  const [one, two] = [vni(0), vni(1)];
  for (const each of [one, two]) await replace(each, { neighbours: neighboursOf(1_000, MAC) });
  const stays = neighboursOf(1_000, MAC, 500);
  const alwaysThere = neighboursOf(500, MAC, 500);
  let looks = 0;
  let isDone = false;
  const replaced = replace(one, { neighbours: stays }).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    for (const { ip } of alwaysThere) expect([ip, find(one, ip)]).toEqual([ip, MAC]);
    looks++;
    await setImmediate();
  }
  await replaced;
  // Otherwise nothing was seen of what happens in between.
  expect(looks).toBeGreaterThan(3);
  expect(stays.filter(({ ip }) => find(one, ip) !== MAC)).toEqual([]);
  expect(neighboursOf(500, MAC).filter(({ ip }) => find(one, ip) !== undefined)).toEqual([]);
  expect(neighbours.placed.count).toBe(2_000);
});

it('a neighbour that is announced again with another MAC has it, and one that is denied stays so if nothing changed', async () => {
  const { vni, replace, find, neighbours } = newChanges();
  const of = vni(0);
  const [first, second, third] = neighboursOf(3, MAC) as [Neighbour, Neighbour, Neighbour];
  await replace(of, { neighbours: [first, second, third] });
  const { a, b, c, d } = ipWords(second.ip);
  neighbours.placed.deny(0, a, b, c, d);
  await replace(of, { neighbours: [{ ...first, mac: OTHER_MAC }, second] });
  expect([first, second, third].map(({ ip }) => find(of, ip))).toEqual([OTHER_MAC, undefined, undefined]);
});

it('the last neighbours of a segment go with it, and those of others stay', async () => {
  const { changes, vni, replace, neighbours } = newChanges();
  const [one, two] = [vni(0), vni(1)];
  for (const each of [one, two]) await replace(each, { neighbours: neighboursOf(300, MAC) });
  await changes.forgetNeighbours(one);
  expect(neighbours.placed.count).toBe(300);
  await replace(two, {});
  expect(neighbours.placed.count).toBe(0);
});
