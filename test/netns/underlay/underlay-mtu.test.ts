/**
 * An underlay too narrow for IPv6 inside, for a while or from the start: TAPs, bridges and trunks keep IPv6, and what does not fit is told.
 *
 *     vxlan100  br100 ─ vxlan101  trunk0  tap102 ── host 1  198.18.0.1, MTU 1500, then 1300 ──┐ vtepd
 *     vxlan100                                  ── host 2  198.18.0.2, MTU 1500 ──────────────┘ vtepd
 */
import { beforeEach, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { addBridge } from '../../support/lab/virtual-machine.ts';
import { waitFor } from '../../support/wait.ts';

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly object: string;
  readonly message: string;
  readonly remedy: string | null;
}

const GROUP = '239.1.1.1';
const SEGMENTS = [
  { vni: 100, group: GROUP },
  { vni: 101, group: GROUP, bridge: 'br101' },
  { vni: 102, group: GROUP, keys: ['tap=tap102'] },
  { vni: 103, group: GROUP, keys: ['vlan=0'] },
];
/** What has an IPv6 address, and must keep it. */
const HOLDERS = ['vxlan100', 'br101', 'tap102', 'trunk0'];

describeSystem('an underlay that is too narrow for IPv6 inside', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;

  const start = async () => {
    vtep = await startVtepdVtep(one, { segments: SEGMENTS, flags: ['--trunk', 'trunk0'] });
    for (const [i, name] of HOLDERS.entries()) one.addIpv6(name, `fd00:${100 + i}::1/64`);
    one.addIpv6('vxlan101', 'fe80::101/64');
  };

  const holding = () => HOLDERS.filter((name) => one.run('ip', '-6', 'addr', 'show', 'dev', name).includes('fd00:'));
  const mtus = () => [...HOLDERS, 'vxlan101'].map((name) => one.link(name)?.mtu);
  const every = (mtu: number) => (now: (number | undefined)[]) => now.every((each) => each === mtu);
  const mtuFaults = async () => {
    const findings = await vtep.daemon.get<Finding[]>('/v1/doctor');
    return findings.filter(({ check, status }) => check === 'mtu' && status !== 'ok');
  };

  beforeEach(() => {
    addBridge(one, 'br101');
    one.ip('tuntap', 'add', 'dev', 'tap102', 'mode', 'tap');
    lab.scope.defer(() => {
      one.ip('link', 'set', 'eth0', 'mtu', '1500');
      for (const name of ['br101', 'tap102']) one.ip('link', 'del', name);
    });
  });

  test('for a while: all keep their addresses, a VNI that is added has room for IPv6, and all follow again', async () => {
    await start();
    await startVtepdVtep(two, { segments: [{ vni: 100, group: GROUP }] });
    two.addIpv6('vxlan100', 'fd00:100::2/64');
    expect(one.ping('fd00:100::2', { count: 1 })).toBe(1);
    one.ip('link', 'set', 'eth0', 'mtu', '1300');
    await waitFor('1280 everywhere', mtus, every(1280));
    expect(holding()).toEqual(HOLDERS);
    await vtep.daemon.ctl('vni', 'add', `104=${GROUP}`);
    await vtep.daemon.ctl('vni', 'add', `105=${GROUP},vlan=5`);
    expect([one.link('vxlan104')?.mtu, one.link('trunk0')?.mtu]).toEqual([1280, 1280]);
    expect(vtep.daemon.stdout).toMatch(
      /"event":"underlay-narrow","dev":"eth0","mtu":1300,"carried":1250,"tapMtu":1280/,
    );
    // The remedies of one fault agree with each other, and undo it.
    const remedies = new Set((await mtuFaults()).map(({ remedy }) => remedy));
    expect([...remedies]).toEqual(['ip link set eth0 mtu 1500']);
    one.run('sh', '-c', [...remedies].join());
    await waitFor('1450 everywhere', mtus, every(1450));
    expect(await mtuFaults()).toEqual([]);
    expect(holding()).toEqual(HOLDERS);
    expect(one.ping('fd00:100::2', { count: 1, size: 1_402 })).toBe(1);
  }, 60_000);

  test('from the start: TAPs have what IPv6 needs, IPv4 is told what fits, and the doctor’s remedy helps', async () => {
    one.ip('link', 'set', 'eth0', 'mtu', '1300');
    await start();
    await startVtepdVtep(two, { segments: [{ vni: 100, group: GROUP }] });
    expect(mtus()).toEqual(mtus().map(() => 1280));
    one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
    two.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vxlan100');
    two.addIpv6('vxlan100', 'fd00:100::2/64');
    expect(one.ping('192.0.2.2', { count: 1 })).toBe(1);
    expect(one.ping('192.0.2.2', { count: 1, size: 1_280 - 28 })).toBe(0);
    expect(one.ip('route', 'get', '192.0.2.2')).toContain('mtu 1250');
    const faults = await mtuFaults();
    expect(faults.map(({ object }) => object).toSorted()).toEqual(['tap102', 'trunk0', 'vxlan100', 'vxlan101']);
    for (const { message } of faults) expect(message).toContain('also IPv6, which cannot be told less than 1280');
    expect(one.ping('fd00:100::2', { count: 1, size: 1_280 - 48 })).toBe(0);
    expect((await vtep.drops()).tx.oversize).toBeGreaterThanOrEqual(2);
    const remedies = new Set(faults.map(({ remedy }) => remedy));
    expect([...remedies]).toEqual(['ip link set eth0 mtu 1330']);
    one.run('sh', '-c', [...remedies].join());
    await waitFor('no fault', mtuFaults, (now) => now.length === 0);
    expect(one.ping('fd00:100::2', { count: 1, size: 1_280 - 48 })).toBe(1);
    expect(holding()).toEqual(HOLDERS);
  }, 60_000);

  test('is no matter to a TAP that was given less', async () => {
    one.ip('link', 'set', 'eth0', 'mtu', '1300');
    vtep = await startVtepdVtep(one, { segments: [{ vni: 100, group: GROUP, keys: ['mtu=1250'] }] });
    expect(one.link('vxlan100')?.mtu).toBe(1250);
    expect(await mtuFaults()).toEqual([]);
  });
});
