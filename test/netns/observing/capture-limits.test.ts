/**
 * What `vtepctl capture` does when it cannot go on, and that forwarding always does; captures of IPv6 underlays and of trunks.
 *
 *     vxlan100, vxlan600, trunk0 ── host 1: vtepd   198.18.0.1  fd00:18::1 ───┐
 *     vxlan100, vxlan600         ── host 2: kernel  198.18.0.2  fd00:18::2 ───┴
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { captureTo, newCaptureFile, packetsIn, readPackets } from '../../support/daemon/frame-captures.ts';
import { startKernelVtep, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { VTEPCTL } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { transfer } from '../../support/lab/transfer.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import { sendProbe } from '../../support/traffic/probes.ts';
import { sleep, waitUntil } from '../../support/wait.ts';

const run = promisify(execFile);
const GROUP = '239.1.0.100';
const GROUP6 = 'ff05::6:100';
const MACHINE = '02:00:00:00:01:01';

describeSystem('a capture', () => {
  const lab = useLab({ hosts: 2, ipv6: true });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;

  const start = () =>
    startVtepdVtep(one, {
      segments: [
        { vni: 100, group: GROUP },
        { vni: 600, group: GROUP6 },
        { vni: 10, keys: ['vlan=10'] },
      ],
      flags: ['--trunk', 'trunk0'],
    });

  useScope(lab);
  beforeAll(async () => {
    vtep = await start();
    const segments = [
      { vni: 100, group: GROUP },
      { vni: 600, group: GROUP6 },
    ];
    await startKernelVtep(two, { segments });
    for (const host of [one, two]) {
      host.ip('addr', 'add', `192.0.2.${host.number}/24`, 'dev', 'vxlan100');
      host.ip('addr', 'add', `203.0.113.${host.number}/24`, 'dev', 'vxlan600');
    }
  });

  const residentBytes = () =>
    1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${vtep.daemon.pid}/status`, 'utf8'))?.[1]);

  test('onto a full disk ends with one line; what found room can be read, and forwarding goes on', async () => {
    const folder = join(lab.folder, 'small');
    const [file, kept] = [join(folder, 'a.pcapng'), newCaptureFile(lab)];
    const script = `mkdir "$1" && mount -t tmpfs -o size=64k tmpfs "$1" || exit 99
      "$3" "$4" --socket "$5" capture --vni 100 -w "$1/a.pcapng"; code=$?
      cp "$1/a.pcapng" "$2"; exit $code`;
    const words = [folder, kept, process.execPath, VTEPCTL, vtep.daemon.socket];
    // The file system is gone with the one process that sees it.
    const ended = run('unshare', ['-m', 'sh', '-c', script, 'sh', ...words]).then(
      () => ({ code: 0, stderr: '' }),
      ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
    );
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    while (!isOver) {
      expect(one.ping('192.0.2.2', { count: 5, size: 1_400 })).toBe(5);
      await sleep(1);
    }
    const { code, stderr } = await ended;
    const [, frames = ''] = /ENOSPC, no space left; (\d+) frames are in the file: free some/.exec(stderr) ?? [];
    expect([code, stderr]).toEqual([1, expect.stringMatching(`^vtepctl: -w ${file}: [^\n]+\n$`)]);
    expect(Number(frames)).toBeGreaterThan(20);
    expect(await readPackets(kept, ['vxlan.vni'])).toHaveLength(Number(frames));
  }, 60_000);

  test('that is not read loses frames and counts them; forwarding goes on, and memory stays bounded', async () => {
    const capture = await captureTo(lab, vtep.daemon);
    const before = residentBytes();
    capture.kill('SIGSTOP');
    for (let i = 0; i < 4; i++) {
      const { sent, received } = await transfer({ from: one, to: two, address: '192.0.2.2', bytes: 50_000_000 });
      expect(received.sha256).toBe(sent.sha256);
    }
    expect(await vtep.daemon.get<object[]>('/v1/vnis')).toHaveLength(3);
    // A ring, a backlog, and what the heap makes of it.
    expect(residentBytes() - before).toBeLessThan(64 * 2 ** 20);
    capture.kill('SIGCONT');
    // What was lost is told behind what was kept.
    expect(one.ping('192.0.2.2', { count: 3 })).toBe(3);
    await packetsIn(capture.file, ['icmp.type'], { filter: 'icmp', count: 3 });
    const { code, stderr } = await capture.interrupt();
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^\d+ frames captured, \d+ lost: they came faster/)]);
  }, 90_000);

  test('over IPv6 has its headers, with valid checksums', async () => {
    const capture = await captureTo(lab, vtep.daemon, ['--vni', '600']);
    expect(one.ping('203.0.113.2', { count: 2 })).toBe(2);
    const fields = ['ipv6.src', 'ipv6.dst', 'udp.checksum.status', 'vxlan.vni', 'arp.opcode', 'icmp.type'] as const;
    const packets = await packetsIn(capture.file, [...fields, 'frame.comment'], { filter: 'arp || icmp', count: 6 });
    const to = (address: string) => ({ 'ipv6.src': one.address6, 'ipv6.dst': address, 'udp.checksum.status': '1' });
    expect(packets[0]).toMatchObject({
      ...{ ...to(GROUP6), 'vxlan.vni': '600', 'arp.opcode': '1', 'frame.comment': `tx flooded to ${GROUP6}` },
    });
    const [request, reply] = packets.filter((packet) => packet['icmp.type'] !== '');
    expect(request).toMatchObject({ ...to(two.address6), 'frame.comment': `tx forwarded to ${two.address6}` });
    expect(reply).toMatchObject({
      'ipv6.src': two.address6,
      'ipv6.dst': one.address6,
      'frame.comment': 'rx forwarded',
    });
  });

  test('of a trunk has the frames of its VNIs without their tags, and with them what is no VNI’s', async () => {
    const capture = await captureTo(lab, vtep.daemon);
    const trunk = one.packetSocket('trunk0');
    for (const vlan of [10, 11]) sendProbe(trunk, { dst: BROADCAST, src: MACHINE, vlan, text: `in VLAN ${vlan}` });
    const fields = ['frame.comment', 'vlan.id', 'frame.len'] as const;
    const packets = await packetsIn(capture.file, fields, { filter: `eth.src == ${MACHINE}`, count: 2 });
    expect(packets.map((packet) => [packet['frame.comment'], packet['vlan.id']])).toEqual([
      ['tx dropped: no-remote, VNI 10', '10'],
      ['tx dropped: unknown-vlan', '11'],
    ]);
    await vtep.daemon.ctl('remote', 'add', two.address, '--vni', '10');
    sendProbe(trunk, { dst: BROADCAST, src: MACHINE, vlan: 10, text: 'in VLAN 10' });
    await waitUntil(
      'the flood',
      async () => {
        const [last] = (await readPackets(capture.file, fields, 'vxlan.vni == 10')).slice(-1);
        return last?.['frame.comment'] === 'tx flooded to 1 remote' && last['vlan.id'] === '';
      },
      { everyMs: 100 },
    );
  });

  test('of a daemon that ends does so too, with 2; the file is whole', async () => {
    const capture = await captureTo(lab, vtep.daemon);
    sendProbe(one.packetSocket('vxlan100'), { dst: BROADCAST, src: MACHINE, text: 'the last word' });
    await packetsIn(capture.file, ['eth.src'], { filter: `eth.src == ${MACHINE}`, count: 1 });
    const { code, ms } = await vtep.daemon.stop();
    expect([code, ms < 2_000]).toEqual([0, true]);
    const stderr = `vtepctl: control socket ${vtep.daemon.socket}: vtepd ended: start it and try again\n`;
    expect(await capture.ended).toEqual({ code: 2, stdout: '', stderr });
    expect((await readPackets(capture.file, ['frame.number'])).length).toBeGreaterThan(0);
  });
});
