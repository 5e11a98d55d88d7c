/**
 * What is flooded (`flood=`), and how much of it (`storm=`).
 *
 *     vxlan100 … ── host 1: vtepd   198.18.0.1 ───┐
 *     vxlan100 … ── host 2: kernel  198.18.0.2 ───┴── a group for each VNI, crafted datagrams
 */
import { describe, expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, readVxlanPacket } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, packetsWithProbe, probeTexts, sendProbe, settle } from '../../support/traffic/probes.ts';
import { fence, inVni, range, sendTrains } from '../../support/traffic/trains.ts';
import { waitFor } from '../../support/wait.ts';

const MULTICAST = '01:00:5e:00:00:fb';
const [MACHINE, FAR, NOWHERE] = ['02:00:00:00:01:01', '02:00:00:00:02:02', '02:00:00:00:09:09'];

const group = (vni: number) => `239.1.0.${vni % 256}`;
const kernelSegments = (...vnis: number[]) => ({ segments: vnis.map((vni) => ({ vni, group: group(vni) })) });

describeSystem('flood control', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  /** One VNI with these keys on host 1, and the kernel's device for it on host 2. */
  async function start(vni: number, keys: readonly string[], flags: readonly string[] = []) {
    const vtep = await startVtepdVtep(one, { segments: [{ vni, group: group(vni), keys }], flags });
    await startKernelVtep(two, kernelSegments(vni));
    const [near, far] = [one.packetSocket(`vxlan${vni}`), two.packetSocket(`vxlan${vni}`)];
    return { vtep, near, far };
  }

  async function txDrops(vtep: VtepdVtep, reason: string): Promise<number> {
    return (await vtep.drops()).tx[reason] ?? 0;
  }

  describe('flood=', () => {
    test.each([
      ['all', ['broadcast', 'multicast', 'unknown']],
      ['no-unknown', ['broadcast', 'multicast']],
      ['none', []],
    ] as const)('%s floods %j, and known destinations are served', async (mode, flooded) => {
      const { vtep, near, far } = await start(100, [`flood=${mode}`]);
      sendProbe(far, { dst: BROADCAST, src: FAR, text: 'here I am' });
      await arrivesAt('here I am', near);
      sendProbe(near, { dst: BROADCAST, src: MACHINE, text: 'broadcast' });
      sendProbe(near, { dst: MULTICAST, src: MACHINE, text: 'multicast' });
      sendProbe(near, { dst: NOWHERE, src: MACHINE, text: 'unknown' });
      sendProbe(near, { dst: FAR, src: MACHINE, text: 'known' });
      // Flows take their own ways: in what order they arrive is open.
      for (const text of [...flooded, 'known']) await arrivesAt(text, far);
      expect(probeTexts(far.drain()).toSorted()).toEqual([...flooded, 'known'].toSorted());
      expect(await txDrops(vtep, 'flood-off')).toBe(3 - flooded.length);
      // What comes in is not what is flooded here.
      sendProbe(far, { dst: BROADCAST, src: FAR, text: 'broadcast to all' });
      sendProbe(far, { dst: NOWHERE, src: FAR, text: 'unknown to all' });
      const arrived = ['broadcast to all', 'here I am', 'unknown to all'];
      for (const text of arrived) await arrivesAt(text, near);
      expect(probeTexts(near.drain()).toSorted()).toEqual(arrived);
    });

    test('none sends nothing to remotes either, and what is dropped is not learned', async () => {
      const vtep = await startVtepdVtep(one, {
        segments: [{ vni: 100, group: group(100), remotes: [two.address], keys: ['flood=none'] }],
      });
      const [near, cable] = [one.packetSocket('vxlan100'), one.cable()];
      sendProbe(near, { dst: BROADCAST, src: MACHINE, text: 'nothing' });
      await waitFor(
        'the drop',
        () => txDrops(vtep, 'flood-off'),
        (count) => count === 1,
      );
      await settle();
      expect(packetsWithProbe(cable.drain(), 'nothing')).toEqual([]);
      expect((await vtep.fdb()).map(({ mac }) => mac)).not.toContain(MACHINE);
    });
  });

  test('link-local destinations are not forwarded, whatever is flooded', async () => {
    const { vtep, near, far } = await start(100, []);
    const cable = one.cable();
    const destinations = range(16).map((i) => `01:80:c2:00:00:0${i.toString(16)}`);
    for (const dst of destinations)
      for (const from of [near, far]) sendProbe(from, { dst, src: MACHINE, text: 'bpdu' });
    sendProbe(near, { dst: '01:80:c2:00:00:10', src: MACHINE, text: 'the next address' });
    await arrivesAt('the next address', far);
    await waitFor(
      'the drops',
      () => vtep.drops(),
      ({ rx }) => (rx['link-local'] ?? 0) >= 16,
    );
    expect(await vtep.drops()).toMatchObject({ rx: { 'link-local': 16 }, tx: { 'link-local': 16 } });
    const sent = packetsWithProbe(cable.drain(), 'bpdu').filter(({ ip }) => ip.src === one.address);
    expect(sent).toEqual([]);
    expect(near.select(isProbe('bpdu'))).toEqual([]);
  });

  describe('storm=', () => {
    const RATE = 10;
    const COUNT = 100;

    /** Of COUNT frames that went in since `startMs`, how many came out: the burst, and what the time since allows. */
    function expectBounded(passed: number, dropped: number, startMs: number): void {
      const seconds = (performance.now() - startMs) / 1_000;
      expect(passed).toBeGreaterThanOrEqual(RATE);
      expect(passed).toBeLessThanOrEqual(RATE + Math.ceil(RATE * (seconds + 0.1)));
      expect(passed + dropped).toBe(COUNT);
    }

    test.each([
      ['one worker', []],
      ['four workers', ['--workers', '4']],
    ] as const)('bounds what leaves, with %s, and nothing that is known', async (_, flags) => {
      const { vtep, near, far } = await start(100, [`storm=${RATE}`], flags);
      sendProbe(far, { dst: BROADCAST, src: FAR, text: 'here I am' });
      await arrivesAt('here I am', near);
      const startMs = performance.now();
      // Of many sources, so that every queue of the TAP gets some.
      const source = (i: number) => `02:00:00:00:03:${i.toString(16).padStart(2, '0')}`;
      for (const i of range(COUNT)) sendProbe(near, { dst: BROADCAST, src: source(i), text: `flood ${i}` });
      for (const i of range(COUNT)) sendProbe(near, { dst: FAR, src: source(0), text: `known ${i}` });
      const isText = (start: string) => (frame: { bytes: Buffer }) =>
        probeTexts([frame as never]).some((text) => text.startsWith(start));
      await far.waitForFrames('known', isText('known'), { count: COUNT });
      const floods = () => far.select(isText('flood')).length;
      await waitFor(
        'all accounted for',
        async () => floods() + (await txDrops(vtep, 'storm')),
        (all) => all >= COUNT,
      );
      expectBounded(floods(), await txDrops(vtep, 'storm'), startMs);
    });

    test('opens again after a second', async () => {
      const { near, far } = await start(100, ['storm=2']);
      for (const i of range(20)) sendProbe(near, { dst: BROADCAST, src: MACHINE, text: `burst ${i}` });
      await arrivesAt('burst 1', far);
      // Half a second brings one frame.
      const later = () => {
        sendProbe(near, { dst: BROADCAST, src: MACHINE, text: 'later' });
        return far.select(isProbe('later')).length;
      };
      await waitFor('a frame again', later, (count) => count > 0, { everyMs: 100 });
    });

    test.each([
      ['datagram by datagram', 'single'],
      ['in trains that repeat themselves', 'trains'],
    ] as const)('bounds what comes in, %s', async (_, how) => {
      const vtep = await startVtepdVtep(one, {
        segments: [
          { vni: 100, group: group(100), keys: [`storm=${RATE}`] },
          { vni: 200, group: group(200) },
        ],
      });
      const sender = two.udpSocket({ address: two.address });
      const [tap, fenceTap] = [one.packetSocket('vxlan100'), one.packetSocket('vxlan200')];
      const startMs = performance.now();
      const datagrams = inVni(
        100,
        range(COUNT).map((i) => probe({ dst: BROADCAST, src: MACHINE, text: `flood ${i}` })),
      );
      if (how === 'single') for (const bytes of datagrams) sender.send(bytes, { to: one.address });
      else sendTrains({ sender, to: one.address }, datagrams);
      await fence({ sender, to: one.address, tap: fenceTap, fenceVni: 200 });
      const { rx } = await vtep.drops();
      expectBounded(texts(tap).length, rx.storm ?? 0, startMs);
    });

    test('bounds what a kernel peer floods, each VNI by itself, and leaves unicast to machines alone', async () => {
      const vtep = await startVtepdVtep(one, {
        segments: [
          { vni: 100, group: group(100), keys: [`storm=${RATE}`] },
          { vni: 200, group: group(200), keys: ['storm=100000'] },
        ],
      });
      await startKernelVtep(two, kernelSegments(100, 200));
      const [near100, near200] = [one.packetSocket('vxlan100'), one.packetSocket('vxlan200')];
      const [far100, far200] = [two.packetSocket('vxlan100'), two.packetSocket('vxlan200')];
      sendProbe(near100, { dst: BROADCAST, src: MACHINE, text: 'here I am' });
      await arrivesAt('here I am', far100);
      const startMs = performance.now();
      for (const i of range(COUNT)) {
        for (const far of [far100, far200]) sendProbe(far, { dst: BROADCAST, src: FAR, text: `flood ${i}` });
      }
      for (const i of range(COUNT)) sendProbe(far100, { dst: MACHINE, src: FAR, text: `unicast ${i}` });
      await near100.waitForFrame('the last unicast', isProbe(`unicast ${COUNT - 1}`));
      await near200.waitForFrame('the last flood', isProbe(`flood ${COUNT - 1}`));
      expect(texts(near200)).toHaveLength(COUNT);
      const floods = () => texts(near100).filter((text) => text.startsWith('flood')).length;
      const dropped = async () => (await vtep.drops()).rx.storm ?? 0;
      await waitFor(
        'all accounted for',
        async () => floods() + (await dropped()),
        (all) => all >= COUNT,
      );
      expectBounded(floods(), await dropped(), startMs);
      expect(texts(near100).filter((text) => text.startsWith('unicast'))).toHaveLength(COUNT);
    });

    test('counts one flood, however many remotes get it', async () => {
      const remotes = [two.address, '198.18.0.77'];
      two.addAddress('198.18.0.77');
      lab.scope.defer(() => void two.ip('addr', 'del', '198.18.0.77/24', 'dev', 'eth0'));
      const vtep = await startVtepdVtep(one, { segments: [{ vni: 100, remotes, keys: ['storm=1'] }] });
      const [near, cable] = [one.packetSocket('vxlan100'), one.cable()];
      for (const i of range(5)) sendProbe(near, { dst: BROADCAST, src: MACHINE, text: `copy ${i}` });
      await waitFor(
        'the drops',
        () => txDrops(vtep, 'storm'),
        (count) => count >= 4,
      );
      // The copies may still wait for the answer to an ARP request.
      const sent: string[] = [];
      const look = () => {
        sent.push(...cable.drain().flatMap(({ bytes }) => readVxlanPacket(bytes)?.ip.dst ?? []));
        return sent.toSorted();
      };
      await waitFor('a copy for each remote', look, (all) => all.length >= remotes.length);
      expect(sent.toSorted()).toEqual(remotes.toSorted());
    });
  });
});

function texts(socket: PacketSocket): string[] {
  return probeTexts(socket.drain()).filter((text) => text !== 'here I am');
}
