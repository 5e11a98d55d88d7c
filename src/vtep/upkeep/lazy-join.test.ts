/** Which groups `join=lazy` wants joined, by what the FDB and the host's links say. */
import { afterEach, expect, it } from 'vitest';
import { parseConfig } from '../../config/parse.ts';
import { Fdb, LOCAL_SOURCE, type SourceAddress } from '../../fdb/fdb.ts';
import { createFdbMemory } from '../../fdb/layout.ts';
import { createLog } from '../../observe/log.ts';
import type { Link } from '../../sys/netlink/links.ts';
import type { Vni } from '../vni/vni.ts';
import { LazyJoin } from './lazy-join.ts';

const log = await createLog('silent', 'json');

const NOW = 100;
const AGEING_SECONDS = 30;
const [TAP_MAC, BRIDGE_MAC, PORT_MAC] = ['fe:00:00:00:00:01', '02:00:00:00:00:b0', '02:00:00:00:00:b1'];
const [STATION, OTHER_STATION] = [
  [0x0200_0000, 1],
  [0x0200_0000, 2],
] as const;
const REMOTE: SourceAddress = { a: 0, b: 0, c: 0xffff, d: 0x0a00_0001 };

const BRIDGE = { index: 9, name: 'br0', mac: BRIDGE_MAC, master: 0 } as Link;
const TAP = { index: 5, name: 'vxlan100', mac: TAP_MAC, master: 9 } as Link;

const running: LazyJoin[] = [];
afterEach(() => {
  for (const each of running.splice(0)) each.stop();
});

/** Starts to watch; `needs` is what was last said of each VNI. */
function watch(written: readonly string[]) {
  const fdb = new Fdb(createFdbMemory(1, AGEING_SECONDS), 1);
  const vnis = parseConfig({ vni: written, local: [], check: false, scalars: {} }).vnis.map((config, index): Vni => {
    const needsGroup = config.join === 'always' && config.group !== undefined;
    return { config, index, needsGroup, tap: { link: TAP }, link: TAP, master: BRIDGE } as unknown as Vni;
  });
  const said: string[] = [];
  const host = {
    linkChanges: 0,
    needGroup(vni: Vni, group: string, isNeeded: boolean) {
      vni.needsGroup = isNeeded;
      said.push(`${vni.config.vni} ${isNeeded ? 'needs' : 'lets go'} ${group}`);
    },
  };
  const lazyJoin = new LazyJoin({ fdb, log, vnis, host });
  running.push(lazyJoin);
  void lazyJoin.run();
  const learn = ([high, low]: readonly [number, number], source = LOCAL_SOURCE, now = NOW) =>
    fdb.learn(0, high, low, source, 100, now);
  return { fdb, said, host, vnis, learn };
}

const macWords = (mac: string) =>
  [
    Number.parseInt(mac.slice(0, 11).replaceAll(':', ''), 16),
    Number.parseInt(mac.slice(12).replace(':', ''), 16),
  ] as const;

async function until(said: readonly string[], expected: readonly string[]): Promise<void> {
  await expect.poll(() => said, { timeout: 5_000, interval: 5 }).toEqual(expected);
}

/** Longer than the gap between two looks. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 300));

const LAZY = ['100=239.1.1.1,join=lazy'];
const [NEEDS, LETS_GO] = ['100 needs 239.1.1.1', '100 lets go 239.1.1.1'];

it('joins with the first station and leaves with the last', async () => {
  const { fdb, said, learn } = watch(LAZY);
  learn(STATION);
  await until(said, [NEEDS]);
  learn(OTHER_STATION);
  fdb.delete(0, ...STATION, NOW);
  await pause();
  expect(said).toEqual([NEEDS]);
  fdb.delete(0, ...OTHER_STATION, NOW);
  await until(said, [NEEDS, LETS_GO]);
});

it('looks at once, at what is there already', async () => {
  const { fdb, said, learn } = watch(LAZY);
  learn(STATION);
  fdb.delete(0, ...STATION, NOW);
  await pause();
  expect(said).toEqual([]);
});

it('takes neither the TAP nor its bridge for a station, nor who lives elsewhere', async () => {
  const { said, learn } = watch(LAZY);
  for (const mac of [TAP_MAC, BRIDGE_MAC]) learn(macWords(mac));
  learn(STATION, REMOTE);
  learn(OTHER_STATION, REMOTE);
  await pause();
  expect(said).toEqual([]);
  learn(macWords('02:00:00:00:00:77'));
  await until(said, [NEEDS]);
});

it('sees a station come and go by migration', async () => {
  const { said, learn } = watch(LAZY);
  learn(STATION, REMOTE);
  learn(STATION);
  await until(said, [NEEDS]);
  learn(STATION, REMOTE);
  await until(said, [NEEDS, LETS_GO]);
});

it('sees a station age out when the sweep takes it, and a flush', async () => {
  const { fdb, said, learn } = watch(LAZY);
  learn(STATION);
  await until(said, [NEEDS]);
  fdb.sweep(0, 1_000, NOW + AGEING_SECONDS * 10 + 1);
  await until(said, [NEEDS, LETS_GO]);
  learn(STATION, LOCAL_SOURCE, NOW + 400);
  await until(said, [NEEDS, LETS_GO, NEEDS]);
  fdb.flush(() => true, NOW + 400);
  await until(said, [NEEDS, LETS_GO, NEEDS, LETS_GO]);
});

it('counts static entries that say local', async () => {
  const { fdb, said } = watch(LAZY);
  fdb.addStatic(0, ...STATION, LOCAL_SOURCE, NOW);
  await until(said, [NEEDS]);
  fdb.delete(0, ...STATION, NOW);
  await until(said, [NEEDS, LETS_GO]);
});

it('follows the bridge: its MAC as it is now, and the TAP’s leaving it', async () => {
  const { said, vnis, host, learn } = watch(LAZY);
  const [vni] = vnis as [Vni];
  learn(macWords(PORT_MAC));
  await until(said, [NEEDS]);
  vni.master = { ...BRIDGE, mac: PORT_MAC };
  host.linkChanges++;
  await until(said, [NEEDS, LETS_GO]);
  vni.master = undefined;
  host.linkChanges++;
  await until(said, [NEEDS, LETS_GO, NEEDS]);
});

it('lets VNIs be that join always, and those without a group', async () => {
  const { said, fdb } = watch(['100=239.1.1.1', '200,join=lazy', '300=239.1.1.3,join=lazy']);
  for (const segment of [0, 1, 2]) fdb.learn(segment, ...STATION, LOCAL_SOURCE, 100, NOW);
  await until(said, ['300 needs 239.1.1.3']);
});

it('says nothing more once it is stopped', async () => {
  const { said, learn } = watch(LAZY);
  for (const each of running) each.stop();
  learn(STATION);
  await pause();
  expect(said).toEqual([]);
});
