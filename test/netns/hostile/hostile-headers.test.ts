/**
 * Headers that lie: outer ones of datagrams, and vnet headers of a station's frames.
 *
 *     vxlan100 ── host 1  198.18.0.1  fd00:18::1 ──┐ vtepd
 *                 host 2  198.18.0.2  fd00:18::2 ──┘ crafted packets
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, readVxlanPacket, VXLAN_PORT, vxlan } from '../../support/traffic/frames.ts';
import { frame, type Link, type Packet, tcpFrame, udpBytes, udpFrame } from '../../support/traffic/inner-frames.ts';
import { isProbe, probeTexts, settle } from '../../support/traffic/probes.ts';
import { GSO, withVnetHeader } from '../../support/traffic/super-frames.ts';

const STATION = '02:00:00:00:00:66';
/** The smallest segments that are cut have 36 octets of payload and 66 to 86 of headers. */
const MOST_REPEATED = 4;

describeSystem('headers that lie', () => {
  const lab = useLab({ hosts: 2, ipv6: true, wire: 'mtu-true' });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;

  beforeAll(async () => {
    const remotes = [two.address, two.address6];
    vtep = await startVtepdVtep(one, { segments: [{ vni: 100, remotes }] });
  }, 60_000);

  afterAll(() => vtep.stop());

  const link = (family: 4 | 6): Link => ({
    srcMac: two.link('eth0')?.address ?? '',
    dstMac: one.link('eth0')?.address ?? '',
    src: family === 4 ? two.address : two.address6,
    dst: family === 4 ? one.address : one.address6,
  });

  type Change = (udp: Buffer) => Buffer;

  /** A VXLAN packet with a probe of VNI 100 inside. @param change of the UDP header and what follows it */
  function packet(family: 4 | 6, text: string, options: Partial<Packet> & { change?: Change; port?: number }): Buffer {
    const { change = (bytes) => bytes, port = 50_000, ...others } = options;
    const payload = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: STATION, text }) });
    const udp = udpBytes(link(family), { sourcePort: port, destinationPort: VXLAN_PORT, payload });
    return frame(link(family), { protocol: 17, payload: change(udp), fragment: 0, ...others });
  }

  const word =
    (at: number, value: (was: number) => number): Change =>
    (udp) => {
      udp.writeUInt16BE(value(udp.readUInt16BE(at)), at);
      return udp;
    };
  const destinationOptions = Buffer.from('1100010400000000', 'hex');

  test.each<[4 | 6, string, 'taken' | 'ignored', Partial<Packet> & { change?: Change; port?: number }]>([
    [4, 'nothing', 'taken', {}],
    [6, 'nothing', 'taken', {}],
    [4, 'source port 0', 'taken', { port: 0 }],
    [6, 'source port 0', 'taken', { port: 0 }],
    [4, 'IP options', 'taken', { options: Buffer.from('0101010101010100', 'hex') }],
    [6, 'destination options', 'taken', { protocol: 60, extensions: destinationOptions }],
    [4, 'no checksum', 'taken', { change: word(6, () => 0) }],
    [6, 'no checksum', 'taken', { change: word(6, () => 0) }],
    [4, 'a wrong checksum', 'ignored', { change: word(6, (sum) => sum ^ 0x5555) }],
    [6, 'a wrong checksum', 'ignored', { change: word(6, (sum) => sum ^ 0x5555) }],
    [4, 'a UDP length beyond the packet', 'ignored', { change: word(4, (length) => length + 1) }],
    [6, 'a UDP length beyond the packet', 'ignored', { change: word(4, (length) => length + 1) }],
    [4, 'a UDP length below its header', 'ignored', { change: word(4, () => 7) }],
    [4, 'octets behind the datagram', 'taken', { change: (udp) => Buffer.concat([udp, Buffer.alloc(50, 0xff)]) }],
  ])('IPv%i with %s is %s', async (family, what, fate, options) => {
    const [tap, cable] = [one.packetSocket('vxlan100'), two.packetSocket('eth0')];
    const before = await vtep.drops();
    const text = `v${family} ${what}`;
    cable.send(packet(family, text, options), packet(family, 'the end', {}));
    await tap.waitForFrame('the end', isProbe('the end'));
    expect(probeTexts(tap.drain()).filter((found) => found !== 'the end')).toEqual(fate === 'taken' ? [text] : []);
    expect(await vtep.drops()).toEqual(before);
  });

  test('IPv4 in fragments is taken, and a part of one is not', async () => {
    const [tap, cable] = [one.packetSocket('vxlan100'), two.packetSocket('eth0')];
    const whole = packet(4, 'in two', {}).subarray(34);
    const piece = (fragment: number, payload: Buffer, identification: number) =>
      frame(link(4), { protocol: 17, payload, fragment, identification });
    cable.send(piece(0x2000, whole.subarray(0, 40), 1), piece(5, whole.subarray(40), 1));
    cable.send(piece(0x2000, packet(4, 'a half', {}).subarray(34, 34 + 40), 2), packet(4, 'the end', {}));
    await tap.waitForFrame('the end', isProbe('the end'));
    expect(probeTexts(tap.drain())).toEqual(['in two', 'the end']);
  });

  describe('a station’s vnet header', () => {
    /** What leaves for such frames. */
    async function sent(...frames: Buffer[]): Promise<Buffer[]> {
      const [tap, cable] = [one.packetSocket('vxlan100', { vnetHeader: true }), two.packetSocket('eth0')];
      for (const bytes of frames) {
        try {
          tap.send(bytes);
        } catch {
          // The kernel refuses most of what contradicts itself.
        }
      }
      tap.send(Buffer.concat([Buffer.alloc(10), probe({ dst: BROADCAST, src: STATION, text: 'the end' })]));
      const inner = () => cable.drain().flatMap(({ bytes }) => readVxlanPacket(bytes)?.vxlan.inner ?? []);
      await cable.waitForFrame('the end', ({ bytes }) => bytes.includes('the end'));
      // Another flow leaves by another socket, perhaps later.
      await settle();
      const all = inner().filter((bytes) => !bytes.includes('the end'));
      tap.close();
      cable.close();
      return all;
    }

    const inner = (family: 4 | 6): Link => ({
      srcMac: STATION,
      dstMac: BROADCAST,
      src: family === 4 ? '192.0.2.1' : 'fd00:2::1',
      dst: family === 4 ? '192.0.2.2' : 'fd00:2::2',
    });
    const ports = { sourcePort: 1, destinationPort: 2 };
    const payload = Buffer.alloc(30_000, 0x50);
    const kinds: [string, number, Buffer, number][] = [
      ['TCPv4', GSO.tcp4, tcpFrame(inner(4), { ...ports, sequence: 1, payload }), 34],
      ['TCPv6', GSO.tcp6, tcpFrame(inner(6), { ...ports, sequence: 1, payload }), 54],
      ['UDP', GSO.udp, udpFrame(inner(4), { ...ports, payload }), 34],
      ['UDP6', GSO.udp, udpFrame(inner(6), { ...ports, payload }), 54],
    ];

    test.each(kinds)(
      '%s: it makes no more than a few times its octets of a frame, and the next one is served',
      async (_, type, bytes, transport) => {
        const lies: [string, (header: Buffer) => void][] = [
          ['UFO', (h) => void h.writeUInt8(3, 1)],
          ['no known type', (h) => void h.writeUInt8(2, 1)],
          ['other family', (h) => void h.writeUInt8(type === 1 ? 4 : type === 4 ? 1 : 4, 1)],
          ['other transport', (h) => void h.writeUInt8(type === 5 ? (transport === 34 ? 1 : 4) : 5, 1)],
          ['ECN', (h) => void h.writeUInt8(type | 0x80, 1)],
          ['no csum', (h) => void h.writeUInt8(0, 0)],
          ['hdr_len 0', (h) => void h.writeUInt16LE(0, 2)],
          ['hdr_len 65535', (h) => void h.writeUInt16LE(65535, 2)],
          ...[0, 1, 36, 1_399, 30_000, 65_535].map((size): [string, (h: Buffer) => void] => [
            `gso_size ${size}`,
            (h) => void h.writeUInt16LE(size, 4),
          ]),
          ...[0, 14, 20, transport - 1, transport + 1, transport + 20, transport + 1_200, 30_000, 65_535].map(
            (at): [string, (h: Buffer) => void] => [`csum_start ${at}`, (h) => void h.writeUInt16LE(at, 6)],
          ),
          ...[0, 6, 16, 2_000, 65_535].map((at): [string, (h: Buffer) => void] => [
            `csum_offset ${at}`,
            (h) => void h.writeUInt16LE(at, 8),
          ]),
        ];
        for (const [lie, change] of lies) {
          const whole = withVnetHeader(bytes, type, 1_000);
          change(whole);
          const octets = (await sent(whole)).reduce((sum, each) => sum + each.length, 0);
          expect(octets, lie).toBeLessThan(MOST_REPEATED * bytes.length);
        }
        const truth = await sent(withVnetHeader(bytes, type, 1_000));
        expect(truth.length).toBeGreaterThan(0);
      },
      60_000,
    );
  });
});
