/**
 * Two daemons and the kernel's own vxlan device in one segment over IPv6.
 *
 *     192.0.2.1  vxlan100 ── host 1: vtepd, 2 workers ───┐
 *     192.0.2.2  vxlan100 ── host 2: vtepd  ─────────────┼── VNI 100 = ff05::1:100 on fd00:18::/64
 *     192.0.2.3  vxlan100 ── host 3: kernel ─────────────┘
 */
import { beforeAll, expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type Vtep } from '../support/daemon/vtep-host.ts';
import { runVtepd } from '../support/daemon/vtepd-process.ts';
import { describeSystem, type Host, type LabOptions, useLab } from '../support/lab/lab.ts';
import { transfer } from '../support/lab/transfer.ts';
import { ip6Words, isFragment6, readVxlanPacket6 } from '../support/traffic/ipv6.ts';

const TRANSFER_BYTES = 100_000_000;

const LABS = [
  { wire: 'offloading', mtu: 1500 },
  { wire: 'mtu-true', mtu: 1500 },
  { wire: 'mtu-true', mtu: 9000 },
] as const satisfies Omit<LabOptions, 'hosts'>[];

const PAIRS = [
  [1, 2],
  [2, 1],
  [1, 3],
  [3, 1],
] as const;

const overlay = (host: Host) => `192.0.2.${host.number}`;

describeSystem.each(LABS)('over IPv6, beside the kernel: $wire wire, underlay MTU $mtu', ({ wire, mtu }) => {
  const lab = useLab({ hosts: 3, wire, mtu, ipv6: true });
  const vteps: Vtep[] = [];

  beforeAll(async () => {
    const segments = [{ vni: 100, group: 'ff05::1:100' }];
    const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
    vteps.push(
      ...(await Promise.all([
        startVtepdVtep(one, { segments, flags: ['--workers', '2'] }),
        startVtepdVtep(two, { segments }),
        startKernelVtep(three, { segments }),
      ])),
    );
    for (const host of lab.hosts) host.ip('addr', 'add', `${overlay(host)}/24`, 'dev', 'vxlan100');
  }, 60_000);

  test('T27: all have the MTU that the underlay leaves', () => {
    expect(lab.hosts.map((host) => host.link('vxlan100')?.mtu)).toEqual([mtu - 70, mtu - 70, mtu - 70]);
  });

  test('T27: a larger one is refused, here and by the kernel', async () => {
    const [one, three] = [lab.host(1), lab.host(3)];
    const refused = await runVtepd(one, [
      '--dev',
      'eth0',
      '--port',
      '4790',
      '--vni',
      `200=ff05::1:200,mtu=${mtu - 69}`,
    ]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(new RegExp(`${mtu - 69}.*${mtu - 70}`));
    expect(() => three.ip('link', 'set', 'vxlan100', 'mtu', `${mtu - 69}`)).toThrow('Invalid argument');
  });

  test('T37: every pair pings, with full-sized packets too, and each learned the others', async () => {
    for (const [from, to] of PAIRS) {
      const target = overlay(lab.host(to));
      const answered = [56, mtu - 70 - 28].map((size) => lab.host(from).ping(target, { count: 2, size }));
      expect(answered, `${from} to ${to}`).toEqual([2, 2]);
    }
    for (const vtep of vteps) {
      const table = await vtep.fdb();
      for (const other of lab.hosts.filter(
        (host) => host !== vtep.host && (host.number === 1 || vtep.host.number === 1),
      )) {
        const mac = other.link('vxlan100')?.address;
        expect(table.find((entry) => entry.mac === mac)?.vtep).toBe(other.address6);
      }
    }
  });

  test.each(PAIRS)(
    '100 MB of TCP, host %i to host %i, unfragmented and with UDP checksums',
    async (from, to) => {
      const [sender, receiver] = [lab.host(from), lab.host(to)];
      const cable = sender.cable();
      expect(sender.ping(overlay(receiver), { count: 2 })).toBe(2);
      const packets = cable.drain().flatMap(({ bytes }) => readVxlanPacket6(bytes) ?? []);
      expect(packets.length).toBeGreaterThan(0);
      if (from !== 3) {
        const own = packets.filter(({ src }) => src === ip6Words(sender.address6));
        expect(own.every(({ udpChecksum }) => udpChecksum !== 0)).toBe(true);
      }
      expect(cable.select(({ bytes }) => isFragment6(bytes))).toEqual([]);
      cable.close();
      const { sent, received } = await transfer({
        from: sender,
        to: receiver,
        address: overlay(receiver),
        bytes: TRANSFER_BYTES,
      });
      expect(received).toMatchObject({ bytes: TRANSFER_BYTES, sha256: sent.sha256 });
    },
    90_000,
  );

  test('uses the offloads still', async () => {
    for (const vtep of vteps) {
      if (vtep.kind !== 'vtepd') continue;
      const { offload } = await vtep.daemon.ctl<{ offload: unknown }>('status');
      expect(offload).toEqual({ tapGso: true, udpGso: true, udpGro: true });
    }
  });
});
