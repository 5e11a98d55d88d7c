/**
 * What may come from anywhere: every datagram that is not clean VXLAN for a known VNI is dropped, counted under exactly
 * one reason, teaches nothing, reaches nobody, and the next good frame is served.
 *
 *     vxlan100 (drop)  ─┐
 *     vxlan200 (strip) ─┼─ host 1  198.18.0.1 ───┐   239.1.1.1  239.1.1.2  239.1.1.3
 *     vxlan300 (pass)  ─┘  vtepd                 │
 *                          host 2  198.18.0.2 ───┘   crafted datagrams
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { type DropCounters, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { BROADCAST, ETHERTYPE, ethernet, probe, readEthernet, readProbe, vxlan } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { isProbe, packetsWithProbe, probeTexts } from '../../support/traffic/probes.ts';
import type { UdpSocket } from '../../support/traffic/udp-socket.ts';
import { waitFor } from '../../support/wait.ts';

const [GROUP_100, GROUP_200, GROUP_300] = ['239.1.1.1', '239.1.1.2', '239.1.1.3'];
const SOURCE = '02:00:00:00:ba:d0';
const FENCE = '02:00:00:00:fe:0c';

interface Datagram {
  readonly bytes: Buffer;
  /** Default: host 1, by unicast. */
  readonly to?: string;
}

interface Expected {
  readonly rx?: Readonly<Record<string, number>>;
  readonly tx?: Readonly<Record<string, number>>;
}

