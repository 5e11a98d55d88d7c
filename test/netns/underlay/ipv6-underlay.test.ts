/**
 * VXLAN over IPv6: groups by MLD, IPv4 and IPv6 in one daemon, the kernel's device among the hosts.
 *
 *     vxlanN ── host 1  fd00:18::1  198.18.0.1 ───┐ vtepd
 *     vxlanN ── host 2  fd00:18::2  198.18.0.2 ───┼ vtepd
 *     vxlanN ── host 3  fd00:18::3  198.18.0.3 ───┘ vtepd, or the kernel
 */
import { expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, type Host, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, readProbe, vxlan } from '../../support/traffic/frames.ts';
import { ip6Words, isFragment6, readMld, readVxlanPacket6, type VxlanPacket6 } from '../../support/traffic/ipv6.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, packetsWithProbe, probeTexts, sendProbe, settle } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const GROUP = 'ff05::1:1';
const STATION = '02:00:00:00:01:01';
const OTHER = '02:00:00:00:02:02';

interface ShownVni {
  readonly vni: number;
  readonly mtu: number;
  readonly group: string | null;
  readonly joined: boolean;
  readonly status: string;
}

describeSystem('IPv6 underlay', () => {
  const lab = useLab({ hosts: 3, ipv6: true });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];

  const start = (host: Host, segments: Parameters<typeof startVtepdVtep>[1]['segments'], flags: string[] = []) =>
    startVtepdVtep(host, { segments, flags });

  function carrying(cable: PacketSocket, text: string): VxlanPacket6[] {
    return cable.drain().flatMap(({ bytes }) => {
      const packet = readVxlanPacket6(bytes);
      return packet && readProbe(packet.vxlan.inner)?.text === text ? packet : [];
    });
  }

  async function reaches(from: PacketSocket, to: PacketSocket, text: string): Promise<void> {
    const look = () => {
      sendProbe(from, { dst: BROADCAST, src: STATION, text });
      return to.select(isProbe(text)).length;
    };
    await waitFor(`a flood "${text}"`, look, (count) => count > 0, { timeoutMs: 20_000, everyMs: 50 });
  }

  test('T1, T4, T21: floods to the group, learns, answers by unicast, with the hop limits of the flags', async () => {
    const segments = [{ vni: 100, group: GROUP }];
    const [vtep] = await Promise.all([one, two, three].map((host) => start(host, segments, ['--ttl', '33'])));
    const [a, b, c] = [one, two, three].map((host) => host.packetSocket('vxlan100')) as [
      PacketSocket,
      PacketSocket,
      PacketSocket,
    ];
    const cable = one.cable();
    sendProbe(a, { dst: BROADCAST, src: STATION, text: 'to all' });
    await arrivesAt('to all', b, c);
    expect(probeTexts(a.drain())).toEqual([]);
    sendProbe(b, { dst: STATION, src: OTHER, text: 'back' });
    await arrivesAt('back', a);
    expect(probeTexts(c.drain())).toEqual(['to all']);
    sendProbe(a, { dst: OTHER, src: STATION, text: 'known' });
    await arrivesAt('known', b);

    const [flood] = carrying(cable, 'to all');
    expect(flood).toMatchObject({ src: ip6Words(one.address6), dst: ip6Words(GROUP), hopLimit: 1, trafficClass: 0 });
    expect(flood?.udp.sourcePort).toBeGreaterThanOrEqual(49_152);
    const [known] = carrying(cable, 'known');
    expect(known).toMatchObject({ src: ip6Words(one.address6), dst: ip6Words(two.address6), hopLimit: 33 });
    const table = await vtep?.fdb();
    expect(table?.find(({ mac }) => mac === OTHER)).toMatchObject({ vtep: two.address6, type: 'dynamic' });
    expect(await vtep?.daemon.ctl('status')).toMatchObject({ local: [one.address6], dev: ['eth0'], vteps: 1 });
  });

  test('T19: joins by MLD at start and leaves at the end', async () => {
    const cable = one.cable();
    const groups = ['ff05::7:1', 'ff05::7:2'];
    const vtep = await start(
      one,
      groups.map((group, i) => ({ vni: 100 + i, group })),
    );
    const seen = () => cable.drain().flatMap(({ bytes }) => readMld(bytes));
    const joins = groups.map((group) => `join ${ip6Words(group)}`);
    await waitFor('both joins', seen, (events) => joins.every((join) => events.includes(join)));
    expect(one.joinedGroups6('eth0')).toEqual(groups.map(ip6Words));
    expect(one.joinedGroups()).toEqual([]);
    const shown = await vtep.daemon.ctl<ShownVni[]>('vni', 'show');
    expect(shown.map(({ group, joined, status }) => [group, joined, status])).toEqual(
      groups.map((group) => [group, true, 'ok']),
    );
    await vtep.stop();
    const leaves = groups.map((group) => `leave ${ip6Words(group)}`);
    await waitFor('both leaves', seen, (events) => leaves.every((leave) => events.includes(leave)));
    expect(one.joinedGroups6('eth0')).toEqual([]);
  });

  test('a link-local group is joined on --dev and used', async () => {
    await Promise.all([one, two].map((host) => start(host, [{ vni: 100, group: 'ff02::4789' }])));
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    sendProbe(a, { dst: BROADCAST, src: STATION, text: 'on the link' });
    await arrivesAt('on the link', b);
  });

  test('T34: IPv4 and IPv6 VNIs at once do not mix, and one VNI has both', async () => {
    const segments = [
      { vni: 100, group: '239.1.1.1' },
      { vni: 200, group: GROUP },
      { vni: 300, group: '239.1.1.3', remotes: [two.address6] },
      { vni: 400, group: 'ff05::4', remotes: [two.address] },
    ];
    const [vtep] = await Promise.all([one, two].map((host) => start(host, segments)));
    // The kernel's device has one family each.
    await startKernelVtep(three, { segments: segments.slice(0, 2) });
    const shown = await vtep?.daemon.ctl<ShownVni[]>('vni', 'show');
    expect(shown?.map(({ vni, mtu }) => [vni, mtu])).toEqual([
      [100, 1450],
      [200, 1430],
      [300, 1430],
      [400, 1430],
    ]);
    const cable = one.cable();
    for (const { vni } of segments) {
      const [a, b] = [one.packetSocket(`vxlan${vni}`), two.packetSocket(`vxlan${vni}`)];
      const text = `flood of ${vni}`;
      sendProbe(a, { dst: BROADCAST, src: STATION, text });
      await arrivesAt(text, b);
      const copies = vni >= 300 ? 2 : 1;
      expect(probeTexts(b.drain())).toEqual(Array(copies).fill(text));
      const [over4, over6] = [packetsWithProbe(cable.drain(), text), carrying(cable, text)];
      expect([over4.length, over6.length]).toEqual(vni >= 300 ? [1, 1] : vni === 100 ? [1, 0] : [0, 1]);
      if (vni >= 300) continue;
      const c = three.packetSocket(`vxlan${vni}`);
      sendProbe(c, { dst: BROADCAST, src: OTHER, text: `from the kernel in ${vni}` });
      await arrivesAt(`from the kernel in ${vni}`, a, b);
      sendProbe(a, { dst: OTHER, src: STATION, text: `to the kernel in ${vni}` });
      await arrivesAt(`to the kernel in ${vni}`, c);
      const entry = (await vtep?.fdb())?.find((row) => row.vni === vni && row.mac === OTHER);
      expect(entry?.vtep).toBe(vni === 100 ? three.address : three.address6);
    }
  });

  test('T35: --local chooses among several addresses, of each family', async () => {
    one.ip('addr', 'add', 'fd00:18::aa/64', 'dev', 'eth0', 'nodad');
    lab.scope.defer(() => {
      one.ip('addr', 'del', 'fd00:18::aa/64', 'dev', 'eth0');
    });
    one.addAddress('198.18.0.71');
    lab.scope.defer(() => void one.ip('addr', 'del', '198.18.0.71/24', 'dev', 'eth0'));
    const segments = [
      { vni: 100, group: GROUP },
      { vni: 200, group: '239.1.1.2' },
    ];
    const vtep = await start(one, segments, ['--local', 'fd00:18::aa', '--local', '198.18.0.71']);
    const kernel = await startKernelVtep(three, { segments });
    expect(await vtep.daemon.ctl('status')).toMatchObject({ local: ['fd00:18::aa', '198.18.0.71'] });
    const cable = one.cable();
    sendProbe(one.packetSocket('vxlan100'), { dst: BROADCAST, src: STATION, text: 'chosen' });
    await waitFor(
      'the flood',
      () => carrying(cable, 'chosen'),
      (packets) => packets.length > 0,
    );
    expect(carrying(cable, 'chosen')[0]?.src).toBe(ip6Words('fd00:18::aa'));
    // The kernel answers to where it learned us.
    for (const [vni, local] of [
      [100, 'fd00:18::aa'],
      [200, '198.18.0.71'],
    ] as const) {
      const [a, c] = [one.packetSocket(`vxlan${vni}`), three.packetSocket(`vxlan${vni}`)];
      sendProbe(a, { dst: BROADCAST, src: STATION, text: `chosen in ${vni}` });
      await arrivesAt(`chosen in ${vni}`, c);
      expect((await kernel.fdb()).find((row) => row.vni === vni && row.mac === STATION)?.vtep).toBe(local);
      sendProbe(c, { dst: STATION, src: OTHER, text: `answer in ${vni}` });
      await arrivesAt(`answer in ${vni}`, a);
    }
  });

  test('T33: zero checksums are accepted, wrong ones are not', async () => {
    await start(one, [
      { vni: 100, group: GROUP },
      { vni: 200, group: '239.1.1.1' },
    ]);
    const taps = { 100: one.packetSocket('vxlan100'), 200: one.packetSocket('vxlan200') };
    for (const [vni, from, to] of [
      [100, two.address6, one.address6],
      [200, two.address, one.address],
    ] as const) {
      const inner = (text: string) => vxlan({ vni, inner: probe({ dst: BROADCAST, src: STATION, text }) });
      two.udpSocket({ address: from, zeroChecksum: true }).send(inner('zero'), { to });
      await arrivesAt('zero', taps[vni]);

      // The same datagram again as it crossed, with and without a fault in its checksum.
      const cable = one.cable();
      two.udpSocket({ address: from }).send(inner('summed'), { to });
      const { bytes } = await cable.waitForFrame('the datagram', ({ bytes }) => bytes.includes('summed'));
      const checksumAt = 14 + (vni === 100 ? 40 : 20) + 6;
      const bad = Buffer.from(bytes);
      bad.write('faulty', bad.indexOf('summed'), 'latin1');
      bad.writeUInt16BE(0x1234, checksumAt);
      const wire = lab.wire.packetSocket(one.portName);
      wire.send(bad);
      two.udpSocket({ address: from }).send(inner('last'), { to });
      await arrivesAt('last', taps[vni]);
      expect(probeTexts(taps[vni].drain()).filter((text) => text === 'faulty')).toEqual([]);
    }
  });

  test('T26: what does not fit is dropped and counted, not fragmented', async () => {
    const vtep = await start(one, [{ vni: 100, remotes: [two.address6] }]);
    one.ip('link', 'set', 'vxlan100', 'mtu', '1500');
    const [tap, cable] = [one.packetSocket('vxlan100'), one.cable()];
    tap.send(probe({ dst: BROADCAST, src: STATION, text: 'too long' }, { length: 1445 }));
    tap.send(probe({ dst: BROADCAST, src: STATION, text: 'just fits' }, { length: 1444 }));
    await waitFor(
      'the second',
      () => carrying(cable, 'just fits'),
      (packets) => packets.length === 1,
    );
    expect(carrying(cable, 'too long')).toEqual([]);
    expect(cable.select(({ bytes }) => isFragment6(bytes))).toEqual([]);
    expect((await vtep.drops()).tx.oversize).toBe(1);
  });

  test('T36: a second daemon or a kernel device on the port is refused by name; of the other family they do not matter', async () => {
    const kernel = await startKernelVtep(three, { segments: [{ vni: 7, group: 'ff05::7' }] });
    const refused = await runVtepd(three, ['--dev', 'eth0', '--vni', `100=${GROUP}`]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toBe(
      "vtepd: UDP [::]:4789: the kernel's vxlan device vxlan7 holds UDP port 4789: take it down (`ip link set vxlan7 down`) if nothing needs it, or choose another --port\n",
    );
    const beside = await start(three, [{ vni: 100, group: '239.1.1.1' }]);
    await beside.stop();
    await kernel.stop();
    await start(three, [{ vni: 100, group: GROUP }]);
    const second = await runVtepd(three, ['--dev', 'eth0', '--vni', `101,remote=${two.address6}`]);
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^vtepd: UDP \[::\]:4789: vtepd \(pid \d+\) holds UDP port 4789: stop it/);
  });

  test('a VNI is refused whose family has no address', async () => {
    three.ip('addr', 'del', `${three.address6}/64`, 'dev', 'eth0');
    lab.scope.defer(() => {
      three.ip('addr', 'add', `${three.address6}/64`, 'dev', 'eth0', 'nodad');
    });
    const refused = await runVtepd(three, ['--dev', 'eth0', '--vni', '1=239.1.1.1', '--vni', `100=${GROUP}`]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('vtepd: --vni 100: eth0 has no IPv6 address of global scope: give it one');
  });

  test('T20: traffic resumes after the underlay went down and up; meanwhile the status tells that the address is gone', async () => {
    const [vtep] = await Promise.all([one, two].map((host) => start(host, [{ vni: 100, group: GROUP }])));
    const status = async () => (await vtep?.daemon.ctl<ShownVni[]>('vni', 'show'))?.[0]?.status;
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    await reaches(a, b, 'before');
    one.ip('link', 'set', 'eth0', 'down');
    await waitFor('eth0 is down', status, (text) => text === 'eth0 is down');
    const cable = one.cable();
    one.ip('link', 'set', 'eth0', 'up');
    await waitFor('no address', status, (text) => text === 'fd00:18::1 is not on this host');
    one.ip('addr', 'add', `${one.address6}/64`, 'dev', 'eth0', 'nodad');
    one.ip('route', 'replace', '224.0.0.0/4', 'dev', 'eth0');
    await waitFor('ok again', status, (text) => text === 'ok');
    const joins = () => cable.drain().flatMap(({ bytes }) => readMld(bytes));
    await waitFor('the join again', joins, (events) => events.includes(`join ${ip6Words(GROUP)}`), {
      timeoutMs: 20_000,
    });
    await reaches(a, b, 'there');
    await reaches(b, a, 'and back');
  });

  test('T20: traffic resumes after the underlay interface was deleted and made again', async () => {
    await Promise.all([one, two].map((host) => start(host, [{ vni: 100, group: 'ff02::4789' }])));
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    await reaches(a, b, 'before');
    one.unplug();
    one.plug();
    await reaches(a, b, 'there again');
    await reaches(b, a, 'and back again');
    expect(one.joinedGroups6('eth0')).toEqual([ip6Words('ff02::4789')]);
  });

  test('a VTEP that sends from its link-local address is learned and answered', async () => {
    const vtep = await start(one, [{ vni: 100, group: 'ff02::4789' }]);
    const tap = one.packetSocket('vxlan100');
    const linkLocal = /inet6 (fe80[0-9a-f:]+)/.exec(two.ip('-6', 'addr', 'show', 'dev', 'eth0'))?.[1];
    // Without one, host 2 gets one.
    const address = linkLocal ?? 'fe80::2';
    if (!linkLocal) two.ip('addr', 'add', `${address}/64`, 'dev', 'eth0', 'nodad');
    two.ip(
      'link',
      'add',
      'vxlan100',
      'type',
      'vxlan',
      'id',
      '100',
      'dev',
      'eth0',
      'local',
      address,
      'group',
      'ff02::4789',
      'dstport',
      '4789',
    );
    lab.scope.defer(() => {
      two.ip('link', 'del', 'vxlan100');
    });
    two.ip('link', 'set', 'vxlan100', 'up');
    const far = two.packetSocket('vxlan100');
    await reaches(far, tap, 'from the link');
    expect((await vtep.fdb()).find(({ mac }) => mac === STATION)?.vtep).toBe(address);
    sendProbe(tap, { dst: STATION, src: OTHER, text: 'answer' });
    await arrivesAt('answer', far);
    await settle();
    expect((await vtep.drops()).tx['send-error']).toBe(0);
  });
});
