/**
 * Flood and learn, RFC 7348 §4.1 and §4.2. Frames are sent and seen on the VTEPs' own interfaces, as a machine behind
 * them would, and on the underlay cables. Host 3 is once a daemon like the others and once the kernel's device.
 *
 *        TAPs                                          underlay, nothing larger than its MTU
 *     vxlan100  vxlan200 ── host 1  198.18.0.1 ───┐
 *     vxlan100  vxlan200 ── host 2  198.18.0.2 ───┼──  VNI 100 = 239.1.1.1
 *     vxlan100  vxlan200 ── host 3  198.18.0.3 ───┘    VNI 200 = 239.1.1.2
 */
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type FdbEntry,
  startKernelVtep,
  startVtep,
  VTEP_KIND,
  type Vtep,
  type VtepOptions,
} from '../../support/daemon/vtep-host.ts';
import { describeSystem, type Host, useLab, useScope } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, packetsWithProbe, probeTexts, sendProbe, settle } from '../../support/traffic/probes.ts';
import { sleep, waitFor } from '../../support/wait.ts';

const GROUP_100 = '239.1.1.1';
const GROUP_200 = '239.1.1.2';
const UNKNOWN = '02:00:00:00:ff:fe';
const IPV4_MULTICAST = '01:00:5e:01:02:03';

/** What only the daemon has: local entries, move counts, drop counters, the contract's limits. */
const vtepdTest = test.skipIf(VTEP_KIND === 'kernel');

