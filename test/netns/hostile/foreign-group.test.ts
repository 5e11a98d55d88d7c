/**
 * Groups that are somebody else's: another program on the host has joined them, or another VNI. What comes by them is not a VNI's.
 *
 *     vxlan100 ─┐
 *     vxlan200 ─┴ host 1: vtepd      ───┐   VNI 100 = 239.1.1.1, VNI 200 = 239.1.1.2
 *                 another program       │   239.9.9.9 on any address, port 4790
 *                 host 2                ┘   crafted datagrams
 */
import { expect, test } from 'vitest';
import { startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, type Host, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import { isProbe, probeTexts } from '../../support/traffic/probes.ts';
import { waitUntil } from '../../support/wait.ts';

const [GROUP_100, GROUP_200, FOREIGN] = ['239.1.1.1', '239.1.1.2', '239.9.9.9'];

/** Joins on its standard input's behalf: until that ends. */
const JOIN = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.bind(4790, () => socket.addMembership(process.argv[1], process.argv[2]));
  process.stdin.resume().on('end', () => process.exit());
`;

describeSystem('a foreign group', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  /** Another program of the host joins a group. */
  async function join(host: Host, group: string): Promise<void> {
    const child = host.spawn(process.execPath, ['-e', JOIN, group, host.address], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    lab.scope.defer(() => void child.kill('SIGKILL'));
    await waitUntil(`${group} joined`, () => host.joinedGroups().includes(`eth0 ${group}`));
  }

  test('T18: a VNI’s frames by a group that is not its own are not delivered and not learned', async () => {
    const vtep = await startVtepdVtep(one, {
      segments: [
        { vni: 100, group: GROUP_100 },
        { vni: 200, group: GROUP_200 },
      ],
    });
    await join(one, FOREIGN);
    const taps = [100, 200].map((vni) => one.packetSocket(`vxlan${vni}`));
    const sender = two.udpSocket({ address: two.address });
    const send = (vni: number, to: string, text: string) =>
      sender.send(vxlan({ vni, inner: probe({ dst: BROADCAST, src: '02:00:00:00:ba:d0', text }) }), { to });
    for (const vni of [100, 200]) send(vni, FOREIGN, 'by a group of another program');
    send(100, GROUP_200, 'by the group of another VNI');
    send(200, GROUP_100, 'by the group of another VNI');
    sender.send(vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: '02:00:00:00:00:0d', text: 'right' }) }), {
      to: GROUP_100,
    });
    sender.send(vxlan({ vni: 200, inner: probe({ dst: BROADCAST, src: '02:00:00:00:00:0d', text: 'right' }) }), {
      to: GROUP_200,
    });
    for (const tap of taps) await tap.waitForFrame('the right one', isProbe('right'));
    expect(taps.map((tap) => probeTexts(tap.drain()))).toEqual([['right'], ['right']]);
    const { rx } = await vtep.drops();
    // What the other program's group brings does not even reach the daemon.
    expect([rx['wrong-group'], rx['unknown-vni']]).toEqual([2, 0]);
    expect((await vtep.fdb()).map(({ mac }) => mac)).not.toContain('02:00:00:00:ba:d0');
  });

  test('T18: a VNI without a group takes nothing by a group', async () => {
    const vtep = await startVtepdVtep(one, {
      segments: [
        { vni: 100, group: GROUP_100 },
        { vni: 300, remotes: [two.address] },
      ],
    });
    const tap = one.packetSocket('vxlan300');
    const sender = two.udpSocket({ address: two.address });
    const bytes = (text: string) =>
      vxlan({ vni: 300, inner: probe({ dst: BROADCAST, src: '02:00:00:00:00:0d', text }) });
    sender.send(bytes('by a group'), { to: GROUP_100 });
    await waitUntil('the drop', async () => (await vtep.drops()).rx['wrong-group'] === 1);
    sender.send(bytes('by unicast'), { to: one.address });
    await tap.waitForFrame('the unicast', isProbe('by unicast'));
    expect(probeTexts(tap.drain())).toEqual(['by unicast']);
  });
});
