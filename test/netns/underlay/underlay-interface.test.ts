/**
 * What becomes of the underlay's interface: the VNI follows the routes, or says what is wrong.
 *
 *     vxlan100 ── host 1 ─ eth0, and where a test says so eth1 ─┐ vtepd
 *     vxlan100 ── host 2 ─ eth0 ────────────────────────────────┘ the kernel's device
 */
import { spawnSync } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startKernelVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd, startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { cpuSeconds } from '../../support/host/processes.ts';
import { describeSystem, UNDERLAY_BRIDGE, useLab } from '../../support/lab/lab.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import { arrivesAt, isProbe, sendProbe } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const [NEAR, FAR] = ['02:00:00:00:01:01', '02:00:00:00:02:02'];

/** Whether this kernel has VRFs. */
const HAS_VRF = spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'red', 'type', 'vrf', 'table', '10']).status === 0;

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly remedy: string | null;
}

describeSystem('the interface of the underlay', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  /** A second cable to the same wire, with an address, gone after the test. */
  function addUplink(address: string): void {
    const peer = ['peer', 'name', 'eth1', 'netns', one.namespace];
    lab.wire.ip('link', 'add', 'second', 'type', 'veth', ...peer);
    lab.scope.defer(() => {
      if (lab.wire.link('second')) lab.wire.ip('link', 'del', 'second');
    });
    lab.wire.ip('link', 'set', 'second', 'master', UNDERLAY_BRIDGE, 'up');
    one.ip('link', 'set', 'eth1', 'up');
    one.ip('addr', 'add', address, 'dev', 'eth1');
    // Another test's eth1 had another MAC.
    two.ip('neigh', 'flush', 'dev', 'eth0');
  }

  async function floodsOut(text: string): Promise<void> {
    const [out, to] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const look = () => {
      sendProbe(out, { dst: BROADCAST, src: NEAR, text });
      return to.select(isProbe(text)).length;
    };
    await waitFor(`flood out: ${text}`, look, (count) => count > 0, { everyMs: 50 });
  }

  async function floodsIn(text: string): Promise<void> {
    const to = one.packetSocket('vxlan100');
    sendProbe(two.packetSocket('vxlan100'), { dst: BROADCAST, src: FAR, text });
    await arrivesAt(text, to);
  }

  const shown = async (daemon: VtepdProcess, vni = 100) =>
    (await daemon.ctl<{ vni: number; status: string; mtu: number }[]>('vni', 'show')).find((row) => row.vni === vni);
  const isStatus = (daemon: VtepdProcess, text: string, vni = 100) =>
    waitFor(
      text,
      async () => (await shown(daemon, vni))?.status,
      (now) => now === text,
    );
  const devOf = async (daemon: VtepdProcess) => (await daemon.ctl<{ dev: string[] }>('status')).dev.join(' ');
  const isUp = async (daemon: VtepdProcess) => /^vtep_vni_up\{vni="100"\} 1$/m.test(await daemon.getText('/metrics'));

  test('without --dev a group follows its route to another interface, and everything of the VNI stays', async () => {
    addUplink('198.18.0.31/24');
    const daemon = await startVtepd(one, ['--vni', '100=239.1.1.1', '--vni', '200=239.1.1.1']);
    await startKernelVtep(two, { segments: [{ vni: 100, group: '239.1.1.1' }] });
    await floodsOut('before');
    const mac = one.run('cat', '/sys/class/net/vxlan100/address');
    one.ip('link', 'set', 'eth1', 'mtu', '1400');
    one.ip('route', 'replace', '239.1.1.0/24', 'dev', 'eth1');
    lab.scope.defer(() => void one.run('sh', '-c', 'ip route del 239.1.1.0/24 2>/dev/null || true'));
    await waitFor(
      'eth1',
      () => devOf(daemon),
      (dev) => dev === 'eth1',
    );
    expect(one.joinedGroups()).toEqual(['eth1 239.1.1.1']);
    await floodsOut('after');
    await floodsIn('in after');
    expect(await shown(daemon)).toMatchObject({ status: 'ok', mtu: 1350 });
    expect(one.run('cat', '/sys/class/net/vxlan100/address')).toBe(mac);
    expect(two.run('bridge', 'fdb', 'show', 'dev', 'vxlan100')).toMatch(`${NEAR} dst 198.18.0.31 `);
    expect(daemon.stdout.split('\n').filter((line) => line.includes('underlay-moved'))).toHaveLength(2);
    one.ip('route', 'del', '239.1.1.0/24');
    await waitFor(
      'eth0 again',
      () => devOf(daemon),
      (dev) => dev === 'eth0',
    );
    await floodsIn('in again');
  });

  test('an interface that has lost its last VNI is let go, by whatever took that', async () => {
    addUplink('198.18.1.31/24');
    const routed = ['198.18.1.9', '198.18.1.8'].map((remote) => `remote=${remote}`);
    const daemon = await startVtepd(one, [
      '--vni',
      '100=239.1.1.1',
      '--vni',
      `200,${routed[0]}`,
      '--vni',
      '300=239.1.1.3',
    ]);
    expect(await devOf(daemon)).toBe('eth0 eth1');
    await daemon.ctl('vni', 'del', '200');
    expect(await devOf(daemon)).toBe('eth0');
    await daemon.ctl('vni', 'add', `200,${routed[1]}`);
    expect(await devOf(daemon)).toBe('eth0 eth1');
    await daemon.ctl('vni', 'del', '100');
    await daemon.ctl('vni', 'del', '300');
    expect(await devOf(daemon)).toBe('eth1');
    expect(one.joinedGroups()).toEqual([]);
    await daemon.ctl('vni', 'add', '100=239.1.1.1');
    await startKernelVtep(two, { segments: [{ vni: 100, group: '239.1.1.1' }] });
    await floodsOut('anew');
    await floodsIn('in anew');
  });

  test('a VTEP address on loopback goes on by whichever uplink the routes say, and is ok', async () => {
    addUplink('198.18.0.31/24');
    one.ip('addr', 'add', '198.18.9.1/32', 'dev', 'lo');
    lab.scope.defer(() => void one.ip('addr', 'del', '198.18.9.1/32', 'dev', 'lo'));
    two.ip('route', 'replace', '198.18.9.1/32', 'via', one.address);
    lab.scope.defer(() => void two.ip('route', 'del', '198.18.9.1/32'));
    const daemon = await startVtepd(one, ['--local', '198.18.9.1', '--vni', `100,remote=${two.address}`]);
    await startKernelVtep(two, { segments: [{ vni: 100, remotes: ['198.18.9.1'] }] });
    await floodsOut('by eth0');
    await floodsIn('in by eth0');
    lab.scope.defer(() => {
      one.unplug();
      one.plug();
    });
    one.ip('link', 'set', 'eth0', 'down');
    two.ip('route', 'replace', '198.18.9.1/32', 'via', '198.18.0.31');
    await waitFor(
      'eth1',
      () => devOf(daemon),
      (dev) => dev === 'eth1',
    );
    await floodsOut('by eth1');
    await floodsIn('in by eth1');
    expect([(await shown(daemon))?.status, await isUp(daemon)]).toEqual(['ok', true]);
    const failed = (await daemon.get<Finding[]>('/v1/doctor')).filter(({ status }) => status === 'failed');
    expect(failed).toEqual([]);
  });

  test('an uplink that is deleted, not only down, is followed when another has the route', async () => {
    addUplink('198.18.0.31/24');
    const peer = ['peer', 'name', 'eth2', 'netns', one.namespace];
    lab.wire.ip('link', 'add', 'third', 'type', 'veth', ...peer);
    lab.wire.ip('link', 'set', 'third', 'master', UNDERLAY_BRIDGE, 'up');
    one.ip('link', 'set', 'eth2', 'up');
    one.ip('addr', 'add', '198.18.9.1/32', 'dev', 'lo');
    lab.scope.defer(() => void one.ip('addr', 'del', '198.18.9.1/32', 'dev', 'lo'));
    one.ip('route', 'add', `${two.address}/32`, 'dev', 'eth2');
    lab.scope.defer(() => void one.run('sh', '-c', `ip route del ${two.address}/32 2>/dev/null || true`));
    two.ip('route', 'replace', '198.18.9.1/32', 'via', one.address);
    lab.scope.defer(() => void two.ip('route', 'del', '198.18.9.1/32'));
    const daemon = await startVtepd(one, ['--local', '198.18.9.1', '--vni', `100,remote=${two.address}`]);
    await startKernelVtep(two, { segments: [{ vni: 100, remotes: ['198.18.9.1'] }] });
    expect(await devOf(daemon)).toBe('eth2');
    await floodsOut('by eth2');
    two.ip('route', 'replace', '198.18.9.1/32', 'via', '198.18.0.31');
    one.ip('link', 'del', 'eth2');
    one.ip('route', 'add', `${two.address}/32`, 'dev', 'eth1');
    await waitFor(
      'eth1',
      () => devOf(daemon),
      (dev) => dev === 'eth1',
    );
    await floodsOut('by eth1');
    await floodsIn('in by eth1');
    await isStatus(daemon, 'ok');
  });

  test('a routing rule, and a next hop that changes, are heard', async () => {
    const far = '203.0.113.9';
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', `100,remote=${far}`]);
    expect((await shown(daemon))?.status).toBe(`no route to ${far}`);
    one.ip('route', 'add', `${far}/32`, 'via', two.address, 'table', '77');
    lab.scope.defer(() => void one.run('sh', '-c', `ip rule del to ${far} 2>/dev/null; ip route flush table 77`));
    one.ip('rule', 'add', 'to', far, 'lookup', '77');
    await isStatus(daemon, 'ok');
    one.ip('rule', 'del', 'to', far);
    await isStatus(daemon, `no route to ${far}`);
    one.ip('nexthop', 'add', 'id', '7', 'via', two.address, 'dev', 'eth0');
    lab.scope.defer(() => void one.run('sh', '-c', 'ip nexthop del id 7 2>/dev/null || true'));
    one.ip('route', 'add', `${far}/32`, 'nhid', '7');
    await isStatus(daemon, 'ok');
    one.ip('nexthop', 'replace', 'id', '7', 'blackhole');
    await isStatus(daemon, `no route to ${far}`);
  });

  test('answers of a host without the port do not keep a socket that sends and listens busy', async () => {
    const flags = ['--source-ports', '1', '--source-port-range', '4789-4789'];
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', `100,remote=${two.address}`, ...flags]);
    const [out, wire] = [one.packetSocket('vxlan100'), one.cable()];
    const before = cpuSeconds(daemon.pid);
    const startMs = performance.now();
    for (let i = 0; i < 20; i++) {
      sendProbe(out, { dst: BROADCAST, src: NEAR, text: `refused ${i}` });
      await setTimeout(100);
    }
    const refusals = wire.select(({ bytes }) => bytes[23] === 1 && bytes[34] === 3 && bytes[35] === 3);
    expect(refusals.length).toBeGreaterThan(0);
    // A socket that spins takes all of it.
    expect(cpuSeconds(daemon.pid) - before).toBeLessThan((0.5 * (performance.now() - startMs)) / 1_000);
    await startKernelVtep(two, { segments: [{ vni: 100, remotes: [one.address] }] });
    await floodsOut('taken');
    await floodsIn('in');
  });

  test('no route to any remote is told, and gone when there is one', async () => {
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100,remote=203.0.113.9,remote=203.0.113.8']);
    expect((await shown(daemon))?.status).toBe('no route to 203.0.113.9 or any other remote');
    expect(await isUp(daemon)).toBe(false);
    one.ip('route', 'add', '203.0.113.8/32', 'via', two.address);
    lab.scope.defer(() => void one.run('sh', '-c', 'ip route del 203.0.113.8/32 2>/dev/null || true'));
    await isStatus(daemon, 'ok');
    one.ip('route', 'del', '203.0.113.8/32');
    await isStatus(daemon, 'no route to 203.0.113.9 or any other remote');
    await daemon.ctl('remote', 'add', two.address, '--vni', '100');
    expect((await shown(daemon))?.status).toBe('ok');
    await daemon.ctl('vni', 'add', '300,remote=203.0.113.9');
    expect((await shown(daemon, 300))?.status).toBe('no route to 203.0.113.9');
    const findings = await daemon.get<(Finding & { object: string; message: string })[]>('/v1/doctor');
    expect(findings.filter(({ check }) => check === 'vni')).toEqual([
      { check: 'vni', status: 'failed', object: 'VNI 300', message: 'no route to 203.0.113.9', remedy: null },
    ]);
  });

  test('no carrier is told', async () => {
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100=239.1.1.1']);
    lab.wire.ip('link', 'set', one.portName, 'down');
    await isStatus(daemon, 'eth0 has no carrier');
    expect(await isUp(daemon)).toBe(false);
    lab.wire.ip('link', 'set', one.portName, 'up');
    await isStatus(daemon, 'ok');
  });

  test('an interface that becomes a port of a bridge is told, with what to name instead; released, it is as before', async () => {
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100=239.1.1.1']);
    await startKernelVtep(two, { segments: [{ vni: 100, group: '239.1.1.1' }] });
    one.ip('link', 'add', 'brx', 'up', 'type', 'bridge');
    lab.scope.defer(() => void one.ip('link', 'del', 'brx'));
    one.ip('link', 'set', 'eth0', 'master', 'brx');
    await isStatus(daemon, 'eth0 is a port of brx: use --dev brx');
    const findings = await daemon.get<Finding[]>('/v1/doctor');
    expect(findings.find(({ check }) => check === 'interface')).toMatchObject({
      status: 'failed',
      remedy: '--dev brx',
    });
    one.ip('link', 'set', 'brx', 'down');
    one.ip('link', 'set', 'brx', 'name', 'bry');
    await isStatus(daemon, 'eth0 is a port of bry: use --dev bry');
    one.ip('link', 'set', 'bry', 'name', 'brx');
    one.ip('link', 'set', 'eth0', 'nomaster');
    await isStatus(daemon, 'ok');
    await floodsIn('released');
  });

  test('a start on a port whose bridge has the address is refused, with the bridge to name instead', async () => {
    one.ip('link', 'add', 'brx', 'up', 'type', 'bridge');
    lab.scope.defer(() => void one.ip('link', 'del', 'brx'));
    one.ip('link', 'set', 'eth0', 'master', 'brx');
    one.ip('addr', 'del', '198.18.0.1/24', 'dev', 'eth0');
    lab.scope.defer(() => one.addAddress('198.18.0.1'));
    const { code, stderr } = await runVtepd(one, ['--dev', 'eth0', '--vni', '100=239.1.1.1']);
    const remedy = 'it is a port of brx, which receives its packets: use --dev brx';
    expect([code, stderr]).toEqual([1, `vtepd: --vni 100: eth0 has no IPv4 address of global scope: ${remedy}\n`]);
  });

  test('an interface that is moved to another namespace and back is gone, and then used again', async () => {
    const away = lab.namespace('away');
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100=239.1.1.1']);
    await startKernelVtep(two, { segments: [{ vni: 100, group: '239.1.1.1' }] });
    await floodsIn('before');
    one.ip('link', 'set', 'eth0', 'netns', away.namespace);
    await isStatus(daemon, 'eth0 is gone');
    away.ip('link', 'set', 'eth0', 'netns', one.namespace);
    one.ip('link', 'set', 'eth0', 'up');
    await isStatus(daemon, '198.18.0.1 is not on this host');
    one.addAddress('198.18.0.1');
    one.ip('route', 'add', '224.0.0.0/4', 'dev', 'eth0');
    await isStatus(daemon, 'ok');
    await floodsOut('back');
    await floodsIn('in back');
  });

  test('with the port among the source ports it is sent from, and heard on, by several workers too', async () => {
    const flags = ['--source-ports', '1', '--source-port-range', '4789-4789', '--workers', '2'];
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', `100,remote=${two.address}`, ...flags]);
    await startKernelVtep(two, { segments: [{ vni: 100, remotes: [one.address] }] });
    const wire = one.cable();
    await floodsOut('from the port');
    for (let i = 0; i < 4; i++) await floodsIn(`in ${i}`);
    const ours = wire.select(
      ({ bytes, outgoing }) => !outgoing && bytes.readUInt16BE(12) === 0x0800 && bytes[23] === 17,
    );
    expect(new Set(ours.map(({ bytes }) => bytes.readUInt16BE(34)))).toEqual(new Set([4789]));
    expect((await daemon.get<{ rx: Record<string, number> }>('/v1/drops')).rx['own-packet']).toBe(0);
  });

  test('an interface that is renamed is the same, by its new name, also for a VNI that is added', async () => {
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100=239.1.1.1']);
    await startKernelVtep(two, { segments: [{ vni: 100, group: '239.1.1.1' }] });
    lab.scope.defer(() => {
      one.run('sh', '-c', 'ip link set wan0 down; ip link set wan0 name eth0; ip link set eth0 up');
      one.ip('route', 'replace', '224.0.0.0/4', 'dev', 'eth0');
    });
    one.ip('link', 'set', 'eth0', 'down');
    one.ip('link', 'set', 'eth0', 'name', 'wan0');
    await isStatus(daemon, 'wan0 is down');
    one.ip('link', 'set', 'wan0', 'up');
    one.ip('route', 'replace', '224.0.0.0/4', 'dev', 'wan0');
    await isStatus(daemon, 'ok');
    await daemon.ctl('vni', 'add', '101=239.1.1.2');
    await isStatus(daemon, 'ok', 101);
    await floodsOut('by another name');
    await floodsIn('in by another name');
  });

  test.each([
    ['the address that is sent from', () => ['from', one.address]],
    ['the UDP port that is sent to', () => ['ipproto', 'udp', 'dport', '4789']],
  ])('a rule that asks for %s, and leads nowhere, is told', async (_what, rule) => {
    const daemon = await startVtepd(one, ['--vni', `100,remote=${two.address}`]);
    await isStatus(daemon, 'ok');
    one.ip('route', 'add', 'blackhole', 'default', 'table', '77');
    one.ip('rule', 'add', ...rule(), 'lookup', '77');
    lab.scope.defer(() => {
      one.ip('route', 'flush', 'table', '77');
      one.run('sh', '-c', `ip rule del ${rule().join(' ')} lookup 77 2>/dev/null || true`);
    });
    await isStatus(daemon, `no route to ${two.address}`);
    one.ip('rule', 'del', ...rule(), 'lookup', '77');
    await isStatus(daemon, 'ok');
  });

  // One of the two, by name: what was not tested for want of a VRF is not called tested.
  if (HAS_VRF) {
    test('in a VRF, unicast and groups are heard and sent there, and outside of it when it is released', async () => {
      one.ip('link', 'add', 'red', 'type', 'vrf', 'table', '10');
      lab.scope.defer(
        () => void one.run('sh', '-c', 'ip link del red 2>/dev/null; ip route replace 224.0.0.0/4 dev eth0'),
      );
      one.ip('link', 'set', 'red', 'up');
      one.ip('link', 'set', 'eth0', 'master', 'red');
      one.ip('route', 'add', '224.0.0.0/4', 'dev', 'eth0', 'table', '10');
      const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100=239.1.1.1']);
      await startKernelVtep(two, { segments: [{ vni: 100, group: '239.1.1.1' }] });
      await floodsOut('in the VRF');
      await floodsIn('in by the VRF');
      // Outside of the VRF somebody has the peer's address: it is the peer's all the same.
      one.ip('addr', 'add', `${two.address}/32`, 'dev', 'lo');
      lab.scope.defer(() => void one.run('sh', '-c', `ip addr del ${two.address}/32 dev lo 2>/dev/null || true`));
      await floodsIn('in from an address that another VRF has');
      await daemon.ctl('vni', 'add', `200,remote=${two.address}`);
      await isStatus(daemon, 'ok', 200);
      one.ip('link', 'set', 'red', 'down');
      await isStatus(daemon, 'red, the VRF of eth0, is down');
      expect((await daemon.get<Finding[]>('/v1/doctor')).filter(({ check }) => check === 'interface')).toMatchObject([
        { status: 'failed', remedy: 'ip link set red up' },
      ]);
      one.ip('link', 'set', 'red', 'up');
      one.ip('route', 'replace', '224.0.0.0/4', 'dev', 'eth0', 'table', '10');
      await isStatus(daemon, 'ok');
      await floodsOut('in the VRF again');
      one.ip('link', 'set', 'eth0', 'nomaster');
      await isStatus(daemon, 'ok');
      await floodsOut('released');
      await floodsIn('in released');
    });
  } else {
    test('this kernel has no VRF: outside of one, sockets are bound to none (VRFs are NOT tested)', async () => {
      const refusal = one.run('sh', '-c', 'ip link add red type vrf table 10 2>&1 || true');
      expect(refusal).toMatch(/Unknown device type|not supported/i);
      const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100=239.1.1.1']);
      expect(one.run('ss', '-ulnH', 'sport = :4789').replaceAll('%eth0', '')).not.toContain('%');
      await isStatus(daemon, 'ok');
      console.warn('not tested, since this kernel has no VRF: an underlay that is in one');
    });
  }
});
