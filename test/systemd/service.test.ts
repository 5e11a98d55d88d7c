/**
 * vtepd as a service of a real systemd, with journald, as a user of its own.
 *
 *     vxlan100 ── vtepd.service ── eth0 198.18.0.1 ── nobody
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { SystemdHost } from '../support/host/systemd-host.ts';
import { describeSystem } from '../support/lab/lab.ts';
import { waitFor } from '../support/wait.ts';

const FILE = '/etc/vtepd/vtepd.yaml';
const vnis = (...numbers: number[]) =>
  ['dev: eth0', 'vnis:', ...numbers.map((vni) => `  - vni: ${vni}\n    group: 239.1.1.${vni % 100}`)].join('\n');

describeSystem('vtepd.service', () => {
  let host: SystemdHost;
  beforeAll(async () => {
    host = await SystemdHost.boot();
  });
  afterAll(() => host?.close());

  beforeEach(async () => {
    await host.sh(
      `systemctl stop 'vtepd@*' vtepd; rm -rf /run/systemd/system/vtepd*.d /etc/default/vtepd*; systemctl daemon-reload`,
    );
  });

  const write = (text: string, file = FILE) => host.sh(`cat > ${file} <<'END'\n${text}\nEND`);
  const taps = async () => (await host.sh('ip -br link')).match(/^vxlan\d+/gm) ?? [];

  /** Adds settings to a unit's [Service] section. */
  async function dropIn(unit: string, ...settings: string[]): Promise<void> {
    const folder = `/run/systemd/system/${unit}.d`;
    await host.sh(`mkdir -p ${folder}; printf '%s\\n' '[Service]' ${settings.join(' ')} > ${folder}/test.conf`);
    await host.sh('systemctl daemon-reload');
  }

  test('starts when all is up, reloads or says why not, and leaves nothing', async () => {
    await write(vnis(101));
    await host.sh('systemctl start vtepd');
    expect(await taps()).toEqual(['vxlan101']);
    expect(await host.sh('stat -c "%a %U %G" /run/vtepd/vtepd.sock')).toBe('660 vtepd vtepd\n');
    const status = ['StatusText', 'MainPID', 'User', 'NRestarts'];
    const before = await host.show('vtepd', ...status);
    expect(before).toMatchObject({ StatusText: '1 VNI on eth0', User: 'vtepd', NRestarts: '0' });

    await write(vnis(101, 102));
    await host.sh('systemctl reload vtepd');
    expect(await taps()).toEqual(['vxlan101', 'vxlan102']);
    expect(await host.show('vtepd', ...status)).toEqual({ ...before, StatusText: '2 VNIs on eth0' });

    await write(`${vnis(101, 102)}\nport: 4790`);
    expect((await host.run('systemctl', 'reload', 'vtepd')).code).not.toBe(0);
    expect(await taps()).toEqual(['vxlan101', 'vxlan102']);
    expect(await host.show('vtepd', 'ActiveState', 'SubState')).toEqual({ ActiveState: 'active', SubState: 'running' });

    await host.sh('systemctl stop vtepd');
    expect(await taps()).toEqual([]);
    const ended = await host.show('vtepd', 'Result', 'ExecMainStatus', 'ActiveState');
    expect(ended).toEqual({ Result: 'success', ExecMainStatus: '0', ActiveState: 'inactive' });

    // Each line as journald has it: with a priority, and no time but journald's.
    const lines = (await host.journal('vtepd', '_COMM=node')).filter(({ MESSAGE }) => MESSAGE.startsWith('{'));
    const events = lines.map(({ PRIORITY, MESSAGE }) => ({ PRIORITY, ...(JSON.parse(MESSAGE) as object) }));
    for (const event of events) expect(Object.keys(event)).not.toContain('time');
    expect(events).toContainEqual(expect.objectContaining({ PRIORITY: '6', event: 'ready', vnis: 1 }));
    expect(events).toContainEqual(expect.objectContaining({ PRIORITY: '3', event: 'reload-refused' }));
    const warnings = await host.journal('vtepd', '-p', 'warning', '_COMM=node');
    expect(warnings.map(({ PRIORITY }) => PRIORITY)).not.toContain('6');
    expect(warnings.map(({ MESSAGE }) => MESSAGE).join('\n')).toMatch('reload-refused');
  });

  test('a fault in the options ends it with 64, filed as an error, and it is not tried again', async () => {
    await write('vnis: 7');
    expect((await host.run('systemctl', 'start', 'vtepd')).code).not.toBe(0);
    const ended = await host.show('vtepd', 'ExecMainStatus', 'ActiveState', 'NRestarts');
    expect(ended).toEqual({ ExecMainStatus: '64', ActiveState: 'failed', NRestarts: '0' });
    const errors = await host.journal('vtepd', '-p', 'err', '-t', 'vtepd');
    expect(errors.map(({ MESSAGE }) => MESSAGE).at(-1)).toMatch(/^vtepd: .*vnis/);
    await host.sh('systemctl reset-failed vtepd');
  });

  test('one that hangs is ended, and another takes its place', async () => {
    await write(vnis(101));
    await dropIn('vtepd.service', 'WatchdogSec=5');
    await host.sh('systemctl start vtepd');
    const { MainPID } = await host.show('vtepd', 'MainPID');
    await host.sh(`kill -STOP ${MainPID}`);
    const isBack = (shown: Record<string, string>) => shown.SubState === 'running' && shown.MainPID !== MainPID;
    const look = () => host.show('vtepd', 'MainPID', 'SubState');
    await waitFor('a successor', look, isBack, { timeoutMs: 40_000, everyMs: 100 });
    expect(await taps()).toEqual(['vxlan101']);
    const lines = await host.journal('vtepd', '_COMM=systemd');
    expect(lines.map(({ MESSAGE }) => MESSAGE).join('\n')).toMatch('Watchdog timeout');
  });

  test('two instances have a port, a socket and a state of their own', async () => {
    await write(`persist: on\n${vnis(101)}`, '/etc/vtepd/red.yaml');
    await write(`port: 4790\n${vnis(102)}`, '/etc/vtepd/blue.yaml');
    await host.sh('systemctl start vtepd@red vtepd@blue');
    expect(await taps()).toEqual(expect.arrayContaining(['vxlan101', 'vxlan102']));
    for (const [name, port] of [
      ['red', 4789],
      ['blue', 4790],
    ]) {
      const status = await host.sh(`vtepctl --socket /run/vtepd-${name}/vtepd.sock --json status`);
      expect(JSON.parse(status)).toMatchObject({ port, vnis: 1 });
      expect(await host.sh(`stat -c %U /var/lib/vtepd-${name}`)).toBe('vtepd\n');
    }
    await write(`persist: on\n${vnis(101, 103)}`, '/etc/vtepd/red.yaml');
    await host.sh('systemctl reload vtepd@red; systemctl stop vtepd@blue');
    expect(await taps()).toEqual(expect.arrayContaining(['vxlan101', 'vxlan103']));
    await host.sh('systemctl stop vtepd@red');
    expect(await taps()).toEqual(['vxlan101', 'vxlan103']);
    expect(await host.sh('cat /sys/class/net/vxlan101/ifalias; ls /var/lib/vtepd-red')).toBe(
      'vtepd /var/lib/vtepd-red\nfdb.snapshot\nlock\n',
    );
    await host.sh('ip link del vxlan101; ip link del vxlan103');
  });

  test('with a TAP made beforehand it needs no capability', async () => {
    await host.sh('ip tuntap add dev vxlan101 mode tap user vtepd; ip link set vxlan101 mtu 1450 up');
    try {
      await write(vnis(101));
      await dropIn('vtepd.service', 'AmbientCapabilities=', 'CapabilityBoundingSet=');
      await host.sh('systemctl start vtepd');
      const { MainPID } = await host.show('vtepd', 'MainPID');
      const status = await host.sh(`cat /proc/${MainPID}/status`);
      for (const set of ['CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(status).toMatch(`${set}:\t0000000000000000`);
      const [vni] = JSON.parse(await host.sh('vtepctl --json vni show')) as object[];
      expect(vni).toMatchObject({ vni: 101, tap: 'vxlan101', mtu: 1450, joined: true, status: 'ok' });
      await host.sh('systemctl stop vtepd');
      expect(await taps()).toEqual(['vxlan101']);
    } finally {
      await host.sh('systemctl stop vtepd; ip link del vxlan101');
    }
  });
});
