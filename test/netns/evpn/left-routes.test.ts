/** Routes that a killed vtepd leaves in gobgpd, which keeps them for as long as it runs. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { GOBGPD_API_PORT, Gobgpd } from '../../support/lab/gobgpd.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { waitFor } from '../../support/wait.ts';

const ROUTE_OF_ANOTHER = ['evpn', 'multicast', '198.18.0.77', 'etag', '0', 'rd', '64512:7', 'rt', '65000:100'];

describeSystem('routes that a killed vtepd leaves', () => {
  const lab = useLab({ hosts: 1 });
  const host = lab.host(1);
  let gobgpd: Gobgpd;
  let vtep: VtepdVtep;
  const stateDir = () => join(lab.folder, 'state');
  const flags = () => ['--evpn', `127.0.0.1:${GOBGPD_API_PORT}`, '--state-dir', stateDir()];
  const routes = () => gobgpd.cli('global', 'rib', '-a', 'evpn').match(/\[type:[^\s]*/g) ?? [];
  const ours = () => routes().filter((route) => route.includes('rd:198.18.0.1:100'));
  const withdraw = () =>
    spawnSync('ip', [
      ...['netns', 'exec', host.namespace, process.execPath, 'bin/vtepd'],
      ...['--vni', '100', '--dev', 'eth0', '--withdraw', ...flags()],
    ]);

  beforeAll(async () => {
    gobgpd = await Gobgpd.start(host, { asn: 65_000, routerId: '198.18.0.1' });
    const [, kind = '', ...rest] = ROUTE_OF_ANOTHER;
    gobgpd.cli('global', 'rib', 'add', '-a', 'evpn', kind, ...rest);
  });

  beforeEach(async () => {
    vtep = await startVtepdVtep(host, { segments: [{ vni: 100 }], flags: flags() });
    host.ip('addr', 'replace', '192.0.2.1/24', 'dev', 'vxlan100');
    // An ARP request of the host itself shows the MAC of its TAP.
    host.ping('192.0.2.77', { count: 1 });
    await waitFor('its routes are announced', ours, (found) => found.length >= 2);
  });

  test('are refused to be withdrawn while it runs', async () => {
    const { status, stderr } = withdraw();
    expect(stderr.toString()).toMatch(/^vtepd: --state-dir \S+: another vtepd keeps its state there/);
    expect(status).toBe(1);
    expect(ours().length).toBeGreaterThanOrEqual(2);
    await vtep.stop();
    expect(ours()).toEqual([]);
  });

  test('are withdrawn by --withdraw, and those of other programs are not', async () => {
    await vtep.daemon.stop('SIGKILL');
    const left = ours().length;
    expect(left).toBeGreaterThanOrEqual(2);
    const { status, stdout, stderr } = withdraw();
    expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: '' });
    expect(stdout.toString()).toBe(`vtepd: withdrew ${left} EVPN routes that a former run had left\n`);
    expect(routes()).toEqual([expect.stringContaining('rd:64512:7')]);
    expect(withdraw()).toMatchObject({ status: 0, stdout: Buffer.from('') });
  });

  test('are taken over by the next start, which withdraws those that are not true any more', async () => {
    await vtep.daemon.stop('SIGKILL');
    const macs = ours().filter((route) => route.includes('macadv'));
    expect(macs.length).toBeGreaterThanOrEqual(1);
    vtep = await startVtepdVtep(host, { segments: [{ vni: 100, keys: ['mac=02:00:00:00:00:99'] }], flags: flags() });
    await waitFor('the old MAC is withdrawn', ours, (found) => found.every((route) => !macs.includes(route)));
    expect(ours().filter((route) => route.includes('multicast'))).toHaveLength(1);
    await vtep.stop();
    expect(routes()).toEqual([expect.stringContaining('rd:64512:7')]);
  });

  test('cannot be withdrawn without the speaker, which is one line', async () => {
    await vtep.stop();
    await gobgpd.stop();
    const { status, stderr } = withdraw();
    expect(stderr.toString()).toMatch(/^vtepd: --evpn 127\.0\.0\.1:50051: [^\n]+\n$/);
    expect(status).toBe(1);
  });
});
