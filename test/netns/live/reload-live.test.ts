/**
 * What a reload changes while frames flow: settings of all VNIs, and VNIs where they stand.
 *
 *     vxlanN ── host 1  198.18.0.1, fd00:18::1 ───┐ vtepd with --config, two workers
 *     vxlanN ── host 2  198.18.0.2, fd00:18::2 ───┼ the kernel's devices
 *     vxlanN ── host 3  198.18.0.3, fd00:18::3 ───┘
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FdbEntry, type SegmentOptions, startKernelVtep } from '../../support/daemon/vtep-host.ts';
import { startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { command, ipJson } from '../../support/host/namespaces.ts';
import { describeSystem, type Host, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, readIgmp } from '../../support/traffic/frames.ts';
import { packetsWithProbe, probeTexts, sendProbe } from '../../support/traffic/probes.ts';
import { all, floodAt, floodSteadily, numbersAt } from '../../support/traffic/steady-flood.ts';
import { waitFor, waitUntil } from '../../support/wait.ts';

const [G1, G2, G9] = ['239.1.1.1', '239.1.1.2', '239.1.1.9'];

describeSystem('a reload while frames flow', () => {
  const lab = useLab({ hosts: 3, ipv6: true });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  let fileCount = 0;

  async function start(text: string, flags: readonly string[] = ['--workers', '2']) {
    const path = join(lab.folder, `live${++fileCount}.yaml`);
    const write = (written: string) => writeFileSync(path, `dev: eth0\n${written}`);
    write(text);
    const daemon = await startVtepd(one, ['--config', path, ...flags]);
    const reload = async (written: string, ...how: string[]) => {
      write(written);
      const { code, stdout, stderr } = await daemon.runCtl('reload', ...how);
      return { code, stdout, stderr };
    };
    return { daemon, reload };
  }

  const DONE = { code: 0, stdout: '', stderr: '' };

  /** Events of the log, in order. */
  const events = ({ stdout }: VtepdProcess): string[] =>
    stdout.split('\n').flatMap((line) => /"event":"([^"]*)"/.exec(line)?.[1] ?? []);

  const kernel = (host: Host, ...segments: SegmentOptions[]) => startKernelVtep(host, { segments });

  /** Floods between vtepd at host 1 and the device at host 2: whether all arrive is known when they have ended. */
  async function between(vni: number, ways: readonly ('out' | 'in')[] = ['out', 'in']) {
    const [a, b] = [one.packetSocket(`vxlan${vni}`), two.packetSocket(`vxlan${vni}`)];
    const floods = ways.map((way) => {
      const [from, to, src] = way === 'out' ? [a, b, '02:00:00:00:01:01'] : [b, a, '02:00:00:00:02:01'];
      return { way, to, flood: floodSteadily(from, way, src) };
    });
    await waitUntil('they run', () => floods.every(({ way, to }) => numbersAt(to, way).length > 10));
    return async () => {
      for (const { way, to, flood } of floods) {
        const sent = await flood.stop();
        // Two workers may deliver in another order, and what comes by two groups comes twice.
        expect([...new Set(await floodAt(to, way, sent))].toSorted((x, y) => x - y)).toEqual(all(sent));
      }
    };
  }

  describe('settings', () => {
    const FILE = `vnis:\n  - vni: 100\n    group: ${G1}\n`;

    /** TTL, TOS and DF of what leaves for a probe. */
    async function outer(text: string) {
      const cable = one.cable();
      sendProbe(one.packetSocket('vxlan100'), { dst: BROADCAST, src: '02:00:00:00:01:01', text });
      const [packet] = await waitFor(
        text,
        () => packetsWithProbe(cable.drain(), text),
        (found) => found.length > 0,
      );
      const { ttl, tos, dontFragment } = packet?.ip ?? {};
      return { ttl, tos, dontFragment };
    }

    test('are on the wire, in the workers and in config show at once; no frame is lost', async () => {
      await Promise.all([two, three].map((host) => kernel(host, { vni: 100, group: G1 })));
      const { daemon, reload } = await start(`allow-vtep: [198.18.0.2/32]\n${FILE}`);
      expect(await outer('before')).toEqual({ ttl: 1, tos: 0, dontFragment: true });
      const end = await between(100);
      const file = `allow-vtep: [198.18.0.2/32, 198.18.0.3/32]\nmcast-ttl: 7\nttl: 9\ntos: 0x20\ndf: unset\nbusy-poll: off\nquerier: on\nreserved-bits: drop\nageing: 60\nmax-macs: 500\n${FILE}`;
      expect(await reload(file)).toEqual(DONE);
      expect(await outer('after')).toEqual({ ttl: 7, tos: 0x20, dontFragment: false });
      await end();
      const third = three.packetSocket('vxlan100');
      const heard = one.packetSocket('vxlan100');
      sendProbe(third, { dst: BROADCAST, src: '02:00:00:00:03:01', text: 'third' });
      await waitUntil('the third VTEP is heard', () => probeTexts(heard.drain()).includes('third'));
      expect(await daemon.ctl('config', 'show')).toMatchObject({
        ...{ 'allow-vtep': ['198.18.0.2/32', '198.18.0.3/32'], 'mcast-ttl': 7, ttl: 9, tos: 32, df: 'unset' },
        ...{ 'busy-poll': 'off', 'reserved-bits': 'drop', ageing: 60, 'max-macs': 500, querier: 'on' },
      });
      const reloads = () => events(daemon).filter((event) => event === 'reloaded').length;
      await waitUntil('the log says so', () => reloads() === 1);
      const told = events(daemon).length;
      expect(await reload(file)).toEqual(DONE);
      await waitUntil('the log says so again', () => reloads() === 2);
      // It may become the querier meanwhile.
      const since = events(daemon).slice(told);
      expect(since.filter((event) => event !== 'querier-changed')).toEqual(['reloaded']);
      expect(await reload(`allow-vtep: [198.18.0.2/32]\ntos: inherit\n${FILE}`)).toEqual(DONE);
      expect(await outer('back')).toEqual({ ttl: 1, tos: 0, dontFragment: true });
      sendProbe(third, { dst: BROADCAST, src: '02:00:00:00:03:01', text: 'shut out' });
      await waitUntil('it is dropped', async () => {
        const { rx } = await daemon.get<{ rx: Record<string, number> }>('/v1/drops');
        return (rx['vtep-not-allowed'] ?? 0) > 0;
      });
      expect(probeTexts(heard.drain())).not.toContain('shut out');
    });

    test('a lower max-macs and ageing hold at once for what is known; static entries stay', async () => {
      const statics = 'static: ["02:00:00:00:09:01@198.18.0.2"]';
      const vnis = (keys: string) => `vnis:\n  - {vni: 100, group: ${G1}, ${statics}${keys}}\n`;
      const { daemon, reload } = await start(vnis(''));
      await daemon.ctl('vni', 'add', '200=239.1.1.2');
      for (const vni of [100, 200]) {
        const tap = one.packetSocket(`vxlan${vni}`);
        for (let i = 0; i < 50; i++) {
          sendProbe(tap, { dst: BROADCAST, src: `02:00:00:00:05:${i.toString(16).padStart(2, '0')}`, text: 'known' });
        }
      }
      const known = async (vni: number) => {
        const table = await daemon.ctl<FdbEntry[]>('fdb', 'show', '--vni', `${vni}`);
        return [
          table.filter(({ type }) => type === 'dynamic').length,
          table.filter(({ type }) => type === 'static').length,
        ];
      };
      await waitUntil('they are known', async () => {
        const [[first = 0], [second = 0]] = [await known(100), await known(200)];
        return Math.min(first, second) >= 50;
      });
      expect(await reload(`max-macs: 20\n${vnis('')}`)).toEqual(DONE);
      expect([await known(100), await known(200)]).toEqual([
        [20, 1],
        [20, 0],
      ]);
      expect(await reload(`max-macs: 20\n${vnis(', max-macs: 5')}`)).toEqual(DONE);
      expect([await known(100), await known(200)]).toEqual([
        [5, 1],
        [20, 0],
      ]);
      await waitUntil('they are a second old', async () => {
        const table = await daemon.ctl<FdbEntry[]>('fdb', 'show', '--dynamic');
        return table.every(({ age }) => (age ?? 0) >= 1);
      });
      expect(await reload(`ageing: 1\nmax-macs: 20\n${vnis(', max-macs: 5')}`)).toEqual(DONE);
      expect([await known(100), await known(200)]).toEqual([
        [0, 1],
        [0, 0],
      ]);
      expect(await reload(`ageing: 0\nmax-macs: 20\n${vnis('')}`)).toEqual(DONE);
    });

    test('a log level that was set live stays, unless the file says another', async () => {
      const { daemon, reload } = await start(FILE);
      await daemon.ctl('log-level', 'debug');
      const level = async () => (await daemon.ctl<Record<string, string>>('config', 'show'))['log-level'];
      expect([await reload(`ttl: 9\n${FILE}`), await level()]).toEqual([DONE, 'debug']);
      expect([await reload(`log-level: warn\n${FILE}`), await level()]).toEqual([DONE, 'warn']);
    });

    test('what cannot change is listed, a line for each key; --partial applies the rest', async () => {
      const { daemon, reload } = await start(FILE);
      const file = `port: 4790\noffload: off\nttl: 9\n${FILE}  - {vni: 200, group: ${G2}}\n  - {vni: 300, bridge: br7}\n`;
      const { code, stdout, stderr } = await reload(file);
      const lines = stderr.trim().split('\n');
      expect([code, stdout, lines.length]).toEqual([1, '', 2]);
      expect(lines[0]).toMatch(/^vtepctl: reload: port: cannot change while vtepd runs: .*: restart vtepd, or /);
      expect(lines[1]).toMatch(/^vtepctl: reload: offload: cannot change while vtepd runs: .*: restart vtepd, or /);
      const reasons = () => events(daemon).filter((event) => event === 'reload-refused').length;
      await waitUntil('the log has a line for each', () => reasons() === 2);
      for (let again = 0; again < 2; again++) {
        const { code: left, stdout: list } = await reload(file, '--partial');
        expect([
          left,
          list
            .trim()
            .split('\n')
            .map((line) => line.split(': ')[1]),
        ]).toEqual([1, ['port', 'offload', 'there is no interface br7']]);
        expect(await daemon.ctl('config', 'show')).toMatchObject({ ttl: 9, vnis: [{ vni: 100 }, { vni: 200 }] });
      }
      expect(await reload(`ttl: 9\n${FILE}`, '--partial')).toEqual(DONE);
    });
  });

  describe('VNIs', () => {
    /** What a host has told of its groups since, packet by packet: the kernel may put a join and a leave into one. */
    const igmpOf = (host: Host) => {
      const cable = host.cable();
      return () =>
        cable.drain().map(({ bytes }) => {
          const told = readIgmp(bytes).filter(({ src }) => src === host.address);
          return told.map(({ event, group }) => `${event} ${group}`);
        });
    };
    const vnis = (...list: string[]) => `vnis:\n${list.map((each) => `  - {${each}}\n`).join('')}`;
    const index = (tap: string) =>
      ipJson<{ ifindex: number }[]>('-n', one.namespace, 'link', 'show', 'dev', tap)[0]?.ifindex;

    test('two exchange their groups: no flood is lost, no group is left, and all that was set by hand stays', async () => {
      const [first, second] = ['239.1.8.1', '239.1.8.2'];
      for (const host of [two, three]) await kernel(host, { vni: 100, group: first }, { vni: 200, group: second });
      const { daemon, reload } = await start(vnis(`vni: 100, group: ${first}`, `vni: 200, group: ${second}`));
      one.ip('link', 'add', 'br9', 'type', 'bridge', 'mcast_snooping', '0');
      lab.scope.defer(() => void one.ip('link', 'del', 'br9'));
      one.ip('link', 'set', 'vxlan200', 'master', 'br9');
      one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
      await daemon.ctl('remote', 'add', '198.18.0.7', '--vni', '100');
      await daemon.ctl('fdb', 'add', '02:00:00:00:09:07', '--vni', '100', '--vtep', '198.18.0.7');
      const indexes = [index('vxlan100'), index('vxlan200')];
      const [igmp, end] = [igmpOf(one), await between(100, ['out'])];
      expect(await reload(vnis(`vni: 100, group: ${second}`, `vni: 200, group: ${first}`))).toEqual(DONE);
      await end();
      expect(one.joinedGroups()).toEqual([`eth0 ${first}`, `eth0 ${second}`]);
      expect(
        igmp()
          .flat()
          .filter((event) => event.startsWith('leave')),
      ).toEqual([]);
      const shown = { group: second, joined: true, status: 'ok', remotes: ['198.18.0.7'] };
      expect(await daemon.ctl('vni', 'show', '100')).toMatchObject([shown]);
      expect(await daemon.ctl('fdb', 'show', '--vni', '100', '--static')).toMatchObject([{ mac: '02:00:00:00:09:07' }]);
      expect([index('vxlan100'), index('vxlan200')]).toEqual(indexes);
      expect([one.addresses('vxlan100'), one.link('vxlan200')?.master]).toEqual([['192.0.2.1/24'], 'br9']);
      expect(events(daemon)).not.toContain('vni-deleted');
    });

    test('one gets another group: it is joined before the old one is left, and no flood is lost either way', async () => {
      // The leaves of other tests are repeated for a while.
      const [own, other] = ['239.1.7.1', '239.1.7.9'];
      const remotes = (vni: number) => [
        '-n',
        two.namespace,
        'fdb',
        'append',
        '00:00:00:00:00:00',
        'dev',
        `vxlan${vni}`,
      ];
      await kernel(two, { vni: 100, group: own }, { vni: 200, group: other });
      // The device floods by both, and hears both.
      command('bridge', [...remotes(100), 'dst', other, 'self', 'permanent']);
      const { reload } = await start(vnis(`vni: 100, group: ${own}`));
      const [igmp, end] = [igmpOf(one), await between(100)];
      expect(await reload(vnis(`vni: 100, group: ${other}`))).toEqual(DONE);
      await end();
      const seen: string[][] = [];
      const place = (event: string) => seen.findIndex((events) => events.includes(event));
      await waitUntil('the old group is left', () => seen.push(...igmp()) > 0 && place(`leave ${own}`) >= 0);
      expect(place(`join ${other}`)).toBeGreaterThanOrEqual(0);
      expect(place(`leave ${own}`)).toBeGreaterThanOrEqual(place(`join ${other}`));
      expect(one.joinedGroups()).toEqual([`eth0 ${other}`]);
    });

    test.each([
      ['remotes, then a group', 'remote: [198.18.0.2]', `group: ${G1}`, 1450],
      ['a group, then remotes', `group: ${G1}`, 'remote: [198.18.0.2]', 1450],
      ['a group of IPv4, then of IPv6', `group: ${G1}`, "group: 'ff05:0:0:0:0:0:1:100'", 1430],
      ['remotes of IPv6, then a group of IPv4', "remote: ['fd00:18::2']", `group: ${G1}`, 1450],
    ])('%s', async (_, before, after, mtu) => {
      const { daemon, reload } = await start(vnis(`vni: 100, ${before}`));
      one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
      const first = index('vxlan100');
      for (const keys of [after, before, after]) expect(await reload(vnis(`vni: 100, ${keys}`))).toEqual(DONE);
      expect(await daemon.ctl('vni', 'show', '100')).toMatchObject([{ mtu, status: 'ok' }]);
      expect([index('vxlan100'), one.link('vxlan100')?.mtu]).toEqual([first, mtu]);
      const [group] = /239[.0-9]*|ff05[:0-9]*/.exec(after) ?? [];
      await kernel(two, { vni: 100, ...(group ? { group } : { remotes: ['198.18.0.1'] }) });
      two.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vxlan100');
      expect(one.ping('192.0.2.2')).toBe(3);
      expect([...one.joinedGroups(), ...one.joinedGroups6('eth0')]).toEqual(
        group ? [group.includes(':') ? group : `eth0 ${group}`] : [],
      );
    });

    test('bridge, MTU, MAC, tags and join change where the TAP is, and back; a refused one leaves all as it was', async () => {
      const plain = vnis(`vni: 100, group: ${G1}`);
      const { daemon, reload } = await start(plain);
      one.ip('link', 'add', 'br9', 'type', 'bridge', 'mcast_snooping', '0');
      lab.scope.defer(() => void one.ip('link', 'del', 'br9'));
      const tap = () => {
        const { ifindex, mtu, address, master } =
          ipJson<Record<string, unknown>[]>('-n', one.namespace, 'link', 'show', 'dev', 'vxlan100')[0] ?? {};
        return { ifindex, mtu, address, master };
      };
      const [before, shown] = [tap(), await daemon.ctl('config', 'show')];
      const keys = 'bridge: br9, mtu: 1400, mac: 02:00:00:00:00:99, join: lazy, inner-vlan: pass';
      const changed = { ...before, mtu: 1400, address: '02:00:00:00:00:99', master: 'br9' };
      expect(await reload(`ttl: 9\n${vnis(`vni: 100, group: ${G9}, mtu: 9000`)}`)).toMatchObject({ code: 1 });
      expect([tap(), await daemon.ctl('config', 'show'), one.joinedGroups()]).toEqual([before, shown, [`eth0 ${G1}`]]);
      expect([await reload(vnis(`vni: 100, group: ${G1}, ${keys}`)), tap()]).toEqual([DONE, changed]);
      await waitUntil('nobody needs the group', () => one.joinedGroups().length === 0);
      expect([await reload(vnis(`vni: 100, group: ${G1}, inner-vlan: pass`)), tap()]).toEqual([
        DONE,
        { ...before, mtu: 1446 },
      ]);
      expect([await reload(plain), tap(), one.joinedGroups()]).toEqual([DONE, before, [`eth0 ${G1}`]]);
      expect(await daemon.ctl('config', 'show')).toEqual(shown);
    });

    test('those of a trunk change where they stand; another trunk takes all of them', async () => {
      const file = (trunk: string, group: string, keys = '') =>
        `trunk: ${trunk}\n${vnis(`vni: 100, vlan: 10, group: ${group}${keys}`, `vni: 200, vlan: 20, group: ${G2}`)}`;
      const { daemon, reload } = await start(file('t0', G1));
      await daemon.ctl('vni', 'add', '300,vlan=30');
      const first = index('t0');
      expect(await reload(file('t0', G9, ', inner-vlan: pass'))).toEqual(DONE);
      expect([index('t0'), one.link('t0')?.mtu, one.joinedGroups()]).toEqual([
        first,
        1446,
        [`eth0 ${G2}`, `eth0 ${G9}`],
      ]);
      expect(await reload(file('t0', G9))).toEqual(DONE);
      expect(one.link('t0')?.mtu).toBe(1450);
      expect(await reload(file('t1', G9))).toEqual(DONE);
      expect([one.link('t0'), one.link('t1')?.mtu]).toEqual([undefined, 1450]);
      expect(await daemon.ctl('vni', 'show')).toMatchObject(
        [100, 200, 300].map((vni) => ({ vni, tap: 't1', status: 'ok' })),
      );
      const { code, stderr } = await reload('vnis: []\n');
      expect([code, stderr]).toEqual([1, expect.stringContaining('reload: trunk: it carries VNI 300, ')]);
    });
  });
});
