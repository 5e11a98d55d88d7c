/**
 * What the outer headers say: source ports (RFC 7348 §5: entropy for ECMP), TTL, TOS, DF, and never a fragment (§4.3).
 *
 *     vxlan100 ── host 1  198.18.0.1 ───┐ cable, on which everything is read
 *                 host 2  198.18.0.2 ───┘ a plain UDP socket on 4789; 02:…:02 is pinned to it
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { startVtep, VTEP_KIND, type Vtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import {
  arp,
  BROADCAST,
  ETHERTYPE,
  ethernet,
  readIpv4Frame,
  readVxlanPacket,
  udpInIpv4,
} from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { settle } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const GROUP = '239.1.1.1';
const [SRC, DST] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
const FLOWS = 200;

interface InnerOptions {
  readonly dst?: string;
  readonly tos?: number;
  /** Bytes of inner UDP payload. */
  readonly size?: number;
}

function innerUdp(sourcePort: number, { dst = DST, tos = 0, size = 64 }: InnerOptions = {}): Buffer {
  const packet = {
    src: '192.0.2.1',
    dst: '192.0.2.2',
    tos,
    sourcePort,
    destinationPort: 7,
    payload: Buffer.alloc(size),
  };
  return ethernet({ dst, src: SRC, type: ETHERTYPE.ipv4, payload: udpInIpv4(packet) });
}

function innerArp(): Buffer {
  const question = { senderMac: SRC, senderIp: '192.0.2.1', targetMac: '00:00:00:00:00:00', targetIp: '192.0.2.2' };
  return ethernet({ dst: BROADCAST, src: SRC, type: ETHERTYPE.arp, payload: arp({ operation: 1, ...question }) });
}

