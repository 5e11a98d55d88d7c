/**
 * What a control plane says is in force on the wire, and what it hears is true.
 *
 *     vxlan100 ── host 1  198.18.0.1 ───┐ vtepd, with a control plane attached
 *     vxlan100 ── host 2  198.18.0.2 ───┤ vtepd
 *     vxlan100 ── host 3  198.18.0.3 ───┘ the kernel's device
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type AttachedPlane, startControlled } from '../../support/daemon/control-plane.ts';
import { startMonitor } from '../../support/daemon/fdb-monitor.ts';
import {
  type SegmentOptions,
  startKernelVtep,
  startVtepdVtep,
  type VtepdVtep,
} from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import {
  type Arp,
  arp,
  BROADCAST,
  ETHERTYPE,
  ethernet,
  readArp,
  readVxlanPacket,
} from '../../support/traffic/frames.ts';
import type { CapturedFrame, PacketSocket } from '../../support/traffic/packet-socket.ts';
import { isProbe, probeTexts, sendProbe, settle } from '../../support/traffic/probes.ts';
import { waitFor, waitUntil } from '../../support/wait.ts';

const STATION = '02:00:00:00:01:01';
const ELSEWHERE = '02:00:00:00:03:03';
/** What is refused of a batch that is in force. */
const NOTHING = { floods: [], macs: [], neighbours: [] };
const UNKNOWN = '02:00:00:00:ff:fe';

function questionFrom(senderIp: string, targetIp: string): Arp {
  return { operation: 1, senderMac: STATION, senderIp, targetMac: '00:00:00:00:00:00', targetIp };
}

