/**
 * Layer-2 control frames: spanning tree through two VNIs, and what else bridges keep to themselves, beside a kernel vxlan device.
 *
 *      bridge brx, STP                        bridge brx, STP
 *      vxlan100  vxlan200                     vxlan100  vxlan200
 *            host 1 ─────────── underlay ────────── host 2
 *          vtepd                                vtepd, or the kernel's devices
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Finding } from '../../../src/api/schemas.ts';
import { type DropCounters, startKernelVtep, startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { command } from '../../support/host/namespaces.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { BROADCAST, ethernet } from '../../support/traffic/frames.ts';
import { sleep, waitFor } from '../../support/wait.ts';

const GROUPS = { 100: '239.1.1.1', 200: '239.1.1.2' };
const TYPES = { stp: 0x0026, lacp: 0x8809, eapol: 0x888e, lldp: 0x88cc };
const MACS = { stp: 0x0, lacp: 0x2, eapol: 0x3, lldp: 0xe };

describeSystem('layer-2 control frames', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  describe.each(['vtepd', 'kernel'] as const)(
    'two VNIs between two bridges with spanning tree, the peer being %s',
    (peer) => {
      useScope(lab);

      test('one port blocks with l2-control=stp', async () => {
        for (const host of lab.hosts) {
          host.ip(
            'link',
            'add',
            'brx',
            'type',
            'bridge',
            'stp_state',
            '1',
            'forward_delay',
            '200',
            'hello_time',
            '100',
          );
          host.ip('link', 'set', 'brx', 'up');
          lab.scope.defer(() => void host.ip('link', 'del', 'brx'));
        }
        const segments = (keys: string[]) =>
          [100, 200].map((vni) => ({ vni, group: GROUPS[vni as 100 | 200], bridge: 'brx', keys }));
        const vtep = await startVtepdVtep(one, { segments: segments(['l2-control=stp', 'storm=200']) });
        if (peer === 'vtepd') await startVtepdVtep(two, { segments: segments(['l2-control=pass', 'storm=200']) });
        else await startKernelVtep(two, { segments: segments([]) });
        const states = () =>
          lab.hosts.flatMap((host) =>
            (JSON.parse(command('bridge', ['-n', host.namespace, '-j', 'link'])) as { state: string }[]).map(
              ({ state }) => state,
            ),
          );
        await waitFor(
          'one port blocks',
          states,
          (all) =>
            all.filter((state) => state === 'blocking').length === 1 &&
            all.filter((state) => state === 'forwarding').length === 3,
          { timeoutMs: 15_000 },
        );
        const { rx, tx } = await vtep.drops();
        expect([rx['link-local'], tx['link-local']]).toEqual([0, 0]);
      }, 30_000);
    },
  );

  describe('the doctor', () => {
    useScope(lab);

    test('tells of loops and of what is lost now, and what it says mends them', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'vtepd-l2-'));
      lab.scope.defer(() => rmSync(directory, { recursive: true }));
      const file = join(directory, 'vtepd.yaml');
      const write = (keys: string) => {
        const vnis = [100, 200].map((vni) => `{vni: ${vni}, group: 239.1.1.1, bridge: brx, ${keys}}`);
        writeFileSync(file, `dev: eth0\nvnis: [${vnis.join(', ')}, {vni: 300}]\n`);
      };
      one.ip('link', 'add', 'brx', 'type', 'bridge');
      lab.scope.defer(() => void one.ip('link', 'del', 'brx'));
      one.ip('link', 'set', 'brx', 'up');
      write('storm: 100');
      const daemon = await startVtepd(one, ['--config', file]);
      const told = async (check: string) => {
        const all = await daemon.ctl<Finding[]>('doctor');
        return all
          .filter((each) => each.check === check)
          .map(({ object, status, remedy }) => `${status} ${object}: ${remedy}`);
      };
      expect(await told('loop')).toEqual(['warning brx: ip link set brx type bridge stp_state 1']);
      one.run('ip', 'link', 'set', 'brx', 'type', 'bridge', 'stp_state', '1');
      expect(await told('loop')).toEqual(['warning brx: l2-control=stp', 'warning brx: l2-control=stp']);
      const tap = one.packetSocket('vxlan100');
      const tagged = ethernet({
        dst: BROADCAST,
        src: '02:00:00:00:00:0a',
        vlan: 5,
        type: 0x88b5,
        payload: Buffer.alloc(46),
      });
      tap.send(tagged);
      one
        .packetSocket('vxlan300')
        .send(ethernet({ dst: BROADCAST, src: '02:00:00:00:00:0b', type: 0x88b5, payload: Buffer.alloc(46) }));
      const drops = () => told('drops');
      await waitFor('tags', drops, (all) => all.includes('warning tx inner-vlan: inner-vlan=pass'));
      await waitFor('no remote', drops, (all) =>
        all.includes(`warning tx no-remote: vtepctl --socket ${daemon.socket} remote add IP --vni 300`),
      );
      write('storm: 100, l2-control: stp, inner-vlan: pass');
      expect(await daemon.runCtl('reload')).toMatchObject({ code: 0 });
      expect(await told('loop')).toEqual(['ok brx: null']);
      const before = (await daemon.get<DropCounters>('/v1/drops')).tx['inner-vlan'];
      one.packetSocket('vxlan100').send(tagged);
      await sleep(100);
      expect((await daemon.get<DropCounters>('/v1/drops')).tx['inner-vlan']).toBe(before);
    });
  });

  describe('beside a kernel peer', () => {
    useScope(lab);
    let daemon: VtepdProcess;
    const frame = (name: keyof typeof MACS) =>
      Buffer.concat([
        Buffer.from([1, 0x80, 0xc2, 0, 0, MACS[name], 2, 0, 0, 0, 0, 0xaa, TYPES[name] >> 8, TYPES[name] & 255]),
        Buffer.alloc(46, 7),
      ]);
    const names = Object.keys(MACS) as (keyof typeof MACS)[];

    test('those asked for by name pass both ways, and a reload changes which without making the VNI anew; a trace names the others', async () => {
      await startKernelVtep(two, { segments: [{ vni: 100, group: GROUPS[100] }] });
      const directory = mkdtempSync(join(tmpdir(), 'vtepd-l2-'));
      lab.scope.defer(() => rmSync(directory, { recursive: true }));
      const file = join(directory, 'vtepd.yaml');
      const write = (control: string) =>
        writeFileSync(file, `dev: eth0\nvnis: [{vni: 100, group: ${GROUPS[100]}, l2-control: ${control}}]\n`);
      write('[lldp, eapol]');
      daemon = await startVtepd(one, ['--config', file]);
      const [near, far] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
      const arrived = (from: typeof near, to: typeof near) => async () => {
        to.clear();
        for (const name of names) from.send(frame(name));
        await sleep(20);
        const seen = to.drain().map((packet) => packet.bytes);
        return names.filter((name) => seen.some((bytes) => bytes.subarray(0, 14).equals(frame(name).subarray(0, 14))));
      };
      const exactly = (wanted: readonly string[]) => (got: readonly string[]) => wanted.join() === got.join();
      await waitFor('LLDP and EAPOL there', arrived(near, far), exactly(['eapol', 'lldp']));
      await waitFor('LLDP and EAPOL here', arrived(far, near), exactly(['eapol', 'lldp']));
      const { tx, rx } = await daemon.get<DropCounters>('/v1/drops');
      expect([(tx['link-local'] ?? 0) > 0, (rx['link-local'] ?? 0) > 0]).toEqual([true, true]);
      expect(await daemon.ctl('config', 'show')).toMatchObject({ vnis: [{ 'l2-control': ['eapol', 'lldp'] }] });
      const linkIndex = () =>
        (JSON.parse(command('ip', ['-n', one.namespace, '-j', 'link', 'show', 'vxlan100'])) as { ifindex: number }[])[0]
          ?.ifindex;
      const before = linkIndex();
      write('lldp+lacp');
      expect(await daemon.runCtl('reload')).toMatchObject({ code: 0 });
      await waitFor('LACP there, EAPOL no more', arrived(near, far), exactly(['lacp', 'lldp']));
      write('lldp');
      expect(await daemon.runCtl('reload')).toMatchObject({ code: 0 });
      await waitFor('LLDP alone', arrived(near, far), exactly(['lldp']));
      expect(linkIndex()).toBe(before);
      const last = async (digit: string, ...rest: string[]) => {
        const { stdout } = await daemon.runCtl(
          'trace',
          '--vni',
          '100',
          '--src',
          '02:00:00:00:00:aa',
          '--dst',
          `01:80:c2:00:00:0${digit}`,
          ...rest,
        );
        return stdout.trimEnd().split('\n').at(-1);
      };
      expect(await last('0')).toBe(
        'dropped: link-local (STP, reserved by IEEE 802.1Q for the link; l2-control=stp passes it)',
      );
      expect(await last('2', '--vtep', '198.18.0.2')).toMatch(/^dropped: link-local \(LACP.*l2-control=lacp/);
      expect(await last('1')).toMatch(/pause frame.*no key lets it pass/);
      expect(await last('8')).toMatch(/l2-control=pass passes it/);
      expect(await last('e')).toBe('flooded to 239.1.1.1');
      expect(await last('e', '--vlan', '7')).toMatch(/^dropped: inner-vlan .*inner-vlan=pass/);
    });
  });
});
