/**
 * Two daemons and the kernel's own vxlan device in one segment. Whatever one of them sends, the others understand.
 *
 *     192.0.2.1  vxlan100 ── host 1: vtepd  ───┐
 *     192.0.2.2  vxlan100 ── host 2: vtepd  ───┼── VNI 100 = 239.1.1.1
 *     192.0.2.3  vxlan100 ── host 3: kernel ───┘
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { startKernelVtep, startVtep, type Vtep, type VtepOptions } from '../support/daemon/vtep-host.ts';
import { runVtepd } from '../support/daemon/vtepd-process.ts';
import { describeSystem, type Host, type LabOptions, useLab } from '../support/lab/lab.ts';
import { transfer } from '../support/lab/transfer.ts';
import { sleep } from '../support/wait.ts';

const TRANSFER_BYTES = 100_000_000;

const LABS = [
  { wire: 'offloading', mtu: 1500 },
  { wire: 'mtu-true', mtu: 1500 },
  { wire: 'offloading', mtu: 9000 },
  { wire: 'mtu-true', mtu: 9000 },
] as const satisfies Omit<LabOptions, 'hosts'>[];

const PAIRS = [
  [1, 2],
  [2, 1],
  [1, 3],
  [3, 1],
  [2, 3],
  [3, 2],
] as const;

const overlay = (host: Host) => `192.0.2.${host.number}`;

describeSystem.each(LABS)('beside the kernel: $wire wire, underlay MTU $mtu', ({ wire, mtu }) => {
  const lab = useLab({ hosts: 3, wire, mtu });
  const vteps: Vtep[] = [];

  beforeAll(async () => {
    const options: VtepOptions = { segments: [{ vni: 100, group: '239.1.1.1' }] };
    const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
    vteps.push(
      ...(await Promise.all([startVtep(one, options), startVtep(two, options), startKernelVtep(three, options)])),
    );
    for (const host of lab.hosts) host.ip('addr', 'add', `${overlay(host)}/24`, 'dev', 'vxlan100');
  }, 60_000);

  test('T27: all have the MTU that the underlay leaves', () => {
    expect(lab.hosts.map((host) => host.link('vxlan100')?.mtu)).toEqual([mtu - 50, mtu - 50, mtu - 50]);
  });

  test('T27: a larger one is refused, here and by the kernel', async () => {
    const [one, three] = [lab.host(1), lab.host(3)];
    const refused = await runVtepd(one, ['--dev', 'eth0', '--port', '4790', '--vni', `200=239.1.1.2,mtu=${mtu - 49}`]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(new RegExp(`${mtu - 49}.*${mtu - 50}`));
    expect(() => three.ip('link', 'set', 'vxlan100', 'mtu', `${mtu - 49}`)).toThrow('Invalid argument');
  });

  test('T37: ARP resolves and every pair pings, with full-sized packets too', () => {
    for (const [from, to] of PAIRS) {
      const target = overlay(lab.host(to));
      const answered = [56, mtu - 50 - 28].map((size) => lab.host(from).ping(target, { count: 2, size }));
      expect(answered, `${from} to ${to}`).toEqual([2, 2]);
    }
  });

  test('T37: each learned the others where they are', async () => {
    for (const vtep of vteps) {
      const others = lab.hosts.filter((host) => host !== vtep.host);
      const table = await vtep.fdb();
      for (const other of others) {
        const mac = other.link('vxlan100')?.address;
        const row = table.find((entry) => entry.mac === mac);
        expect(row, `${other.namespace} at ${vtep.host.namespace}`).toMatchObject({ vtep: other.address });
      }
    }
  });

  test.each(PAIRS)('T37: UDP of every size arrives, %i to %i', async (from, to) => {
    const [sender, receiver] = [lab.host(from), lab.host(to)];
    const target = receiver.udpSocket({ address: overlay(receiver), port: 7000 });
    const source = sender.udpSocket({ address: overlay(sender) });
    // From one byte, which Ethernet pads, over odd sizes to a datagram of several inner fragments.
    const sizes = [1, 17, 18, 19, 64, 511, 1000, mtu - 50 - 28, 3 * mtu];
    for (const size of sizes) {
      source.send(Buffer.alloc(size, size), { to: overlay(receiver), port: 7000 });
      await sleep(1);
    }
    const received = await target.waitForDatagrams('datagrams', sizes.length);
    const expected = sizes.map((size) => Buffer.alloc(size, size));
    const bySize = (a: Buffer, b: Buffer) => a.length - b.length;
    expect(received.map(({ bytes }) => bytes).toSorted(bySize)).toEqual(expected.toSorted(bySize));
  });

  describe('100 MB of TCP', () => {
    test.each([
      [1, 2],
      [2, 1],
      [1, 3],
      [3, 1],
    ])(
      'host %i to host %i',
      async (from, to) => {
        const [sender, receiver] = [lab.host(from), lab.host(to)];
        const address = overlay(receiver);
        const { sent, received } = await transfer({ from: sender, to: receiver, address, bytes: TRANSFER_BYTES });
        expect(received).toMatchObject({ bytes: TRANSFER_BYTES, sha256: sent.sha256 });
      },
      90_000,
    );
  });
});
