/**
 * A host whose kernel is older than Linux 6.2: its TAPs take no UDP super-frames (USO). A kernel peer on the same machine sends them all
 * the same, as one datagram each; every datagram inside is handed on by itself.
 *
 *     192.0.2.1  vxlan100, trunk0   ── host 1: vtepd, no USO ───┐
 *     192.0.2.2  vxlan100, vxlan200 ── host 2: kernel ──────────┴── VNI 100 = 239.1.1.1, VNI 200 = 239.1.1.2
 */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { startKernelVtep } from '../support/daemon/vtep-host.ts';
import { startVtepd, type VtepdProcess } from '../support/daemon/vtepd-process.ts';
import { describeSystem, type Host, useLab, useScope } from '../support/lab/lab.ts';
import { readEthernet } from '../support/traffic/frames.ts';
import { range } from '../support/traffic/trains.ts';

const WITHOUT_USO = fileURLToPath(new URL('../support/daemon/without-uso.mjs', import.meta.url));

const VERSIONS = [
  { version: 4, overhead: 28, address: (host: Host) => `192.0.2.${host.number}` },
  { version: 6, overhead: 48, address: (host: Host) => `fd00:2::${host.number}` },
] as const;

/** Payload of each datagram but the last; 0: as much as the MTU leaves. */
const RUNS = [
  { size: 1, count: 60, last: 1 },
  { size: 17, count: 5, last: 16 },
  { size: 511, count: 64, last: 1 },
  { size: 1000, count: 40, last: 999 },
  { size: 0, count: 40, last: 7 },
] as const;

describeSystem('a TAP without USO', () => {
  const lab = useLab({ hosts: 2 });
  useScope(lab);
  const [one, two] = [lab.host(1), lab.host(2)];
  let daemon: VtepdProcess;

  beforeAll(async () => {
    const vnis = ['--vni', '100=239.1.1.1', '--vni', '200=239.1.1.2,vlan=20', '--trunk', 'trunk0'];
    daemon = await startVtepd(one, ['--dev', 'eth0', ...vnis], { wrapper: [process.execPath, WITHOUT_USO] });
    await startKernelVtep(two, {
      segments: [
        { vni: 100, group: '239.1.1.1' },
        { vni: 200, group: '239.1.1.2' },
      ],
    });
    for (const host of lab.hosts) {
      host.ip('addr', 'add', `192.0.2.${host.number}/24`, 'dev', 'vxlan100');
      host.addIpv6('vxlan100', `fd00:2::${host.number}/64`);
    }
    for (const { address } of VERSIONS) expect(two.ping(address(one))).toBeGreaterThan(0);
  }, 60_000);

  describe.each(VERSIONS)('IPv$version', ({ overhead, address }) => {
    test.each(RUNS)('$count datagrams of $size octets arrive one by one', async ({ size, count, last }) => {
      const [receiver, sender] = [
        one.udpSocket({ address: address(one), port: 7000 }),
        two.udpSocket({ address: address(two) }),
      ];
      const cable = one.cable();
      const bytes = size || 1450 - overhead;
      const run = range(count).map((i) => Buffer.alloc(i === count - 1 ? last : bytes, `${i} of ${count}`));
      sender.sendTrain(run, { to: address(one), port: 7000 });
      await receiver.waitForDatagrams('datagrams', 1);
      await expect.poll(() => receiver.drain().length).toBe(count);
      expect(receiver.drain().map(({ bytes: octets }) => octets.toString('latin1'))).toEqual(
        run.map((octets) => octets.toString('latin1')),
      );
      // The test is about super-frames only where one crosses.
      const total = run.reduce((sum, { length }) => sum + length, 0);
      expect(Math.max(...cable.drain().map(({ bytes: octets }) => octets.length))).toBeGreaterThan(total);
    });
  });

  test('on a trunk each has its tag', async () => {
    const trunk = one.packetSocket('trunk0', { vnetHeader: true });
    two.ip('addr', 'add', '198.51.100.2/24', 'dev', 'vxlan200');
    two.ip('neigh', 'add', '198.51.100.1', 'lladdr', '02:00:00:00:01:01', 'dev', 'vxlan200');
    const run = range(20).map((i) => Buffer.alloc(300, `${i} of 20 `));
    two.udpSocket({ address: '198.51.100.2' }).sendTrain(run, { to: '198.51.100.1', port: 7000 });
    const frames = () => trunk.select(({ bytes }) => bytes.includes(' of 20'));
    await expect.poll(() => frames().length).toBe(20);
    for (const [i, { bytes }] of frames().entries()) {
      expect(readEthernet(bytes)?.vlan).toBe(20);
      expect(bytes.subarray(18 + 20 + 8)).toEqual(run[i]);
    }
  });

  test('nothing was switched off for it', async () => {
    expect(await daemon.ctl('status')).toMatchObject({ offload: { tapGso: true, udpGso: true, udpGro: true } });
    expect(daemon.stdout).not.toContain('offload-off');
  });
});
