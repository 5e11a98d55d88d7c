/**
 * ARP and ND suppression: host 1 answers for neighbours behind the other two, so that nothing of a question is seen on its cable.
 *
 *     vxlan100 ── host 1  198.18.0.1 ───┐ vtepd, suppress=on
 *     vxlan100 ── host 2  198.18.0.2 ───┤ vtepd
 *     vxlan100 ── host 3  198.18.0.3 ───┘ the kernel's vxlan device
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type Vtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, type Host, useLab } from '../../support/lab/lab.ts';
import {
  type Arp,
  arp,
  BROADCAST,
  ETHERTYPE,
  ethernet,
  readArp,
  readVxlanPacket,
} from '../../support/traffic/frames.ts';
import type { CapturedFrame, PacketSocket } from '../../support/traffic/packet-socket.ts';
import { settle } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const NOBODY = '00:00:00:00:00:00';
/** Stations that the tests speak for. */
const ASKER = { mac: '02:00:00:00:01:01', ip: '192.0.2.101' };
const STATION = { mac: '02:00:00:00:02:01', ip: '192.0.2.201' };
const SUCCESSOR = { mac: '02:00:00:00:03:01', ip: STATION.ip };

type Station = typeof ASKER;

const request = (from: Station, targetIp: string, dst = BROADCAST) =>
  arpFrame(dst, { operation: 1, senderMac: from.mac, senderIp: from.ip, targetMac: NOBODY, targetIp });

function arpFrame(dst: string, message: Arp): Buffer {
  const payload = Buffer.concat([arp(message), Buffer.alloc(18)]);
  return ethernet({ dst, src: message.senderMac, type: ETHERTYPE.arp, payload });
}

/** The inner frames that leave a host by its cable. */
function innerFrames(cable: PacketSocket): Buffer[] {
  return cable.select(({ outgoing }) => !outgoing).flatMap(({ bytes }) => readVxlanPacket(bytes)?.vxlan.inner ?? []);
}