describeSystem('a control plane', () => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];

  async function start(
    segment: Partial<SegmentOptions> | null = {},
    flags: readonly string[] = [],
    env: NodeJS.ProcessEnv = {},
  ): Promise<{ vtep: VtepdVtep; plane: AttachedPlane; taps: [PacketSocket, PacketSocket, PacketSocket] }> {
    const back = [one.address];
    const [controlled] = await Promise.all([
      startControlled(one, segment === null ? [] : [{ vni: 100, ...segment }], { flags, env }),
      startVtepdVtep(two, { segments: [{ vni: 100, remotes: back }] }),
      startKernelVtep(three, { segments: [{ vni: 100, remotes: back }] }),
    ]);
    const taps = [one, two, three].map((host) => host.packetSocket('vxlan100'));
    return { ...controlled, taps: taps as [PacketSocket, PacketSocket, PacketSocket] };
  }

  /** Sends five frames from host 1, of which as many are expected at hosts 2 and 3. How many came. */
  async function five(
    [from, ...to]: readonly PacketSocket[],
    dst: string,
    { text, expected }: { text: string; expected: readonly number[] },
  ): Promise<number[]> {
    for (let i = 0; i < 5; i++) sendProbe(from as PacketSocket, { dst, src: STATION, text: `${text} ${i}` });
    for (const [i, socket] of to.entries()) {
      if (expected[i] !== 0) await socket.waitForFrame('the last one', isProbe(`${text} 4`));
    }
    await settle();
    return to.map((socket) => probeTexts(socket.drain()).filter((found) => found.startsWith(`${text} `)).length);
  }

  /** That frames to a MAC come to hosts 2 and 3 so often. */
  async function expectFive(taps: readonly PacketSocket[], dst: string, ...expected: number[]): Promise<void> {
    expect(await five(taps, dst, { text: `to ${dst} at ${performance.now()}`, expected })).toEqual(expected);
  }

  test.each([1, 2])('says who gets the floods and where a MAC is, %i workers', async (workers) => {
    const { vtep, plane, taps } = await start({}, ['--workers', `${workers}`]);
    await expectFive(taps, UNKNOWN, 0, 0);
    const members = { floods: { added: [two.address, three.address] } };
    expect(await plane.say(100, members)).toEqual(NOTHING);
    await expectFive(taps, UNKNOWN, 5, 5);
    expect(await plane.say(100, { macs: { placed: [{ mac: ELSEWHERE, vtep: three.address }] } })).toEqual(NOTHING);
    await expectFive(taps, ELSEWHERE, 0, 5);
    expect(await vtep.fdb()).toContainEqual(
      expect.objectContaining({ mac: ELSEWHERE, vtep: three.address, type: 'evpn', age: null }),
    );
    expect(await vtep.daemon.ctl('remote', 'show')).toEqual(
      [two, three].map(({ address: remote }) => ({ vni: 100, remote, origin: 'evpn', sent: true, inGroup: false })),
    );
    await plane.say(100, { floods: { removed: [three.address] }, macs: { withdrawn: [ELSEWHERE] } });
    await expectFive(taps, ELSEWHERE, 5, 0);
    await plane.withdrawAll();
    await expectFive(taps, UNKNOWN, 0, 0);
  });

  test('is not moved by a late frame from where the MAC was', async () => {
    const { vtep, plane, taps } = await start();
    await plane.say(100, { macs: { placed: [{ mac: ELSEWHERE, vtep: three.address }] } });
    sendProbe(taps[1], { dst: STATION, src: ELSEWHERE, text: 'late' });
    await taps[0].waitForFrame('the late frame', isProbe('late'));
    expect((await vtep.fdb()).find(({ mac }) => mac === ELSEWHERE)?.vtep).toBe(three.address);
    await expectFive(taps, ELSEWHERE, 0, 5);
  });

  test('is asked, and not the frames, where the MACs of its members are, also after the death of a worker', async () => {
    const mark = join(lab.folder, 'kill-announced-');
    const { vtep, plane, taps } = await start({ remotes: [three.address] }, [], { KILL_WORKER: mark });
    await plane.say(100, { floods: { added: [two.address] } });
    const places = async () => {
      const entries = await vtep.fdb();
      return [STATION, ELSEWHERE].map((mac) => entries.find((each) => each.mac === mac)?.vtep);
    };
    sendProbe(taps[0], { dst: UNKNOWN, src: STATION, text: 'here' });
    await taps[1].waitForFrame('the frame of the machine that came here', isProbe('here'));
    /** Frames of host 2, from where the machine came, arrive late. */
    const late = async (text: string) => {
      for (const src of [STATION, ELSEWHERE]) sendProbe(taps[1], { dst: UNKNOWN, src, text: `${text} ${src}` });
      await taps[0].waitForFrame('the late frame', isProbe(`${text} ${ELSEWHERE}`));
      return places();
    };
    expect(await late('late')).toEqual(['local', undefined]);
    writeFileSync(`${mark}2`, '');
    await waitUntil('the worker has died', () => vtep.daemon.stdout.includes('worker-died'), { timeoutMs: 30_000 });
    rmSync(`${mark}2`);
    await expectFive(taps, UNKNOWN, 5, 5);
    expect(await late('later')).toEqual(['local', undefined]);
    await plane.withdrawAll();
    const isLearned = (found: readonly (string | undefined)[]) => found.every((place) => place === two.address);
    await waitFor('flood and learn again', () => late('flood and learn again'), isLearned);
  });

  test('sends a flood once to a member that is in the group too, and by unicast in a group where nobody was heard', async () => {
    const group = '239.1.1.1';
    const [{ vtep, plane }] = await Promise.all([
      startControlled(one, [{ vni: 100, group }]),
      startVtepdVtep(two, { segments: [{ vni: 100, group }] }),
      startKernelVtep(three, { segments: [{ vni: 100, remotes: [one.address] }] }),
    ]);
    const taps = [one, two, three].map((host) => host.packetSocket('vxlan100')) as [
      PacketSocket,
      PacketSocket,
      PacketSocket,
    ];
    await plane.say(100, { floods: { added: [two.address, three.address] } });
    await expectFive(taps, UNKNOWN, 10, 5);
    sendProbe(taps[1], { dst: BROADCAST, src: ELSEWHERE, text: 'by the group' });
    const shown = () => vtep.daemon.ctl<{ remote: string; sent: boolean; inGroup: boolean }[]>('remote', 'show');
    const isByGroup = (remote: string) => (rows: Awaited<ReturnType<typeof shown>>) =>
      rows.some((row) => row.remote === remote && !row.sent && row.inGroup);
    await waitFor('host 2 to be left out', shown, isByGroup(two.address), { timeoutMs: 5_000 });
    await expectFive(taps, UNKNOWN, 5, 5);
    expect(vtep.daemon.stdout).not.toContain('remote-in-group');
    // A new group: whoever is in it was not heard there yet.
    await vtep.daemon.ctl('vni', 'del', '100');
    await vtep.daemon.ctl('vni', 'add', '100=239.1.1.2');
    await plane.say(100, { floods: { added: [two.address, three.address] } });
    const again = [one.packetSocket('vxlan100'), taps[1], taps[2]] as const;
    await expectFive(again, UNKNOWN, 5, 5);
  });

  test('hears of a machine behind the TAP with its first frame, and when it is elsewhere', async () => {
    const { plane, taps } = await start({ remotes: [two.address, three.address] });
    const isHere = async () => (await plane.heard()).here.get(100)?.get(STATION) === 'learned';
    expect((await plane.heard()).segments.get(100)).toEqual([one.address]);
    expect(await isHere()).toBe(false);
    sendProbe(taps[0], { dst: UNKNOWN, src: STATION, text: 'first' });
    await waitUntil('the MAC is told', isHere, { timeoutMs: 1_000 });
    sendProbe(taps[1], { dst: UNKNOWN, src: STATION, text: 'moved' });
    await waitFor('the MAC is told to be gone', isHere, (here) => !here, { timeoutMs: 1_000 });
  });

  test('hears of a machine and its address though there is nobody to send its first frame to', async () => {
    const { vtep, plane, taps } = await start();
    const payload = Buffer.concat([arp(questionFrom('192.0.2.1', '192.0.2.3')), Buffer.alloc(18)]);
    taps[0].send(ethernet({ dst: BROADCAST, src: STATION, type: ETHERTYPE.arp, payload }));
    await waitUntil(
      'MAC and address are told',
      async () => {
        const { here, neighbours } = await plane.heard();
        return here.get(100)?.get(STATION) === 'learned' && neighbours.get(100)?.get('192.0.2.1') === STATION;
      },
      { timeoutMs: 1_000 },
    );
    expect((await vtep.drops()).tx['no-remote']).toBeGreaterThan(0);
  });

  test('has ARP answered for a neighbour that it placed, and hears of those behind the TAP', async () => {
    const { plane, taps } = await start({ remotes: [two.address, three.address], keys: ['suppress=on'] });
    const [there, here] = ['192.0.2.3', '192.0.2.1'];
    const payload = Buffer.concat([arp(questionFrom(here, there)), Buffer.alloc(18)]);
    const question = ethernet({ dst: BROADCAST, src: STATION, type: ETHERTYPE.arp, payload });
    const isQuestion = ({ bytes }: CapturedFrame) => readArp(bytes)?.targetIp === there;
    taps[0].send(question);
    await taps[2].waitForFrame('the question, of which nobody knows the answer', isQuestion);
    const heard = async () => (await plane.heard()).neighbours.get(100)?.get(here);
    await waitFor('the asker is told', heard, (mac) => mac === STATION, { timeoutMs: 1_000 });
    const placed = {
      macs: { placed: [{ mac: ELSEWHERE, vtep: three.address }] },
      neighbours: { placed: [{ ip: there, mac: ELSEWHERE }] },
    };
    expect(await plane.say(100, placed)).toEqual(NOTHING);
    const cable = one.cable();
    taps[0].send(question);
    const answer = ({ bytes }: CapturedFrame) => readArp(bytes)?.operation === 2;
    const { bytes } = await taps[0].waitForFrame('the answer', answer);
    expect(readArp(bytes)).toMatchObject({ senderMac: ELSEWHERE, senderIp: there, targetMac: STATION, targetIp: here });
    // A second address of the station, from which nothing but an answered question was heard.
    const second = Buffer.concat([arp(questionFrom('192.0.2.11', there)), Buffer.alloc(18)]);
    taps[0].send(ethernet({ dst: BROADCAST, src: STATION, type: ETHERTYPE.arp, payload: second }));
    await waitUntil(
      'the second address is told',
      async () => (await plane.heard()).neighbours.get(100)?.get('192.0.2.11') === STATION,
      { timeoutMs: 1_000 },
    );
    await settle();
    expect(cable.select(({ bytes: sent }) => readVxlanPacket(sent) !== undefined)).toEqual([]);
  });

  test('keeps what it said through a flush and changes of the list; neither configuration nor snapshot has it', async () => {
    const folder = join(lab.folder, 'state');
    const flags = ['--persist', '--state-dir', folder];
    const { vtep, plane, taps } = await start({ remotes: [two.address] }, flags);
    await plane.say(100, {
      floods: { added: [two.address, three.address] },
      macs: { placed: [{ mac: ELSEWHERE, vtep: three.address }] },
    });
    const holds = async () => {
      await expectFive(taps, UNKNOWN, 5, 5);
      await expectFive(taps, ELSEWHERE, 0, 5);
    };
    await holds();
    const { daemon } = vtep;
    expect(JSON.stringify(await daemon.ctl('config', 'show'))).not.toMatch(new RegExp(`${three.address}|${ELSEWHERE}`));
    await daemon.ctl('fdb', 'flush', '--all');
    const refused = await daemon.runCtl('fdb', 'del', ELSEWHERE, '--vni', '100');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/a control plane placed this entry/)]);
    await daemon.ctl('remote', 'del', two.address, '--vni', '100');
    await holds();
    await daemon.ctl('remote', 'add', two.address, '--vni', '100');
    await holds();
    await vtep.stop();
    // The next one has no control plane: what was learned may come back, what was placed may not.
    const after = await startVtepdVtep(one, { segments: [{ vni: 100, remotes: [two.address] }], flags });
    expect((await after.fdb()).filter(({ mac }) => mac === ELSEWHERE)).toEqual([]);
  });

  test('keeps what it said through a reload and the death of a worker', async () => {
    const file = join(lab.folder, 'controlled.yaml');
    const write = (name: string) =>
      writeFileSync(file, `vnis:\n  - vni: 100\n    name: ${name}\n    remote: [${two.address}]\n`);
    write('before');
    const mark = join(lab.folder, 'kill-worker-');
    const { vtep, plane, taps } = await start(null, ['--config', file], { KILL_WORKER: mark });
    await plane.say(100, {
      floods: { added: [three.address] },
      macs: { placed: [{ mac: ELSEWHERE, vtep: three.address }] },
    });
    write('after');
    await vtep.daemon.ctl('reload');
    expect((await vtep.daemon.ctl<{ name: string }[]>('vni', 'show')).map(({ name }) => name)).toEqual(['after']);
    await expectFive(taps, UNKNOWN, 5, 5);
    await expectFive(taps, ELSEWHERE, 0, 5);
    writeFileSync(`${mark}2`, '');
    await waitUntil('the worker has died', () => vtep.daemon.stdout.includes('worker-died'), { timeoutMs: 30_000 });
    rmSync(`${mark}2`);
    await expectFive(taps, UNKNOWN, 5, 5);
    await expectFive(taps, ELSEWHERE, 0, 5);
  });

  test('is in the events as what it is', async () => {
    const { vtep, plane } = await start();
    const monitor = await startMonitor(one, vtep.daemon);
    await plane.say(100, { macs: { placed: [{ mac: ELSEWHERE, vtep: three.address }] } });
    await plane.say(100, { macs: { placed: [{ mac: ELSEWHERE, vtep: two.address }] } });
    await plane.say(100, { macs: { withdrawn: [ELSEWHERE] } });
    const told = () => monitor.events.filter(({ mac }) => mac === ELSEWHERE);
    await waitUntil('three events', () => told().length >= 3);
    expect(told().map(({ event, vtep: at, from, type }) => [event, at, from, type])).toEqual([
      ['add', three.address, null, 'evpn'],
      ['move', two.address, three.address, 'evpn'],
      ['delete', two.address, null, 'evpn'],
    ]);
  });
});
