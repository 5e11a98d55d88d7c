/**
 * A host of the kernel among daemons: what its machines say is learned, moved and forgotten as that of others, and what it sends amiss
 * is dropped for the right reason.
 *
 *     vxlan100, 200, … 600 ──────── host 1: vtepd ──────────────┐  VNI 200: inner-vlan=strip, 300: pass
 *     vxlan100, 200, 300 ────────── host 2: vtepd --workers 2 ──┤  VNI 600: max-macs=8
 *     vxlan100, 200, 300, 600, … ── host 3: kernel ─────────────┘
 */
import { beforeAll, expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type VtepdVtep } from '../support/daemon/vtep-host.ts';
import { describeSystem, useLab, useScope } from '../support/lab/lab.ts';
import { BROADCAST, readEthernet } from '../support/traffic/frames.ts';
import type { PacketSocket } from '../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, packetsWithProbe, probeTexts, sendProbe } from '../support/traffic/probes.ts';
import { range } from '../support/traffic/trains.ts';
import { waitFor } from '../support/wait.ts';

const GROUP = '239.1.1.1';
const HERE = '02:00:00:00:01:01';
const SEGMENTS = [
  { vni: 100, group: GROUP },
  { vni: 200, group: '239.1.1.2' },
  { vni: 300, group: '239.1.1.3' },
];
const POLICIES = { 100: 'drop', 200: 'strip', 300: 'pass' } as const;