describeSystem.each(['vtepd', 'kernel'])('flood and learn, host 3: %s', (farKind) => {
  const lab = useLab({ hosts: 3, wire: 'mtu-true' });

  const startOn = (host: Host) => (host.number === 3 && farKind === 'kernel' ? startKernelVtep : startVtep);

  /** Starts the same VTEP on some hosts (all by default) for the calling describe. */
  function useVteps(options: (host: Host) => VtepOptions, hosts: readonly Host[] = lab.hosts): Vtep[] {
    const vteps: Vtep[] = [];
    useScope(lab);
    beforeAll(async () => {
      vteps.push(...(await Promise.all(hosts.map((host) => startOn(host)(host, options(host))))));
    }, 60_000);
    return vteps;
  }

  function overlay(vni: number): [PacketSocket, PacketSocket, PacketSocket] {
    const at = (number: number) => lab.host(number).packetSocket(`vxlan${vni}`);
    return [at(1), at(2), at(3)];
  }

  async function entry(vtep: Vtep | undefined, vni: number, mac: string): Promise<FdbEntry | undefined> {
    return (await vtep?.fdb())?.find((row) => row.vni === vni && row.mac === mac);
  }

  describe('by multicast group', () => {
    const vteps = useVteps(() => ({
      segments: [
        { vni: 100, group: GROUP_100 },
        { vni: 200, group: GROUP_200 },
      ],
    }));

    test.each([1, 2, 3])(
      'T1: a flood from host %i reaches every other member once, and never the sender',
      async (from) => {
        const taps = overlay(100);
        const strangers = overlay(200);
        const [sender, ...others] = [...taps.slice(from - 1), ...taps.slice(0, from - 1)];
        if (!sender) throw new Error('no sender');
        const cable = lab.host(from).cable();
        const src = `02:00:00:00:01:0${from}`;
        const sent: string[] = [];
        for (const [kind, dst] of Object.entries({
          broadcast: BROADCAST,
          multicast: IPV4_MULTICAST,
          unknown: UNKNOWN,
        })) {
          for (let i = 0; i < 10; i++) {
            const text = `${kind} ${i} from ${from}`;
            sent.push(text);
            sendProbe(sender, { dst, src, text });
          }
        }
        await arrivesAt(sent.at(-1) ?? '', ...others);
        for (const other of others) expect(probeTexts(other.drain()).toSorted()).toEqual(sent.toSorted());
        expect(probeTexts(sender.drain())).toEqual([]);
        for (const stranger of strangers) expect(probeTexts(stranger.drain())).toEqual([]);
        const onTheWire = packetsWithProbe(
          cable.select(({ outgoing }) => !outgoing),
          '',
        );
        expect(onTheWire).toHaveLength(sent.length);
        expect(new Set(onTheWire.map(({ ip }) => ip.dst))).toEqual(new Set([GROUP_100]));
        expect(new Set(onTheWire.map(({ vxlan: { vni } }) => vni))).toEqual(new Set([100]));
      },
    );

    test('T4: the answer is unicast and reaches one host', async () => {
      const [a, b, c] = overlay(100);
      const [cableOfTwo, cableOfThree] = [lab.host(2).cable(), lab.host(3).cable()];
      sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:02:01', text: 'question' });
      await arrivesAt('question', b, c);
      sendProbe(b, { dst: '02:00:00:00:02:01', src: '02:00:00:00:02:02', text: 'answer' });
      await arrivesAt('answer', a);
      expect(a.select(isProbe('answer'))).toHaveLength(1);
      expect(c.select(isProbe('answer'))).toHaveLength(0);
      const [packet, ...more] = packetsWithProbe(cableOfTwo.drain(), 'answer');
      expect(more).toEqual([]);
      expect(packet?.ip).toMatchObject({ src: '198.18.0.2', dst: '198.18.0.1' });
      expect(packetsWithProbe(cableOfThree.drain(), 'answer')).toEqual([]);
      expect(await entry(vteps[1], 100, '02:00:00:00:02:01')).toMatchObject({ vtep: '198.18.0.1', type: 'dynamic' });
    });

    test('T15: one MAC address in two VNIs is two machines', async () => {
      const mac = '02:00:00:00:03:01';
      const [a100, b100, c100] = overlay(100);
      const [a200, b200, c200] = overlay(200);
      sendProbe(a100, { dst: BROADCAST, src: mac, text: 'in 100 from 1' });
      sendProbe(b200, { dst: BROADCAST, src: mac, text: 'in 200 from 2' });
      await arrivesAt('in 100 from 1', b100, c100);
      await arrivesAt('in 200 from 2', a200, c200);
      sendProbe(c100, { dst: mac, src: '02:00:00:00:03:03', text: 'to 100' });
      sendProbe(c200, { dst: mac, src: '02:00:00:00:03:03', text: 'to 200' });
      await arrivesAt('to 100', a100);
      await arrivesAt('to 200', b200);
      expect(probeTexts([...a200.drain(), ...b100.drain()])).not.toContain('to 100');
      expect(probeTexts([...a200.drain(), ...b100.drain()])).not.toContain('to 200');
      expect((await entry(vteps[2], 100, mac))?.vtep).toBe('198.18.0.1');
      expect((await entry(vteps[2], 200, mac))?.vtep).toBe('198.18.0.2');
    });

    test('T8: a machine that moves is reached again after its first frame', async () => {
      const mac = '02:00:00:00:04:01';
      const [a, b, c] = overlay(100);
      sendProbe(a, { dst: BROADCAST, src: mac, text: 'here on 1' });
      await arrivesAt('here on 1', b, c);
      expect(await entry(vteps[2], 100, mac)).toMatchObject({ vtep: '198.18.0.1', moves: 0 });
      sendProbe(b, { dst: BROADCAST, src: mac, text: 'now on 2' });
      await arrivesAt('now on 2', a, c);
      sendProbe(c, { dst: mac, src: '02:00:00:00:04:03', text: 'after you' });
      await arrivesAt('after you', b);
      expect(a.select(isProbe('after you'))).toHaveLength(0);
      expect((await entry(vteps[2], 100, mac))?.vtep).toBe('198.18.0.2');
    });

    vtepdTest('T8: moves are counted, from local to remote and back too', async () => {
      const mac = '02:00:00:00:05:01';
      const [a, b, c] = overlay(100);
      sendProbe(a, { dst: BROADCAST, src: mac, text: 'born on 1' });
      await arrivesAt('born on 1', b, c);
      expect(await entry(vteps[0], 100, mac)).toMatchObject({ vtep: 'local', type: 'dynamic', moves: 0 });
      sendProbe(b, { dst: BROADCAST, src: mac, text: 'gone to 2' });
      await arrivesAt('gone to 2', a, c);
      expect(await entry(vteps[0], 100, mac)).toMatchObject({ vtep: '198.18.0.2', moves: 1 });
      expect(await entry(vteps[1], 100, mac)).toMatchObject({ vtep: 'local', moves: 1 });
      sendProbe(a, { dst: BROADCAST, src: mac, text: 'back on 1' });
      await arrivesAt('back on 1', b, c);
      expect(await entry(vteps[0], 100, mac)).toMatchObject({ vtep: 'local', moves: 2 });
      const far = vteps[2];
      expect(await entry(far, 100, mac)).toMatchObject({
        vtep: '198.18.0.1',
        ...(far?.kind === 'vtepd' && { moves: 2 }),
      });
    });

    test('what came from the underlay never goes back to it', async () => {
      const elsewhere = '02:00:00:00:06:02';
      const [a, b, c] = overlay(100);
      sendProbe(b, { dst: BROADCAST, src: elsewhere, text: 'I am on 2' });
      await arrivesAt('I am on 2', a, c);
      const cable = lab.host(1).cable();
      const crafted = lab.host(3).udpSocket({ address: '198.18.0.3' });
      for (const [name, dst] of Object.entries({ broadcast: BROADCAST, unknown: UNKNOWN, known: elsewhere })) {
        const inner = probe({ dst, src: '02:00:00:00:06:03', text: `horizon ${name}` });
        crafted.send(vxlan({ vni: 100, inner }), { to: '198.18.0.1' });
        crafted.send(vxlan({ vni: 100, inner }), { to: GROUP_100 });
      }
      await a.waitForFrames('horizon known', isProbe('horizon known'), { count: 2 });
      await settle();
      expect(probeTexts(a.drain()).filter((text) => text.startsWith('horizon'))).toHaveLength(6);
      const sentBack = cable.select(({ outgoing }) => !outgoing);
      expect(packetsWithProbe(sentBack, 'horizon')).toEqual([]);
      const seenByHost = cable.select(({ outgoing }) => outgoing);
      expect(packetsWithProbe(seenByHost, 'horizon')).toHaveLength(6);
    });

    vtepdTest('a frame for a machine behind the same TAP stays there', async () => {
      const [a, b, c] = overlay(100);
      const cable = lab.host(1).cable();
      const vtep = vteps[0];
      if (vtep?.kind !== 'vtepd') throw new Error('not vtepd');
      sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:07:01', text: 'neighbour' });
      await arrivesAt('neighbour', b, c);
      const before = await vtep.drops();
      sendProbe(a, { dst: '02:00:00:00:07:01', src: '02:00:00:00:07:02', text: 'next door' });
      sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:07:02', text: 'fence' });
      await arrivesAt('fence', b, c);
      expect(packetsWithProbe(cable.drain(), 'next door')).toEqual([]);
      expect((await vtep.drops()).tx.local).toBe((before.tx.local ?? 0) + 1);
    });
  });

  describe('ageing', () => {
    const AGEING_SECONDS = 3;
    /** The kernel sweeps every ten seconds; the daemon's entry is not used a moment longer than it lives. */
    const latestSeconds = VTEP_KIND === 'kernel' ? 15 : AGEING_SECONDS + 1.5;
    const vteps = useVteps(() => ({
      segments: [{ vni: 100, group: GROUP_100 }],
      ageingSeconds: AGEING_SECONDS,
    }));

    test('T6: an entry that is sent to, but silent, ages out; one that speaks stays', async () => {
      const [silent, talking] = ['02:00:00:00:08:01', '02:00:00:00:08:02'];
      const [a, b, c] = overlay(100);
      sendProbe(b, { dst: BROADCAST, src: talking, text: 'talking 0' });
      sendProbe(b, { dst: BROADCAST, src: silent, text: 'silent' });
      await arrivesAt('silent', a, c);
      const heard = performance.now();
      expect(await entry(vteps[0], 100, silent)).toMatchObject({ vtep: '198.18.0.2' });
      let count = 0;
      const flooded = () => c.select(isProbe('to the silent')).length;
      while (flooded() === 0 && performance.now() - heard < latestSeconds * 1000 + 500) {
        count += 1;
        sendProbe(a, { dst: silent, src: '02:00:00:00:08:0a', text: 'to the silent' });
        sendProbe(a, { dst: talking, src: '02:00:00:00:08:0a', text: 'to the talking' });
        if (count % 5 === 0) sendProbe(b, { dst: BROADCAST, src: talking, text: `talking ${count}` });
        await sleep(100);
      }
      const seconds = (performance.now() - heard) / 1000;
      expect(flooded()).toBeGreaterThan(0);
      expect(seconds).toBeGreaterThan(AGEING_SECONDS - 0.5);
      expect(seconds).toBeLessThan(latestSeconds);
      // One look at the table for both: it must not take as long as an entry lives.
      sendProbe(b, { dst: BROADCAST, src: talking, text: 'talking on' });
      await arrivesAt('talking on', a);
      const table = (await vteps[0]?.fdb())?.map(({ mac, vtep }) => `${mac} ${vtep}`);
      expect(table).toContain(`${talking} 198.18.0.2`);
      expect(table).not.toContain(`${silent} 198.18.0.2`);
      expect(c.select(isProbe('to the talking'))).toEqual([]);
      await waitFor(
        'all to the silent',
        () => b.select(isProbe('to the silent')).length,
        (arrived) => arrived >= count,
      );
      expect(b.select(isProbe('to the silent'))).toHaveLength(count);
    }, 30_000);
  });

  describe('static entries and learning=off', () => {
    const pinned = '02:00:00:00:09:02';
    const vteps = useVteps((host) => ({
      segments: [
        { vni: 100, group: GROUP_100, ...(host.number === 1 ? { statics: { [pinned]: '198.18.0.2' } } : {}) },
        { vni: 200, group: GROUP_200, learning: host.number !== 1 },
      ],
    }));

    test('T3: a static entry is used before its machine has spoken, and reaches one host', async () => {
      const [a, b, c] = overlay(100);
      for (let i = 0; i < 10; i++) sendProbe(a, { dst: pinned, src: '02:00:00:00:09:01', text: `pinned ${i}` });
      await arrivesAt('pinned 9', b);
      expect(probeTexts(b.drain())).toHaveLength(10);
      expect(probeTexts(c.drain())).toEqual([]);
      expect(await entry(vteps[0], 100, pinned)).toMatchObject({ vtep: '198.18.0.2', type: 'static', age: null });
    });

    test('T9: a frame from another VTEP with a static MAC is dropped, and the entry stays', async () => {
      const [a, b, c] = overlay(100);
      const before = await (vteps[0]?.kind === 'vtepd' ? vteps[0].drops() : undefined);
      sendProbe(c, { dst: BROADCAST, src: pinned, text: 'impostor' });
      sendProbe(c, { dst: BROADCAST, src: '02:00:00:00:09:03', text: 'honest' });
      await arrivesAt('honest', a, b);
      expect(b.select(isProbe('impostor'))).toHaveLength(1);
      expect(a.select(isProbe('impostor'))).toHaveLength(0);
      expect(await entry(vteps[0], 100, pinned)).toMatchObject({ vtep: '198.18.0.2', type: 'static' });
      if (vteps[0]?.kind !== 'vtepd' || !before) return;
      expect((await vteps[0].drops()).rx['static-conflict']).toBe((before.rx['static-conflict'] ?? 0) + 1);
    });

    test('T7: learning=off learns nothing and floods on', async () => {
      const mac = '02:00:00:00:0a:02';
      const [a, b, c] = overlay(200);
      sendProbe(b, { dst: BROADCAST, src: mac, text: 'unheard' });
      await arrivesAt('unheard', a, c);
      sendProbe(a, { dst: mac, src: '02:00:00:00:0a:01', text: 'to all' });
      await arrivesAt('to all', b, c);
      expect((await vteps[0]?.fdb())?.filter(({ vni }) => vni === 200)).toEqual([]);
      expect(await entry(vteps[2], 200, mac)).toMatchObject({ vtep: '198.18.0.2' });
    });
  });

  // Beside the kernel, lists are the affair of head-end-replication.test.ts, and limits concern a table alone.
  if (farKind === 'kernel') return;

  describe('head-end replication', () => {
    const everybody = lab.hosts.map(({ address }) => address);
    const vteps = useVteps((host) => ({
      segments: [
        { vni: 300, remotes: everybody },
        {
          vni: 400,
          ...(host.number === 3
            ? { remotes: ['198.18.0.1', '198.18.0.2'] }
            : { group: '239.1.1.4', remotes: ['198.18.0.3'] }),
        },
        // One without a route, one that no host answers for.
        { vni: 500, remotes: ['198.51.100.1', '198.18.0.99', ...everybody] },
        { vni: 600 },
      ],
    }));

    test.each([300, 500])('T1, T2: VNI %i: each listed host gets each flood once, by unicast', async (vni) => {
      const [a, b, c] = overlay(vni);
      const cable = lab.host(1).cable();
      const sent = Array.from({ length: 10 }, (_, i) => `replica ${i} of ${vni}`);
      for (const text of sent) sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:0b:01', text });
      await arrivesAt(sent.at(-1) ?? '', b, c);
      for (const tap of [b, c]) expect(probeTexts(tap.drain())).toEqual(sent);
      expect(probeTexts(a.drain())).toEqual([]);
      const destinations = packetsWithProbe(cable.drain(), 'replica').map(({ ip }) => ip.dst);
      expect(destinations.toSorted()).toEqual([
        ...new Array(10).fill('198.18.0.2'),
        ...new Array(10).fill('198.18.0.3'),
      ]);
    });

    test('a group and a remote side by side: no host misses a flood, none gets it twice', async () => {
      const [a, b, c] = overlay(400);
      const cable = lab.host(1).cable();
      sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:0c:01', text: 'both ways' });
      await arrivesAt('both ways', b, c);
      expect(probeTexts([...b.drain(), ...c.drain()])).toEqual(['both ways', 'both ways']);
      const destinations = packetsWithProbe(cable.drain(), 'both ways').map(({ ip }) => ip.dst);
      expect(destinations.toSorted()).toEqual(['198.18.0.3', '239.1.1.4']);
      sendProbe(c, { dst: BROADCAST, src: '02:00:00:00:0c:03', text: 'from the list' });
      await arrivesAt('from the list', a, b);
      expect(probeTexts([...a.drain(), ...b.drain()]).filter((text) => text === 'from the list')).toHaveLength(2);
    });

    test('a VNI with neither group nor remote sends nothing', async () => {
      const [tap, cable] = [lab.host(1).packetSocket('vxlan600'), lab.host(1).cable()];
      const [fence, other] = [lab.host(1).packetSocket('vxlan300'), lab.host(2).packetSocket('vxlan300')];
      const before = vteps[0]?.kind === 'vtepd' ? await vteps[0].drops() : undefined;
      sendProbe(tap, { dst: BROADCAST, src: '02:00:00:00:0d:01', text: 'into the void' });
      await settle();
      sendProbe(fence, { dst: BROADCAST, src: '02:00:00:00:0d:01', text: 'fence' });
      await arrivesAt('fence', other);
      expect(packetsWithProbe(cable.drain(), 'into the void')).toEqual([]);
      if (vteps[0]?.kind !== 'vtepd' || !before) return;
      expect((await vteps[0].drops()).tx['no-remote']).toBe((before.tx['no-remote'] ?? 0) + 1);
    });
  });

  /**
   *     host 1: vtepd ───┐
   *     host 3: crafted datagrams from 198.18.0.101 … .106
   */
  describe('limits', () => {
    const PEERS = [101, 102, 103, 104, 105, 106].map((last) => `198.18.0.${last}`);
    const pinned = '02:00:00:00:0e:aa';
    const vteps = useVteps(
      () => ({
        segments: [
          { vni: 100, group: GROUP_100, maxMacs: 8, statics: { [pinned]: '198.18.0.2' } },
          { vni: 200, group: GROUP_200, maxMacs: 10 },
        ],
      }),
      [lab.host(1)],
    );

    beforeAll(() => {
      for (const address of PEERS) lab.host(3).addAddress(address);
    });

    /** `count` machines behind one peer speak once each, and their frames arrive. */
    async function speak(peer: string, { vni, count, last }: { vni: number; count: number; last: string }) {
      const socket = lab.host(3).udpSocket({ address: peer });
      const tap = lab.host(1).packetSocket(`vxlan${vni}`);
      const lastOctet = peer.split('.').at(-1) ?? '';
      const texts = Array.from({ length: count }, (_, i) => `${last} ${peer} ${i}`);
      for (const [i, text] of texts.entries()) {
        const src = `02:${Number(lastOctet).toString(16).padStart(2, '0')}:00:00:00:${i.toString(16).padStart(2, '0')}`;
        socket.send(vxlan({ vni, inner: probe({ dst: BROADCAST, src, text }) }), { to: '198.18.0.1' });
      }
      await tap.waitForFrame(`the last of ${peer}`, isProbe(texts.at(-1) ?? ''));
      expect(probeTexts(tap.drain())).toEqual(texts);
    }

    vtepdTest('T28: at the limit new machines are still served, and static entries do not count', async () => {
      await speak('198.18.0.101', { vni: 100, count: 16, last: 'limit' });
      const table = (await vteps[0]?.fdb())?.filter(({ vni }) => vni === 100) ?? [];
      expect(table.filter(({ type }) => type === 'dynamic')).toHaveLength(8);
      expect(table.filter(({ type }) => type === 'static').map(({ mac }) => mac)).toEqual([pinned]);
    });

    vtepdTest('T29: a peer with many machines cannot push out the few of others', async () => {
      for (const peer of PEERS.slice(0, 5)) await speak(peer, { vni: 200, count: 2, last: 'few' });
      await speak('198.18.0.106', { vni: 200, count: 16, last: 'many' });
      const table = (await vteps[0]?.fdb())?.filter(({ vni }) => vni === 200) ?? [];
      const counts = PEERS.map((peer) => table.filter(({ vtep }) => vtep === peer).length);
      expect(table).toHaveLength(10);
      for (const count of counts.slice(0, 5)) expect(count).toBeGreaterThanOrEqual(1);
      expect(counts[5]).toBe(3);
    });
  });
});
