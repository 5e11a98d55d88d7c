/**
 * Machines that move from host to host, and one address that two machines have.
 *
 *     vxlan100 ── host 1  198.18.0.1  vtepd ───────────────┐
 *     vxlan100 ── host 2  198.18.0.2  vtepd --workers 2 ───┼──  VNI 100 = 239.1.1.1
 *     vxlan100 ── host 3  198.18.0.3  vtepd --workers 2 ───┘
 */
import { beforeAll, expect, test } from 'vitest';
import { startMonitor } from '../../support/daemon/fdb-monitor.ts';
import { type FdbEntry, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { arp, BROADCAST, ETHERTYPE, ethernet, readArp } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, packetsWithProbe, sendProbe } from '../../support/traffic/probes.ts';

describeSystem('moving machines', () => {
  const lab = useLab({ hosts: 3, wire: 'mtu-true' });
  const vteps: VtepdVtep[] = [];

  useScope(lab);
  beforeAll(async () => {
    const flags = (number: number) => (number === 1 ? [] : ['--workers', '2']);
    const segments = [
      { vni: 100, group: '239.1.1.1' },
      { vni: 200, group: '239.1.1.2' },
    ];
    const start = lab.hosts.map((host) => startVtepdVtep(host, { segments, flags: flags(host.number) }));
    vteps.push(...(await Promise.all(start)));
  }, 60_000);

  function overlay(): [PacketSocket, PacketSocket, PacketSocket] {
    const at = (number: number) => lab.host(number).packetSocket('vxlan100');
    return [at(1), at(2), at(3)];
  }

  async function entry(host: number, mac: string): Promise<FdbEntry | undefined> {
    return (await vteps[host - 1]?.fdb())?.find((row) => row.vni === 100 && row.mac === mac);
  }

  /** RFC 5944 §4.6: what a hypervisor sends once for a machine that has arrived. */
  function gratuitousArp(mac: string, address: string): Buffer {
    const payload = arp({
      operation: 1,
      senderMac: mac,
      senderIp: address,
      targetMac: '00:00:00:00:00:00',
      targetIp: address,
    });
    return ethernet({ dst: BROADCAST, src: mac, type: ETHERTYPE.arp, payload });
  }

  test('T8: one gratuitous ARP switches every host, to another host and back', async () => {
    const [mac, address] = ['02:00:00:00:01:01', '192.0.2.77'];
    const taps = overlay();
    const cables = lab.hosts.map((host) => host.cable());
    for (const [round, home] of [1, 2, 3, 1].entries()) {
      for (const tap of taps) tap.clear();
      const others = [1, 2, 3].filter((number) => number !== home);
      const tapOf = (number: number) => taps[number - 1] as PacketSocket;
      tapOf(home).send(gratuitousArp(mac, address));
      const isArp = ({ bytes }: { bytes: Buffer }) => readArp(bytes)?.senderMac === mac;
      await Promise.all(others.map((number) => tapOf(number).waitForFrame('the gratuitous ARP', isArp)));
      for (const number of others) {
        const text = `round ${round}, from ${number}`;
        sendProbe(tapOf(number), { dst: mac, src: `02:00:00:00:01:a${number}`, text });
        await arrivesAt(text, tapOf(home));
        const third = others.find((other) => other !== number) as number;
        expect(tapOf(third).select(isProbe(text))).toEqual([]);
        expect(tapOf(home).select(isProbe(text))).toHaveLength(1);
        const sent = packetsWithProbe(cables[number - 1]?.select(({ outgoing }) => !outgoing) ?? [], text);
        expect(sent.map(({ ip }) => ip.dst)).toEqual([`198.18.0.${home}`]);
        expect(await entry(number, mac)).toMatchObject({ vtep: `198.18.0.${home}`, moves: round });
      }
      expect(await entry(home, mac)).toMatchObject({ vtep: 'local', moves: round });
    }
  });

  test('one address at two hosts: after five moves it stays, frames go through, and the log says so once', async () => {
    const mac = '02:00:00:00:02:01';
    const [a, b, c] = overlay();
    const monitor = await startMonitor(lab.host(3), vteps[2]?.daemon as VtepdVtep['daemon']);
    for (let i = 0; i < 20; i++) {
      const text = `flap ${i}`;
      sendProbe(i % 2 ? b : a, { dst: BROADCAST, src: mac, text });
      await arrivesAt(text, c, i % 2 ? a : b);
      const heard = `198.18.0.${1 + (i % 2)}`;
      expect(await entry(3, mac)).toMatchObject(i <= 5 ? { vtep: heard, moves: i } : { vtep: '198.18.0.2', moves: 5 });
    }
    expect(await entry(1, mac)).toMatchObject({ vtep: '198.18.0.2', moves: 5 });
    expect(await entry(2, mac)).toMatchObject({ vtep: 'local', moves: 5 });
    // Whoever asks for it is sent to one place.
    sendProbe(c, { dst: mac, src: '02:00:00:00:02:0c', text: 'which of you' });
    await arrivesAt('which of you', b);
    expect(a.select(isProbe('which of you'))).toEqual([]);

    const moves = ['move 198.18.0.2 from 198.18.0.1', 'move 198.18.0.1 from 198.18.0.2'];
    expect(await monitor.waitFor(mac, 6)).toEqual(['add 198.18.0.1', ...[0, 1, 0, 1, 0].map((n) => moves[n])]);
    const flaps = vteps.map(({ daemon }) =>
      daemon.stdout
        .split('\n')
        .filter((line) => line.includes('mac-flapping'))
        .map((line) => JSON.parse(line) as { vni: number; mac: string; vteps: string[] }),
    );
    expect(flaps).toMatchObject([
      [{ vni: 100, mac, vteps: ['198.18.0.2', 'local'] }],
      [{ vni: 100, mac, vteps: ['local', '198.18.0.1'] }],
      [{ vni: 100, mac, vteps: ['198.18.0.2', '198.18.0.1'] }],
    ]);

    // An operator who knows better need not wait.
    await vteps[2]?.daemon.ctl('fdb', 'del', mac, '--vni', '100');
    sendProbe(a, { dst: BROADCAST, src: mac, text: 'it is me' });
    await arrivesAt('it is me', c);
    expect(await entry(3, mac)).toMatchObject({ vtep: '198.18.0.1', moves: 0 });
  });

  test('T5: a learned entry that is deleted is flooded to again', async () => {
    const mac = '02:00:00:00:03:02';
    const [a, b, c] = overlay();
    sendProbe(b, { dst: BROADCAST, src: mac, text: 'on 2' });
    await arrivesAt('on 2', a, c);
    for (let i = 0; i < 10; i++) sendProbe(a, { dst: mac, src: '02:00:00:00:03:01', text: `known ${i}` });
    await arrivesAt('known 9', b);
    expect(c.select(({ bytes }) => bytes.includes('known'))).toEqual([]);
    await vteps[0]?.daemon.ctl('fdb', 'del', mac, '--vni', '100');
    expect(await entry(1, mac)).toBeUndefined();
    for (let i = 0; i < 10; i++) sendProbe(a, { dst: mac, src: '02:00:00:00:03:01', text: `forgotten ${i}` });
    await arrivesAt('forgotten 9', b, c);
    for (const tap of [b, c]) expect(tap.select(({ bytes }) => bytes.includes('forgotten'))).toHaveLength(10);
  });

  test('T30: flush filters combine with AND; static entries stay unless asked for', async () => {
    const daemon = vteps[0]?.daemon as VtepdVtep['daemon'];
    await daemon.ctl('fdb', 'flush', '--all');
    const [b, c] = [lab.host(2), lab.host(3)];
    const names = new Map([
      ['02:00:00:00:04:21', { host: b, vni: 100 }],
      ['02:00:00:00:04:22', { host: b, vni: 200 }],
      ['02:00:00:00:04:31', { host: c, vni: 100 }],
      ['02:00:00:00:04:32', { host: c, vni: 200 }],
    ]);
    const learnAll = async () => {
      for (const [mac, { host, vni }] of names) {
        const tap = lab.host(1).packetSocket(`vxlan${vni}`);
        sendProbe(host.packetSocket(`vxlan${vni}`), { dst: BROADCAST, src: mac, text: mac });
        await arrivesAt(mac, tap);
      }
    };
    const pinned = '02:00:00:00:04:99';
    await daemon.ctl('fdb', 'add', pinned, '--vni', '100', '--vtep', '198.18.0.2');
    const left = async () =>
      (await daemon.ctl<FdbEntry[]>('fdb', 'show')).map(({ mac }) => mac.slice(-2)).filter((end) => end !== '99');
    for (const [filters, removed, rest] of [
      [['--vni', '100'], 2, ['22', '32']],
      [['--vtep', '198.18.0.2'], 2, ['31', '32']],
      [['--vni', '100', '--vtep', '198.18.0.2'], 1, ['31', '22', '32']],
      [['--mac', '02:00:00:00:04:31', '--vni', '200'], 0, ['21', '31', '22', '32']],
      [['--mac', '02:00:00:00:04:31'], 1, ['21', '22', '32']],
      [[], 4, []],
    ] as const) {
      await learnAll();
      expect(await daemon.ctl('fdb', 'flush', ...filters)).toEqual({ removed });
      expect(await left()).toEqual(rest);
      expect(await entry(1, pinned)).toMatchObject({ type: 'static' });
    }
    await learnAll();
    expect(await daemon.ctl('fdb', 'flush', '--all', '--vni', '100', '--vtep', '198.18.0.2')).toEqual({ removed: 2 });
    expect(await entry(1, pinned)).toBeUndefined();
    expect(await left()).toEqual(['31', '22', '32']);
  });
});
