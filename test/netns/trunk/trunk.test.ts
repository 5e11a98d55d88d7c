/**
 * One TAP that carries many VNIs as VLANs, between daemons that number their VLANs differently and the kernel's vxlan devices.
 * Tagged frames are crafted: this kernel has no 802.1Q devices.
 *
 *   trunk0: 10 20 30 40 and untagged ─ host 1: vtepd ──┐
 *   vxlan100                         ─┘                ├── VNI 1010, 1020, 1030, 1040, 1000; 100
 *   trunk0: 110 120 130 140          ─ host 2: vtepd ──┤
 *   vxlan1000, vxlan100              ─┘                │
 *   vxlan1010, vxlan1020             ─ host 3: kernel ─┘
 */
import { beforeAll, expect, test } from 'vitest';
import {
  type SegmentOptions,
  startKernelVtep,
  startVtepdVtep,
  type VtepdVtep,
} from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import {
  arp,
  BROADCAST,
  ETHERTYPE,
  ethernet,
  probe,
  readArp,
  readEthernet,
  readProbe,
  vxlan,
} from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, sendProbe, settle } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

interface Shown {
  readonly vni: number;
  readonly tap: string;
  readonly vlan: number | null;
  readonly mtu: number;
  readonly bridge: string | null;
  readonly status: string;
}

const GROUP = '239.1.1.1';
const KEYS: Readonly<Record<number, string[]>> = { 1030: ['inner-vlan=strip'], 1040: ['inner-vlan=pass'] };
const vlanOf = (vni: number, vlan: number): SegmentOptions => ({
  vni,
  group: GROUP,
  keys: [`vlan=${vlan}`, ...(KEYS[vni] ?? [])],
});

