/**
 * A router between two VNIs is a host with an address in both; VXLAN has no part in it.
 *
 *     VM 1 192.0.2.1    ─ br100 ─ vxlan100 ─ host 1 ─┐
 *                                                    ├─ host 3 ─┬─ vxlan100 ─ br100 192.0.2.254
 *     VM 2 203.0.113.2  ─ br200 ─ vxlan200 ─ host 2 ─┘          └─ vxlan200 ─ br200 203.0.113.254
 */
import { beforeAll, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, type Host, useLab, useScope } from '../../support/lab/lab.ts';
import { readNetCounters } from '../../support/lab/net-counters.ts';
import { transfer } from '../../support/lab/transfer.ts';
import { addBridge, addVirtualMachine, type VirtualMachine } from '../../support/lab/virtual-machine.ts';

const [LEFT, RIGHT] = [
  { vni: 100, group: '239.1.1.1', bridge: 'br100', network: '192.0.2' },
  { vni: 200, group: '239.1.1.2', bridge: 'br200', network: '203.0.113' },
];
const BYTES = 10_000_000;

describeSystem('a gateway between two VNIs', () => {
  // Super-frames are then those that vtepd made.
  const lab = useLab({ hosts: 3, wire: 'mtu-true' });
  useScope(lab);
  const [one, two, gateway] = [lab.host(1), lab.host(2), lab.host(3)];
  let [left, right]: VirtualMachine[] = [];
  let vteps: VtepdVtep[] = [];

  function machines(): [VirtualMachine, VirtualMachine] {
    if (!left || !right) throw new Error('not started');
    return [left, right];
  }

  function addMachine(host: Host, { bridge, network }: typeof LEFT): VirtualMachine {
    addBridge(host, bridge);
    const machine = addVirtualMachine(host, { bridge, network, number: host.number });
    machine.namespace.ip('route', 'add', 'default', 'via', `${network}.254`);
    return machine;
  }

  beforeAll(async () => {
    left = addMachine(one, LEFT);
    right = addMachine(two, RIGHT);
    for (const { bridge, network } of [LEFT, RIGHT]) {
      addBridge(gateway, bridge);
      gateway.ip('addr', 'add', `${network}.254/24`, 'dev', bridge);
    }
    gateway.sysctl('net/ipv4/ip_forward', 1);
    const start = (host: Host, segments: (typeof LEFT)[]) =>
      startVtepdVtep(host, { segments: segments.map(({ vni, group, bridge }) => ({ vni, group, bridge })) });
    vteps = await Promise.all([start(one, [LEFT]), start(two, [RIGHT]), start(gateway, [LEFT, RIGHT])]);
  }, 60_000);

  test('machines of different VNIs reach each other through it, and not without it', () => {
    const [here, there] = machines();
    gateway.sysctl('net/ipv4/ip_forward', 0);
    expect(here.namespace.ping(there.address, { count: 1 })).toBe(0);
    gateway.sysctl('net/ipv4/ip_forward', 1);
    expect(here.namespace.ping(there.address, { size: 1422, count: 1 })).toBe(1);
    expect(there.namespace.ping(here.address, { size: 1422, count: 1 })).toBe(1);
  });

  test('each VNI knows its own machine and the gateway alone', async () => {
    const known = await Promise.all(
      vteps.map(async (vtep) => (await vtep.fdb()).map((row) => `${row.vni} ${row.mac} ${row.vtep}`)),
    );
    const [here, there] = machines();
    const mac = (bridge: string) => gateway.link(bridge)?.address;
    expect(known[0]).toEqual(
      expect.arrayContaining([`100 ${here.mac} local`, `100 ${mac('br100')} ${gateway.address}`]),
    );
    expect(known[1]).toEqual(
      expect.arrayContaining([`200 ${there.mac} local`, `200 ${mac('br200')} ${gateway.address}`]),
    );
    expect(known[2]).toEqual(
      expect.arrayContaining([`100 ${here.mac} ${one.address}`, `200 ${there.mac} ${two.address}`]),
    );
    expect(
      known.flat().filter((row) => row.startsWith(`200 ${here.mac}`) || row.startsWith(`100 ${there.mac}`)),
    ).toEqual([]);
  });

  test.each([
    ['100', '200'],
    ['200', '100'],
  ])(
    'TCP from VNI %s to VNI %s passes it in super-frames, with every checksum right',
    async (from, to) => {
      const ends = from === '100' ? machines() : machines().toReversed();
      const [source, target] = ends as [VirtualMachine, VirtualMachine];
      const [inward, outward] = [from, to].map((vni) =>
        gateway.packetSocket(`vxlan${vni}`, { vnetHeader: true, outgoing: true }),
      );
      const { sent, received } = await transfer({
        from: source.namespace,
        to: target.namespace,
        address: target.address,
        bytes: BYTES,
      });
      expect(received).toMatchObject({ bytes: BYTES, sha256: sent.sha256 });
      expect(inward?.select(({ segmentBytes, outgoing }) => segmentBytes > 0 && !outgoing).length).toBeGreaterThan(0);
      expect(outward?.select(({ segmentBytes, outgoing }) => segmentBytes > 0 && outgoing).length).toBeGreaterThan(0);
      for (const { namespace } of ends) expect(readNetCounters(namespace)).toMatchObject({ 'Tcp InCsumErrors': 0 });
    },
    90_000,
  );
});
