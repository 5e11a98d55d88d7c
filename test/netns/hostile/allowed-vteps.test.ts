/**
 * `--allow-vtep`: VXLAN is taken from those VTEPs alone that are named, RFC 7348 §7.
 *
 *     vxlan100 ── host 1: vtepd  198.18.0.1 ───┐
 *     vxlan100 ── host 2: kernel 198.18.0.2 ───┼── VNI 100 = 239.1.1.1
 *     vxlan100 ── host 3: vtepd  198.18.0.3 ───┘
 */
import { expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import { arrivesAt, isProbe, probeTexts, sendProbe } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const GROUP = '239.1.1.1';
const SEGMENTS = [{ vni: 100, group: GROUP }];
const [MAC_1, MAC_2, MAC_3] = ['02:00:00:00:01:01', '02:00:00:00:01:02', '02:00:00:00:01:03'];

describeSystem('--allow-vtep', () => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];

  test.each([
    ['a prefix', ['198.18.0.2/31']],
    ['several prefixes, IPv6 beside IPv4', ['10.0.0.0/8', 'fd00:18::/64', '198.18.0.2/32', '198.18.0.2/31']],
  ])('T39: who is not listed is dropped and not learned, who is listed is served: %s', async (_, prefixes) => {
    const flags = prefixes.flatMap((prefix) => ['--allow-vtep', prefix]);
    const vtep = await startVtepdVtep(one, { segments: SEGMENTS, flags });
    await Promise.all([
      startKernelVtep(two, { segments: SEGMENTS }),
      startVtepdVtep(three, {
        segments: SEGMENTS,
        flags: ['--allow-vtep', '198.18.0.0/31', '--allow-vtep', '198.18.0.3'],
      }),
    ]);
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const c = three.packetSocket('vxlan100');
    // The kernel's host is listed by host 1 and not by host 3.
    sendProbe(b, { dst: BROADCAST, src: MAC_2, text: 'from the kernel' });
    await arrivesAt('from the kernel', a);
    sendProbe(c, { dst: BROADCAST, src: MAC_3, text: 'from host 3' });
    await arrivesAt('from host 3', a, b);
    sendProbe(a, { dst: BROADCAST, src: MAC_1, text: 'from host 1' });
    await arrivesAt('from host 1', b, c);
    expect((await vtep.drops()).rx['vtep-not-allowed']).toBe(0);
    expect((await vtep.fdb()).map(({ mac, vtep: at }) => [mac, at])).toContainEqual([MAC_2, two.address]);

    // An address of host 2 that nobody listed, by unicast and by the group, whole or not VXLAN at all.
    two.addAddress('198.18.0.77');
    lab.scope.defer(() => void two.ip('addr', 'del', '198.18.0.77/24', 'dev', 'eth0'));
    const stranger = two.udpSocket({ address: '198.18.0.77' });
    const table = (await vtep.fdb()).map(({ mac, vtep: at }) => [mac, at]);
    const good = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: '02:00:00:00:ba:d0', text: 'stranger' }) });
    const stolen = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: MAC_2, text: 'stranger' }) });
    const datagrams = [good, stolen, vxlan({ vni: 999, inner: Buffer.alloc(0) }), Buffer.alloc(8)];
    for (const bytes of datagrams) for (const to of [one.address, GROUP]) stranger.send(bytes, { to });
    // Too short for a VXLAN header comes first.
    stranger.send(Buffer.alloc(7), { to: one.address });
    const dropped = async () => (await vtep.drops()).rx;
    await waitFor('the drops', dropped, (rx) => (rx['vtep-not-allowed'] ?? 0) + (rx.short ?? 0) >= 9);
    expect(await dropped()).toMatchObject({
      'vtep-not-allowed': 8,
      short: 1,
      'no-i-flag': 0,
      'unknown-vni': 0,
    });
    expect((await vtep.fdb()).map(({ mac, vtep: at }) => [mac, at])).toEqual(table);

    // The one that is listed is still served.
    sendProbe(b, { dst: BROADCAST, src: MAC_2, text: 'once more' });
    await arrivesAt('once more', a);
    expect(a.select(isProbe('stranger'))).toEqual([]);
  });

  test('T39: a kernel peer that is not listed reaches nobody, though the daemon may send to it', async () => {
    const vtep = await startVtepdVtep(one, { segments: SEGMENTS, flags: ['--allow-vtep', '198.18.0.3'] });
    await startKernelVtep(two, { segments: SEGMENTS });
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    sendProbe(a, { dst: BROADCAST, src: MAC_1, text: 'out' });
    await arrivesAt('out', b);
    for (let i = 0; i < 5; i++) sendProbe(b, { dst: MAC_1, src: MAC_2, text: 'in' });
    sendProbe(b, { dst: BROADCAST, src: MAC_2, text: 'in' });
    const dropped = async () => (await vtep.drops()).rx['vtep-not-allowed'] ?? 0;
    await waitFor('the drops', dropped, (count) => count >= 6);
    expect(probeTexts(a.drain())).toEqual([]);
    expect((await vtep.fdb()).map(({ mac }) => mac)).not.toContain(MAC_2);
  });

  test('is checked without looking at the host', async () => {
    const check = (...prefixes: string[]) =>
      runVtepd(one, ['--check', '--vni', '100', ...prefixes.flatMap((prefix) => ['--allow-vtep', prefix])]);
    expect(await check('198.18.0.0/24', 'fd00:18::/64')).toMatchObject({ code: 0, stderr: '' });
    expect(await check('198.18.0.0/24', '198.18.0.1/24')).toMatchObject({
      code: 64,
      stderr:
        'vtepd: --allow-vtep 198.18.0.1/24: 198.18.0.1/24 has bits set beyond its prefix: ' +
        'write 198.18.0.0/24, or 198.18.0.1 for that VTEP alone\n',
    });
  });

  test('who had what becomes the broadcast address of a prefix of the host is refused', async () => {
    const vtep = await startVtepdVtep(one, { segments: SEGMENTS });
    const tap = one.packetSocket('vxlan100');
    two.addAddress('198.18.0.127');
    lab.scope.defer(() => void two.ip('addr', 'del', '198.18.0.127/24', 'dev', 'eth0'));
    const sender = two.udpSocket({ address: '198.18.0.127' });
    const frame = (text: string) => vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: MAC_2, text }) });
    sender.send(frame('one host'), { to: one.address });
    await arrivesAt('one host', tap);
    one.ip('addr', 'add', '198.18.0.99/26', 'dev', 'eth0');
    lab.scope.defer(() => void one.ip('addr', 'del', '198.18.0.99/26', 'dev', 'eth0'));
    const sendAgain = async () => {
      sender.send(frame('nobody'), { to: one.address });
      return (await vtep.drops()).rx['vtep-not-allowed'] ?? 0;
    };
    await waitFor('the drop', sendAgain, (count) => count > 0);
  });
});
