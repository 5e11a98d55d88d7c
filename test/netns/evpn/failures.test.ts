/**
 * A part of an EVPN fabric fails and comes back: the speaker of a host, the reflector, vtepd. The topology is in evpn-fabric.ts; the reflector is gobgpd.
 */
import { beforeAll, expect, test } from 'vitest';
import {
  BRIDGE,
  FABRIC_ASN,
  FABRIC_HOSTS,
  FABRIC_VNI,
  type Fabric,
  prepareFabric,
  startFabric,
  type VtepdFabricHost,
  waitForFloods,
} from '../../support/daemon/evpn-fabric.ts';
import type { MacRoute } from '../../support/daemon/evpn-reflector.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { MigratingMachine } from '../../support/lab/migrating-machine.ts';
import { pings } from '../../support/lab/pings.ts';
import type { VirtualMachine } from '../../support/lab/virtual-machine.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

interface ShownEvpn {
  readonly session: { readonly state: string; readonly dialect: string | null; readonly connections: number };
  readonly routesOut: { readonly type2: number; readonly type3: number };
}

/** For a session of BGP that begins anew, and all routes after it. */
const BACK = { timeoutMs: 40_000, everyMs: 100 };

describeSystem('failures in an EVPN fabric', () => {
  const lab = useLab({ hosts: FABRIC_HOSTS });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  let machines: VirtualMachine[];
  let migrant: MigratingMachine;

  beforeAll(() => {
    machines = prepareFabric(lab);
    migrant = new MigratingMachine(lab.hosts.slice(0, 3), { bridge: BRIDGE, number: 20 });
  });

  /** A fabric in which each host knows all machines. */
  async function start(): Promise<{ fabric: Fabric; first: VtepdFabricHost; second: VtepdFabricHost }> {
    const fabric = await startFabric(lab, machines, { reflector: 'gobgpd' });
    const [first, second] = fabric.vtepds as [VtepdFabricHost, VtepdFabricHost];
    // Otherwise they know each other from the last test, and no ARP frame has their addresses.
    for (const { namespace } of machines) namespace.ip('neigh', 'flush', 'dev', 'eth0');
    expectReachable();
    // The MAC alone, and with its address. FRR announces an address only if the kernel of its host has it as a neighbour.
    for (const { host } of fabric.vtepds) {
      const count = () => routesFrom(fabric, host.address).length;
      await waitFor(`the routes of ${host.address}`, count, (found) => found === 2, BACK);
    }
    await waitFor(
      'the route of FRR',
      () => routesFrom(fabric, three.address).length,
      (found) => found > 0,
      BACK,
    );
    return { fabric, first, second };
  }

  function expectReachable(): void {
    for (const from of machines) {
      for (const to of machines) {
        if (from !== to)
          expect([from.address, to.address, from.namespace.ping(to.address, { count: 1 })]).toEqual([
            from.address,
            to.address,
            1,
          ]);
      }
    }
  }

  const evpn = ({ vtep }: VtepdFabricHost) => vtep.daemon.get<ShownEvpn>('/v1/evpn');

  async function waitForState(host: VtepdFabricHost, state: string): Promise<ShownEvpn> {
    return waitFor(
      `${host.host.address} is ${state}`,
      () => evpn(host),
      ({ session }) => session.state === state,
      BACK,
    );
  }

  /** The speaker is connected again, and perhaps has not all routes of its peers: gobgpd without graceful restart sends no End-of-RIB. */
  async function waitForConnection(host: VtepdFabricHost, count: number): Promise<ShownEvpn> {
    const isConnected = ({ session }: ShownEvpn) => session.connections === count && session.dialect !== null;
    return waitFor(`${host.host.address} is connected`, () => evpn(host), isConnected, BACK);
  }

  /** The routes of one host, in order. */
  const routesFrom = ({ reflector }: Fabric, address: string): MacRoute[] =>
    reflector
      .macRoutes()
      .filter(({ nextHop }) => nextHop === address)
      .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));

  async function waitForRoutes(fabric: Fabric, address: string, routes: readonly MacRoute[]): Promise<void> {
    const expected = JSON.stringify(routes);
    const isSame = (found: MacRoute[]) => JSON.stringify(found) === expected;
    await waitFor(`${address} announces ${expected}`, () => routesFrom(fabric, address), isSame, BACK);
  }

  test.each([
    ['killed', 'SIGKILL', '3.10'],
    ['stopped', 'SIGTERM', '3.10'],
    ['killed, and its successor speaks the other dialect', 'SIGKILL', '4.8'],
  ] as const)(
    'the speaker of a host is %s: what it received stays, and its routes come back',
    async (_, signal, version) => {
      const { fabric, first, second } = await start();
      const before = routesFrom(fabric, one.address);
      expect(before.length).toBeGreaterThan(0);
      await first.gobgpd.stop(signal);
      await waitForState(first, 'stale');
      // The reflector withdraws the routes of the host, and its own table stays.
      await waitForRoutes(fabric, one.address, []);
      await waitForFloods(second, [three.address]);
      expect(await first.floodsTo()).toEqual([two.address, three.address]);
      for (const [i, { mac }] of machines.slice(1).entries()) {
        expect(await first.placeOf(mac)).toBe([two.address, three.address][i]);
      }

      await first.startGobgpd({ version });
      const { session } = await waitForConnection(first, 2);
      expect(session.dialect).toBe(version === '3.10' ? 'v3' : 'v4');
      await waitForRoutes(fabric, one.address, before);
      await waitForFloods(second, [one.address, three.address]);
      await waitForFloods(first, [two.address, three.address]);
      expectReachable();
    },
    120_000,
  );

  test('the reflector is killed: no packet between two vtepd is lost, and nothing changes when it is back', async () => {
    const { fabric, first, second } = await start();
    const before = [one, two, three].map(({ address }) => routesFrom(fabric, address));
    const [from, to] = machines as [VirtualMachine, VirtualMachine];
    const traffic = pings(from.namespace, to.address, { count: 300, everyMs: 50 });
    await sleep(500);
    await fabric.reflector.kill();
    for (const each of [first, second]) await waitForState(each, 'stale');
    expect(await first.floodsTo()).toEqual([two.address, three.address]);
    await fabric.reflector.restart();
    for (const each of [first, second]) await waitForState(each, 'up');
    for (const [i, { address }] of [one, two, three].entries()) await waitForRoutes(fabric, address, before[i] ?? []);
    expect((await traffic).answered).toHaveLength(300);
    await waitForFloods(first, [two.address, three.address]);
    await waitForFloods(second, [one.address, three.address]);
    await waitForFloods(fabric.frr, [one.address, two.address]);
    expectReachable();
  }, 120_000);

  test('the speaker of a host is frozen: it is noticed, and all is in step again when it goes on', async () => {
    const { fabric, first, second } = await start();
    const before = routesFrom(fabric, one.address);
    first.gobgpd.kill('SIGSTOP');
    await waitForState(first, 'stale');
    expect(await first.floodsTo()).toEqual([two.address, three.address]);
    expect(await first.placeOf((machines[1] as VirtualMachine).mac)).toBe(two.address);
    // The hold time of BGP is over too.
    await waitForRoutes(fabric, one.address, []);
    first.gobgpd.kill('SIGCONT');
    await waitForConnection(first, 2);
    await waitForRoutes(fabric, one.address, before);
    await waitForFloods(second, [one.address, three.address]);
    expectReachable();
  }, 120_000);

  test('vtepd is killed: the next one takes over its routes, and withdraws those of machines that went', async () => {
    const { fabric, first } = await start();
    await migrant.moveTo(one, { isAnnounced: true });
    const placeOf = () => [...new Set(routesOfMigrant(fabric).map(({ nextHop }) => nextHop))];
    await waitFor('the machine is announced', placeOf, (places) => places.join() === one.address);
    first.vtep.daemon.kill('SIGKILL');
    await first.vtep.daemon.ended;
    await migrant.moveTo(two, { isAnnounced: true });
    await waitFor('its new host announces it too', placeOf, (places) => places.includes(two.address));
    await first.startVtepd();
    await waitForState(first, 'up');
    await waitFor('only the new one', placeOf, (places) => places.join() === two.address, BACK);
    expectReachable();
    // The same route distinguisher as before: nothing is announced twice.
    const found = routesFrom(fabric, one.address);
    expect(new Set(found.map(({ rd }) => rd)).size).toBe(1);
    expect(new Set(found.map(({ mac }) => mac))).toEqual(new Set([machines[0]?.mac]));
    for (const each of fabric.hosts)
      await waitUntil(
        'the right place',
        async () => (await each.placeOf(migrant.mac)) === (each.host === two ? 'local' : two.address),
      );
  }, 120_000);

  test('vtepd stops: it withdraws its own routes within 2 s, and leaves those of another program', async () => {
    const { fabric, first } = await start();
    const foreign = '02:00:00:00:0f:01';
    const numbers = [
      'rd',
      '192.0.2.1:7',
      'rt',
      `${FABRIC_ASN}:${FABRIC_VNI}`,
      'encap',
      'vxlan',
      'nexthop',
      one.address,
    ];
    const label = ['etag', '0', 'label', `${FABRIC_VNI}`];
    first.gobgpd.cli('global', 'rib', 'add', '-a', 'evpn', 'macadv', foreign, '0.0.0.0', ...label, ...numbers);
    const announced = () => routesFrom(fabric, one.address).map(({ mac }) => mac);
    await waitUntil('the foreign route', () => announced().includes(foreign));
    const { code, ms } = await first.vtep.daemon.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2_000);
    await waitFor('only the foreign route', announced, (macs) => macs.join() === foreign);
    await first.startVtepd();
    await waitForState(first, 'up');
    expectReachable();
    expect(announced()).toContain(foreign);
  }, 120_000);

  function routesOfMigrant({ reflector }: Fabric): MacRoute[] {
    return reflector.macRoutes().filter(({ mac }) => mac === migrant.mac);
  }
});
