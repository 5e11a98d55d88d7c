/**
 * VNIs of the trunk that come and go while others of it are in use.
 *
 *        trunk0 (VLAN 10, 20, …) ─ host 1: vtepd ──┬── VNI 1010, 1020
 *   vxlan1010, vxlan1020         ─ host 2: vtepd ──┘
 */
import { describe, expect, test } from 'vitest';
import { startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import { arrivesAt, sendProbe } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const GROUP = '239.1.1.1';
const TEN = `1010=${GROUP},vlan=10`;
const TWENTY = `1020=${GROUP},vlan=20`;

interface Shown {
  readonly vni: number;
  readonly vlan: number | null;
  readonly tap: string;
  readonly mtu: number;
  readonly status: string;
}

describeSystem('VNIs of a trunk changed live', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  async function isServed(vni: 1010 | 1020, round: string): Promise<void> {
    const [trunk, tap] = [one.packetSocket('trunk0'), two.packetSocket(`vxlan${vni}`)];
    sendProbe(trunk, { dst: BROADCAST, src: '02:00:00:00:01:01', vlan: vni - 1000, text: `from ${vni} ${round}` });
    await arrivesAt(`from ${vni} ${round}`, tap);
    sendProbe(tap, { dst: BROADCAST, src: '02:00:00:00:01:02', text: `to ${vni} ${round}` });
    await arrivesAt(`to ${vni} ${round}`, trunk);
  }

  const start = (workers: number, ...vnis: readonly string[]) =>
    startVtepd(one, [
      ...['--dev', 'eth0', '--workers', `${workers}`, '--trunk', 'trunk0'],
      ...vnis.flatMap((vni) => ['--vni', vni]),
    ]);
  const startPeer = () => startVtepdVtep(two, { segments: [1010, 1020].map((vni) => ({ vni, group: GROUP })) });
  const mtu = () => one.link('trunk0')?.mtu;
  const ifindex = () => one.ip('-o', 'link', 'show', 'trunk0').split(':')[0];
  const logged = ({ stdout, stderr }: VtepdProcess) => `${stdout}${stderr}`;

  describe.each([1, 2])('with %i workers', (workers) => {
    test('one more is added to a trunk and deleted: the other is served throughout', async () => {
      const [daemon] = await Promise.all([start(workers, TEN), startPeer()]);
      const before = ifindex();
      for (const round of ['a', 'b', 'c']) {
        expect(await daemon.ctl('vni', 'add', TWENTY)).toMatchObject({
          vni: 1020,
          vlan: 20,
          tap: 'trunk0',
          status: 'ok',
        });
        await isServed(1020, round);
        await isServed(1010, round);
        await daemon.ctl('vni', 'del', '1020');
        await isServed(1010, `${round}, alone`);
        expect(ifindex()).toBe(before);
      }
      expect(logged(daemon)).not.toMatch(/tap-gone|internal/);
    });

    test('the trunk is made for the first of its VNIs and goes with the last', async () => {
      const [daemon] = await Promise.all([start(workers, '100=239.1.1.9'), startPeer()]);
      for (const round of ['a', 'b']) {
        expect(one.link('trunk0')).toBeUndefined();
        await daemon.ctl('vni', 'add', TEN);
        await daemon.ctl('vni', 'add', TWENTY);
        await isServed(1010, round);
        await isServed(1020, round);
        await daemon.ctl('vni', 'del', '1010');
        await isServed(1020, `${round}, alone`);
        await daemon.ctl('vni', 'del', '1020');
      }
      expect(one.link('trunk0')).toBeUndefined();
    });
  });

  test('the MTU is what all of its VNIs can carry, after each change', async () => {
    const daemon = await start(1, TEN);
    expect(mtu()).toBe(1450);
    expect(await daemon.ctl('vni', 'add', `${TWENTY},inner-vlan=pass`)).toMatchObject({ mtu: 1446 });
    expect(mtu()).toBe(1446);
    await daemon.ctl('vni', 'del', '1020');
    expect(mtu()).toBe(1450);
    const shown = () => daemon.ctl<Shown[]>('vni', 'show');
    await waitFor('the event', shown, ([ten]) => ten?.mtu === 1450);
  });

  test('what cannot be a VLAN of the trunk is refused, and changes nothing', async () => {
    const daemon = await start(1, TEN);
    const refused = async (entry: string) => (await daemon.runCtl('vni', 'add', entry)).stderr;
    expect(await refused('1020,vlan=10')).toContain('VLAN 10 is already used by VNI 1010');
    expect(await refused('1020,vlan=20,tap=other')).toContain('tap= cannot be combined with vlan=');
    expect(await refused('1020,tap=trunk0')).toContain('TAP trunk0 is also the --trunk');
    one.ip('link', 'del', 'trunk0');
    expect(await refused(TWENTY)).toContain('the trunk was deleted');
    await daemon.ctl('vni', 'del', '1010');
    expect(await daemon.ctl('vni', 'add', TWENTY)).toMatchObject({ vlan: 20, status: 'ok' });
  });

  test('without --trunk a VLAN is refused', async () => {
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100']);
    expect((await daemon.runCtl('vni', 'add', TEN)).stderr).toContain('vlan=10 needs a trunk');
  });
});
