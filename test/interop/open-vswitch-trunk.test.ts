/**
 * A trunk in a VLAN-aware bridge, that of Open vSwitch: machines on its access ports are in one segment with those of a VNI elsewhere.
 *
 *   vm 1 ── tag=10 ┐                                              ┌─ vm 3, vm 4: bridges of the VNIs' own TAPs
 *   vm 2 ── tag=20 ┤ br0 (OVS) ── trunk0 ─ host 1: vtepd ──┬── host 2: vtepd
 *                                                          └── host 3: kernel, vxlan1010: 192.0.2.5
 */
import { beforeAll, expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type VtepdVtep } from '../support/daemon/vtep-host.ts';
import { describeSystem, type Namespace, useLab, useScope } from '../support/lab/lab.ts';
import { OpenVswitch } from '../support/lab/open-vswitch.ts';
import { transfer } from '../support/lab/transfer.ts';
import { addBridge, addVirtualMachine } from '../support/lab/virtual-machine.ts';
import { waitUntil } from '../support/wait.ts';

const GROUP = '239.1.1.1';
const BYTES = 20_000_000;

describeSystem('a trunk in Open vSwitch', () => {
  // Open vSwitch takes no super-frames and finishes no checksums: nothing unfinished may be on the wire.
  const lab = useLab({ hosts: 3, wire: 'mtu-true' });
  useScope(lab);
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  const machines = new Map<number, Namespace>();
  let vtep: VtepdVtep;

  const machine = (number: number) => machines.get(number) as Namespace;

  beforeAll(async () => {
    const vnis = [1010, 1020].map((vni) => ({ vni, group: GROUP }));
    const vlans = vnis.map((each) => ({ ...each, keys: [`vlan=${each.vni - 1000}`] }));
    vtep = await startVtepdVtep(one, { segments: vlans, flags: ['--trunk', 'trunk0', '--offload', 'off'] });
    const ovs = await OpenVswitch.start(one);
    ovs.addPort('trunk0');
    for (const number of [1, 2]) machines.set(number, ovs.addMachine(number, { vlan: number * 10 }));
    for (const number of [3, 4]) {
      addBridge(two, `br${number}`);
      machines.set(number, addVirtualMachine(two, { bridge: `br${number}`, number }).namespace);
    }
    await startVtepdVtep(two, { segments: vnis.map((each, i) => ({ ...each, bridge: `br${3 + i}` })) });
    await startKernelVtep(three, { segments: [{ vni: 1010, group: GROUP }] });
    three.ip('addr', 'add', '192.0.2.5/24', 'dev', 'vxlan1010');
    await waitUntil('the switch forwards', () => machine(1).ping('192.0.2.3', { count: 1 }) === 1, {
      timeoutMs: 30_000,
    });
  }, 90_000);

  test('VLAN 10 reaches VNI 1010 at a daemon and at a kernel, with full-sized packets too', () => {
    for (const address of ['192.0.2.3', '192.0.2.5']) {
      expect([machine(1).ping(address), machine(1).ping(address, { size: 1422 })]).toEqual([3, 3]);
    }
    expect([machine(3).ping('192.0.2.1'), three.ping('192.0.2.1')]).toEqual([3, 3]);
  });

  test('VLAN 20 reaches VNI 1020, and neither the other', () => {
    expect([machine(2).ping('192.0.2.4'), machine(4).ping('192.0.2.2')]).toEqual([3, 3]);
    for (const [from, to] of [
      [1, 2],
      [1, 4],
      [2, 3],
      [2, 5],
      [4, 1],
    ] as const) {
      expect(machine(from).ping(`192.0.2.${to}`, { count: 1 }), `${from} to ${to}`).toBe(0);
    }
  });

  test.each([
    [1, 3],
    [3, 1],
    [2, 4],
  ])(
    'TCP through the trunk: machine %i to machine %i',
    async (from, to) => {
      const [source, target] = [machine(from), machine(to)];
      const { sent, received } = await transfer({ from: source, to: target, address: `192.0.2.${to}`, bytes: BYTES });
      expect(received).toMatchObject({ bytes: BYTES, sha256: sent.sha256 });
    },
    90_000,
  );

  test('each machine was learned in the VNI of its VLAN', async () => {
    const local = (await vtep.fdb()).filter(({ vtep: where, mac }) => where === 'local' && mac.startsWith('02:00:00'));
    expect(local.map(({ vni, mac }) => `${vni} ${mac}`)).toEqual(['1010 02:00:00:00:00:01', '1020 02:00:00:00:00:02']);
  });
});