describeSystem('outer headers', () => {
  const lab = useLab({ hosts: 2, wire: 'mtu-true' });
  const [one, two] = [lab.host(1), lab.host(2)];

  function useVtep(flags: readonly string[]): { vtep(): Vtep } {
    let vtep: Vtep | undefined;
    useScope(lab);
    beforeAll(async () => {
      two.udpSocket({ address: two.address, port: 4789 });
      vtep = await startVtep(one, {
        segments: [{ vni: 100, group: GROUP, statics: { [DST]: two.address } }],
        flags,
      });
      one.ping(two.address, { count: 1 });
    }, 60_000);
    return {
      vtep: () => {
        if (!vtep) throw new Error('not started');
        return vtep;
      },
    };
  }

  /** Sends inner frames and returns the packets they became, in order. */
  async function encapsulated(frames: readonly Buffer[], cable: PacketSocket = one.cable()) {
    const tap = one.packetSocket('vxlan100');
    tap.send(...frames);
    const packets = () =>
      cable
        .select(({ outgoing }) => !outgoing)
        .flatMap(({ bytes }) => {
          const packet = readVxlanPacket(bytes);
          return packet ? [packet] : [];
        });
    await waitFor(`${frames.length} packets`, packets, (all) => all.length >= frames.length);
    await settle();
    expect(packets()).toHaveLength(frames.length);
    return packets();
  }

  describe('by default', () => {
    useVtep([]);

    test('T25: 200 flows spread over many ports, all in 49152-65535', async () => {
      const packets = await encapsulated(Array.from({ length: FLOWS }, (_, i) => innerUdp(1000 + i)));
      const ports = packets.map(({ udp }) => udp.sourcePort);
      expect(new Set(ports).size).toBeGreaterThanOrEqual(12);
      expect(Math.min(...ports)).toBeGreaterThanOrEqual(49152);
      const counts = [...new Set(ports)].map((port) => ports.filter((p) => p === port).length);
      expect(Math.max(...counts)).toBeLessThan(FLOWS / 4);
    });

    test('T25: one flow keeps its port', async () => {
      const frames = Array.from({ length: 50 }, (_, i) => innerUdp(4242, { size: 10 + i }));
      const packets = await encapsulated(frames);
      expect(new Set(packets.map(({ udp }) => udp.sourcePort)).size).toBe(1);
    });

    test('T21: unicast has TTL 64, DF and TOS 0', async () => {
      const [packet] = await encapsulated([innerUdp(1, { tos: 0x48 })]);
      expect(packet?.ip).toMatchObject({ src: one.address, dst: two.address, ttl: 64, tos: 0 });
      // The kernel's device leaves DF unset unless told.
      if (VTEP_KIND === 'vtepd') expect(packet?.ip.dontFragment).toBe(true);
    });

    test('T21: multicast has TTL 1 and a port of the range', async () => {
      const [packet] = await encapsulated([innerArp()]);
      expect(packet?.ip).toMatchObject({ src: one.address, dst: GROUP, ttl: 1, tos: 0 });
      expect(packet?.udp.sourcePort).toBeGreaterThanOrEqual(49152);
    });

    test('the VXLAN header has the I flag, the VNI and zeros', async () => {
      const frame = innerUdp(2);
      const [packet] = await encapsulated([frame]);
      expect(packet?.vxlan).toMatchObject({ flags: 0x08, reserved24: 0, vni: 100, reserved8: 0 });
      expect(packet?.vxlan.inner).toEqual(frame);
    });
  });

  describe.skipIf(VTEP_KIND === 'kernel')('as configured', () => {
    const ports = ['--source-ports', '4', '--source-port-range', '50000-50003'];
    useVtep([...ports, '--ttl', '33', '--mcast-ttl', '16', '--tos', '187', '--df', 'unset']);

    test('T25: the pool is as large as asked for and inside its range', async () => {
      const packets = await encapsulated(Array.from({ length: FLOWS }, (_, i) => innerUdp(1000 + i)));
      const used = [...new Set(packets.map(({ udp }) => udp.sourcePort))].toSorted();
      expect(used).toEqual([50000, 50001, 50002, 50003]);
    });

    test('T21: TTL, multicast TTL, TOS and DF', async () => {
      const packets = await encapsulated([innerUdp(1), innerArp()]);
      const unicast = packets.find(({ ip }) => ip.dst === two.address);
      const multicast = packets.find(({ ip }) => ip.dst === GROUP);
      expect(unicast?.ip).toMatchObject({ ttl: 33, tos: 184, dontFragment: false });
      expect(multicast?.ip).toMatchObject({ ttl: 16, tos: 184, dontFragment: false });
    });
  });

  describe.skipIf(VTEP_KIND === 'kernel').each(['set', 'unset'])('too large for the underlay, --df %s', (df) => {
    const running = useVtep(['--df', df]);

    test('T26: a full-sized frame fits, a larger one is dropped and counted, never fragmented', async () => {
      const vtep = running.vtep();
      if (vtep.kind !== 'vtepd') throw new Error('not vtepd');
      const cable = one.cable();
      // 1450 bytes of inner IP fill the underlay's 1500; whoever raises the TAP's MTU gets drops.
      one.ip('link', 'set', 'vxlan100', 'mtu', '1500');
      const before = await vtep.drops();
      const largest = innerUdp(9, { size: 1450 - 28 });
      const [packet] = await encapsulated([largest], cable);
      expect(packet?.vxlan.inner).toEqual(largest);
      const tap = one.packetSocket('vxlan100');
      for (const dst of [DST, BROADCAST]) {
        for (const size of [1500, 1451]) tap.send(innerUdp(9, { dst, size: size - 28 }));
      }
      await waitFor(
        'the drops',
        () => vtep.drops(),
        ({ tx }) => (tx.oversize ?? 0) >= (before.tx.oversize ?? 0) + 4,
      );
      await settle();
      expect((await vtep.drops()).tx.oversize).toBe((before.tx.oversize ?? 0) + 4);
      const outgoing = cable.select((frame) => !frame.outgoing).flatMap(({ bytes }) => readIpv4Frame(bytes) ?? []);
      expect(outgoing.filter(({ moreFragments, fragmentOffset }) => moreFragments || fragmentOffset > 0)).toEqual([]);
      expect(outgoing.filter(({ payload }) => payload.length > 1000)).toHaveLength(1);
    });
  });
});