describeSystem.each([1, 2])('a trunk of VLANs, %i workers', (workers) => {
  const lab = useLab({ hosts: 3 });
  useScope(lab);
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  const station = (host: number) => `02:00:00:00:0${host}:01`;
  let vtep: VtepdVtep;

  beforeAll(async () => {
    const flags = ['--trunk', 'trunk0', '--workers', `${workers}`];
    const own = { vni: 100, group: GROUP };
    const segments = [vlanOf(1010, 10), vlanOf(1020, 20), vlanOf(1030, 30), vlanOf(1040, 40)];
    vtep = await startVtepdVtep(one, { segments: [...segments, vlanOf(1000, 0), own], flags });
    const others = [vlanOf(1010, 110), vlanOf(1020, 120), vlanOf(1030, 130), vlanOf(1040, 140)];
    await startVtepdVtep(two, { segments: [...others, { vni: 1000, group: GROUP }, own], flags });
    await startKernelVtep(three, { segments: [1010, 1020].map((vni) => ({ vni, group: GROUP })) });
    three.ip('addr', 'add', '192.0.2.3/24', 'dev', 'vxlan1010');
  }, 60_000);

  const vlansOf = (socket: PacketSocket, text: string) =>
    socket.select(isProbe(text)).map(({ bytes }) => readEthernet(bytes)?.vlan);

  test('is one TAP, of which each VNI shows its VLAN', async () => {
    const shown = await vtep.daemon.ctl<Shown[]>('vni', 'show');
    const rows = shown.map(({ vni, tap, vlan, mtu, status }) => [vni, tap, vlan, mtu, status]);
    // 4 less than the underlay leaves: VNI 1040 passes inner tags.
    expect(rows).toEqual([
      [100, 'vxlan100', null, 1450, 'ok'],
      [1000, 'trunk0', 0, 1446, 'ok'],
      [1010, 'trunk0', 10, 1446, 'ok'],
      [1020, 'trunk0', 20, 1446, 'ok'],
      [1030, 'trunk0', 30, 1446, 'ok'],
      [1040, 'trunk0', 40, 1446, 'ok'],
    ]);
    const taps = one.links().filter(({ ifname }) => /^(vxlan|trunk)/.test(ifname));
    expect(taps.map(({ ifname, mtu }) => [ifname, mtu])).toEqual([
      ['trunk0', 1446],
      ['vxlan100', 1450],
    ]);
    expect(one.link('trunk0')?.address).toMatch(/^fe:/);
    expect(one.link('trunk0')?.address).not.toBe(two.link('trunk0')?.address);
  });

  test('VLANs and VNIs are the same segments, and never mix', async () => {
    const [trunk, other] = [one.packetSocket('trunk0'), two.packetSocket('trunk0')];
    const taps = new Map([1010, 1020].map((vni) => [vni, three.packetSocket(`vxlan${vni}`)]));
    for (const [vlan, vni] of [
      [10, 1010],
      [20, 1020],
    ] as const) {
      sendProbe(trunk, { dst: BROADCAST, src: station(1), vlan, text: `out of ${vlan}` });
      await arrivesAt(`out of ${vlan}`, other, taps.get(vni) as PacketSocket);
      expect(vlansOf(other, `out of ${vlan}`)).toEqual([100 + vlan]);
      sendProbe(other, { dst: BROADCAST, src: station(2), vlan: 100 + vlan, text: `into ${vlan}` });
      sendProbe(taps.get(vni) as PacketSocket, { dst: BROADCAST, src: station(3), text: `kernel into ${vlan}` });
      await arrivesAt(`into ${vlan}`, trunk);
      await arrivesAt(`kernel into ${vlan}`, trunk, other);
      expect(vlansOf(trunk, `into ${vlan}`)).toEqual([vlan]);
      expect(vlansOf(trunk, `kernel into ${vlan}`)).toEqual([vlan]);
      expect(vlansOf(other, `kernel into ${vlan}`)).toEqual([100 + vlan]);
    }
    const foreign = (vni: number, vlan: number) =>
      (taps.get(vni) as PacketSocket).select(({ bytes }) => readProbe(bytes)?.text.endsWith(`${vlan}`) ?? false);
    expect([foreign(1010, 20), foreign(1020, 10)]).toEqual([[], []]);
  });

  test('one MAC may be in several VLANs, at several VTEPs', async () => {
    const [trunk, other] = [one.packetSocket('trunk0'), two.packetSocket('trunk0')];
    const wanderer = '02:00:00:00:09:09';
    sendProbe(other, { dst: BROADCAST, src: wanderer, vlan: 110, text: 'here in 10' });
    sendProbe(three.packetSocket('vxlan1020'), { dst: BROADCAST, src: wanderer, text: 'here in 20' });
    await arrivesAt('here in 10', trunk);
    await arrivesAt('here in 20', trunk);
    const table = (await vtep.fdb()).filter(({ mac }) => mac === wanderer);
    expect(table.map((entry) => [entry.vni, entry.vtep])).toEqual([
      [1010, two.address],
      [1020, three.address],
    ]);
    const cable = lab.wire.packetSocket(three.portName, { outgoing: true });
    sendProbe(trunk, { dst: wanderer, src: station(1), vlan: 10, text: 'to host 2 alone' });
    await arrivesAt('to host 2 alone', other);
    expect(cable.select(({ bytes }) => bytes.includes('to host 2 alone'))).toEqual([]);
  });

  test('untagged frames are of the VNI with vlan=0, and priority tags count as none', async () => {
    const [trunk, tap] = [one.packetSocket('trunk0'), two.packetSocket('vxlan1000')];
    sendProbe(trunk, { dst: BROADCAST, src: station(1), text: 'untagged' });
    sendProbe(trunk, { dst: BROADCAST, src: station(1), vlan: 0xe000, text: 'priority' });
    await arrivesAt('untagged', tap);
    await arrivesAt('priority', tap);
    expect([vlansOf(tap, 'untagged'), vlansOf(tap, 'priority')]).toEqual([[undefined], [undefined]]);
    sendProbe(tap, { dst: BROADCAST, src: station(2), text: 'and back' });
    await arrivesAt('and back', trunk);
    expect(vlansOf(trunk, 'and back')).toEqual([undefined]);
  });

  test('a VLAN that no VNI is goes nowhere, and is counted; on a trunk without vlan=0, what is untagged too', async () => {
    const before = await vtep.drops();
    const cable = one.cable();
    for (const vlan of [11, 4095])
      sendProbe(one.packetSocket('trunk0'), { dst: BROADCAST, src: station(1), vlan, text: 'stray' });
    const count = () => vtep.drops().then(({ tx }) => (tx['unknown-vlan'] ?? 0) - (before.tx['unknown-vlan'] ?? 0));
    await waitFor('both drops', count, (dropped) => dropped === 2);
    const [trunk] = [two.packetSocket('trunk0')];
    sendProbe(trunk, { dst: BROADCAST, src: station(2), text: 'stray' });
    await settle();
    expect(cable.select(({ bytes }) => bytes.includes('stray'))).toEqual([]);
    expect(await count()).toBe(2);
  });

  test('beside the trunk, a VNI with a TAP of its own is served', async () => {
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const trunk = one.packetSocket('trunk0');
    sendProbe(a, { dst: BROADCAST, src: station(1), text: 'there' });
    await arrivesAt('there', b);
    sendProbe(b, { dst: BROADCAST, src: station(2), text: 'back' });
    await arrivesAt('back', a);
    expect(trunk.select(({ bytes }) => readProbe(bytes)?.text === 'back')).toEqual([]);
  });

  test('a kernel peer on VNI 1010 answers VLAN 10', async () => {
    const trunk = one.packetSocket('trunk0');
    const asker = '02:00:00:00:01:77';
    const request = arp({
      ...{ operation: 1, senderMac: asker, senderIp: '192.0.2.77' },
      ...{ targetMac: '00:00:00:00:00:00', targetIp: '192.0.2.3' },
    });
    trunk.send(ethernet({ dst: BROADCAST, src: asker, vlan: 10, type: ETHERTYPE.arp, payload: request }));
    const answer = await trunk.waitForFrame('the answer', ({ bytes }) => readArp(bytes)?.operation === 2);
    expect(readEthernet(answer.bytes)).toMatchObject({ dst: asker, vlan: 10 });
  });

  test.each([
    ['drop', 10, 1010, undefined],
    ['strip', 30, 1030, []],
    ['pass', 40, 1040, [7]],
  ] as const)('T32: inner tags behind that of the trunk: inner-vlan=%s', async (policy, vlan, vni, passed) => {
    const [trunk, other, before] = [one.packetSocket('trunk0'), two.packetSocket('trunk0'), await vtep.drops()];
    const tagged = probe({ dst: BROADCAST, src: station(1), vlan: 7, text: 'two tags' });
    const outer = Buffer.from([0x81, 0, 0, vlan]);
    trunk.send(Buffer.concat([tagged.subarray(0, 12), outer, tagged.subarray(12)]));
    const inner = probe({ dst: BROADCAST, src: station(2), vlan: 7, text: 'tag inside' });
    two.udpSocket({ address: two.address }).send(vxlan({ vni, inner }), { to: one.address });
    sendProbe(trunk, { dst: BROADCAST, src: station(1), vlan, text: 'fence out' });
    sendProbe(other, { dst: BROADCAST, src: station(2), vlan: 100 + vlan, text: 'fence in' });
    await arrivesAt('fence out', other);
    await arrivesAt('fence in', trunk);
    const tagsOf = (socket: PacketSocket, text: string) =>
      socket.select(({ bytes }) => bytes.includes(text)).map(({ bytes }) => tags(bytes));
    expect(tagsOf(other, 'two tags')).toEqual(passed === undefined ? [] : [[100 + vlan, ...passed]]);
    expect(tagsOf(trunk, 'tag inside')).toEqual(passed === undefined ? [] : [[vlan, ...passed]]);
    const { rx, tx } = await vtep.drops();
    const dropped = [
      (rx['inner-vlan'] ?? 0) - (before.rx['inner-vlan'] ?? 0),
      (tx['inner-vlan'] ?? 0) - (before.tx['inner-vlan'] ?? 0),
    ];
    expect(dropped, policy).toEqual(passed === undefined ? [1, 1] : [0, 0]);
  });

  test('what comes back with the MAC of the trunk is dropped in each VLAN', async () => {
    const before = await vtep.drops();
    const [trunk, socket] = [one.packetSocket('trunk0'), two.udpSocket({ address: two.address })];
    const src = one.link('trunk0')?.address ?? '';
    for (const vni of [1010, 1020, 1000]) {
      socket.send(vxlan({ vni, inner: probe({ dst: BROADCAST, src, text: 'echo' }) }), { to: one.address });
    }
    const count = () => vtep.drops().then(({ rx }) => (rx['own-mac'] ?? 0) - (before.rx['own-mac'] ?? 0));
    await waitFor('the drops', count, (dropped) => dropped === 3);
    expect(trunk.select(isProbe('echo'))).toEqual([]);
  });
});

/** VLAN ids of all 802.1Q tags in front of a frame. */
function tags(bytes: Buffer): number[] {
  const found: number[] = [];
  for (let at = 12; bytes.readUInt16BE(at) === ETHERTYPE.vlan; at += 4) found.push(bytes.readUInt16BE(at + 2) & 0xfff);
  return found;
}
