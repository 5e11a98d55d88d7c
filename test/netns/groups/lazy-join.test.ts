/**
 * `join=lazy`: the group is joined while somebody lives behind the TAP, RFC 7348 §4.2 "as needed".
 *
 *     VM 192.0.2.1 ── br0 ── vxlan100 ── host 1: vtepd   198.18.0.1 ───┐
 *                            vxlan100 ── host 2: kernel  198.18.0.2 ───┴── cables, on which IGMP is read
 */
import { expect, test } from 'vitest';
import {
  type SegmentOptions,
  startKernelVtep,
  startVtepdVtep,
  type VtepdVtep,
} from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { addBridge, addVirtualMachine } from '../../support/lab/virtual-machine.ts';
import { BROADCAST, readIgmp } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, sendProbe } from '../../support/traffic/probes.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

const [MACHINE, OTHER_MACHINE, FAR] = ['02:00:00:00:01:01', '02:00:00:00:01:02', '02:00:00:00:02:02'];

/** Longer than the daemon takes to look at what it has learned. */
const LOOK_MS = 1_500;

describeSystem('join=lazy', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  function start(segment: SegmentOptions, options: { ageingSeconds?: number } = {}): Promise<VtepdVtep> {
    return startVtepdVtep(one, { segments: [{ ...segment, keys: ['join=lazy'] }], ...options });
  }

  /** Joins and leaves that host 1 has sent for a group, repetitions left out. */
  function igmp(cable: PacketSocket, group: string): string[] {
    const all = cable.drain().flatMap(({ bytes }) => readIgmp(bytes));
    const events = all.filter((event) => event.src === one.address && event.group === group).map(({ event }) => event);
    return events.filter((event, i) => event !== events[i - 1]);
  }

  async function seen(cable: PacketSocket, group: string, events: readonly string[]): Promise<void> {
    await waitFor(
      `${events.join(', ')} of ${group}`,
      () => igmp(cable, group),
      (all) => all.length >= events.length,
    );
    expect(igmp(cable, group)).toEqual(events);
  }

  async function shown(vtep: VtepdVtep, vni = 100): Promise<[joined: boolean, status: string]> {
    const [row] = await vtep.daemon.ctl<{ joined: boolean; status: string }[]>('vni', 'show', `${vni}`);
    return [row?.joined ?? false, row?.status ?? ''];
  }

  const macsOf = async (vtep: VtepdVtep) => (await vtep.fdb()).map(({ mac }) => mac);

  test('joins as soon as a machine appears behind the bridge, and leaves when it is gone', async () => {
    const group = '239.3.0.1';
    addBridge(one, 'br0');
    lab.scope.defer(() => void one.ip('link', 'del', 'br0'));
    const cable = one.cable();
    const vtep = await start({ vni: 100, group, bridge: 'br0' });
    await startKernelVtep(two, { segments: [{ vni: 100, group }] });
    expect([one.joinedGroups(), await shown(vtep)]).toEqual([[], [false, 'ok']]);

    // The host itself, through its bridge: it is learned, and no reason to join.
    one.ip('addr', 'add', '192.0.2.101/24', 'dev', 'br0');
    one.ping('192.0.2.99', { count: 1 });
    const bridgeMac = one.link('br0')?.address ?? '';
    await waitFor(
      'the bridge learned',
      () => macsOf(vtep),
      (macs) => macs.includes(bridgeMac),
    );
    await sleep(LOOK_MS);
    expect([one.joinedGroups(), await shown(vtep)]).toEqual([[], [false, 'ok']]);

    const machine = addVirtualMachine(one, { bridge: 'br0', number: 1 });
    const far = two.packetSocket('vxlan100');
    await waitFor(
      'a word of the machine',
      () => {
        machine.namespace.ping('192.0.2.98', { count: 1 });
        return macsOf(vtep);
      },
      (macs) => macs.includes(machine.mac),
    );
    const learnedMs = performance.now();
    await waitUntil('the group joined', () => one.joinedGroups().includes(`eth0 ${group}`));
    // It takes milliseconds; a second is promised, and a loaded machine gets more.
    expect(performance.now() - learnedMs).toBeLessThan(3_000);
    expect(await shown(vtep)).toEqual([true, 'ok']);
    await seen(cable, group, ['join']);

    // Floods of the kernel's host reach the machine.
    const inside = machine.namespace.packetSocket('eth0');
    sendProbe(far, { dst: BROADCAST, src: FAR, text: 'to all' });
    await arrivesAt('to all', inside);

    machine.namespace.ip('link', 'set', 'eth0', 'down');
    await vtep.daemon.ctl('fdb', 'del', machine.mac, '--vni', '100');
    await waitUntil('the group left', () => one.joinedGroups().length === 0);
    await seen(cable, group, ['join', 'leave']);
    expect(await shown(vtep)).toEqual([false, 'ok']);
  });

  test('who only has the TAP joins nothing, and its floods leave all the same', async () => {
    const group = '239.3.0.2';
    const vtep = await start({ vni: 100, group });
    await startKernelVtep(two, { segments: [{ vni: 100, group }] });
    const cable = one.cable();
    one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
    two.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vxlan100');
    // Asked by the flood, answered by unicast.
    expect(one.ping('192.0.2.2')).toBe(3);
    await sleep(LOOK_MS);
    expect(await macsOf(vtep)).toContain(one.link('vxlan100')?.address);
    expect([one.joinedGroups(), igmp(cable, group)]).toEqual([[], []]);
  });

  test('leaves when the last machine has migrated, is flushed, or has aged', async () => {
    const group = '239.3.0.3';
    const vtep = await start({ vni: 100, group }, { ageingSeconds: 4 });
    await startKernelVtep(two, { segments: [{ vni: 100, group }] });
    const cable = one.cable();
    const [near, far] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const speak = (src: string) => sendProbe(near, { dst: BROADCAST, src, text: 'hello' });

    speak(MACHINE);
    await seen(cable, group, ['join']);
    speak(OTHER_MACHINE);
    await waitFor(
      'both learned',
      () => macsOf(vtep),
      (macs) => macs.includes(OTHER_MACHINE),
    );
    sendProbe(far, { dst: BROADCAST, src: MACHINE, text: 'migrated' });
    await arrivesAt('migrated', near);
    speak(OTHER_MACHINE);
    await sleep(LOOK_MS);
    expect(igmp(cable, group)).toEqual(['join']);
    sendProbe(far, { dst: BROADCAST, src: OTHER_MACHINE, text: 'migrated too' });
    await seen(cable, group, ['join', 'leave']);

    // And back, by one frame.
    speak(MACHINE);
    await seen(cable, group, ['join', 'leave', 'join']);
    await vtep.daemon.ctl('fdb', 'flush', '--vtep', 'local');
    await seen(cable, group, ['join', 'leave', 'join', 'leave']);

    speak(MACHINE);
    await seen(cable, group, ['join', 'leave', 'join', 'leave', 'join']);
    // Silent from here on.
    await seen(cable, group, ['join', 'leave', 'join', 'leave', 'join', 'leave']);
    expect(await macsOf(vtep)).not.toContain(MACHINE);
  });

  test('T16: a group that another VNI needs is neither left nor joined again', async () => {
    const group = '239.3.0.4';
    const cable = one.cable();
    const vtep = await startVtepdVtep(one, {
      segments: [
        { vni: 100, group, keys: ['join=lazy'] },
        { vni: 200, group },
        { vni: 300, group, keys: ['join=lazy'] },
      ],
    });
    expect(one.joinedGroups()).toEqual([`eth0 ${group}`]);
    const near = one.packetSocket('vxlan100');
    sendProbe(near, { dst: BROADCAST, src: MACHINE, text: 'hello' });
    await waitFor(
      'the machine learned',
      () => macsOf(vtep),
      (macs) => macs.includes(MACHINE),
    );
    await sleep(LOOK_MS);
    await vtep.daemon.ctl('fdb', 'flush');
    await sleep(LOOK_MS);
    expect(one.joinedGroups()).toEqual([`eth0 ${group}`]);
    expect(igmp(cable, group)).toEqual(['join']);
  });

  test('two VNIs of one group: joined with the first machine of either, left with the last of both', async () => {
    const group = '239.3.0.5';
    const vtep = await startVtepdVtep(one, {
      segments: [100, 200].map((vni) => ({ vni, group, keys: ['join=lazy'] })),
    });
    const cable = one.cable();
    const taps = [100, 200].map((vni) => one.packetSocket(`vxlan${vni}`));
    for (const tap of taps) {
      sendProbe(tap, { dst: BROADCAST, src: MACHINE, text: 'hello' });
      await waitUntil('joined', () => one.joinedGroups().includes(`eth0 ${group}`));
    }
    await waitFor(
      'both learned',
      () => macsOf(vtep),
      (macs) => macs.filter((mac) => mac === MACHINE).length === 2,
    );
    await sleep(LOOK_MS);
    await vtep.daemon.ctl('fdb', 'flush', '--vni', '100');
    await sleep(LOOK_MS);
    expect(igmp(cable, group)).toEqual(['join']);
    await vtep.daemon.ctl('fdb', 'flush', '--vni', '200');
    await seen(cable, group, ['join', 'leave']);
  });

  test('on a trunk each group is joined while its own VLAN has a machine', async () => {
    const [ten, twenty] = ['239.3.0.10', '239.3.0.11'];
    const onTrunk = (vlan: number, group: string) => ({ vni: 1000 + vlan, group, keys: [`vlan=${vlan}`, 'join=lazy'] });
    const vtep = await startVtepdVtep(one, {
      segments: [onTrunk(10, ten), onTrunk(20, twenty)],
      flags: ['--trunk', 'trunk0'],
    });
    await startKernelVtep(two, { segments: [{ vni: 1010, group: ten }] });
    const [trunk, far, cable] = [one.packetSocket('trunk0'), two.packetSocket('vxlan1010'), one.cable()];
    const speak = (src: string, vlan: number) => sendProbe(trunk, { dst: BROADCAST, src, vlan, text: 'hello' });

    // The host itself is no reason.
    const own = one.link('trunk0')?.address ?? '';
    for (const vlan of [10, 20]) speak(own, vlan);
    await waitFor(
      'the trunk learned in both',
      () => macsOf(vtep),
      (macs) => macs.filter((mac) => mac === own).length === 2,
    );
    await sleep(LOOK_MS);
    expect(one.joinedGroups()).toEqual([]);

    speak(MACHINE, 10);
    await seen(cable, ten, ['join']);
    expect(one.joinedGroups()).toEqual([`eth0 ${ten}`]);
    expect([await shown(vtep, 1010), await shown(vtep, 1020)]).toEqual([
      [true, 'ok'],
      [false, 'ok'],
    ]);
    sendProbe(far, { dst: BROADCAST, src: FAR, text: 'to VLAN 10' });
    await arrivesAt('to VLAN 10', trunk);
    speak(MACHINE, 20);
    await seen(cable, twenty, ['join']);
    await vtep.daemon.ctl('fdb', 'flush', '--vni', '1010');
    await seen(cable, ten, ['join', 'leave']);
    expect(one.joinedGroups()).toEqual([`eth0 ${twenty}`]);
  });

  test('T20: after a flap, and after the interface was made anew, joins again only what is needed', async () => {
    const [needed, idle] = ['239.3.0.6', '239.3.0.7'];
    const vtep = await startVtepdVtep(one, {
      segments: [
        { vni: 100, group: needed, keys: ['join=lazy'] },
        { vni: 200, group: idle, keys: ['join=lazy'] },
      ],
    });
    await startKernelVtep(two, { segments: [{ vni: 100, group: needed }] });
    const [near, idleTap, far] = [
      one.packetSocket('vxlan100'),
      one.packetSocket('vxlan200'),
      two.packetSocket('vxlan100'),
    ];
    const joined = (...groups: string[]) =>
      waitFor(
        'the groups',
        () => one.joinedGroups(),
        (all) => all.join() === groups.map((g) => `eth0 ${g}`).join(),
      );
    sendProbe(near, { dst: BROADCAST, src: MACHINE, text: 'hello' });
    await joined(needed);

    one.ip('link', 'set', 'eth0', 'down');
    const cable = one.cable();
    one.ip('link', 'set', 'eth0', 'up');
    await seen(cable, needed, ['join']);
    expect(igmp(cable, idle)).toEqual([]);
    one.ip('route', 'add', '224.0.0.0/4', 'dev', 'eth0');

    one.unplug();
    await waitUntil('the loss seen', async () => (await shown(vtep))[1] === 'eth0 is gone');
    // Nobody is there any more, and somebody is elsewhere, while there is no interface to join on.
    await vtep.daemon.ctl('fdb', 'flush');
    sendProbe(idleTap, { dst: BROADCAST, src: MACHINE, text: 'hello' });
    await sleep(LOOK_MS);
    one.plug();
    await joined(idle);
    // The interface is there before its address.
    await waitUntil('the address seen', async () => (await shown(vtep))[1] === 'ok');
    expect(await shown(vtep)).toEqual([false, 'ok']);
    expect(await shown(vtep, 200)).toEqual([true, 'ok']);

    sendProbe(near, { dst: BROADCAST, src: MACHINE, text: 'hello' });
    await joined(needed, idle);
    await waitFor(
      'a flood again',
      () => {
        sendProbe(far, { dst: BROADCAST, src: FAR, text: 'there again' });
        return near.select(isProbe('there again')).length;
      },
      (count) => count > 0,
      { everyMs: 50 },
    );
    await vtep.stop();
    expect(one.joinedGroups()).toEqual([]);
  });

  test('T19: leaves on SIGTERM what was joined by need', async () => {
    const group = '239.3.0.8';
    const vtep = await start({ vni: 100, group });
    const cable = one.cable();
    sendProbe(one.packetSocket('vxlan100'), { dst: BROADCAST, src: MACHINE, text: 'hello' });
    await seen(cable, group, ['join']);
    await vtep.stop();
    await seen(cable, group, ['join', 'leave']);
  });

  test('a machine that makes up MACs keeps nobody from working', async () => {
    const group = '239.3.0.9';
    const vtep = await startVtepdVtep(one, { segments: [{ vni: 100, group, maxMacs: 3, keys: ['join=lazy'] }] });
    const near = one.packetSocket('vxlan100');
    for (let i = 0; i < 5_000; i++) {
      const low = i.toString(16).padStart(4, '0');
      sendProbe(near, { dst: BROADCAST, src: `02:00:00:01:${low.slice(0, 2)}:${low.slice(2)}`, text: 'scan' });
      if (i % 500 === 0) await sleep(20);
    }
    await waitUntil('joined', () => one.joinedGroups().includes(`eth0 ${group}`));
    expect((await vtep.fdb()).length).toBeLessThanOrEqual(3);
    await vtep.daemon.ctl('fdb', 'flush');
    await waitUntil('left', () => one.joinedGroups().length === 0);
  });
});
