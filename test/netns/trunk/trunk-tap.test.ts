/**
 * The trunk as a TAP: made, adopted, refused, followed and deleted, and what its VNIs make of that.
 *
 *   trunk0 (VLAN 10, 20), vxlan100 ─ host 1: vtepd ──┬── VNI 1010, 1020, 100
 *   vxlan1010, vxlan1020, vxlan100 ─ host 2: vtepd ──┘
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd, startVtepd } from '../../support/daemon/vtepd-process.ts';
import { HeldTap } from '../../support/host/held-tap.ts';
import { cpuSeconds } from '../../support/host/processes.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import { arrivesAt, sendProbe } from '../../support/traffic/probes.ts';
import { sleep, waitFor } from '../../support/wait.ts';

interface Shown {
  readonly vni: number;
  readonly mtu: number;
  readonly bridge: string | null;
  readonly status: string;
}

const GROUP = '239.1.1.1';
const ARGS = ['--dev', 'eth0', '--trunk', 'trunk0', '--vni', `1010=${GROUP},vlan=10`, '--vni', `1020=${GROUP},vlan=20`];
const SCALE = 1_000;

describeSystem('the TAP of a trunk', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  describe('while it runs', () => {
    let vtep: VtepdVtep;

    beforeEach(async () => {
      const vnis = [1010, 1020, 100].map((vni) => ({ vni, group: GROUP }));
      const vlans = vnis.map((each) => ({ ...each, keys: each.vni > 1000 ? [`vlan=${each.vni - 1000}`] : [] }));
      vtep = await startVtepdVtep(one, { segments: vlans, flags: ['--trunk', 'trunk0'] });
      await startVtepdVtep(two, { segments: vnis });
    });

    afterEach(() => {
      for (const host of [one, two]) host.ip('link', 'set', 'eth0', 'mtu', '1500');
    });

    const statuses = async () => {
      const shown = await vtep.daemon.ctl<Shown[]>('vni', 'show');
      return shown.map(({ vni, status }) => `${vni} ${status}`);
    };

    async function isServed(vni: 1010 | 1020): Promise<void> {
      const [trunk, tap] = [one.packetSocket('trunk0'), two.packetSocket(`vxlan${vni}`)];
      sendProbe(trunk, { dst: BROADCAST, src: '02:00:00:00:01:01', vlan: vni - 1000, text: `from VLAN of ${vni}` });
      await arrivesAt(`from VLAN of ${vni}`, tap);
      sendProbe(tap, { dst: BROADCAST, src: '02:00:00:00:01:02', text: `to VLAN of ${vni}` });
      await arrivesAt(`to VLAN of ${vni}`, trunk);
    }

    test('goes down and up: all of its VNIs are told, and drop what comes meanwhile', async () => {
      one.ip('link', 'set', 'trunk0', 'down');
      const down = ['100 ok', '1010 trunk0 is down', '1020 trunk0 is down'];
      await waitFor('the status', statuses, (now) => now.join() === down.join());
      for (const vni of [1010, 1020]) {
        sendProbe(two.packetSocket(`vxlan${vni}`), { dst: BROADCAST, src: '02:00:00:00:01:02', text: 'lost' });
      }
      await waitFor('the drops', vtep.drops, ({ rx }) => rx['tap-down'] === 2);
      one.ip('link', 'set', 'trunk0', 'up');
      await waitFor('the status', statuses, (now) => now.every((each) => each.endsWith(' ok')));
      await isServed(1010);
      await isServed(1020);
    });

    test('is deleted: all of its VNIs say so, once in the log, the other is served, nothing spins', async () => {
      one.ip('link', 'del', 'trunk0');
      const gone = ['100 ok', '1010 trunk0 is gone', '1020 trunk0 is gone'];
      await waitFor('the status', statuses, (now) => now.join() === gone.join());
      const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
      sendProbe(b, { dst: BROADCAST, src: '02:00:00:00:01:02', text: 'still served' });
      await arrivesAt('still served', a);
      const before = cpuSeconds(vtep.daemon.pid);
      await sleep(1_000);
      expect(cpuSeconds(vtep.daemon.pid) - before).toBeLessThan(0.3);
      expect(`${vtep.daemon.stdout}${vtep.daemon.stderr}`.match(/tap-gone/g)).toHaveLength(1);
      await vtep.stop();
    });

    test('follows the MTU of the underlay, down and up', async () => {
      for (const mtu of [1400, 1500]) {
        one.ip('link', 'set', 'eth0', 'mtu', `${mtu}`);
        await waitFor(
          'the MTU',
          () => one.link('trunk0')?.mtu,
          (now) => now === mtu - 50,
        );
        const shown = () => vtep.daemon.ctl<Shown[]>('vni', 'show');
        await waitFor('the MTU of all', shown, (rows) => rows.every((row) => row.mtu === mtu - 50));
      }
    });

    test('moves into a bridge and out again', async () => {
      one.ip('link', 'add', 'br0', 'up', 'type', 'bridge');
      one.ip('link', 'set', 'trunk0', 'master', 'br0');
      const bridges = async () => {
        const shown = await vtep.daemon.ctl<Shown[]>('vni', 'show');
        return shown.map(({ vni, bridge }) => `${vni} ${bridge}`).join();
      };
      await waitFor('the bridge', bridges, (now) => now === '100 null,1010 br0,1020 br0');
      await isServed(1010);
      one.ip('link', 'del', 'br0');
      await waitFor('no bridge', bridges, (now) => now === '100 null,1010 null,1020 null');
      await isServed(1020);
    });
  });

  test('is deleted at the end if vtepd made it, and is there again with the same MAC', async () => {
    const macs = [];
    for (let round = 0; round < 2; round++) {
      const daemon = await startVtepd(one, ARGS);
      macs.push(one.link('trunk0')?.address);
      expect((await daemon.stop()).code).toBe(0);
      expect(one.link('trunk0')).toBeUndefined();
    }
    expect(macs[0]).toMatch(/^fe:/);
    expect(macs[1]).toBe(macs[0]);
  });

  test.each([1, 2])('is adopted with its MAC and bridge, and left, by %i workers', async (workers) => {
    one.ip('tuntap', 'add', 'dev', 'trunk0', 'mode', 'tap', ...(workers > 1 ? ['multi_queue'] : []));
    one.ip('link', 'add', 'br0', 'type', 'bridge');
    lab.scope.defer(() => {
      for (const name of ['trunk0', 'br0']) one.ip('link', 'del', name);
    });
    one.ip('link', 'set', 'trunk0', 'address', '02:00:00:00:00:77', 'master', 'br0');
    const daemon = await startVtepd(one, [...ARGS, '--workers', `${workers}`]);
    const kept = { address: '02:00:00:00:00:77', master: 'br0', mtu: 1450 };
    expect(one.link('trunk0')).toMatchObject(kept);
    await daemon.stop();
    expect(one.link('trunk0')).toMatchObject(kept);
  });

  test('is refused where the name is in use, of the wrong kind, or no TAP', async () => {
    const refused = async (...more: string[]) => {
      const { code, stderr } = await runVtepd(one, [...ARGS, ...more]);
      return [code, stderr.trim()];
    };
    const held = new HeldTap(one.namespace, 'trunk0');
    expect(await refused()).toEqual([
      1,
      'vtepd: TAP "trunk0": the name is in use: another program is attached to it: stop that program, or name another TAP with --trunk',
    ]);
    held.close();
    one.ip('tuntap', 'add', 'dev', 'trunk0', 'mode', 'tap');
    expect(await refused('--workers', '2')).toEqual([
      1,
      'vtepd: TAP "trunk0": it is a single-queue TAP, and several workers need a multi-queue one: ' +
        'make it again (`ip tuntap add dev trunk0 mode tap multi_queue`), or name another TAP with --trunk',
    ]);
    one.ip('link', 'del', 'trunk0');
    one.ip('link', 'add', 'trunk0', 'type', 'bridge');
    expect(await refused()).toEqual([
      1,
      'vtepd: TAP "trunk0": the name is in use by a bridge device: remove that, or name another TAP with --trunk',
    ]);
    one.ip('link', 'del', 'trunk0');
    // What was refused has left nothing behind.
    expect([one.joinedGroups(), one.udpSockets(), one.link('trunk0')]).toEqual([[], [], undefined]);
  });

  test('carries a thousand VNIs, each with a group of its own', async () => {
    const groupOf = (i: number) => `239.2.${i >> 8}.${i & 255}`;
    const vnis = Array.from({ length: SCALE }, (_, i) => ['--vni', `${10_000 + i}=${groupOf(i)},vlan=${i + 1}`]).flat();
    const start = performance.now();
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--trunk', 'trunk0', ...vnis]);
    const startMs = performance.now() - start;
    expect(one.links().filter(({ ifname }) => /^(vxlan|trunk)/.test(ifname))).toHaveLength(1);
    expect(one.joinedGroups()).toHaveLength(SCALE);
    await startVtepdVtep(two, { segments: [{ vni: 10_999, group: groupOf(999) }] });
    const [trunk, tap] = [one.packetSocket('trunk0'), two.packetSocket('vxlan10999')];
    sendProbe(trunk, { dst: BROADCAST, src: '02:00:00:00:01:01', vlan: 1_000, text: 'the last of them' });
    await arrivesAt('the last of them', tap);
    sendProbe(tap, { dst: BROADCAST, src: '02:00:00:00:01:02', text: 'and back' });
    await arrivesAt('and back', trunk);
    const { code, ms } = await daemon.stop();
    process.stderr.write(`start-up with ${SCALE} VNIs ${Math.round(startMs)} ms, stop ${Math.round(ms)} ms\n`);
    expect(code).toBe(0);
    // A few seconds on a machine that does nothing else.
    expect(startMs).toBeLessThan(20_000);
    expect(ms).toBeLessThan(4_000);
  });
});
