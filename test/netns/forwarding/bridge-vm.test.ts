/**
 * Virtual machines: a VNI with `bridge=`, and on that bridge the machine's veth, as libvirt attaches one.
 *
 *      VM 11  02:…:0b           VM 12  02:…:0c
 *      192.0.2.11               192.0.2.12
 *         │ veth                   │ veth
 *      br-vms ─ vxlan100        br-vms ─ vxlan100
 *            host 1                   host 2
 *         198.18.0.1 ── underlay ── 198.18.0.2
 */
import { beforeAll, expect, test } from 'vitest';
import { startVtep, VTEP_KIND, type Vtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { transfer } from '../../support/lab/transfer.ts';
import { addBridge, addVirtualMachine, type VirtualMachine } from '../../support/lab/virtual-machine.ts';
import { waitFor } from '../../support/wait.ts';

describeSystem('a bridge with virtual machines', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  const vteps: Vtep[] = [];
  const machines: VirtualMachine[] = [];

  beforeAll(async () => {
    for (const host of lab.hosts) {
      addBridge(host, 'br-vms');
      machines.push(addVirtualMachine(host, { bridge: 'br-vms', number: 10 + host.number }));
    }
    const segments = [{ vni: 100, group: '239.1.1.1', bridge: 'br-vms' }];
    vteps.push(...(await Promise.all(lab.hosts.map((host) => startVtep(host, { segments })))));
  }, 60_000);

  function machine(number: 11 | 12): VirtualMachine {
    const found = machines[number - 11];
    if (!found) throw new Error('not started');
    return found;
  }

  test('the TAP is a port of the bridge, and does not give the bridge its address', () => {
    for (const host of lab.hosts) {
      expect(host.link('vxlan100')).toMatchObject({ master: 'br-vms', mtu: 1450 });
      const [bridge, tap] = [host.link('br-vms')?.address, host.link('vxlan100')?.address];
      if (VTEP_KIND === 'vtepd') expect(bridge).not.toBe(tap);
    }
    expect(one.link('vxlan100')?.address).not.toBe(two.link('vxlan100')?.address);
  });

  test('machines reach each other through it, with full-sized packets too', () => {
    expect(machine(11).namespace.ping(machine(12).address)).toBe(3);
    expect(machine(12).namespace.ping(machine(11).address, { size: 1450 - 28 })).toBe(3);
  });

  test('each host learned the machine of the other, and its own as local', async () => {
    const rows = async (vtep: Vtep | undefined) => (await vtep?.fdb())?.map(({ mac, vtep: at }) => `${mac} ${at}`);
    expect(await rows(vteps[0])).toContain(`${machine(12).mac} 198.18.0.2`);
    expect(await rows(vteps[1])).toContain(`${machine(11).mac} 198.18.0.1`);
    if (VTEP_KIND === 'kernel') return;
    expect(await rows(vteps[0])).toContain(`${machine(11).mac} local`);
    expect(await rows(vteps[1])).toContain(`${machine(12).mac} local`);
  });

  test.each([
    [11, 12],
    [12, 11],
  ] as const)(
    'bulk TCP from machine %i to machine %i',
    async (from, to) => {
      const [{ namespace: source }, { namespace: sink, address }] = [machine(from), machine(to)];
      const { sent, received } = await transfer({ from: source, to: sink, address, bytes: 20_000_000 });
      expect(received).toMatchObject({ bytes: 20_000_000, sha256: sent.sha256 });
    },
    60_000,
  );

  test('two machines on one host talk past the underlay', async () => {
    const neighbour = addVirtualMachine(one, { bridge: 'br-vms', number: 21 });
    expect(machine(11).namespace.ping(neighbour.address)).toBe(3);
    expect(neighbour.namespace.ping(machine(12).address)).toBe(3);
  });

  test('a machine that moves to the other host is found there', async () => {
    const before = addVirtualMachine(one, { bridge: 'br-vms', number: 22 });
    expect(before.namespace.ping(machine(12).address, { count: 1 })).toBe(1);
    expect(machine(11).namespace.ping(before.address, { count: 1 })).toBe(1);
    before.namespace.ip('link', 'del', 'eth0');
    const after = addVirtualMachine(two, { bridge: 'br-vms', number: 22, label: 'vm22-moved' });
    // What a hypervisor does at the end of a migration: the machine speaks once.
    expect(after.namespace.ping(machine(12).address, { count: 1 })).toBe(1);
    expect(machine(11).namespace.ping(after.address, { count: 1 })).toBe(1);
    await waitFor(
      'host 1 to know the new place',
      async () => (await vteps[0]?.fdb())?.find(({ mac }) => mac === after.mac)?.vtep,
      (vtep) => vtep === '198.18.0.2',
    );
  });
});
