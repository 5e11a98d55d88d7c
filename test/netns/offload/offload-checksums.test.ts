/**
 * Frames with a wrong checksum in the middle of good ones of their flow: no offload may mend them, so that their receiver
 * sees that they are broken.
 *
 *     192.0.2.1, fd00:2::1  vxlan100 ── host 1  198.18.0.1 ───┐
 *                                       vtepd                 │
 *                                       host 2  198.18.0.2 ───┘   crafted datagrams, in trains
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { readNetCounters, risen } from '../../support/lab/net-counters.ts';
import { corrupted, type Link, offsets, PORTS, tcpFrame, udpFrame } from '../../support/traffic/inner-frames.ts';
import { mergesFrames, OFFLOAD_LABS, offloadFlags } from '../../support/traffic/offload-modes.ts';
import { settle } from '../../support/traffic/probes.ts';
import { inVni, passTrains, placesOf, range, type Way } from '../../support/traffic/trains.ts';
import { waitFor } from '../../support/wait.ts';

const COUNT = 48;
const PAYLOAD_BYTES = 400;
const SOURCE = '02:00:00:00:00:77';

interface Kind {
  readonly name: string;
  readonly version: 4 | 6;
  readonly protocol: 'tcp' | 'udp';
  readonly field: 'ipv4Checksum' | 'tcpChecksum' | 'udpChecksum';
  /** What the receiving kernel counts. */
  readonly counter: string;
}

const KINDS: readonly Kind[] = [
  { name: 'TCP in IPv4', version: 4, protocol: 'tcp', field: 'tcpChecksum', counter: 'Tcp InCsumErrors' },
  { name: 'TCP in IPv6', version: 6, protocol: 'tcp', field: 'tcpChecksum', counter: 'Tcp InCsumErrors' },
  { name: 'UDP in IPv4', version: 4, protocol: 'udp', field: 'udpChecksum', counter: 'Udp InCsumErrors' },
  { name: 'UDP in IPv6', version: 6, protocol: 'udp', field: 'udpChecksum', counter: 'Udp6InCsumErrors' },
  { name: 'the IPv4 header of TCP', version: 4, protocol: 'tcp', field: 'ipv4Checksum', counter: 'Ip InHdrErrors' },
  { name: 'the IPv4 header of UDP', version: 4, protocol: 'udp', field: 'ipv4Checksum', counter: 'Ip InHdrErrors' },
];

const PLACES = [
  { place: 'first', wrong: [0] },
  { place: 'middle', wrong: [20] },
  { place: 'last', wrong: [COUNT - 1] },
  { place: 'second, and several more', wrong: [1, 2, 3, 30, 32] },
  { place: 'everywhere', wrong: range(COUNT) },
];

const CASES = KINDS.flatMap((kind) => PLACES.map((place) => ({ ...kind, ...place })));

describeSystem.each(OFFLOAD_LABS)('wrong checksums: offload $offload, $wire wire', ({ offload, wire }) => {
  const lab = useLab({ hosts: 2, wire });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep | undefined;
  let mac = '';

  beforeAll(async () => {
    const segments = [{ vni: 100, group: '239.1.1.1' }];
    vtep = await startVtepdVtep(one, { segments, flags: offloadFlags(offload) });
    one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
    one.addIpv6('vxlan100', 'fd00:2::1/64');
    mac = one.link('vxlan100')?.address ?? '';
  }, 60_000);

  function way(): Way {
    const tap = one.packetSocket('vxlan100', { vnetHeader: true });
    return { sender: two.udpSocket({ address: two.address }), to: one.address, tap, fenceVni: 100 };
  }

  function link(version: 4 | 6): Link {
    const addresses = version === 4 ? { src: '192.0.2.77', dst: '192.0.2.1' } : { src: 'fd00:2::77', dst: 'fd00:2::1' };
    return { dstMac: mac, srcMac: SOURCE, ...addresses };
  }

  function goodFrames({ version, protocol }: Pick<Kind, 'version' | 'protocol'>): Buffer[] {
    return range(COUNT).map((i) => {
      const payload = Buffer.alloc(PAYLOAD_BYTES, i + 1);
      return protocol === 'tcp'
        ? tcpFrame(link(version), { ...PORTS, sequence: 1 + i * PAYLOAD_BYTES, payload }, { identification: i })
        : udpFrame(link(version), { ...PORTS, payload }, { identification: i });
    });
  }

  describe('without a fault', () => {
    test.each(KINDS.slice(0, 4))('trains of $name arrive as super-frames where those are merged', async (kind) => {
      const frames = goodFrames(kind);
      const captured = await passTrains(way(), inVni(100, frames));
      expect(placesOf(captured, frames)).toEqual(range(COUNT));
      if (!mergesFrames(offload)) expect(captured.length).toBe(COUNT);
      // A wire without super-frames is merged by the receiving device, as many at a time as it finds.
      else expect(captured.length).toBeLessThan(wire === 'offloading' ? 2 : COUNT);
    });
  });

  test.each(CASES)('in $name: $place', async (row) => {
    const { version, protocol, field, counter, wrong } = row;
    const { address, port } = { address: version === 4 ? '192.0.2.1' : 'fd00:2::1', port: PORTS.destinationPort };
    const receiver = protocol === 'udp' ? one.udpSocket({ address, port }) : undefined;
    const good = goodFrames(row);
    const at = offsets(link(version))[field];
    const frames = good.map((bytes, i) => (wrong.includes(i) ? corrupted(bytes, at) : bytes));
    const before = readNetCounters(one);

    const captured = await passTrains(way(), inVni(100, frames));

    expect(placesOf(captured, frames), 'frames at the TAP, by their place').toEqual(range(COUNT));
    const alone = captured.filter(({ unfinished }) => !unfinished).map(({ bytes }) => bytes.toString('hex'));
    for (const i of wrong) expect(alone, `frame ${i}, alone and as it was`).toContain(frames[i]?.toString('hex'));
    // The kernel verifies UDP when it is read.
    const errors = () => {
      receiver?.drain();
      return risen(before, readNetCounters(one))[counter] ?? 0;
    };
    await waitFor(counter, errors, (count) => count >= wrong.length);
    await settle();
    expect(errors(), counter).toBe(wrong.length);
    if (!receiver) return;
    const right = range(COUNT).filter((i) => !wrong.includes(i));
    expect(receiver.drain().map(({ bytes }) => bytes)).toEqual(right.map((i) => Buffer.alloc(PAYLOAD_BYTES, i + 1)));
  });

  test('no offload was given up', async () => {
    const { offload: now } = (await vtep?.daemon.ctl<{ offload: Record<string, boolean> }>('status')) ?? {};
    expect(now?.udpGso).toBe(offload === 'auto' || offload === 'gso');
    expect(now?.udpGro).toBe(mergesFrames(offload));
  });
});
