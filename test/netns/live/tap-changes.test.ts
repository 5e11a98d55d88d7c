/**
 * What others do to a TAP while vtepd runs: it forwards on where the TAP lives, puts back what was asked for, and says the rest.
 *
 *     container ⇠ vxlan100  192.0.2.1 ── host 1  198.18.0.1 ───┐ vtepd
 *                 vxlan100  192.0.2.2 ── host 2  198.18.0.2 ───┘ the kernel's device
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { startMonitor } from '../../support/daemon/fdb-monitor.ts';
import { startKernelVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd, startVtepd, VTEPCTL, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { deleteNamespace } from '../../support/host/namespaces.ts';
import { describeSystem, type Namespace, useLab } from '../../support/lab/lab.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import { sendProbe } from '../../support/traffic/probes.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

interface Shown {
  readonly vni: number;
  readonly tap: string;
  readonly device: string | null;
  readonly namespace: string | null;
  readonly mtu: number;
  readonly bridge: string | null;
  readonly status: string;
}

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly remedy: string | null;
}

const FAR = '192.0.2.2';
const VNI = '100=239.1.1.1';

describeSystem('a TAP that changes', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let daemon: VtepdProcess;

  beforeEach(async () => {
    await startKernelVtep(two, { segments: [{ vni: 100, group: '239.1.1.1' }] });
    two.ip('addr', 'add', `${FAR}/24`, 'dev', 'vxlan100');
  });

  const start = async (...flags: string[]) => {
    daemon = await startVtepd(one, ['--dev', 'eth0', ...flags]);
  };

  const address = (where: Namespace, device: string) => {
    where.ip('addr', 'add', '192.0.2.1/24', 'dev', device);
    where.ip('link', 'set', device, 'up');
  };

  const reaches = (where: Namespace) =>
    waitFor(
      'answers',
      () => Promise.resolve(where.ping(FAR, { count: 2 })),
      (count) => count === 2,
      { everyMs: 50 },
    );

  const shown = async () => (await daemon.get<Shown[]>('/v1/vnis'))[0] as Shown;
  const statusIs = (text: string) =>
    waitFor(
      'the status',
      async () => (await shown()).status,
      (now) => now === text,
    );
  const logged = (event: string) => daemon.stdout.split('\n').filter((line) => line.includes(`"event":"${event}"`));
  const fault = async () => {
    const findings = await daemon.get<Finding[]>('/v1/doctor');
    return findings.find(({ check, status }) => check === 'vni' && status !== 'ok');
  };
  const mend = (remedy: string | null | undefined) => {
    one.run('sh', '-c', (remedy ?? 'false').replaceAll(/(?<=^|&& )vtepctl\b/g, `${process.execPath} ${VTEPCTL}`));
  };
  const bridge = (name: string, ...more: string[]) => {
    one.ip('link', 'add', name, 'up', 'type', 'bridge', 'mcast_snooping', '0', ...more);
    lab.scope.defer(() => {
      if (one.link(name)) one.ip('link', 'del', name);
    });
  };

  describe('and its namespace', () => {
    test.each([
      ['one queue', ['--vni', VNI], 'vxlan100'],
      ['a queue for each worker', ['--vni', VNI, '--workers', '2'], 'vxlan100'],
      ['the trunk', ['--trunk', 'trunk0', '--vni', `${VNI},vlan=0`], 'trunk0'],
    ])('is handed to a container, renamed there, and comes back: %s', async (_what, flags, tap) => {
      await start(...flags);
      address(one, tap);
      await reaches(one);
      const container = lab.namespace('c');
      one.ip('link', 'set', tap, 'netns', container.namespace);
      await statusIs(`${tap} in namespace ${container.namespace} is down`);
      expect(await fault()).toMatchObject({ remedy: `ip -n ${container.namespace} link set ${tap} up` });
      container.ip('link', 'set', tap, 'name', 'eth0');
      container.ip('link', 'set', 'eth0', 'address', '02:00:00:00:0c:01');
      address(container, 'eth0');
      await reaches(container);
      await statusIs('ok');
      expect(await shown()).toMatchObject({ tap, device: 'eth0', namespace: container.namespace });
      expect((await daemon.runCtl('vni', 'show')).stdout).toContain(`eth0(${tap})@${container.namespace}`);
      expect(await daemon.getText('/metrics')).toMatch(/^vtep_vni_up\{.*vni="100".*\} 1$/m);
      expect(await fault()).toBeUndefined();
      // Its MAC is the VTEP's own, wherever it is.
      const before = (await daemon.get<{ rx: Record<string, number> }>('/v1/drops')).rx['own-mac'] ?? 0;
      const drops = async () => {
        sendProbe(two.packetSocket('vxlan100'), { dst: BROADCAST, src: '02:00:00:00:0c:01', text: 'forged' });
        return (await daemon.get<{ rx: Record<string, number> }>('/v1/drops')).rx['own-mac'] ?? 0;
      };
      await waitFor('the drop', drops, (count) => count > before);
      container.ip('link', 'set', 'eth0', 'netns', one.namespace, 'name', tap);
      address(one, tap);
      await reaches(one);
      expect(await shown()).toMatchObject({ device: tap, namespace: null, status: 'ok' });
      expect(logged('tap-gone')).toEqual([]);
    });

    test('goes with a container that ends, and is made anew with its MAC', async () => {
      await start('--vni', VNI);
      const mac = one.link('vxlan100')?.address;
      const container = lab.namespace('c');
      one.ip('link', 'set', 'vxlan100', 'netns', container.namespace);
      await waitUntil('it is seen there', async () => (await shown()).namespace === container.namespace);
      deleteNamespace(container.namespace);
      await waitUntil('it is there again', () => one.link('vxlan100') !== undefined);
      expect(one.link('vxlan100')?.address).toBe(mac);
      address(one, 'vxlan100');
      await reaches(one);
    });

    test('is deleted by the stop wherever it is, unless it is to outlive vtepd, which says where it stays', async () => {
      const container = lab.namespace('c');
      for (const more of [[], ['--persist', '--state-dir', join(lab.folder, 'away')]]) {
        await start('--vni', VNI, ...more);
        one.ip('link', 'set', 'vxlan100', 'netns', container.namespace);
        await waitUntil('it is seen there', async () => (await shown()).namespace !== null);
        await daemon.stop();
        expect(container.link('vxlan100') !== undefined).toBe(more.length > 0);
        expect(logged('tap-left')).toHaveLength(more.length > 0 ? 1 : 0);
      }
    });
  });

  describe('and its name', () => {
    test('is told by both, and mended, deleted and found again by the present one', async () => {
      const flags = ['--persist', '--state-dir', join(lab.folder, 'renamed'), '--vni', VNI];
      await start(...flags);
      one.ip('link', 'set', 'vxlan100', 'down', 'name', 'foo');
      address(one, 'foo');
      await reaches(one);
      expect(await shown()).toMatchObject({ tap: 'vxlan100', device: 'foo', status: 'ok' });
      one.ip('link', 'set', 'foo', 'down');
      await statusIs('foo (vxlan100) is down');
      mend((await fault())?.remedy);
      await statusIs('ok');
      await daemon.stop();
      await start(...flags);
      await reaches(one);
      await daemon.stop();
      // While nobody sees it.
      one.ip('link', 'set', 'foo', 'down', 'name', 'bar', 'alias', `vtepd ${join(lab.folder, 'renamed')}`);
      await start(...flags);
      await reaches(one);
      expect(one.links().filter(({ ifname }) => /foo|bar|vxlan100/.test(ifname))).toHaveLength(1);
      await daemon.ctl('vni', 'del', '100');
      expect(one.link('bar')).toBeUndefined();
    });
  });

  describe('and its settings', () => {
    test('has its MAC and MTU put back, and says who is in the way where somebody insists', async () => {
      await start('--vni', `${VNI},mac=02:aa:aa:aa:aa:aa,mtu=1400`);
      const now = () => `${one.link('vxlan100')?.address} ${one.link('vxlan100')?.mtu}`;
      one.ip('link', 'set', 'vxlan100', 'address', '02:11:22:33:44:55', 'mtu', '900');
      await statusIs('vxlan100 has MAC 02:11:22:33:44:55, not 02:aa:aa:aa:aa:aa');
      await waitUntil('all as before', () => now() === '02:aa:aa:aa:aa:aa 1400');
      await statusIs('ok');
      for (let i = 0; i < 2; i++) {
        one.ip('link', 'set', 'vxlan100', 'mtu', '900');
        await waitUntil('as before', () => now().endsWith('1400'));
      }
      one.ip('link', 'set', 'vxlan100', 'mtu', '900');
      await waitUntil('it is told', () => logged('tap-contested').length > 0);
      await statusIs('vxlan100 has MTU 900, not 1400');
      const told = await fault();
      expect(told).toMatchObject({ status: 'warning', remedy: 'ip link set vxlan100 mtu 1400' });
      expect(told?.message).toContain('restored it 3 times');
      mend(told?.remedy);
      await statusIs('ok');
    });

    test('without mac= and mtu= keeps what it was given, and goes by it', async () => {
      await start('--vni', VNI);
      one.ip('link', 'set', 'vxlan100', 'address', '02:11:22:33:44:55', 'mtu', '1300');
      address(one, 'vxlan100');
      await reaches(one);
      await sleep(1_500);
      expect(one.link('vxlan100')).toMatchObject({ address: '02:11:22:33:44:55', mtu: 1300 });
      expect(await shown()).toMatchObject({ mtu: 1300, status: 'ok' });
      expect(logged('tap-mtu')).toHaveLength(1);
      expect(one.ping(FAR, { size: 1272 })).toBe(3);
    });

    test('keeps the MAC that it is adopted with from being a static entry', async () => {
      one.ip('tuntap', 'add', 'dev', 'vxlan100', 'mode', 'tap');
      lab.scope.defer(() => void one.ip('link', 'del', 'vxlan100'));
      one.ip('link', 'set', 'vxlan100', 'address', '02:00:00:00:00:77');
      const args = ['--dev', 'eth0', '--vni', `${VNI},static=02:00:00:00:00:77@198.18.0.2`];
      expect(await runVtepd(one, args)).toMatchObject({ code: 1, stderr: expect.stringContaining('the TAP’s own') });
    });
  });

  describe('and its bridge', () => {
    test('is put back where the bridge was made again or it was taken out, and left where somebody put it', async () => {
      bridge('br-t');
      await start('--vni', `${VNI},bridge=br-t`);
      one.ip('link', 'del', 'br-t');
      await statusIs('vxlan100 is not in br-t');
      const missing = await fault();
      expect(missing?.remedy).toBe('ip link add br-t up type bridge');
      mend(missing?.remedy);
      await statusIs('ok');
      address(one, 'br-t');
      await reaches(one);
      one.ip('link', 'set', 'br-t', 'down');
      await statusIs('br-t is down');
      mend((await fault())?.remedy);
      await statusIs('ok');
      one.ip('link', 'set', 'vxlan100', 'nomaster');
      await statusIs('vxlan100 is not in br-t');
      await statusIs('ok');
      bridge('br-x');
      one.ip('link', 'set', 'vxlan100', 'master', 'br-x');
      await statusIs('vxlan100 is in br-x, not in br-t');
      expect(await fault()).toMatchObject({ status: 'failed', remedy: null });
      await sleep(1_500);
      expect(one.link('vxlan100')?.master).toBe('br-x');
    });

    test('stays out of bridges where none is asked for, and in those that an operator chose', async () => {
      bridge('br-h');
      await start('--vni', VNI);
      one.ip('link', 'set', 'vxlan100', 'master', 'br-h');
      await sleep(1_500);
      expect(await shown()).toMatchObject({ bridge: 'br-h', status: 'ok' });
      one.ip('link', 'set', 'vxlan100', 'nomaster');
      await sleep(1_500);
      expect(await shown()).toMatchObject({ bridge: null, status: 'ok' });
    });

    test('says that spanning tree holds it after a restart, until it forwards', async () => {
      bridge('br-t', 'stp_state', '1', 'forward_delay', '500');
      one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'br-t');
      const flags = ['--persist', '--state-dir', join(lab.folder, 'stp'), '--vni', `${VNI},bridge=br-t`];
      for (let run = 0; run < 2; run++) {
        await start(...flags);
        await statusIs('vxlan100 is listening in br-t (spanning tree)');
        if (run === 0) await daemon.stop();
      }
      const told = await fault();
      expect(told).toMatchObject({ status: 'warning', remedy: 'ip link set br-t type bridge forward_delay 400' });
      mend(told?.remedy);
      await waitFor(
        'it forwards',
        async () => (await shown()).status,
        (now) => now === 'ok',
        { timeoutMs: 12_000 },
      );
      await reaches(one);
      await waitUntil('the log', () => logged('vni-status').some((line) => line.includes('"to":"ok"')));
      const words = logged('vni-status').map((line) => (JSON.parse(line) as { to: string }).to);
      expect(words.filter((word) => word !== 'group not joined').slice(-3)).toEqual([
        'vxlan100 is listening in br-t (spanning tree)',
        'vxlan100 is learning in br-t (spanning tree)',
        'ok',
      ]);
      await daemon.ctl('vni', 'del', '100');
    }, 30_000);
  });

  describe('and is deleted', () => {
    test('is made anew with MAC, MTU and bridge, and not for ever', async () => {
      bridge('br-t');
      await start('--vni', `${VNI},bridge=br-t,mtu=1400`);
      const lasting = () => {
        const { address: mac, mtu, master, flags = [] } = one.link('vxlan100') ?? {};
        return { mac, mtu, master, isUp: flags.includes('UP') };
      };
      const before = lasting();
      one.ip('link', 'del', 'vxlan100');
      await statusIs('vxlan100 is gone');
      await statusIs('ok');
      expect(lasting()).toEqual(before);
      address(one, 'br-t');
      await reaches(one);
      for (let i = 0; i < 2; i++) {
        one.ip('link', 'del', 'vxlan100');
        await waitUntil('it is there again', () => one.link('vxlan100') !== undefined);
      }
      one.ip('link', 'del', 'vxlan100');
      await waitUntil('it is told', () => logged('tap-contested').length > 0);
      await statusIs('vxlan100 is gone');
      expect((await fault())?.message).toContain('restored it 3 times');
      // What somebody did, he may order otherwise.
      mend((await fault())?.remedy);
      await statusIs('ok');
    }, 30_000);

    test('is adopted where its owner makes it again, and waited for where its name is taken', async () => {
      await start('--vni', VNI);
      one.ip('link', 'del', 'vxlan100');
      one.ip('tuntap', 'add', 'dev', 'vxlan100', 'mode', 'tap');
      one.ip('link', 'set', 'vxlan100', 'address', '02:00:00:00:00:77');
      await statusIs('ok');
      one.ip('link', 'del', 'vxlan100');
      one.ip('link', 'add', 'vxlan100', 'type', 'bridge');
      await waitFor(
        'the reason',
        async () => (await fault())?.message,
        (text) => text?.includes('a bridge device') === true,
      );
      one.ip('link', 'del', 'vxlan100');
      await statusIs('ok');
    });

    test('the trunk too, for all of its VNIs', async () => {
      await start('--trunk', 'trunk0', '--vni', `${VNI},vlan=0`, '--vni', '200=239.1.1.2,vlan=20', '--workers', '2');
      one.ip('link', 'del', 'trunk0');
      await statusIs('trunk0 is gone');
      await statusIs('ok');
      address(one, 'trunk0');
      await reaches(one);
      expect([logged('tap-gone'), logged('tap-remade')].map(({ length }) => length)).toEqual([1, 1]);
    });
  });

  test('each change of a status is told once: log, events, metrics', async () => {
    await start('--vni', VNI);
    const monitor = await startMonitor(one, daemon);
    one.ip('link', 'set', 'vxlan100', 'down');
    await statusIs('vxlan100 is down');
    await waitFor(
      'the metric',
      () => daemon.getText('/metrics'),
      (text) => /^vtep_vni_up\{.*\} 0$/m.test(text),
    );
    await waitUntil('the log', () => logged('vni-status').length > 0);
    one.ip('link', 'set', 'vxlan100', 'up');
    await waitUntil('the log', () => logged('vni-status').length > 1);
    one.ip('link', 'set', 'eth0', 'down');
    await waitUntil('the log', () => logged('vni-status').length > 2);
    const told = () => monitor.events.filter(({ event }) => (event as string) === 'status');
    await waitUntil('the events', () => told().length >= 3);
    expect(told().slice(0, 2)).toEqual([
      { time: expect.any(String), event: 'status', vni: 100, status: 'vxlan100 is down', from: 'ok' },
      { time: expect.any(String), event: 'status', vni: 100, status: 'ok', from: 'vxlan100 is down' },
    ]);
    expect(told()[2]).toMatchObject({ vni: 100, from: 'ok' });
    one.ip('link', 'set', 'eth0', 'up');
    one.ip('route', 'replace', '224.0.0.0/4', 'dev', 'eth0');
  });

  test('a reload of the same file brings the TAP to what a start would make of it', async () => {
    for (const name of ['br-t', 'br-x']) bridge(name);
    const file = join(lab.folder, 'same.yaml');
    writeFileSync(file, 'dev: eth0\nvnis:\n  - {vni: 100, group: 239.1.1.1, bridge: br-t, mac: "02:aa:aa:aa:aa:aa"}\n');
    daemon = await startVtepd(one, ['--config', file]);
    one.ip('link', 'set', 'vxlan100', 'down', 'address', '02:11:22:33:44:55', 'mtu', '1300', 'master', 'br-x');
    await daemon.ctl('reload');
    const wanted = { address: '02:aa:aa:aa:aa:aa', mtu: 1450, master: 'br-t', flags: expect.arrayContaining(['UP']) };
    expect(one.link('vxlan100')).toMatchObject(wanted);
    await statusIs('ok');
    one.ip('link', 'del', 'vxlan100');
    await statusIs('vxlan100 is gone');
    await daemon.ctl('reload');
    expect(one.link('vxlan100')).toMatchObject(wanted);
  });
});
