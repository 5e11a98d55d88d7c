/**
 * The keys of EVPN in a running daemon, and the interface of VNIs whose destinations all come from EVPN. No BGP speaker runs.
 *
 *     vxlan… ── host 1  198.18.0.1, and where a test says so a default route, eth1 or dum0 ── vtepd with --evpn
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runVtepd, startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';

const EVPN = ['--evpn', '127.0.0.1:50051'];

describeSystem('the keys of EVPN', () => {
  const lab = useLab({ hosts: 1 });
  const one = lab.host(1);

  const vnisShown = async (daemon: VtepdProcess) => (await daemon.ctl<{ vnis: object[] }>('config', 'show')).vnis;
  const indexOf = (tap: string) => one.run('cat', `/sys/class/net/${tap}/ifindex`);
  const devOf = async (daemon: VtepdProcess) => (await daemon.ctl<{ dev: string[] }>('status')).dev;

  function addDefaultRoute(): void {
    one.ip('route', 'add', 'default', 'via', '198.18.0.254', 'dev', 'eth0');
    lab.scope.defer(() => void one.ip('route', 'del', 'default'));
  }

  test('are live: vni add, reload and config show, with the TAP as it was', async () => {
    const path = join(lab.folder, 'vtepd.yaml');
    const file = (keys: string) => `dev: eth0\nevpn: 127.0.0.1:50051\nvnis:\n  - {vni: 100${keys}}\n`;
    writeFileSync(path, file(''));
    const daemon = await startVtepd(one, ['--config', path]);
    const tap = indexOf('vxlan100');
    await daemon.ctl('vni', 'add', '200=239.1.1.2,rd=192.0.2.1:200,rt=65000:200,rt=1.10:5');
    await daemon.ctl('vni', 'add', '300,remote=198.18.0.9,control=multicast');
    const added = [
      { vni: 200, group: '239.1.1.2', rd: '192.0.2.1:200', rt: ['65000:200', '65546:5'] },
      { vni: 300, remote: ['198.18.0.9'], control: 'multicast' },
    ];
    expect(await vnisShown(daemon)).toEqual([{ vni: 100 }, ...added]);
    for (const [keys, shown] of [
      [', control: both, rd: 65000:1', { control: 'both', rd: '65000:1' }],
      [', rt: rfc8365', { rt: ['rfc8365'] }],
      [', rt: [65000:1], remote: 198.18.0.8', { rt: ['65000:1'], remote: ['198.18.0.8'] }],
      [', control: multicast', { control: 'multicast' }],
    ] as const) {
      writeFileSync(path, file(keys));
      expect(await daemon.runCtl('reload')).toMatchObject({ code: 0, stderr: '' });
      expect((await vnisShown(daemon))[0]).toEqual({ vni: 100, ...shown });
    }
    expect(indexOf('vxlan100')).toBe(tap);
    for (const [text, message] of [
      [file(', rd: 192.0.2.1:200'), 'rd=192.0.2.1:200 is already used by VNI 200'],
      [file('').replace('evpn: 127.0.0.1:50051', ''), 'reload: evpn: cannot change while vtepd runs'],
      [`${file('')}evpn-hold: 5\n`, 'reload: evpn-hold: cannot change while vtepd runs'],
    ] as const) {
      writeFileSync(path, text);
      expect(await daemon.runCtl('reload')).toMatchObject({ code: 1, stderr: expect.stringContaining(message) });
      expect((await vnisShown(daemon))[0]).toEqual({ vni: 100, control: 'multicast' });
    }
    const shown = await daemon.runCtl('config', 'show');
    writeFileSync(path, shown.stdout);
    expect(await runVtepd(one, ['--config', path, '--check'])).toMatchObject({ code: 0, stderr: '' });
  });

  test('are refused live in one line', async () => {
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100', ...EVPN]);
    for (const [args, code, message] of [
      [['vni', 'add', '200=239.1.1.2,control=evpn'], 1, 'control=evpn cannot be combined with a group'],
      [['vni', 'add', '200,rd=x'], 64, 'rd=x is not ADMIN:VALUE'],
      [['remote', 'add', '198.18.0.9', '--vni', '100'], 1, 'with control=evpn only EVPN names remotes'],
    ] as const) {
      const { stderr, ...ended } = await daemon.runCtl(...args);
      expect([ended.code, stderr]).toEqual([code, expect.stringContaining(message)]);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }
    const plain = await startVtepd(one, ['--dev', 'eth0', '--port', '4790', '--vni', '500']);
    expect(await plain.runCtl('evpn', 'show')).toMatchObject({
      code: 1,
      stderr: 'vtepctl: evpn: this vtepd runs without BGP EVPN: start vtepd with --evpn ADDR\n',
    });
    const refused = await plain.runCtl('vni', 'add', '600,control=both');
    expect(refused).toMatchObject({
      code: 1,
      stderr: 'vtepctl: vni add 600,control=both: control=both needs a BGP speaker: give --evpn ADDR\n',
    });
  });

  test('evpn show, evpn routes and the metrics say that there is no session', async () => {
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100,rd=65000:100,rt=65000:7', ...EVPN]);
    expect(await daemon.ctl('evpn', 'show')).toMatchObject({
      session: { address: '127.0.0.1:50051', state: 'connecting', dialect: null, asn: null, peers: [] },
      vnis: [{ vni: 100, control: 'evpn', importTargets: ['65000:7'], announced: false }],
    });
    expect(await daemon.ctl('evpn', 'routes')).toEqual([]);
    const { stdout } = await daemon.runCtl('evpn', 'show');
    expect(stdout).toMatch(/^session: connecting for \d+s$/m);
    const findings = await daemon.get<{ check: string; status: string; message: string }[]>('/v1/doctor');
    const evpn = findings.filter(({ check }) => /^evpn(-api|-peers)?$/.test(check));
    expect(evpn).toMatchObject([
      {
        check: 'evpn',
        status: 'failed',
        message: expect.stringMatching(/^vtepd is not connected to the BGP speaker: ./),
      },
      { check: 'evpn-api', status: 'ok' },
    ]);
    expect(await daemon.getText('/metrics')).toMatch(/^vtep_evpn_session_up 0$/m);
  });

  test('a VNI with EVPN alone uses the interface of the default route, which must exist', async () => {
    const args = ['--vni', '100', ...EVPN];
    expect(await runVtepd(one, args)).toMatchObject({
      code: 1,
      stderr:
        'vtepd: --vni 100: no GROUP or remote to route to, and no default route: name the underlay interface with --dev\n',
    });
    addDefaultRoute();
    const daemon = await startVtepd(one, args);
    expect(await devOf(daemon)).toEqual(['eth0']);
    expect(await daemon.ctl('vni', 'show')).toMatchObject([{ vni: 100, group: null, mtu: 1450, status: 'ok' }]);
    await daemon.ctl('vni', 'add', '200');
    expect(await daemon.ctl('vni', 'show', '200')).toMatchObject([{ vni: 200, mtu: 1450 }]);
  });

  test('or the interface of the --local address, unless that is a loopback or dummy interface', async () => {
    one.ip('link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'peer1');
    lab.scope.defer(() => void one.ip('link', 'del', 'eth1'));
    one.ip('link', 'set', 'eth1', 'mtu', '1400', 'up');
    one.ip('addr', 'add', '203.0.113.77/32', 'dev', 'eth1');
    one.ip('addr', 'add', '198.18.7.1/32', 'dev', 'lo');
    lab.scope.defer(() => void one.ip('addr', 'del', '198.18.7.1/32', 'dev', 'lo'));
    addDefaultRoute();
    const onEth1 = await startVtepd(one, ['--vni', '100', '--local', '203.0.113.77', ...EVPN]);
    expect(await devOf(onEth1)).toEqual(['eth1']);
    expect(await onEth1.ctl('vni', 'show')).toMatchObject([{ mtu: 1350 }]);
    await onEth1.stop();
    const onLoopback = await startVtepd(one, ['--vni', '100', '--local', '198.18.7.1', ...EVPN]);
    expect(await onLoopback.ctl('status')).toMatchObject({ dev: ['eth0'], local: ['198.18.7.1'] });
    expect(await onLoopback.ctl('vni', 'show')).toMatchObject([{ mtu: 1450, status: 'ok' }]);
  });
});
