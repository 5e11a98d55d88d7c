/**
 * What stations and dead hosts may cost others. Host 2 is the kernel's device, with a station of VNI 100 behind it that writes super-frames as a
 * machine with USO does; nothing cuts them on the way.
 *
 *     vxlan100, vxlan200 ── host 1  198.18.0.1 ──┐ vtepd
 *     vxlan100           ── host 2  198.18.0.2 ──┘ the kernel's vxlan device
 *                           198.18.0.100 … 219     nobody
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type KernelVtep, startKernelVtep, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import {
  BROADCAST,
  ETHERTYPE,
  type Ethernet,
  ethernet,
  IP_PROTOCOL,
  internetChecksum,
  ipv4,
  probe,
  readEthernet,
  readIpv4Frame,
  readProbe,
  readVxlanPacket,
  vxlan,
} from '../../support/traffic/frames.ts';
import { type Link, udpFrame } from '../../support/traffic/inner-frames.ts';
import { isProbe } from '../../support/traffic/probes.ts';
import { GSO, withVnetHeader } from '../../support/traffic/super-frames.ts';
import { range } from '../../support/traffic/trains.ts';
import { waitFor } from '../../support/wait.ts';

const DEAD = range(120).map((i) => `198.18.0.${100 + i}`);
const EVIL = '02:00:00:00:be:ef';
const HERE = '02:00:00:00:00:11';
const LINK: Link = { srcMac: '02:00:00:00:00:66', dstMac: HERE, src: '192.0.2.66', dst: '192.0.2.11' };
const SMUGGLED = 'smuggled into VNI 200';

describeSystem('a peer that sends super-frames uncut', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;
  let kernel: KernelVtep;

  beforeEach(async () => {
    const segments = [
      { vni: 100, group: '239.1.1.1' },
      { vni: 200, group: '239.1.1.2' },
    ];
    vtep = await startVtepdVtep(one, { segments });
    kernel = await startKernelVtep(two, { segments: segments.slice(0, 1) });
  });

  afterEach(() => Promise.all([vtep.stop(), kernel.stop()]));

  /** A UDP super-frame whose segments, of 200 octets, are where a datagram of VNI 200 would begin. */
  function smuggler(change: (bytes: Buffer) => void): Buffer {
    const size = 200;
    const piece = vxlan({ vni: 200, inner: probe({ dst: BROADCAST, src: EVIL, text: SMUGGLED }) });
    // In the message that vtepd gets, 50 octets of headers stand in front of the payload.
    const payload = Buffer.alloc(5 * size, 'x');
    for (const at of [size, 2 * size, 3 * size]) piece.copy(payload, at - 50);
    const bytes = withVnetHeader(udpFrame(LINK, { sourcePort: 9, destinationPort: 9, payload }), GSO.udp, size);
    change(bytes.subarray(10));
    return bytes;
  }

  const length = (value: number) => (bytes: Buffer) => void bytes.writeUInt16BE(value, 16);

  test.each<[string, (bytes: Buffer) => void]>([
    ['its true length', () => {}],
    ['a length within the first segment', length(100)],
    ['a length up to the first segment', length(200 - 22)],
    ['a length in the second', length(300)],
    ['a length beyond the frame', length(60_000)],
    ['no length', length(0)],
    ['the flag of a fragment', (bytes) => void bytes.writeUInt16BE(0x2000, 20)],
    ['no IP version', (bytes) => void bytes.writeUInt8(0, 14)],
    ['no IP at all', (bytes) => void bytes.writeUInt16BE(0x88b5, 12)],
    ['a TCP header', (bytes) => void bytes.writeUInt8(6, 23)],
  ])('brings nothing into another VNI, with %s', async (_what, change) => {
    const station = two.packetSocket('vxlan100', { vnetHeader: true });
    const [own, other] = [one.packetSocket('vxlan100'), one.packetSocket('vxlan200')];
    // By unicast: what comes by a group is of that group's VNIs alone.
    own.send(probe({ dst: BROADCAST, src: HERE, text: 'here I am' }));
    await station.waitForFrame('the probe', isProbe('here I am'));
    // The kernel may refuse to send what contradicts itself: then there is nothing to fear.
    for (let i = 0; i < 3; i++) {
      try {
        station.send(smuggler(change));
      } catch {}
    }
    two.packetSocket('vxlan100').send(probe({ dst: BROADCAST, src: '02:00:00:00:00:67', text: 'afterwards' }));
    await own.waitForFrame('the probe sent after it', isProbe('afterwards'));
    expect(other.drain().filter(({ bytes }) => bytes.includes(SMUGGLED))).toEqual([]);
    expect((await vtep.fdb()).filter(({ vni, mac }) => vni === 200 && mac === EVIL)).toEqual([]);
  });
});

describeSystem('a flood list of which one in a hundred lives', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  const COUNT = 1_500;

  test('reaches it with every flood, whatever waits for the dead and whatever ICMP says', async () => {
    const remotes = [...DEAD.map((ip) => `remote=${ip}`), `remote=${two.address}`];
    const vtep = await startVtepdVtep(one, { segments: [{ vni: 100, keys: remotes }] });
    const [tap, cable] = [one.packetSocket('vxlan100'), two.packetSocket('eth0')];
    const arrived = () => cable.select(({ bytes }) => readVxlanPacket(bytes) !== undefined);
    const texts = () => arrived().map(({ bytes }) => readProbe(readVxlanPacket(bytes)?.vxlan.inner ?? bytes)?.text);
    for (let sent = 0; sent < COUNT; sent++) {
      tap.send(probe({ dst: BROADCAST, src: LINK.srcMac, text: `flood ${sent}` }, { length: 300 }));
      if (sent % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 20));
      // What a router between them might say of it, or somebody who pretends to be one.
      const [first] = sent % 300 === 200 ? arrived() : [];
      if (first) cable.send(...range(200).map(() => unreachable(first.bytes)));
    }
    await waitFor('the last flood', texts, (all) => all.includes(`flood ${COUNT - 1}`));
    expect(new Set(texts()).size).toBe(COUNT);
    const drops = (await vtep.daemon.get<{ drops: number; vtep: string }[]>('/v1/vteps')).filter(
      ({ vtep: address }) => address === two.address,
    );
    expect(drops).toMatchObject([{ drops: 0 }]);
    await vtep.stop();
  });

  /** ICMP "port unreachable" for a datagram on the cable, as if its receiver had sent it. */
  function unreachable(datagram: Buffer): Buffer {
    const packet = readIpv4Frame(datagram);
    if (!packet) throw new Error('no IPv4');
    const icmp = Buffer.concat([Buffer.from([3, 3, 0, 0, 0, 0, 0, 0]), datagram.subarray(14, 14 + 28)]);
    icmp.writeUInt16BE(internetChecksum(icmp), 2);
    const { src, dst } = readEthernet(datagram) as Ethernet;
    const payload = ipv4({ src: packet.dst, dst: packet.src, protocol: IP_PROTOCOL.icmp, payload: icmp });
    return ethernet({ dst: src, src: dst, type: ETHERTYPE.ipv4, payload });
  }
});
