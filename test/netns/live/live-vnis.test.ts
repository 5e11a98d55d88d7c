/**
 * VNIs that come and go while others are in use.
 *
 *     vxlan… ── host 1  198.18.0.1 ───┐ vtepd, changed by vtepctl
 *     vxlan… ── host 2  198.18.0.2 ───┤ vtepd
 *     vxlan… ── host 3  198.18.0.3 ───┘ the kernel's device
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ControlClient } from '../../../src/api/client/client.ts';
import { startKernelVtep, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, type Host, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, ethernet } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, packetsWithProbe, probeTexts, sendProbe, settle } from '../../support/traffic/probes.ts';
import { all, floodAt, floodSteadily, numbersAt } from '../../support/traffic/steady-flood.ts';
import { waitFor, waitUntil } from '../../support/wait.ts';

const [STATION_1, STATION_2] = ['02:00:00:00:01:01', '02:00:00:00:02:01'];

interface ShownVni {
  readonly vni: number;
  readonly macs: number;
  readonly joined: boolean;
  readonly status: string;
}

interface Status {
  readonly vnis: number;
  readonly macs: number;
  readonly dev: readonly string[];
}

/** All that a VNI may leave on the host, and in the daemon. */
interface Footprint {
  readonly links: readonly string[];
  readonly groups: readonly string[];
  readonly sockets: readonly string[];
  readonly fds: number;
  readonly entries: number;
}