describeSystem('suppress=on', () => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  const group = '239.1.1.1';
  let vtep: VtepdVtep;
  let peers: Vtep[];
  let cable: PacketSocket;

  async function start(keys: readonly string[], flags: readonly string[] = []): Promise<void> {
    const segments = [{ vni: 100, group }];
    [vtep, ...peers] = await Promise.all([
      startVtepdVtep(one, { segments: [{ vni: 100, group, keys }], flags }),
      startVtepdVtep(two, { segments }),
      startKernelVtep(three, { segments }),
    ]);
    cable = one.cable();
  }

  const tap = (host: Host) => host.packetSocket('vxlan100');
  const suppressed = async () => (await vtep.drops()).tx.suppressed ?? 0;

  /** A station behind `host` tells the segment its address. */
  async function announce(host: Host, station: Station): Promise<void> {
    const [there, here] = [tap(host), tap(one)];
    there.send(request(station, station.ip));
    await here.waitForFrame('the announcement', ({ bytes }) => readArp(bytes)?.senderMac === station.mac);
  }

  const isAnswer = ({ bytes }: CapturedFrame) => readArp(bytes)?.operation === 2;

  /** What host 1's TAP says to a question, and how many ARP frames leave by the cable: one of them is certain. */
  async function ask(question: Buffer): Promise<{ answer: Arp | undefined; sent: number }> {
    const asker = tap(one);
    cable.clear();
    asker.send(question);
    const look = () => ({
      answers: asker.select(isAnswer).map(({ bytes }) => readArp(bytes)),
      sent: innerFrames(cable).filter((inner) => readArp(inner)).length,
    });
    await waitFor('an answer, or the question on the wire', look, ({ answers, sent }) => answers.length + sent > 0);
    await settle();
    const { answers, sent } = look();
    return { answer: answers[0], sent };
  }

  const answerOf = (station: Station): Arp => ({
    operation: 2,
    senderMac: station.mac,
    senderIp: station.ip,
    targetMac: ASKER.mac,
    targetIp: ASKER.ip,
  });

  describe('with one worker', () => {
    beforeEach(() => start(['suppress=on']), 30_000);

    test.each([
      ['a vtepd peer', 2],
      ['a kernel peer', 3],
    ])(
      'T38: a known neighbour behind %s is answered locally, with nothing on the wire, the peer up or down',
      async (_, number) => {
        const host = lab.host(number);
        await announce(host, STATION);
        expect(await ask(request(ASKER, STATION.ip))).toEqual({ answer: answerOf(STATION), sent: 0 });
        expect(await suppressed()).toBe(1);
        await peers[number - 2]?.stop();
        host.ip('link', 'set', 'eth0', 'down');
        try {
          expect(await ask(request(ASKER, STATION.ip))).toEqual({ answer: answerOf(STATION), sent: 0 });
        } finally {
          host.ip('link', 'set', 'eth0', 'up');
          host.ip('route', 'replace', '224.0.0.0/4', 'dev', 'eth0');
        }
      },
    );

    test('T38: unicast requests, probes and announcements pass, questions for others too', async () => {
      await announce(three, STATION);
      const frames = [
        request(ASKER, STATION.ip, STATION.mac),
        request({ ...ASKER, ip: '0.0.0.0' }, STATION.ip),
        request(ASKER, ASKER.ip),
        request(ASKER, '192.0.2.250'),
      ];
      for (const frame of frames) expect(await ask(frame)).toEqual({ answer: undefined, sent: 1 });
      expect(await suppressed()).toBe(0);
    });

    test('an address that has moved to another MAC and host is answered with that, and not at all once it is local', async () => {
      await announce(two, STATION);
      await announce(three, SUCCESSOR);
      expect(await ask(request(ASKER, STATION.ip))).toEqual({ answer: answerOf(SUCCESSOR), sent: 0 });
      const here = tap(one);
      here.send(request({ mac: '02:00:00:00:01:02', ip: STATION.ip }, STATION.ip));
      await settle();
      expect(await ask(request(ASKER, STATION.ip))).toEqual({ answer: undefined, sent: 1 });
    });

    test('a neighbour whose MAC is forgotten is asked for by flooding', async () => {
      await announce(three, STATION);
      expect(await vtep.daemon.runCtl('fdb', 'del', STATION.mac, '--vni', '100')).toMatchObject({ code: 0 });
      expect(await ask(request(ASKER, STATION.ip))).toEqual({ answer: undefined, sent: 1 });
    });

    test('real stacks: after one exchange, neither ARP nor ND of host 1 leaves it, and they go on talking', async () => {
      const hosts = [one, two, three];
      for (const host of hosts) {
        host.run('sh', '-c', 'echo 0 > /proc/sys/net/ipv6/conf/vxlan100/disable_ipv6');
        host.ip('addr', 'add', `192.0.2.${host.number}/24`, 'dev', 'vxlan100');
        host.ip('addr', 'add', `fd00:2::${host.number}/64`, 'dev', 'vxlan100', 'nodad');
      }
      const addresses = ['192.0.2.2', '192.0.2.3', 'fd00:2::2', 'fd00:2::3'];
      for (const address of addresses) expect(one.ping(address, { count: 1 })).toBe(1);
      const before = await suppressed();
      one.ip('neigh', 'flush', 'dev', 'vxlan100');
      cable.clear();
      for (const address of addresses) expect(one.ping(address, { count: 2 })).toBe(2);
      // Target fd00:2::…; the kernel looks for duplicates of its link-local address, which nobody may answer for it.
      const isSolicitation = (inner: Buffer) =>
        inner.readUInt16BE(12) === 0x86dd && inner.readUInt8(54) === 135 && inner.readUInt32BE(62) === 0xfd00_0002;
      const isQuestion = (inner: Buffer) => readArp(inner)?.operation === 1 || isSolicitation(inner);
      const toGroup = (inner: Buffer) => (inner.readUInt8(0) & 1) === 1;
      expect(innerFrames(cable).filter((inner) => isQuestion(inner) && toGroup(inner))).toEqual([]);
      expect((await suppressed()) - before).toBeGreaterThanOrEqual(4);
      const states = one.ip('neigh', 'show', 'dev', 'vxlan100');
      for (const address of addresses) expect(states).toMatch(new RegExp(`^${address} .*lladdr`, 'm'));
    });
  });

  test('T38: two workers share what they heard', async () => {
    await start(['suppress=on'], ['--workers', '2']);
    const stations = Array.from({ length: 16 }, (_, i) => ({
      mac: `02:00:00:00:02:${(16 + i).toString(16)}`,
      ip: `192.0.2.${210 + i}`,
    }));
    for (const station of stations) await announce(stations.indexOf(station) % 2 ? two : three, station);
    for (const station of stations) {
      expect(await ask(request(ASKER, station.ip))).toEqual({ answer: answerOf(station), sent: 0 });
    }
    expect(await suppressed()).toBe(stations.length);
  }, 60_000);

  test('is off unless asked for', async () => {
    await start([]);
    await announce(three, STATION);
    expect(await ask(request(ASKER, STATION.ip))).toEqual({ answer: undefined, sent: 1 });
    expect(await suppressed()).toBe(0);
  }, 60_000);

  afterEach(() => {
    peers = [];
  });
});
