/**
 * From start to end: when the daemon says it is ready, what it leaves behind, and what an idle one costs.
 *
 *     vxlan100  vxlan200 ── host 1  198.18.0.1 ── cable
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NotifySocket } from '../../support/daemon/notify-socket.ts';
import { runVtepd, startVtepd, VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { HeldTap } from '../../support/host/held-tap.ts';
import { inNamespace, ipJson, RUN_PREFIX } from '../../support/host/namespaces.ts';
import { cpuSeconds } from '../../support/host/processes.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { readIgmp } from '../../support/traffic/frames.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

const GROUP = '239.1.1.1';
const ARGS = ['--dev', 'eth0', '--vni', `100=${GROUP}`, '--vni', '200=239.1.1.2'];

interface Status {
  readonly version: string;
  readonly pid: number;
  readonly uptime: number;
  readonly local: readonly string[];
  readonly dev: readonly string[];
  readonly port: number;
  readonly vnis: number;
}

describeSystem('lifecycle', () => {
  const lab = useLab({ hosts: 1 });
  const host = lab.host(1);

  function taps(): string[] {
    return host
      .links()
      .map(({ ifname }) => ifname)
      .filter((name) => name !== 'lo' && name !== 'eth0');
  }

  test.each([
    ['a path', ['239.5.0.1', '239.5.0.2']],
    ['an abstract name', ['239.6.0.1', '239.6.0.2']],
  ] as const)('READY=1 comes when all is up, STOPPING=1 at the end: %s', async (kind, [first, second]) => {
    const address = kind === 'a path' ? join(lab.folder, 'notify.sock') : `@${RUN_PREFIX}notify`;
    const args = ['--dev', 'eth0', '--vni', `100=${first}`, '--vni', `200=${second}`];
    // Abstract names belong to a network namespace.
    const notify = lab.keep(inNamespace(host.namespace, () => new NotifySocket(address)));
    const cable = host.cable();
    const daemon = new VtepdProcess(host, args, { env: { NOTIFY_SOCKET: address } });
    await notify.waitForLine('READY=1');
    // Nothing may be awaited between the notification and these: what is missing now came too late.
    const links = host.links().filter(({ ifname }) => ifname.startsWith('vxlan'));
    const [groups, sockets] = [host.joinedGroups(), host.udpSockets()];
    expect(existsSync(daemon.socket)).toBe(true);
    expect(links.map(({ ifname }) => ifname)).toEqual(['vxlan100', 'vxlan200']);
    for (const { flags } of links) expect(flags).toContain('UP');
    expect(groups).toEqual([`eth0 ${first}`, `eth0 ${second}`]);
    expect(sockets).toEqual(expect.arrayContaining(['0.0.0.0:4789', `${first}:4789`, `${second}:4789`]));
    expect(notify.lines().filter((line) => line === 'READY=1')).toHaveLength(1);
    expect(notify.lines()).not.toContain('STOPPING=1');

    const { code, ms } = await daemon.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2000);
    expect(notify.lines()).toContain('STOPPING=1');
    expect({ taps: taps(), groups: host.joinedGroups(), udp: host.udpSockets() }).toEqual({
      taps: [],
      groups: [],
      udp: [],
    });
    expect(existsSync(daemon.socket)).toBe(false);
    const left = () => {
      const events = cable.drain().flatMap(({ bytes }) => readIgmp(bytes));
      return events.filter(({ event }) => event === 'leave').map(({ group }) => group);
    };
    await waitFor('both leaves', left, (gone) => gone.includes(first) && gone.includes(second));
  });

  test('STATUS= tells how many VNIs there are, also when some are added and deleted', async () => {
    const notify = lab.keep(new NotifySocket(join(lab.folder, 'status-notify.sock')));
    const daemon = await startVtepd(host, ARGS, { env: { NOTIFY_SOCKET: notify.address } });
    await notify.waitForLine('STATUS=2 VNIs on eth0');
    await daemon.ctl('vni', 'add', '300=239.1.1.3');
    await notify.waitForLine('STATUS=3 VNIs on eth0');
    for (const vni of [100, 200]) await daemon.ctl('vni', 'del', `${vni}`);
    await notify.waitForLine('STATUS=1 VNI on eth0');
    expect(await daemon.runCtl('vni', 'add', '300')).toMatchObject({ code: 1 });
    expect(notify.lines().filter((line) => line.startsWith('STATUS='))).toEqual([
      'STATUS=2 VNIs on eth0',
      'STATUS=3 VNIs on eth0',
      'STATUS=2 VNIs on eth0',
      'STATUS=1 VNI on eth0',
    ]);
  });

  test('a daemon that is refused never says READY=1', async () => {
    const notify = lab.keep(new NotifySocket(join(lab.folder, 'refused-notify.sock')));
    const { code } = await runVtepd(host, [...ARGS, '--vni', '300=239.1.1.3,mtu=9000'], {
      env: { NOTIFY_SOCKET: notify.address },
    });
    expect(code).toBe(1);
    expect(notify.lines()).not.toContain('READY=1');
  });

  test('status tells what runs', async () => {
    const daemon = await startVtepd(host, ARGS);
    const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as Status;
    const status = await daemon.ctl<Status>('status');
    expect(status).toMatchObject({
      version,
      pid: daemon.pid,
      local: ['198.18.0.1'],
      dev: ['eth0'],
      port: 4789,
      vnis: 2,
    });
    expect(status.uptime).toBeLessThan(20);
    const shown = await daemon.ctl<Record<string, unknown>[]>('vni', 'show');
    expect(shown).toHaveLength(2);
    expect(shown[0]).toMatchObject({ vni: 100, group: GROUP, remotes: [], tap: 'vxlan100', mtu: 1450, bridge: null });
    expect(shown[0]).toMatchObject({ learning: true, macs: 0, joined: true, status: 'ok' });
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('%s: exit 0', async (signal) => {
    const daemon = await startVtepd(host, ARGS);
    expect(await daemon.stop(signal)).toMatchObject({ code: 0, signal: null });
    expect(taps()).toEqual([]);
  });

  test('SIGTERM while starting leaves nothing either', async () => {
    for (const ms of [50, 150, 300, 450]) {
      const daemon = new VtepdProcess(host, ARGS);
      await sleep(ms);
      await daemon.stop();
      expect({ taps: taps(), groups: host.joinedGroups() }).toEqual({ taps: [], groups: [] });
      expect(existsSync(daemon.socket)).toBe(false);
    }
  });

  test('100 TAPs are gone within 2 s of SIGTERM', async () => {
    const vnis = Array.from({ length: 100 }, (_, i) => ['--vni', `${1000 + i}=239.3.0.${i + 1}`]).flat();
    const daemon = await startVtepd(host, ['--dev', 'eth0', ...vnis]);
    expect(taps()).toHaveLength(100);
    expect(host.joinedGroups()).toHaveLength(100);
    const { code, ms } = await daemon.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2000);
    expect({ taps: taps(), groups: host.joinedGroups() }).toEqual({ taps: [], groups: [] });
  });

  test('T19: kill -9 leaves no TAP and no group', async () => {
    const daemon = await startVtepd(host, ARGS);
    expect(taps()).toEqual(['vxlan100', 'vxlan200']);
    daemon.kill('SIGKILL');
    await daemon.ended;
    await waitUntil('the TAPs to go', () => taps().length === 0);
    expect(host.joinedGroups()).toEqual([]);
  });

  describe('a TAP that is already there', () => {
    const mac = '02:00:00:00:77:01';

    function existingTap(): void {
      host.ip('tuntap', 'add', 'dev', 'vxlan100', 'mode', 'tap');
      lab.scope.defer(() => void host.ip('link', 'del', 'vxlan100'));
      host.ip('link', 'set', 'vxlan100', 'address', mac);
      host.ip('addr', 'add', '192.0.2.77/24', 'dev', 'vxlan100');
    }

    const index = () => ipJson<{ ifindex: number }[]>('-n', host.namespace, 'link', 'show', 'vxlan100')[0]?.ifindex;

    test('is adopted with its address, MAC and bridge, and kept after the end', async () => {
      host.ip('link', 'add', 'br-old', 'type', 'bridge');
      lab.scope.defer(() => void host.ip('link', 'del', 'br-old'));
      existingTap();
      host.ip('link', 'set', 'vxlan100', 'master', 'br-old');
      const before = index();
      const daemon = await startVtepd(host, ARGS);
      const adopted = () => ({ ...host.link('vxlan100'), addresses: host.addresses('vxlan100'), index: index() });
      const expected = { address: mac, master: 'br-old', addresses: ['192.0.2.77/24'], index: before };
      expect(adopted()).toMatchObject({ ...expected, mtu: 1450 });
      expect(adopted().flags).toContain('LOWER_UP');
      expect((await daemon.stop()).code).toBe(0);
      expect(adopted()).toMatchObject(expected);
      expect(adopted().flags).not.toContain('LOWER_UP');
      expect(taps().toSorted()).toEqual(['br-old', 'vxlan100']);
    });

    test('is kept when the daemon is killed', async () => {
      existingTap();
      const daemon = await startVtepd(host, ARGS);
      daemon.kill('SIGKILL');
      await daemon.ended;
      await waitUntil('the other TAP to go', () => taps().length === 1);
      expect(host.link('vxlan100')).toMatchObject({ address: mac });
      const next = await startVtepd(host, ARGS);
      expect(host.addresses('vxlan100')).toEqual(['192.0.2.77/24']);
      await next.stop();
    });

    test('is refused when another program holds it, and stays that program’s', async () => {
      existingTap();
      lab.keep(new HeldTap(host.namespace, 'vxlan100'));
      const { code, stderr } = await runVtepd(host, ARGS);
      expect(code).toBe(1);
      expect(stderr).toMatch('vxlan100');
      expect(host.link('vxlan100')).toMatchObject({ address: mac });
      expect(taps()).toEqual(['vxlan100']);
    });
  });

  test('the MAC of a TAP is the same after a restart, and differs between VNIs', async () => {
    const macs = async () => {
      const daemon = await startVtepd(host, ARGS);
      const found = ['vxlan100', 'vxlan200'].map((name) => host.link(name)?.address);
      await daemon.stop();
      return found;
    };
    const first = await macs();
    for (const mac of first) expect(mac).toMatch(/^fe:/);
    expect(first[0]).not.toBe(first[1]);
    expect(await macs()).toEqual(first);
  });

  test('an idle daemon costs next to nothing', async () => {
    const daemon = await startVtepd(host, ARGS);
    // Start-up work that is still going on (compilation, first timers) is not idleness.
    await sleep(1000);
    const before = cpuSeconds(daemon.pid);
    await sleep(5000);
    const percent = ((cpuSeconds(daemon.pid) - before) / 5) * 100;
    process.stdout.write(`idle daemon: ${percent.toFixed(1)} % of a core\n`);
    expect(percent).toBeLessThan(5);
  });
});