describeSystem('VNIs changed live', () => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];

  async function footprint(host: Host, daemon: VtepdProcess): Promise<Footprint> {
    return {
      links: host.links().map(({ ifname }) => ifname),
      groups: host.joinedGroups(),
      sockets: host.udpSockets().toSorted(),
      fds: lastingFds(daemon.pid),
      entries: (await daemon.ctl<unknown[]>('fdb', 'show')).length,
    };
  }

  async function shown(daemon: VtepdProcess, vni: number): Promise<ShownVni | undefined> {
    return (await daemon.ctl<ShownVni[]>('vni', 'show')).find((row) => row.vni === vni);
  }

  function tap(host: Host, vni: number): PacketSocket {
    return host.packetSocket(`vxlan${vni}`);
  }

  async function floods(from: PacketSocket, to: PacketSocket, text: string, src = STATION_1): Promise<void> {
    sendProbe(from, { dst: BROADCAST, src, text });
    await arrivesAt(text, to);
    expect(to.select(isProbe(text))).toHaveLength(1);
  }

  const start = (workers: number, ...vnis: readonly string[]) =>
    startVtepd(one, ['--dev', 'eth0', '--workers', `${workers}`, ...vnis.flatMap((vni) => ['--vni', vni])]);

  describe.each([1, 2])('with %i workers', (workers) => {
    test('one that is added works like one that was there, beside the kernel; one that is deleted leaves nothing', async () => {
      const daemon = await start(workers, '100=239.1.1.1');
      await startKernelVtep(three, { segments: [{ vni: 300, group: '239.1.1.3' }] });
      const before = await footprint(one, daemon);
      const c = tap(three, 300);
      for (let round = 0; round < 3; round++) {
        const entry = `300=239.1.1.3,name=green,static=02:00:00:00:09:09@198.18.0.2`;
        expect(await daemon.ctl('vni', 'add', entry)).toMatchObject({
          ...{ vni: 300, name: 'green', group: '239.1.1.3', remotes: [], tap: 'vxlan300', mtu: 1450 },
          ...{ macs: 1, joined: true, status: 'ok' },
        });
        expect(one.link('vxlan300')?.flags).toContain('UP');
        expect(one.joinedGroups()).toEqual(['eth0 239.1.1.1', 'eth0 239.1.1.3']);
        expect(await daemon.ctl<Status>('status')).toMatchObject({ vnis: 2 });
        const a = tap(one, 300);
        await floods(a, c, `there ${round}`);
        await floods(c, a, `back ${round}`, STATION_2);
        sendProbe(a, { dst: STATION_2, src: STATION_1, text: `unicast ${round}` });
        await arrivesAt(`unicast ${round}`, c);
        expect((await shown(daemon, 300))?.macs).toBe(3);
        expect(await daemon.ctl('vni', 'del', '300')).toEqual({ vni: 300 });
        expect(await footprint(one, daemon)).toEqual(before);
        expect(await daemon.ctl<Status>('status')).toMatchObject({ vnis: 1, macs: 0 });
        expect(await shown(daemon, 300)).toBeUndefined();
      }
      expect(await daemon.runCtl('vni', 'del', '300')).toMatchObject({ code: 1 });
    });

    test('another VNI loses nothing meanwhile, either way', async () => {
      const [daemon] = await Promise.all([
        start(workers, '100=239.1.1.1', '200=239.1.1.2'),
        startVtepdVtep(two, { segments: [{ vni: 200, group: '239.1.1.2' }] }),
      ]);
      const [a, b] = [tap(one, 200), tap(two, 200)];
      const floodsBoth = [floodSteadily(a, 'out', STATION_1), floodSteadily(b, 'in', STATION_2)];
      await waitUntil('both run', () => numbersAt(b, 'out').length > 10 && numbersAt(a, 'in').length > 10);
      const client = new ControlClient(daemon.socket);
      for (let round = 0; round < 10; round++) {
        await client.deleteVni(100);
        await client.addVni('300,remote=198.18.0.2');
        await client.addVni('100=239.1.1.1');
        await client.deleteVni(300);
      }
      const [out = 0, into = 0] = await Promise.all(floodsBoth.map((flood) => flood.stop()));
      // The first answer of a flow can move it to the queue of another worker.
      const inOrder = (numbers: number[]) => (workers === 1 ? numbers : numbers.toSorted((x, y) => x - y));
      expect(inOrder(await floodAt(b, 'out', out))).toEqual(all(out));
      expect(inOrder(await floodAt(a, 'in', into))).toEqual(all(into));
    });

    test('T16: of two VNIs on one group, the one that stays keeps it; the last one leaves', async () => {
      const daemon = await start(workers, '100=239.1.1.1', '200=239.1.1.1');
      await startKernelVtep(three, { segments: [{ vni: 200, group: '239.1.1.1' }] });
      const [a, c] = [tap(one, 200), tap(three, 200)];
      await floods(c, a, 'both there', STATION_2);
      await daemon.ctl('vni', 'del', '100');
      expect(one.joinedGroups()).toEqual(['eth0 239.1.1.1']);
      await floods(c, a, 'still there', STATION_2);
      await daemon.ctl('vni', 'add', '100=239.1.1.1');
      await floods(c, a, 'shared again', STATION_2);
      await daemon.ctl('vni', 'del', '200');
      expect(one.joinedGroups()).toEqual(['eth0 239.1.1.1']);
      await daemon.ctl('vni', 'del', '100');
      expect(one.joinedGroups()).toEqual([]);
    });

    test('the number of a deleted VNI is used again, and nothing of the old one shows', async () => {
      const daemon = await start(workers, '100=239.1.1.1,static=02:00:00:00:09:09@198.18.0.9');
      await startVtepdVtep(two, {
        segments: [
          { vni: 100, group: '239.1.1.1' },
          { vni: 300, group: '239.1.1.3' },
        ],
      });
      const [a100, b100] = [tap(one, 100), tap(two, 100)];
      await floods(b100, a100, 'known in 100', STATION_2);
      a100.send(ethernet({ dst: BROADCAST, src: STATION_1, vlan: 5, type: 0x88b5, payload: Buffer.alloc(46) }));
      const drops = () => daemon.ctl<{ tx: Record<string, number>; rx: Record<string, number> }>('drops');
      await waitFor('the drop', drops, ({ tx }) => tx['inner-vlan'] === 1);
      // Frames of the old VNI come and go all the time.
      const flood = floodSteadily(b100, 'old');
      await daemon.ctl('vni', 'del', '100');
      await daemon.ctl('vni', 'add', '300=239.1.1.3');
      const [a300, b300] = [tap(one, 300), tap(two, 300)];
      const cable = one.cable();
      sendProbe(a300, { dst: STATION_2, src: STATION_1, text: 'unknown in 300' });
      await arrivesAt('unknown in 300', b300);
      const [packet] = packetsWithProbe(cable.drain(), 'unknown in 300');
      expect(packet?.ip.dst).toBe('239.1.1.3');
      await floods(b300, a300, 'into 300', STATION_2);
      await flood.stop();
      await settle();
      expect(probeTexts(a300.drain()).filter((text) => text.startsWith('old'))).toEqual([]);
      expect(probeTexts(b300.drain()).filter((text) => text.startsWith('old'))).toEqual([]);
      const entries = await daemon.ctl<{ vni: number; mac: string }[]>('fdb', 'show');
      expect(entries.map(({ vni, mac }) => `${vni} ${mac}`)).toEqual([`300 ${STATION_1}`, `300 ${STATION_2}`]);
      const { tx } = await daemon.ctl<{ tx: Record<string, number> }>('drops', '--vni', '300');
      expect(tx['inner-vlan']).toBe(0);
      expect((await drops()).tx['inner-vlan']).toBe(1);
    });

    test('200 are added and deleted, and nothing leaks', async () => {
      const daemon = await start(workers, '100=239.1.1.1');
      const client = new ControlClient(daemon.socket);
      const cycle = async (i: number) => {
        const vni = 1000 + (i % 7);
        const group = i % 3 === 0 ? '' : `=239.2.0.${1 + (i % 5)}`;
        await client.addVni(`${vni}${group},remote=198.18.1.${1 + (i % 200)},static=02:00:00:00:08:01@198.18.0.2`);
        await client.addRemote({ vni, remote: '198.18.0.2' as never });
        if (i % 2 === 0) await client.deleteRemote({ vni, remote: '198.18.0.2' as never });
        await client.deleteVni(vni);
      };
      for (let i = 0; i < 20; i++) await cycle(i);
      const before = await footprint(one, daemon);
      const beforeKb = residentKb(daemon.pid);
      for (let i = 0; i < 200; i++) await cycle(i);
      expect(await footprint(one, daemon)).toEqual(before);
      expect(residentKb(daemon.pid) - beforeKb).toBeLessThan(50_000);
      const status = await daemon.ctl<Status>('status');
      expect(status).toMatchObject({ vnis: 1, macs: 0, vteps: 0 });
      expect(daemon.stdout).not.toMatch(/worker-died|tap-gone/);
    }, 120_000);
  });

  describe('what is refused leaves nothing', () => {
    test.each([
      ['100', 'vni add 100: vtepd already runs VNI 100: delete it first (`vtepctl vni del 100`)'],
      ['300,tap=vxlan100', 'vni add 300,tap=vxlan100: TAP vxlan100 is already used by VNI 100: give another tap='],
      ['300=239.1.1.3,bridge=eth0', 'vni add 300=239.1.1.3,bridge=eth0: bridge eth0 is also the underlay --dev'],
      ['300=239.1.1.3,bridge=nobr', '--vni 300,bridge=nobr: there is no interface nobr'],
      ['300=239.1.1.3,mtu=9000', '--vni 300,mtu=9000: eth0 has MTU 1500, which leaves at most 1450 inside VXLAN'],
      ['300=239.1.1.3,tap=lo', 'TAP "lo": the name is in use by a network device'],
      ['300=239.1.1.3,tap=taken', 'TAP "taken": the name is in use by a veth device'],
      [
        '300=239.1.1.3,remote=198.18.0.2,static=02:00:00:00:08:01@198.18.0.2,static=02:00:00:00:08:02@198.18.0.1',
        '--vni 300,static=02:00:00:00:08:02@198.18.0.1: the address is this host’s own',
      ],
      [
        '300=239.1.1.3,remote=198.18.0.2,static=02:00:00:00:08:01@198.18.0.2,tap=taken',
        'TAP "taken": the name is in use by a veth device',
      ],
    ])('%s', async (entry, message) => {
      one.ip('link', 'add', 'taken', 'type', 'veth', 'peer', 'name', 'taken2');
      lab.scope.defer(() => void one.ip('link', 'del', 'taken'));
      const daemon = await start(1, '100=239.1.1.1');
      const before = await footprint(one, daemon);
      const { code, stdout, stderr } = await daemon.runCtl('vni', 'add', entry);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr.startsWith(`vtepctl: ${message}`), stderr).toBe(true);
      expect(stderr.match(/\n/g)).toHaveLength(1);
      expect(await footprint(one, daemon)).toEqual(before);
      expect(await daemon.ctl<Status & { vteps: number }>('status')).toMatchObject({ vnis: 1, macs: 0, vteps: 0 });
      expect(await daemon.ctl('vni', 'add', '300=239.1.1.3')).toMatchObject({ macs: 0, status: 'ok' });
    });

    test('what is written wrong is wrong usage, and the daemon is not asked', async () => {
      const daemon = await start(1, '100=239.1.1.1');
      expect(await daemon.runCtl('vni', 'add', '300=10.1.1.1')).toMatchObject({
        code: 64,
        stderr: 'vtepctl: vni add 300=10.1.1.1: 10.1.1.1 is not a multicast address (224.0.0.0/4 or ff00::/8)\n',
      });
    });
  });

  test('an adopted TAP stays when its VNI goes, as it was', async () => {
    one.ip('link', 'add', 'br-live', 'up', 'type', 'bridge');
    one.ip('tuntap', 'add', 'dev', 'mine', 'mode', 'tap');
    one.ip('addr', 'add', '192.0.2.77/24', 'dev', 'mine');
    lab.scope.defer(() => {
      one.ip('link', 'del', 'mine');
      one.ip('link', 'del', 'br-live');
    });
    const daemon = await start(1, '100=239.1.1.1');
    for (let round = 0; round < 2; round++) {
      await daemon.ctl('vni', 'add', '300=239.1.1.3,tap=mine,bridge=br-live');
      expect(await shown(daemon, 300)).toMatchObject({ status: 'ok', bridge: 'br-live' });
      await daemon.ctl('vni', 'del', '300');
      expect(one.link('mine')).toMatchObject({ master: 'br-live' });
      expect(one.link('mine')?.flags).not.toContain('LOWER_UP');
      expect(one.addresses('mine')).toEqual(['192.0.2.77/24']);
    }
  });

  test('a TAP that somebody deleted does not keep its VNI from being deleted, nor its number from being used', async () => {
    const daemon = await start(2, '100=239.1.1.1', '200=239.1.1.2');
    await startVtepdVtep(two, { segments: [{ vni: 300, group: '239.1.1.3' }] });
    const before = await footprint(one, daemon);
    one.ip('link', 'del', 'vxlan100');
    await daemon.ctl('vni', 'del', '100');
    await daemon.ctl('vni', 'add', '300=239.1.1.3');
    const [a, b] = [tap(one, 300), tap(two, 300)];
    await floods(a, b, 'out');
    await floods(b, a, 'and in', STATION_2);
    expect((await shown(daemon, 300))?.status).toBe('ok');
    expect((await footprint(one, daemon)).fds).toBe(before.fds);
  });

  test('the last VNI may go, and others come', async () => {
    const daemon = await start(1, '100=239.1.1.1');
    await startKernelVtep(three, { segments: [{ vni: 200, group: '239.1.1.2' }] });
    await daemon.ctl('vni', 'del', '100');
    expect(await daemon.ctl('vni', 'show')).toEqual([]);
    expect(await daemon.ctl<Status>('status')).toMatchObject({ vnis: 0, dev: ['eth0'] });
    expect(await daemon.ctl('drops')).toHaveProperty('rx');
    await daemon.ctl('vni', 'add', '200=239.1.1.2');
    await floods(tap(one, 200), tap(three, 200), 'from nothing');
    expect(await daemon.stop()).toMatchObject({ code: 0 });
  });

  test('a further underlay is opened for a VNI that leaves by it, and its address is skipped in all lists', async () => {
    const wire = lab.wire;
    wire.ip('link', 'add', 'h1b', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', one.namespace);
    lab.scope.defer(() => void wire.ip('link', 'del', 'h1b'));
    wire.ip('link', 'set', 'h1b', 'master', 'under', 'up');
    one.ip('link', 'set', 'eth1', 'up');
    one.ip('addr', 'add', '198.19.0.1/24', 'dev', 'eth1');
    one.ip('route', 'add', '239.9.0.0/16', 'dev', 'eth1');
    const daemon = await startVtepd(one, ['--vni', '100=239.1.1.1,remote=198.19.0.1']);
    two.addAddress('198.19.0.2');
    lab.scope.defer(() => void two.ip('addr', 'del', '198.19.0.2/24', 'dev', 'eth0'));
    await startVtepdVtep(two, { segments: [{ vni: 300, group: '239.9.0.1' }], flags: ['--local', '198.19.0.2'] });
    const before = await footprint(one, daemon);
    const refused = await daemon.runCtl('vni', 'add', '300=239.9.0.1,mtu=9000');
    expect(refused).toMatchObject({ code: 1 });
    expect(await footprint(one, daemon)).toEqual(before);
    await daemon.ctl('vni', 'add', '300=239.9.0.1');
    expect(await daemon.ctl<Status>('status')).toMatchObject({ dev: ['eth0', 'eth1'] });
    const [a, b] = [tap(one, 300), tap(two, 300)];
    await floods(a, b, 'by the other interface');
    await floods(b, a, 'and back', STATION_2);
    sendProbe(a, { dst: STATION_2, src: STATION_1, text: 'unicast' });
    await arrivesAt('unicast', b);
    const entries = await daemon.ctl<{ mac: string; vtep: string }[]>('fdb', 'show', '--vni', '300');
    expect(entries.find(({ mac }) => mac === STATION_2)?.vtep).toBe('198.19.0.2');
    const cable = one.cable();
    sendProbe(tap(one, 100), { dst: BROADCAST, src: STATION_1, text: 'not to myself' });
    await waitUntil('the flood', () => packetsWithProbe(cable.drain(), 'not to myself').length > 0);
    const { rx } = await daemon.ctl<{ rx: Record<string, number> }>('drops');
    expect(rx['own-packet']).toBe(0);
    expect(await daemon.ctl('vni', 'del', '300')).toEqual({ vni: 300 });
    expect(one.joinedGroups()).toEqual(['eth0 239.1.1.1']);
    await daemon.ctl('vni', 'add', '300=239.9.0.1');
    await floods(tap(one, 300), b, 'once more');
  });

  test('many at once: each change is whole', async () => {
    const daemon = await start(2, '100=239.1.1.1');
    const client = new ControlClient(daemon.socket);
    const before = await footprint(one, daemon);
    const vnis = Array.from({ length: 20 }, (_, i) => 1000 + i);
    const twice = [...vnis, ...vnis];
    const added = await Promise.allSettled(twice.map((vni) => client.addVni(`${vni}=239.2.0.${1 + (vni % 5)}`)));
    expect(added.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
    expect(one.joinedGroups()).toHaveLength(6);
    const deleted = await Promise.allSettled(twice.map((vni) => client.deleteVni(vni)));
    expect(deleted.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
    expect(await footprint(one, daemon)).toEqual(before);
  });

  test('SIGTERM in the midst of changes: exit 0 within 2 s, nothing left', async () => {
    const daemon = await start(2, '100=239.1.1.1');
    const client = new ControlClient(daemon.socket);
    let vni = 1000;
    const changing = (async () => {
      for (;;) {
        await client.addVni(`${vni}=239.2.0.1`);
        await client.deleteVni(vni++);
      }
    })().catch(() => {});
    await waitUntil('some changes', () => vni > 1003);
    const { code, ms } = await daemon.stop();
    await changing;
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2000);
    expect({ links: one.links().map(({ ifname }) => ifname), groups: one.joinedGroups() }).toEqual({
      links: ['lo', 'eth0'],
      groups: [],
    });
  });

  test('drops of the whole daemon never go backwards', async () => {
    const vtep: VtepdVtep = await startVtepdVtep(one, { segments: [{ vni: 100 }, { vni: 200 }] });
    const total = async () => (await vtep.drops()).tx['no-remote'] ?? 0;
    const a = tap(one, 100);
    for (let i = 0; i < 10; i++) sendProbe(a, { dst: BROADCAST, src: STATION_1, text: `${i}` });
    await waitFor('the drops', total, (count) => count >= 10);
    for (let round = 0; round < 3; round++) {
      const before = await total();
      await vtep.daemon.ctl('vni', 'del', '100');
      expect(await total()).toBeGreaterThanOrEqual(before);
      await vtep.daemon.ctl('vni', 'add', '100');
      expect(await total()).toBeGreaterThanOrEqual(before);
      const { tx } = await vtep.daemon.ctl<{ tx: Record<string, number> }>('drops', '--vni', '100');
      expect(tx['no-remote']).toBeLessThan(10);
    }
  });
});

/** Open files of a daemon without those that come and go: its clients' connections, which belong to the namespace of the clients. */
function lastingFds(pid: number): number {
  const unix = readFileSync('/proc/self/net/unix', 'utf8');
  const inodes = new Set(unix.split('\n').map((row) => row.trim().split(/\s+/)[6]));
  const isLasting = (fd: string) => {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode === undefined || !inodes.has(inode);
    } catch {
      return false;
    }
  };
  return readdirSync(`/proc/${pid}/fd`).filter(isLasting).length;
}

function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