describeSystem('hostile datagrams', () => {
  const lab = useLab({ hosts: 2, wire: 'mtu-true' });
  const [one, two] = [lab.host(1), lab.host(2)];

  function useVtep(...flags: string[]): () => VtepdVtep {
    let vtep: VtepdVtep | undefined;
    useScope(lab);
    beforeAll(async () => {
      vtep = await startVtepdVtep(one, {
        segments: [
          { vni: 100, group: GROUP_100 },
          { vni: 200, group: GROUP_200, keys: ['inner-vlan=strip'] },
          { vni: 300, group: GROUP_300, keys: ['inner-vlan=pass'] },
        ],
        flags,
      });
    }, 60_000);
    return () => {
      if (!vtep) throw new Error('not started');
      return vtep;
    };
  }

  /** Good frames by every way in; once they are out, everything sent before has been dealt with. */
  async function fence(sender: UdpSocket, tap: PacketSocket): Promise<void> {
    const text = `fence ${performance.now()}`;
    const bytes = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: FENCE, text }) });
    for (const to of [one.address, GROUP_100]) sender.send(bytes, { to });
    await tap.waitForFrames(text, isProbe(text), { count: 2 });
  }

  /** Sends all, and expects these drops and no others, an unchanged table and silent TAPs. */
  async function expectDropped(vtep: VtepdVtep, datagrams: readonly Datagram[], expected: Expected): Promise<void> {
    const taps = [100, 200, 300].map((vni) => one.packetSocket(`vxlan${vni}`));
    const [tap] = taps;
    if (!tap) throw new Error('no TAP');
    const sender = two.udpSocket({ address: two.address });
    await fence(sender, tap);
    const [before, table] = [await vtep.drops(), await tableOf(vtep)];
    for (const { bytes, to = one.address } of datagrams) sender.send(bytes, { to });
    await fence(sender, tap);
    await expectDrops(vtep, before, expected);
    expect(await tableOf(vtep)).toEqual(table);
    const delivered = taps.flatMap((socket) => socket.drain());
    expect(delivered.filter(({ bytes }) => !readProbe(bytes)?.text.startsWith('fence'))).toEqual([]);
  }

  async function tableOf(vtep: VtepdVtep) {
    return (await vtep.fdb()).map(({ vni, mac, vtep: at, type }) => ({ vni, mac, vtep: at, type }));
  }

  async function expectDrops(vtep: VtepdVtep, before: DropCounters, { rx = {}, tx = {} }: Expected): Promise<void> {
    const delta = async () => {
      const after = await vtep.drops();
      return { rx: difference(before.rx, after.rx), tx: difference(before.tx, after.tx) };
    };
    const total = (counts: object) => Object.values(counts).reduce((sum: number, count: number) => sum + count, 0);
    await waitFor('the drops', delta, (now) => total(now.rx) >= total(rx) && total(now.tx) >= total(tx)).catch(
      () => {},
    );
    expect(await delta()).toEqual({ rx, tx });
  }

  describe('by default', () => {
    const vtep = useVtep();
    const good = probe({ dst: BROADCAST, src: SOURCE, text: 'hostile' });

    test('every reason is listed, zeros too', async () => {
      const { rx, tx } = await vtep().drops();
      const words = (text: string) => text.split(' ').toSorted();
      expect(Object.keys(rx).toSorted()).toEqual(
        words(
          'short vtep-not-allowed own-packet no-i-flag reserved-bits unknown-vni wrong-group ecn short-inner ' +
            'bad-source-mac own-mac link-local inner-vlan oversize static-conflict storm tap-down socket-overrun',
        ),
      );
      expect(Object.keys(tx).toSorted()).toEqual(
        words(
          'short bad-source-mac static-conflict inner-vlan unknown-vlan link-local suppressed local flood-off storm ' +
            'no-remote oversize send-full send-error tap-overrun',
        ),
      );
    });

    test('T12: datagrams of every length from 0 to 21', async () => {
      const whole = vxlan({ vni: 100, inner: good });
      const datagrams = Array.from({ length: 22 }, (_, length) => ({ bytes: whole.subarray(0, length) }));
      await expectDropped(vtep(), datagrams, { rx: { short: 8, 'short-inner': 14 } });
      const toGroup = datagrams.map(({ bytes }) => ({ bytes, to: GROUP_100 }));
      await expectDropped(vtep(), toGroup, { rx: { short: 8, 'short-inner': 14 } });
    });

    test('T10: no I flag', async () => {
      const datagrams = [0x00, 0xf7, 0x80].map((flags) => ({ bytes: vxlan({ vni: 100, flags, inner: good }) }));
      await expectDropped(vtep(), datagrams, { rx: { 'no-i-flag': 3 } });
    });

    test('T14: an unknown VNI', async () => {
      const datagrams = [0, 99, 101, 16777215].map((vni) => ({ bytes: vxlan({ vni, inner: good }) }));
      await expectDropped(vtep(), [...datagrams, ...datagrams.map((d) => ({ ...d, to: GROUP_100 }))], {
        rx: { 'unknown-vni': 8 },
      });
    });

    test('T18: a VNI on the group of another', async () => {
      const bytes = vxlan({ vni: 200, inner: good });
      await expectDropped(
        vtep(),
        [
          { bytes, to: GROUP_100 },
          { bytes, to: GROUP_300 },
        ],
        { rx: { 'wrong-group': 2 } },
      );
    });

    test('T13: a source MAC that is a group, broadcast or zero', async () => {
      const sources = ['01:00:5e:00:00:01', '33:33:00:00:00:01', BROADCAST, '00:00:00:00:00:00'];
      const datagrams = sources.map((src) => ({
        bytes: vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src, text: 'poison' }) }),
      }));
      await expectDropped(vtep(), datagrams, { rx: { 'bad-source-mac': 4 } });
      // Had one been learned, this broadcast would go to a single host.
      const [tap, cable] = [one.packetSocket('vxlan100'), one.cable()];
      tap.send(probe({ dst: BROADCAST, src: '02:00:00:00:00:01', text: 'still flooded' }));
      const packets = () => packetsWithProbe(cable.drain(), 'still flooded');
      await waitFor('the flood', packets, (all) => all.length > 0);
      expect(packets().map(({ ip }) => ip.dst)).toEqual([GROUP_100]);
    });

    test('T40: a source MAC that is that of the TAP itself', async () => {
      const src = one.link('vxlan100')?.address ?? '';
      expect(src).toMatch(/^fe:/);
      const bytes = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src, text: 'echo' }) });
      await expectDropped(vtep(), [{ bytes }, { bytes, to: GROUP_100 }], { rx: { 'own-mac': 2 } });
    });

    test('a link-local destination', async () => {
      const destinations = Array.from({ length: 16 }, (_, i) => `01:80:c2:00:00:0${i.toString(16)}`);
      const datagrams = destinations.map((dst) => ({
        bytes: vxlan({ vni: 100, inner: probe({ dst, src: SOURCE, text: 'bpdu' }) }),
      }));
      await expectDropped(vtep(), datagrams, { rx: { 'link-local': 16 } });
    });

    test('T32: an inner VLAN tag, where the VNI drops them', async () => {
      const inner = probe({ dst: BROADCAST, src: SOURCE, vlan: 7, text: 'tagged' });
      await expectDropped(vtep(), [{ bytes: vxlan({ vni: 100, inner }) }], { rx: { 'inner-vlan': 1 } });
    });

    test('a tag that is cut off counts as no more than it is', async () => {
      // 14 octets that end in the type of a tag: long enough for Ethernet, too short for the tag.
      const inner = ethernet({ dst: BROADCAST, src: SOURCE, type: ETHERTYPE.vlan, payload: Buffer.alloc(0) });
      const before = await vtep().drops();
      const sender = two.udpSocket({ address: two.address });
      const tap = one.packetSocket('vxlan100');
      for (const vni of [100, 200, 300]) sender.send(vxlan({ vni, inner }), { to: one.address });
      await fence(sender, tap);
      expect(Object.keys(difference(before.rx, (await vtep().drops()).rx))).not.toContain('short');
    });

    test('T40: own packets, by unicast and by the group', async () => {
      const bytes = vxlan({ vni: 100, inner: good });
      const taps = [100, 200, 300].map((vni) => one.packetSocket(`vxlan${vni}`));
      const [before, table] = [await vtep().drops(), await tableOf(vtep())];
      const mirror = one.udpSocket({ address: one.address, loop: true });
      mirror.send(bytes, { to: one.address });
      mirror.send(bytes, { to: GROUP_100 });
      await expectDrops(vtep(), before, { rx: { 'own-packet': 2 } });
      expect(await tableOf(vtep())).toEqual(table);
      expect(taps.flatMap((socket) => probeTexts(socket.drain()))).toEqual([]);
    });

    test('T40: own floods do not come back', async () => {
      const [tap, cable, before] = [one.packetSocket('vxlan100'), one.cable(), await vtep().drops()];
      for (let i = 0; i < 5; i++) tap.send(probe({ dst: BROADCAST, src: SOURCE, text: `own ${i}` }));
      await waitFor(
        'the floods',
        () => packetsWithProbe(cable.drain(), 'own').length,
        (count) => count === 5,
      );
      await fence(two.udpSocket({ address: two.address }), tap);
      await expectDrops(vtep(), before, {});
    });

    test('T11: reserved bits are ignored: each of the 39 alone is delivered', async () => {
      const tap = one.packetSocket('vxlan100');
      const sender = two.udpSocket({ address: two.address });
      const before = await vtep().drops();
      const headers = reservedBits();
      for (const [i, header] of headers.entries()) {
        sender.send(vxlan({ vni: 100, ...header, inner: probe({ dst: BROADCAST, src: FENCE, text: `bit ${i}` }) }), {
          to: one.address,
        });
      }
      await fence(sender, tap);
      expect(probeTexts(tap.drain()).filter((text) => text.startsWith('bit'))).toEqual(
        headers.map((_, i) => `bit ${i}`),
      );
      await expectDrops(vtep(), before, {});
    });

    test('T33: a zero UDP checksum is accepted', async () => {
      const tap = one.packetSocket('vxlan100');
      const sender = two.udpSocket({ address: two.address, zeroChecksum: true });
      sender.send(vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: FENCE, text: 'no checksum' }) }), {
        to: one.address,
      });
      await tap.waitForFrame('the frame', isProbe('no checksum'));
    });

    test.each([
      ['strip', 200, undefined],
      ['pass', 300, 7],
    ] as const)('T32: inner-vlan=%s, from the underlay', async (_, vni, vlan) => {
      const tap = one.packetSocket(`vxlan${vni}`);
      const inner = probe({ dst: BROADCAST, src: FENCE, vlan: 7, text: 'with a tag' });
      two.udpSocket({ address: two.address }).send(vxlan({ vni, inner }), { to: one.address });
      const frame = await tap.waitForFrame('the frame', isProbe('with a tag'));
      expect(readEthernet(frame.bytes)?.vlan).toBe(vlan);
    });

    test('T32: a tag with VID 0 counts as none', async () => {
      const tap = one.packetSocket('vxlan100');
      const inner = probe({ dst: BROADCAST, src: FENCE, vlan: 0xe000, text: 'priority only' });
      two.udpSocket({ address: two.address }).send(vxlan({ vni: 100, inner }), { to: one.address });
      await tap.waitForFrame('the frame', isProbe('priority only'));
    });

    test.each([
      ['drop', 100, []],
      ['strip', 200, [undefined]],
      ['pass', 300, [7]],
    ] as const)('T32: inner-vlan=%s, to the underlay', async (_, vni, tags) => {
      const [tap, cable, before] = [one.packetSocket(`vxlan${vni}`), one.cable(), await vtep().drops()];
      tap.send(probe({ dst: BROADCAST, src: SOURCE, vlan: 7, text: 'tag out' }));
      tap.send(probe({ dst: BROADCAST, src: SOURCE, text: 'after it' }));
      await waitFor(
        'the untagged frame',
        () => packetsWithProbe(cable.drain(), 'after it'),
        (all) => all.length > 0,
      );
      const sent = packetsWithProbe(cable.drain(), 'tag out').map(({ vxlan: { inner } }) => readEthernet(inner)?.vlan);
      expect(sent).toEqual(tags);
      await expectDrops(vtep(), before, tags.length === 0 ? { tx: { 'inner-vlan': 1 } } : {});
    });

    test('what a machine may not send: group sources, link-local destinations', async () => {
      const [tap, cable, before] = [one.packetSocket('vxlan100'), one.cable(), await vtep().drops()];
      const table = await tableOf(vtep());
      tap.send(probe({ dst: BROADCAST, src: '01:00:5e:00:00:01', text: 'bad' }));
      tap.send(probe({ dst: BROADCAST, src: '00:00:00:00:00:00', text: 'bad' }));
      tap.send(probe({ dst: '01:80:c2:00:00:0e', src: SOURCE, text: 'bad' }));
      tap.send(probe({ dst: BROADCAST, src: SOURCE, text: 'then good' }));
      await waitFor(
        'the good frame',
        () => packetsWithProbe(cable.drain(), 'then good'),
        (all) => all.length > 0,
      );
      expect(packetsWithProbe(cable.drain(), 'bad')).toEqual([]);
      await expectDrops(vtep(), before, { tx: { 'bad-source-mac': 2, 'link-local': 1 } });
      const known = (rows: typeof table) => rows.map(({ mac }) => mac).filter((mac) => mac !== SOURCE);
      expect(known(await tableOf(vtep()))).toEqual(known(table));
    });

    test('ten thousand random datagrams: alive, and every one accounted for', async () => {
      const { daemon } = vtep();
      const tap = one.packetSocket('vxlan100');
      const sender = two.udpSocket({ address: two.address });
      const random = xorshift(0x5eed);
      for (let round = 0; round < 100; round++) {
        for (let i = 0; i < 100; i++) {
          const bytes = Buffer.alloc(random() % 200);
          for (let at = 0; at < bytes.length; at++) bytes[at] = random();
          // Half of them pass the header, so that the inner frame is looked at too.
          if (bytes.length >= 8 && i % 2 === 0) vxlan({ vni: 300, inner: Buffer.alloc(0) }).copy(bytes);
          sender.send(bytes, { to: i % 3 === 0 ? GROUP_300 : one.address });
        }
        await fence(sender, tap);
      }
      expect(daemon.running).toBe(true);
      const { rx } = await vtep().drops();
      expect(rx['socket-overrun']).toBe(0);
      expect(rx.short).toBeGreaterThan(100);
    });
  });

  describe('--reserved-bits drop', () => {
    const vtep = useVtep('--reserved-bits', 'drop');

    test('T11: each of the 39 reserved bits alone is dropped', async () => {
      const inner = probe({ dst: BROADCAST, src: SOURCE, text: 'reserved' });
      const datagrams = reservedBits().map((header) => ({ bytes: vxlan({ vni: 100, ...header, inner }) }));
      await expectDropped(vtep(), datagrams, { rx: { 'reserved-bits': 39 } });
    });
  });
});

/** The 7 + 24 + 8 reserved bits of the VXLAN header, one at a time, beside the I flag. */
function reservedBits(): { flags?: number; reserved24?: number; reserved8?: number }[] {
  const bits = (count: number) => Array.from({ length: count }, (_, i) => 2 ** i);
  return [
    ...bits(8)
      .filter((bit) => bit !== 0x08)
      .map((bit) => ({ flags: 0x08 | bit })),
    ...bits(24).map((reserved24) => ({ reserved24 })),
    ...bits(8).map((reserved8) => ({ reserved8 })),
  ];
}

/** Counters that rose, by how much. */
function difference(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>) {
  const rose = Object.entries(after).map(([reason, count]) => [reason, count - (before[reason] ?? 0)] as const);
  return Object.fromEntries(rose.filter(([, count]) => count !== 0));
}

/** Reproducible noise. */
function xorshift(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