describeSystem('a host of the kernel', () => {
  const lab = useLab({ hosts: 3, wire: 'mtu-true' });
  useScope(lab);
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  let vtep: VtepdVtep;

  beforeAll(async () => {
    const segments = SEGMENTS.map((segment) => ({
      ...segment,
      keys: [`inner-vlan=${POLICIES[segment.vni as 100 | 200 | 300]}`],
    }));
    const more = [
      { vni: 400, group: '239.1.1.4' },
      { vni: 500, group: '239.1.1.5' },
      { vni: 600, group: '239.1.1.6', maxMacs: 8, statics: { '02:00:00:00:60:aa': two.address } },
    ];
    [vtep] = await Promise.all([
      startVtepdVtep(one, { segments: [...segments, ...more] }),
      startVtepdVtep(two, { segments, flags: ['--workers', '2'] }),
      startKernelVtep(three, { segments: [...SEGMENTS, { vni: 600, group: '239.1.1.6' }] }),
    ]);
  }, 60_000);

  const taps = (vni = 100) =>
    [one, two, three].map((host) => host.packetSocket(`vxlan${vni}`)) as [PacketSocket, PacketSocket, PacketSocket];

  const whereIs = async (mac: string, vni = 100) =>
    (await vtep.fdb()).find((entry) => entry.vni === vni && entry.mac === mac)?.vtep;

  /** What was dropped for a reason meanwhile; a frame that arrives at last shows that all before it have been dealt with. */
  async function droppedBy(reason: string, act: () => Promise<void>): Promise<number> {
    const before = (await vtep.drops()).rx[reason] ?? 0;
    await act();
    return ((await vtep.drops()).rx[reason] ?? 0) - before;
  }

  async function fence(from: PacketSocket, to: PacketSocket): Promise<void> {
    const text = `fence ${performance.now()}`;
    sendProbe(from, { dst: BROADCAST, src: '02:00:00:00:fe:0c', text });
    await arrivesAt(text, to);
  }

  /** A further device of the kernel's host, gone at the end of the test. */
  function addDevice(vni: number, group: string, ...words: string[]): PacketSocket {
    const name = `vxlan${vni}`;
    const place = ['id', `${vni}`, 'group', group, 'dev', 'eth0', 'local', three.address, 'dstport', '4789'];
    three.ip('link', 'add', name, 'type', 'vxlan', ...place, ...words);
    lab.scope.defer(() => void three.ip('link', 'del', name));
    three.ip('link', 'set', name, 'up');
    return three.packetSocket(name);
  }

  test('T5, T30: its machines are flushed by its address, and flooded to again', async () => {
    const [near, far] = ['02:00:00:00:05:02', '02:00:00:00:05:03'];
    const [a, b, c] = taps();
    sendProbe(b, { dst: BROADCAST, src: near, text: 'on 2' });
    sendProbe(c, { dst: BROADCAST, src: far, text: 'on 3' });
    await arrivesAt('on 2', a);
    await arrivesAt('on 3', a, b);
    expect([await whereIs(near), await whereIs(far)]).toEqual([two.address, three.address]);
    const toFar = async (text: string, ...sockets: PacketSocket[]) => {
      for (const i of range(10)) sendProbe(a, { dst: far, src: HERE, text: `${text} ${i}` });
      await arrivesAt(`${text} 9`, ...sockets);
      return [b, c].map((socket) => socket.select(({ bytes }) => bytes.includes(text)).length);
    };
    expect(await toFar('known', c)).toEqual([0, 10]);
    expect(await vtep.daemon.ctl('fdb', 'flush', '--vni', '200', '--vtep', three.address)).toEqual({ removed: 0 });
    await vtep.daemon.ctl('fdb', 'flush', '--vni', '100', '--vtep', three.address);
    expect([await whereIs(near), await whereIs(far)]).toEqual([two.address, undefined]);
    expect(await toFar('flushed', b, c)).toEqual([10, 10]);
    sendProbe(c, { dst: BROADCAST, src: far, text: 'still on 3' });
    await arrivesAt('still on 3', a);
    await vtep.daemon.ctl('fdb', 'del', far, '--vni', '100');
    expect(await toFar('deleted', b, c)).toEqual([10, 10]);
  });

  test('T8: a machine moves from it, and back to it', async () => {
    const mac = '02:00:00:00:08:03';
    const [a, b, c] = taps();
    for (const [i, [home, other, address]] of (
      [
        [c, b, three.address],
        [b, c, two.address],
        [c, b, three.address],
      ] as const
    ).entries()) {
      sendProbe(home, { dst: BROADCAST, src: mac, text: `moved ${i}` });
      await arrivesAt(`moved ${i}`, a, other);
      expect(await whereIs(mac)).toBe(address);
      sendProbe(a, { dst: mac, src: HERE, text: `after it ${i}` });
      await arrivesAt(`after it ${i}`, home);
      expect(other.select(isProbe(`after it ${i}`))).toEqual([]);
    }
  });

  test('T13: source MACs that are none are dropped and not learned, and broadcasts go to the group as before', async () => {
    const [a, , c] = taps();
    const sources = ['01:00:5e:00:00:01', BROADCAST, '00:00:00:00:00:00'];
    const count = await droppedBy('bad-source-mac', async () => {
      for (const src of sources) sendProbe(c, { dst: BROADCAST, src, text: 'poison' });
      await fence(c, a);
    });
    expect(count).toBe(sources.length);
    expect(a.select(isProbe('poison'))).toEqual([]);
    expect((await vtep.fdb()).filter(({ mac }) => sources.includes(mac))).toEqual([]);
    const cable = one.cable();
    sendProbe(a, { dst: BROADCAST, src: HERE, text: 'still flooded' });
    await arrivesAt('still flooded', c);
    expect(packetsWithProbe(cable.drain(), 'still flooded').map(({ ip }) => ip.dst)).toEqual([GROUP]);
  });

  test('T14: a VNI that the daemon does not have, on a group that it has joined', async () => {
    const [a, , c] = taps();
    const stranger = addDevice(101, GROUP);
    const count = await droppedBy('unknown-vni', async () => {
      for (const i of range(3)) sendProbe(stranger, { dst: BROADCAST, src: '02:00:00:00:14:03', text: `lost ${i}` });
      await fence(c, a);
    });
    expect(count).toBe(3);
    expect(probeTexts(a.drain()).filter((text) => text.startsWith('lost'))).toEqual([]);
  });

  test('T18: a VNI on the group of another', async () => {
    const [a, , c] = taps();
    const own = one.packetSocket('vxlan400');
    const misplaced = addDevice(400, GROUP);
    const count = await droppedBy('wrong-group', async () => {
      for (const i of range(3)) sendProbe(misplaced, { dst: BROADCAST, src: '02:00:00:00:18:03', text: `wrong ${i}` });
      await fence(c, a);
    });
    expect(count).toBe(3);
    expect(probeTexts(own.drain())).toEqual([]);
    expect(await whereIs('02:00:00:00:18:03', 400)).toBeUndefined();
  });

  test.each([
    ['drop', 100, [], []],
    ['strip', 200, [undefined], [undefined]],
    ['pass', 300, [7], [7]],
  ] as const)('T32: inner tags with inner-vlan=%s, from it and to it', async (_, vni, into, out) => {
    const [a, , c] = taps(vni);
    const tags = (socket: PacketSocket, text: string) =>
      socket.select(isProbe(text)).map(({ bytes }) => readEthernet(bytes)?.vlan);
    sendProbe(c, { dst: BROADCAST, src: '02:00:00:00:32:03', vlan: 7, text: 'tag in' });
    await fence(c, a);
    expect(tags(a, 'tag in')).toEqual(into);
    sendProbe(a, { dst: BROADCAST, src: HERE, vlan: 7, text: 'tag out' });
    await fence(a, c);
    expect(tags(c, 'tag out')).toEqual(out);
  });

  test('T33: a device that sends zero UDP checksums is heard', async () => {
    const a = one.packetSocket('vxlan500');
    const cable = one.cable();
    const c = addDevice(500, '239.1.1.5', 'noudpcsum');
    sendProbe(c, { dst: BROADCAST, src: '02:00:00:00:33:03', text: 'unsummed' });
    await arrivesAt('unsummed', a);
    expect(await whereIs('02:00:00:00:33:03', 500)).toBe(three.address);
    sendProbe(a, { dst: '02:00:00:00:33:03', src: HERE, text: 'answer' });
    await arrivesAt('answer', c);
    const checksum = (text: string) =>
      cable.select(({ bytes }) => bytes.includes(text))[0]?.bytes.readUInt16BE(14 + 26);
    expect(checksum('unsummed')).toBe(0);
    expect(checksum('answer')).toBeGreaterThan(0);
  });

  test('T40: a frame whose source is the daemon’s own TAP', async () => {
    const [a, , c] = taps();
    const src = one.link('vxlan100')?.address ?? '';
    const count = await droppedBy('own-mac', async () => {
      sendProbe(c, { dst: BROADCAST, src, text: 'echo' });
      await fence(c, a);
    });
    expect(count).toBe(1);
    expect(a.select(isProbe('echo'))).toEqual([]);
    expect(await whereIs(src)).toBeUndefined();
  });

  test('T28: of 16 machines 8 are learned, all are served, and static entries do not count', async () => {
    const [tap, far] = [one.packetSocket('vxlan600'), three.packetSocket('vxlan600')];
    for (const i of range(16)) {
      sendProbe(far, { dst: BROADCAST, src: `02:00:00:00:28:${(16 + i).toString(16)}`, text: `machine ${i}` });
    }
    await arrivesAt('machine 15', tap);
    expect(probeTexts(tap.drain())).toEqual(range(16).map((i) => `machine ${i}`));
    await vtep.daemon.ctl('fdb', 'add', '02:00:00:00:60:ab', '--vni', '600', '--vtep', three.address);
    const table = (await vtep.fdb()).filter(({ vni }) => vni === 600);
    expect(table.filter(({ type, vtep: at }) => type === 'dynamic' && at === three.address)).toHaveLength(8);
    expect(table.filter(({ type }) => type === 'static').map(({ mac }) => mac.slice(-2))).toEqual(['aa', 'ab']);
    // One that was pushed out is reached by a flood.
    sendProbe(tap, { dst: '02:00:00:00:28:10', src: HERE, text: 'to the first' });
    await waitFor(
      'the frame',
      () => far.select(isProbe('to the first')).length,
      (count) => count === 1,
    );
  });
});
