/**
 * `vtepctl trace` beside what then really happens.
 *
 *     vxlan100, vxlan200 ── host 1: vtepd   198.18.0.1 ───┐
 *     vxlan100           ── host 2: kernel  198.18.0.2 ───┴── group 239.1.0.100
 */
import { beforeAll, expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, sendProbe } from '../../support/traffic/probes.ts';

const GROUP = '239.1.0.100';
const [MACHINE, FAR, NOWHERE] = ['02:00:00:00:01:01', '02:00:00:00:02:02', '02:00:00:00:09:09'];

interface Trace {
  readonly direction: string;
  readonly verdict: string;
  readonly reason: string | null;
  readonly destinations: readonly string[];
  readonly steps: readonly string[];
}

describeSystem('a trace', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;
  let near: PacketSocket;
  let far: PacketSocket;

  const asked = (vni: number, src: string, dst: string) => `trace --vni ${vni} --src ${src} --dst ${dst}`.split(' ');
  const trace = (vni: number, src: string, dst: string, rest = '') =>
    vtep.daemon.get<Trace>(`/v1/trace?vni=${vni}&src=${src}&dst=${dst}${rest}`);

  /** What a trace must leave as it is: who is known, and the counters that the host's own frames leave alone. */
  async function marks() {
    const [fdb, { rx, tx }] = await Promise.all([vtep.fdb(), vtep.drops()]);
    const known = fdb.filter(({ mac }) => [MACHINE, FAR, NOWHERE].includes(mac)).map(({ mac, vtep: at }) => [mac, at]);
    const reasons = ['local', 'link-local', 'bad-source-mac', 'inner-vlan', 'oversize'];
    return { known, rx, tx: reasons.map((reason) => tx[reason]) };
  }

  useScope(lab);
  beforeAll(async () => {
    vtep = await startVtepdVtep(one, { segments: [{ vni: 100, group: GROUP }, { vni: 200 }] });
    await startKernelVtep(two, { segments: [{ vni: 100, group: GROUP }] });
    [near, far] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
  });

  test('tells where a frame goes before and after it is learned, and teaches nothing', async () => {
    const before = await marks();
    const cable = one.cable();
    const flooded = await trace(100, MACHINE, FAR);
    expect(flooded).toMatchObject({ direction: 'tx', verdict: 'flooded', reason: null, destinations: [GROUP] });
    expect(flooded.steps).toEqual([
      'VNI 100: a frame of 60 octets, out of vxlan100',
      `destination ${FAR}: unknown`,
      `source ${MACHINE}: would be learned behind vxlan100`,
      `encapsulate: 198.18.0.1 > ${GROUP}:4789, VNI 100, TTL 1, TOS 0x00`,
    ]);
    const arriving = await trace(100, FAR, BROADCAST, '&vtep=198.18.0.2');
    expect(arriving).toMatchObject({ direction: 'rx', verdict: 'forwarded', destinations: ['vxlan100'] });
    expect(arriving.steps).toContain(`source ${FAR}: would be learned at 198.18.0.2`);
    expect(await marks()).toEqual(before);

    sendProbe(far, { dst: BROADCAST, src: FAR, text: 'here I am' });
    await arrivesAt('here I am', near);
    sendProbe(near, { dst: FAR, src: MACHINE, text: 'welcome' });
    await arrivesAt('welcome', far);
    const traced = cable.drain().filter(({ bytes }) => bytes.includes(Buffer.from('88b50000', 'hex')));
    expect(traced).toEqual([]);

    const { stdout, code } = await vtep.daemon.runCtl(...asked(100, MACHINE, FAR));
    expect([code, stdout.split('\n').slice(1)]).toEqual([
      0,
      [
        expect.stringMatching(`^destination ${FAR}: known at 198.18.0.2 \\(dynamic, \\d+s\\)$`),
        expect.stringMatching(`^source ${MACHINE}: known behind vxlan100 \\(dynamic, \\d+s\\)$`),
        'encapsulate: 198.18.0.1 > 198.18.0.2:4789, VNI 100, TTL 64, TOS 0x00',
        'forwarded to 198.18.0.2',
        '',
      ],
    ]);
    const moved = await trace(100, FAR, MACHINE, '&vtep=198.18.0.9');
    expect(moved.steps.join('\n')).toMatch(
      /known at 198\.18\.0\.2 \(dynamic, \d+s\), would move to be at 198\.18\.0\.9/,
    );
  });

  test('tells why a frame would be dropped, and counts none', async () => {
    await vtep.daemon.ctl('fdb', 'add', NOWHERE, '--vni', '100', '--vtep', 'local');
    const before = await marks();
    const reasons = await Promise.all([
      trace(100, MACHINE, NOWHERE),
      trace(200, MACHINE, NOWHERE),
      trace(100, MACHINE, '01:80:c2:00:00:00'),
      trace(100, BROADCAST, FAR),
      trace(100, MACHINE, FAR, '&vlan=7'),
      trace(100, MACHINE, FAR, '&size=1465'),
      trace(100, FAR, MACHINE, '&vtep=198.18.0.1'),
      trace(300, FAR, MACHINE, '&vtep=198.18.0.2'),
      trace(100, NOWHERE, MACHINE, '&vtep=198.18.0.2'),
    ]);
    expect(reasons.map(({ verdict, reason, destinations }) => [verdict, reason, destinations.length])).toEqual(
      [
        ...['local', 'no-remote', 'link-local', 'bad-source-mac', 'inner-vlan', 'oversize'],
        ...['own-packet', 'unknown-vni', 'static-conflict'],
      ].map((reason) => ['dropped', reason, 0]),
    );
    expect(reasons[5]?.steps).toContain('longest frame that fits the underlay: 1464 octets');
    expect(await marks()).toEqual(before);

    const { code, stdout } = await vtep.daemon.runCtl(...asked(100, MACHINE, NOWHERE));
    expect([code, stdout.trim().split('\n').at(-1)]).toEqual([0, 'dropped: local']);
    const { code: refused, stderr } = await vtep.daemon.runCtl(...asked(300, MACHINE, FAR));
    expect([refused, stderr]).toEqual([1, expect.stringContaining('VNI 300: this vtepd does not have it')]);
  });
});
