/**
 * `vtepctl capture`: what tshark reads in its files, and its filters.
 *
 *     vxlan100, vxlan200 ── host 1: vtepd   198.18.0.1 ───┐
 *     vxlan100           ── host 2: kernel  198.18.0.2 ───┤ group 239.1.0.100
 *                           host 3: crafted 198.18.0.3 ───┘ datagrams
 */
import { execFile, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { captureTo, FrameCaptureProcess, packetsIn, readPackets } from '../../support/daemon/frame-captures.ts';
import { startKernelVtep, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { VTEPCTL } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { transfer } from '../../support/lab/transfer.ts';
import { BROADCAST, probe, readVxlanPacket, vxlan } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { sendProbe } from '../../support/traffic/probes.ts';
import { waitUntil } from '../../support/wait.ts';

const GROUP = '239.1.0.100';
const [MACHINE, FAR, LINK_LOCAL] = ['02:00:00:00:01:01', '02:00:00:00:02:02', '01:80:c2:00:00:0e'];

describeSystem.each([1, 2])('a capture, %i workers', (workers) => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  let vtep: VtepdVtep;
  let near: PacketSocket;
  let far: PacketSocket;

  useScope(lab);
  beforeAll(async () => {
    const segments = [{ vni: 100, group: GROUP }, { vni: 200 }];
    vtep = await startVtepdVtep(one, { segments, flags: ['--workers', `${workers}`] });
    await startKernelVtep(two, { segments: [{ vni: 100, group: GROUP }] });
    one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
    two.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vxlan100');
    [near, far] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
  });

  /** A datagram of host 3, of a machine that says a word to all. */
  function craft(text: string, src = FAR, vni = 100): void {
    const inner = probe({ dst: BROADCAST, src, text });
    three.udpSocket({ address: three.address }).send(vxlan({ vni, inner }), { to: one.address });
  }

  const ownMac = () => one.link('vxlan100')?.address ?? '';

  describe('that tshark reads', () => {
    const FIELDS = [
      ...(['frame.interface_name', 'frame.packet_flags_direction', 'frame.comment', 'ip.src', 'ip.dst'] as const),
      ...(['udp.srcport', 'udp.dstport', 'vxlan.vni', 'ip.checksum.status', 'arp.opcode', 'icmp.type'] as const),
    ];
    const [INBOUND, OUTBOUND] = ['0x00000001', '0x00000002'];

    test('has outer and inner layers, direction and verdict, and the source port that was sent from', async () => {
      one.ip('neigh', 'flush', 'dev', 'vxlan100');
      await vtep.daemon.ctl('fdb', 'flush');
      const capture = await captureTo(lab, vtep.daemon, ['--vni', '100']);
      const cable = one.cable();
      expect(one.ping('192.0.2.2', { count: 1 })).toBe(1);
      const packets = await packetsIn(capture.file, FIELDS, { filter: 'arp || icmp', count: 4 });
      const [asked, answered, request, reply] = packets;
      const underlay = { 'frame.interface_name': 'underlay', 'udp.dstport': '4789', 'vxlan.vni': '100' };
      const [sent, received] = [
        { ...underlay, 'frame.packet_flags_direction': OUTBOUND },
        { ...underlay, 'frame.packet_flags_direction': INBOUND, 'frame.comment': 'rx forwarded' },
      ];
      expect(asked).toMatchObject({
        ...{ ...sent, 'arp.opcode': '1', 'frame.comment': `tx flooded to ${GROUP}` },
        ...{ 'ip.src': one.address, 'ip.dst': GROUP, 'ip.checksum.status': '1' },
      });
      expect(answered).toMatchObject({ ...received, 'arp.opcode': '2', 'ip.src': two.address, 'ip.dst': one.address });
      expect(request).toMatchObject({
        ...{ ...sent, 'icmp.type': '8', 'frame.comment': `tx forwarded to ${two.address}` },
        ...{ 'ip.src': `${one.address},192.0.2.1`, 'ip.dst': `${two.address},192.0.2.2` },
        'ip.checksum.status': '1,1',
      });
      expect(reply).toMatchObject({
        ...{ ...received, 'icmp.type': '0' },
        ...{ 'ip.src': `${two.address},192.0.2.2`, 'ip.dst': `${one.address},192.0.2.1` },
      });
      const ports = cable.drain().flatMap(({ bytes }) => {
        const packet = readVxlanPacket(bytes);
        return packet?.vxlan.inner.readUInt16BE(12) === 0x0800 ? [`${packet.udp.sourcePort}`] : [];
      });
      expect([request, reply].map((packet) => packet?.['udp.srcport'])).toEqual(ports);
      const { code, stderr } = await capture.interrupt();
      expect([code, stderr]).toEqual([0, expect.stringMatching(/^\d+ frames captured\n$/)]);
      expect(statSync(capture.file).mode & 0o777).toBe(0o600);
    });

    test('has what is dropped, with the reason', async () => {
      const capture = await captureTo(lab, vtep.daemon, ['--drops']);
      craft('an echo', ownMac());
      sendProbe(near, { dst: LINK_LOCAL, src: MACHINE, text: 'for the next bridge' });
      craft('to nowhere', FAR, 300);
      const fields = ['frame.interface_name', 'frame.comment', 'ip.src', 'vxlan.vni', 'eth.src'] as const;
      const filter = `eth.src == ${MACHINE} || eth.src == ${ownMac()} || vxlan.vni == 300`;
      const packets = await packetsIn(capture.file, fields, { filter, count: 3 });
      const underlay = { 'frame.interface_name': 'underlay', 'ip.src': three.address };
      expect(packets).toHaveLength(3);
      expect(packets).toEqual(
        expect.arrayContaining([
          { ...underlay, 'frame.comment': 'rx dropped: own-mac', 'vxlan.vni': '100', 'eth.src': ownMac() },
          { ...underlay, 'frame.comment': 'rx dropped: unknown-vni', 'vxlan.vni': '300', 'eth.src': FAR },
          {
            ...{ 'frame.interface_name': 'overlay', 'frame.comment': 'tx dropped: link-local, VNI 100' },
            ...{ 'ip.src': '', 'vxlan.vni': '', 'eth.src': MACHINE },
          },
        ]),
      );
    });

    test('may come by a pipe', async () => {
      const args = ['-c', '"$0" "$1" --socket "$2" capture -c 3 -w - | tshark -n -i - -c 3 -T fields -e vxlan.vni'];
      const piped = promisify(execFile)('sh', [...args, process.execPath, VTEPCTL, vtep.daemon.socket]);
      let isOver = false;
      void piped.finally(() => {
        isOver = true;
      });
      await waitUntil(
        'three frames',
        () => {
          craft('again and again');
          return isOver;
        },
        { timeoutMs: 30_000, everyMs: 100 },
      );
      expect((await piped).stdout.trim().split('\n')).toEqual(['100', '100', '100']);
    });
  });

  test('takes what its filters say, four at once and no fifth', async () => {
    const start = (...flags: string[]) => new FrameCaptureProcess(lab, vtep.daemon, ['--json', ...flags]);
    const byVni = start('--vni', '200');
    const byMac = start('--mac', FAR);
    const byVtep = start('--vtep', two.address);
    const drops = start('--drops');
    const said = new Map([byVni, byMac, byVtep, drops].map((capture) => [capture, () => capture.events]));
    const play = () => {
      sendProbe(one.packetSocket('vxlan200'), { dst: BROADCAST, src: MACHINE, text: 'nobody is there' });
      craft('somebody else');
      sendProbe(far, { dst: BROADCAST, src: '02:00:00:00:02:03', text: 'the kernel' });
      sendProbe(near, { dst: '02:00:00:00:02:03', src: MACHINE, text: 'to the kernel' });
      craft('an echo', ownMac());
    };
    await waitUntil(
      'all of them to capture',
      () => {
        play();
        return [...said.values()].every((events) => events().length >= 10);
      },
      { timeoutMs: 30_000, everyMs: 100 },
    );
    const kinds = (capture: FrameCaptureProcess) => {
      const texts = capture.events.map(({ direction, verdict, reason, vtep: peer }) =>
        [direction, verdict, ...(reason ? [reason] : []), ...(peer ? [peer] : [])].join(' '),
      );
      return [...new Set(texts)].sort();
    };
    expect(byVni.events.every(({ vni }) => vni === 200)).toBe(true);
    expect(kinds(byVni)).toEqual(['tx dropped no-remote']);
    expect(byMac.events.every(({ src, dst }) => src === FAR || dst === FAR)).toBe(true);
    expect(kinds(byMac)).toEqual([`rx forwarded ${three.address}`]);
    const withKernel = kinds(byVtep);
    expect(withKernel).toEqual(expect.arrayContaining([`rx forwarded ${two.address}`, `tx forwarded ${two.address}`]));
    expect(withKernel.every((text) => text.endsWith(two.address))).toBe(true);
    expect(kinds(drops)).toEqual(
      expect.arrayContaining([`rx dropped own-mac ${three.address}`, 'tx dropped no-remote']),
    );
    expect(kinds(drops).every((text) => text.includes(' dropped '))).toBe(true);
    const refused = await start().ended;
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('4 captures already run: stop one') });
    for (const capture of said.keys()) expect((await capture.interrupt()).code).toBe(0);
    await waitUntil('room for another', async () => {
      const { code } = await new FrameCaptureProcess(lab, vtep.daemon, ['--vni', '300']).ended;
      return code === 1;
    });
    const next = start();
    await waitUntil(
      'it to capture',
      () => {
        play();
        return next.events.length > 0;
      },
      { everyMs: 50 },
    );
  });

  test('as text: a line for each frame; ends after so many, and without a word when nobody reads', async () => {
    const few = new FrameCaptureProcess(lab, vtep.daemon, ['-c', '3', '--vtep', three.address]);
    let isOver = false;
    void few.ended.then(() => {
      isOver = true;
    });
    await waitUntil(
      'its end',
      () => {
        craft('a word');
        return isOver;
      },
      { everyMs: 50, timeoutMs: 20_000 },
    );
    const { code, stdout, stderr } = await few.ended;
    const line = `rx VNI 100 from ${three.address} forwarded, ${FAR} > ${BROADCAST}, length 60: ethertype 0x88b5`;
    expect([code, stderr]).toEqual([0, '3 frames captured\n']);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((text) => text.slice(16)),
    ).toEqual([line, line, line]);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{6} /);

    const script = '"$@" | head -n 1';
    const piped = spawn('sh', [
      '-c',
      script,
      'sh',
      process.execPath,
      VTEPCTL,
      '--socket',
      vtep.daemon.socket,
      'capture',
    ]);
    let said = '';
    piped.stderr.on('data', (text) => {
      said += text;
    });
    const ended = new Promise((resolve) => piped.once('close', resolve));
    await waitUntil(
      'the end of the pipe',
      () => {
        craft('another');
        return piped.exitCode !== null;
      },
      { everyMs: 50, timeoutMs: 20_000 },
    );
    expect([await ended, said]).toEqual([0, '']);
  });

  test('of super-frames: one record each, that says how many it is, and nothing that is sent is changed by it', async () => {
    const capture = await captureTo(lab, vtep.daemon);
    const { sent, received } = await transfer({ from: one, to: two, address: '192.0.2.2', bytes: 20_000_000 });
    expect(received.sha256).toBe(sent.sha256);
    const back = await transfer({ from: two, to: one, address: '192.0.2.1', bytes: 20_000_000 });
    expect(back.received.sha256).toBe(back.sent.sha256);
    await capture.interrupt();
    const fields = ['frame.len', 'frame.cap_len', 'frame.comment', 'tcp.len', 'vxlan.vni'] as const;
    const packets = await readPackets(capture.file, fields, 'tcp');
    const supers = packets.filter((packet) => packet['frame.comment'].includes('super-frame'));
    expect(supers.length).toBeGreaterThan(10);
    for (const direction of ['tx', 'rx']) {
      expect(supers.some((packet) => packet['frame.comment'].startsWith(direction))).toBe(true);
    }
    for (const packet of supers) {
      const [, count = ''] = /super-frame of (\d+) segments$/.exec(packet['frame.comment']) ?? [];
      expect(packet['vxlan.vni']).toBe('100');
      expect(Number(packet['frame.len'])).toBeGreaterThan(1_500);
      expect(packet['frame.cap_len']).toBe(packet['frame.len']);
      // Segments of at most an MTU of 1450 less the headers.
      expect(Number(count)).toBeGreaterThanOrEqual(Math.ceil(Number(packet['tcp.len']) / 1_410));
    }
  });
});
