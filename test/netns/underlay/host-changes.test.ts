/**
 * What administrators do under a running daemon: it follows, or it waits, and it never spins.
 *
 *     vxlan100  vxlan200 ── host 1  198.18.0.1 ───┐ vtepd
 *     vxlan100  vxlan200 ── host 2  198.18.0.2 ───┘ vtepd
 */
import { beforeEach, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { cpuSeconds } from '../../support/host/processes.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, sendProbe } from '../../support/traffic/probes.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

interface ShownVni {
  readonly vni: number;
  readonly mtu: number;
  readonly bridge: string | null;
  readonly status: string;
}

describeSystem('changes of the host', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;

  beforeEach(async () => {
    const segments = [
      { vni: 100, group: '239.1.1.1' },
      { vni: 200, group: '239.1.1.2' },
    ];
    [vtep] = await Promise.all([startVtepdVtep(one, { segments }), startVtepdVtep(two, { segments })]);
  }, 30_000);

  function taps(vni: number): [PacketSocket, PacketSocket] {
    return [one.packetSocket(`vxlan${vni}`), two.packetSocket(`vxlan${vni}`)];
  }

  async function shown(vni: number): Promise<ShownVni | undefined> {
    return (await vtep.daemon.ctl<ShownVni[]>('vni', 'show')).find((row) => row.vni === vni);
  }

  async function floods(from: PacketSocket, to: PacketSocket, text: string): Promise<void> {
    sendProbe(from, { dst: BROADCAST, src: '02:00:00:00:01:01', text });
    await arrivesAt(text, to);
  }

  test('the TAPs follow the MTU of the underlay', async () => {
    const mtus = () => [one.link('vxlan100')?.mtu, one.link('vxlan200')?.mtu];
    expect(mtus()).toEqual([1450, 1450]);
    one.ip('link', 'set', 'eth0', 'mtu', '1400');
    await waitFor('1350 at the TAPs', mtus, (now) => now.every((mtu) => mtu === 1350));
    expect((await shown(100))?.mtu).toBe(1350);
    one.ip('link', 'set', 'eth0', 'mtu', '1500');
    await waitFor('1450 at the TAPs', mtus, (now) => now.every((mtu) => mtu === 1450));
  });

  test('a TAP that is set down and up again: dropped and counted meanwhile, then served', async () => {
    const [a, b] = taps(100);
    await floods(b, a, 'before');
    const before = await vtep.drops();
    one.ip('link', 'set', 'vxlan100', 'down');
    sendProbe(b, { dst: BROADCAST, src: '02:00:00:00:01:02', text: 'while down' });
    await waitFor(
      'the drop',
      () => vtep.drops(),
      ({ rx }) => (rx['tap-down'] ?? 0) > (before.rx['tap-down'] ?? 0),
    );
    const [other, otherEnd] = taps(200);
    await floods(otherEnd, other, 'the other VNI meanwhile');
    one.ip('link', 'set', 'vxlan100', 'up');
    const up = one.packetSocket('vxlan100');
    const look = () => {
      sendProbe(b, { dst: BROADCAST, src: '02:00:00:00:01:02', text: 'up again' });
      return up.select(isProbe('up again')).length;
    };
    await waitFor('a flood', look, (count) => count > 0, { everyMs: 50 });
    await floods(up, b, 'and out again');
  });

  test('a TAP that is deleted: its VNI says so, the other is served, and nothing spins', async () => {
    one.ip('link', 'del', 'vxlan100');
    await waitFor(
      'the status',
      () => shown(100),
      (row) => row?.status !== 'ok',
    );
    expect((await shown(200))?.status).toBe('ok');
    const [a, b] = taps(200);
    sendProbe(two.packetSocket('vxlan100'), { dst: BROADCAST, src: '02:00:00:00:01:02', text: 'nobody there' });
    await floods(b, a, 'still served');
    await floods(a, b, 'both ways');
    const before = cpuSeconds(vtep.daemon.pid);
    await sleep(1000);
    expect(cpuSeconds(vtep.daemon.pid) - before).toBeLessThan(0.3);
    expect(vtep.daemon.running).toBe(true);
  });

  test('a TAP that is moved from bridge to bridge and out again is served all the time', async () => {
    for (const bridge of ['br-a', 'br-b']) one.ip('link', 'add', bridge, 'up', 'type', 'bridge');
    const [a, b] = taps(100);
    for (const where of [['master', 'br-a'], ['master', 'br-b'], ['nomaster']]) {
      one.ip('link', 'set', 'vxlan100', ...where);
      await floods(b, a, `in: ${where.join(' ')}`);
      expect(await shown(100)).toMatchObject({ status: 'ok', bridge: where[1] ?? null });
    }
    await floods(a, b, 'and out');
    for (const bridge of ['br-a', 'br-b']) one.ip('link', 'del', bridge);
    expect((await shown(100))?.status).toBe('ok');
  });

  test('T20: a local address that goes is told, and the VNI works again when it is back', async () => {
    const [a, b] = taps(100);
    const status = async () => (await shown(100))?.status;
    one.ip('addr', 'del', '198.18.0.1/24', 'dev', 'eth0');
    await waitFor('the status', status, (now) => now === '198.18.0.1 is not on this host');
    one.addAddress('198.18.0.1');
    await waitFor('the status', status, (now) => now === 'ok');
    await floods(a, b, 'back again');
  });

  test('an underlay that is renamed is followed; deleted under its new name, it is gone', async () => {
    const [a, b] = taps(100);
    one.ip('link', 'set', 'eth0', 'down');
    one.ip('link', 'set', 'eth0', 'name', 'old0');
    one.ip('link', 'set', 'old0', 'up');
    const look = () => {
      sendProbe(b, { dst: BROADCAST, src: '02:00:00:00:01:02', text: 'renamed' });
      return a.select(isProbe('renamed')).length;
    };
    await waitFor('a flood', look, (count) => count > 0, { everyMs: 50 });
    one.ip('link', 'del', 'old0');
    await waitFor(
      'the status',
      () => shown(100),
      (row) => row?.status === 'eth0 is gone',
    );
    one.plug();
    await waitFor(
      'the status',
      () => shown(100),
      (row) => row?.status === 'ok',
    );
    await floods(b, a, 'plugged in again');
    await floods(a, b, 'and out');
  });

  test('the underlay is down at the start: the daemon waits for it', async () => {
    await vtep.stop();
    one.ip('link', 'set', 'eth0', 'down');
    vtep = await startVtepdVtep(one, { segments: [{ vni: 100, group: '239.1.1.1' }] });
    one.ip('link', 'set', 'eth0', 'up');
    const [a, b] = taps(100);
    const look = () => {
      sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:01:01', text: 'late' });
      return b.select(isProbe('late')).length;
    };
    await waitFor('a flood', look, (count) => count > 0, { everyMs: 50, timeoutMs: 10_000 });
    await floods(b, a, 'back');
  });

  test('the next hop is missing: other VTEPs are served all the same', async () => {
    const [a, b] = taps(100);
    await floods(a, b, 'known');
    const silent = '02:00:00:00:02:99';
    // A VTEP that speaks once and is gone: its address resolves to nothing.
    two.addAddress('198.18.0.99');
    const socket = two.udpSocket({ address: '198.18.0.99' });
    const bytes = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: silent, text: 'last words' }) });
    socket.send(bytes, { to: one.address });
    await arrivesAt('last words', a);
    two.ip('addr', 'del', '198.18.0.99/24', 'dev', 'eth0');
    one.ip('neigh', 'flush', 'dev', 'eth0');
    const until = performance.now() + 4000;
    let count = 0;
    while (performance.now() < until) {
      count += 1;
      sendProbe(a, { dst: silent, src: '02:00:00:00:01:01', text: 'to nobody' });
      sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:01:01', text: `to all ${count}` });
      await sleep(50);
    }
    await waitUntil('all floods', () => b.select(({ bytes: frame }) => frame.includes('to all')).length >= count);
    expect(b.select(({ bytes: frame }) => frame.includes('to all'))).toHaveLength(count);
  });
});
