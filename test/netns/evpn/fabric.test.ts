/**
 * Two vtepd and the kernel's vxlan device under FRR in one EVPN fabric, with either kind of route reflector, and without multicast in the underlay.
 * The topology is in evpn-fabric.ts.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import {
  BRIDGE,
  droppedMulticasts,
  FABRIC_HOSTS,
  FABRIC_VNI,
  type Fabric,
  type FabricHost,
  prepareFabric,
  startFabric,
} from '../../support/daemon/evpn-fabric.ts';
import { bridgeFdb } from '../../support/lab/frr.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { MigratingMachine } from '../../support/lab/migrating-machine.ts';
import { pings } from '../../support/lab/pings.ts';
import { transfer } from '../../support/lab/transfer.ts';
import type { VirtualMachine } from '../../support/lab/virtual-machine.ts';
import { waitFor } from '../../support/wait.ts';

const TRANSFER_BYTES = process.env.VTEPD_TEST_TRANSFERS === 'full' ? 100_000_000 : 4_000_000;
/** Machines that go around all hosts, three moves each. */
const ROUNDS = process.env.VTEPD_TEST_TRANSFERS === 'full' ? 33 : 1;
/** From its first frame to the first answer that a machine elsewhere gets. */
const MAX_MOVE_MS = 1_000;

describeSystem('an EVPN fabric', () => {
  const lab = useLab({ hosts: FABRIC_HOSTS });
  const hosts = lab.hosts.slice(0, 3);
  const addresses = hosts.map(({ address }) => address);
  let machines: VirtualMachine[];
  let machineNumber = 20;

  beforeAll(() => {
    machines = prepareFabric(lab);
  });

  describe.each(['FRR', 'gobgpd'] as const)('with %s as the reflector', (reflector) => {
    useScope(lab);
    let fabric: Fabric;

    beforeAll(async () => {
      fabric = await startFabric(lab, machines, { reflector });
    });

    const pairs = () => machines.flatMap((from) => machines.filter((to) => to !== from).map((to) => ({ from, to })));

    test('ARP and ping work between all machines, and nothing is sent to a group', () => {
      for (const { from, to } of pairs()) {
        from.namespace.ip('neigh', 'flush', 'dev', 'eth0');
        expect([from.address, to.address, from.namespace.ping(to.address)]).toEqual([from.address, to.address, 3]);
      }
      expect(droppedMulticasts(lab)).toBe(0);
    });

    test('each host has each machine at the right VTEP, in the kernel as an external entry', async () => {
      for (const machine of machines) machine.namespace.ping('192.0.2.99', { count: 1 });
      for (const { mac } of machines) {
        for (const each of fabric.hosts) await expectPlace(each, mac, placeFrom(each, machineHost(mac)));
      }
      const { host, device } = fabric.frr;
      const external = bridgeFdb(host, device).filter(
        ({ flags, dst }) => dst !== undefined && flags.includes('extern_learn'),
      );
      for (const [i, { mac }] of machines.slice(0, 2).entries()) {
        expect(external).toContainEqual(expect.objectContaining({ mac, dst: addresses[i] }));
      }
    });

    test('the tables of FRR and of vtepd agree', async () => {
      for (const { host, vtep } of fabric.vtepds) {
        const entries = (await vtep.fdb()).filter(({ vni }) => vni === FABRIC_VNI);
        expect(entries.map(({ mac }) => mac)).toEqual(expect.arrayContaining(machines.map(({ mac }) => mac)));
        for (const { mac, vtep: place, type } of entries) {
          const where = place === 'local' ? host.address : place;
          await expectPlace(fabric.frr, mac, where === fabric.frr.host.address ? 'local' : where);
          expect([mac, type]).toEqual([mac, place === 'local' ? 'dynamic' : 'evpn']);
        }
      }
    });

    test('TCP between all machines is whole', async () => {
      for (const { from, to } of pairs()) {
        const { sent, received } = await transfer({
          ...{ from: from.namespace, to: to.namespace, address: to.address },
          ...{ bytes: TRANSFER_BYTES },
        });
        expect([received.bytes, received.sha256]).toEqual([TRANSFER_BYTES, sent.sha256]);
      }
    }, 600_000);

    test.each([
      ['with a gratuitous ARP', true],
      ['with its first packet', false],
    ])(
      'a machine that migrates is reached within a second, %s',
      async (_, isAnnounced) => {
        for (let round = 0; round < ROUNDS; round++) {
          // A MAC that moves five times in three minutes is held (RFC 7432 §15.1).
          const migrant = new MigratingMachine(hosts, { bridge: BRIDGE, number: machineNumber++ });
          let last = 0;
          for (let i = 0; i < 4; i++) {
            const to = hosts[i % 3] as (typeof hosts)[number];
            await migrant.moveTo(to, { isAnnounced });
            if (!isAnnounced) migrant.namespace.ping((machines[(i + 1) % 3] as VirtualMachine).address, { count: 1 });
            const all = await Promise.all(
              machines.map(({ namespace }) => pings(namespace, migrant.address, { count: 20, everyMs: 50 })),
            );
            for (const { answered, firstMs } of all) {
              expect(firstMs).toBeLessThan(MAX_MOVE_MS);
              // Once reached it stays so.
              expect(answered.length).toBe(20 - firstMs / 50);
            }
            const routes = () => fabric.reflector.macRoutes().filter(({ mac }) => mac === migrant.mac);
            const isRight = (found: ReturnType<typeof routes>) =>
              found.length > 0 && found.every(({ nextHop }) => nextHop === to.address);
            const found = await waitFor(`only ${to.address} announces it`, routes, isRight, { everyMs: 50 });
            for (const each of fabric.hosts) await expectPlace(each, migrant.mac, placeFrom(each, to.address));
            const sequence = Math.max(...found.map((route) => route.sequence));
            if (i > 0) expect(sequence).toBeGreaterThan(last);
            last = sequence;
          }
        }
      },
      600_000,
    );
  });

  function machineHost(mac: string): string {
    return addresses[machines.findIndex((machine) => machine.mac === mac)] as string;
  }
});

function placeFrom(host: FabricHost, address: string): string {
  return host.host.address === address ? 'local' : address;
}

async function expectPlace(host: FabricHost, mac: string, place: string): Promise<void> {
  const what = `${host.host.address} has ${mac} at ${place}`;
  await waitFor(
    what,
    () => host.placeOf(mac),
    (found) => found === place,
    { everyMs: 20 },
  );
}
