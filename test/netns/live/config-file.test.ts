/**
 * The configuration file, and what a reload makes of its changes while other VNIs are in use.
 *
 *     vxlan…, br0 ── host 1  198.18.0.1 ───┐ vtepd with --config
 *     vxlan200    ── host 2  198.18.0.2 ───┘ vtepd
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FdbEntry, startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd, startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { all, floodAt, floodSteadily, numbersAt } from '../../support/traffic/steady-flood.ts';
import { waitUntil } from '../../support/wait.ts';

interface ShownVni {
  readonly vni: number;
  readonly name: string | null;
  readonly remotes: readonly string[];
  readonly mtu: number;
  readonly macs: number;
}

const FILE = `
dev: eth0
vnis:
  - vni: 100
    group: 239.1.1.1
    mtu: 1400
  - vni: 200
    group: 239.1.1.2
  - vni: 300
    remote: [198.18.0.2, 198.18.0.3]
    static: ["02:00:00:00:09:01@198.18.0.2"]
`;

describeSystem('the configuration file', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let fileCount = 0;

  function file(text = FILE): string {
    fileCount += 1;
    const path = join(lab.folder, `vtepd${fileCount}.yaml`);
    writeFileSync(path, text);
    return path;
  }

  const shown = (daemon: VtepdProcess) => daemon.ctl<ShownVni[]>('vni', 'show');
  const numbers = async (daemon: VtepdProcess) => (await shown(daemon)).map(({ vni }) => vni);
  const taps = () =>
    one
      .links()
      .map(({ ifname }) => ifname)
      .filter((name) => name.startsWith('vxlan'))
      .sort();

  test('is what flags would say; flags stand above it', async () => {
    const daemon = await startVtepd(one, ['--config', file(), '--vni', '100=239.1.1.9', '--ttl', '9']);
    expect(await shown(daemon)).toMatchObject([
      { vni: 100, group: '239.1.1.9', mtu: 1450, joined: true, status: 'ok' },
      { vni: 200, group: '239.1.1.2' },
      { vni: 300, group: null, remotes: ['198.18.0.2', '198.18.0.3'], macs: 1 },
    ]);
    expect(await daemon.ctl('config', 'show')).toMatchObject({ dev: 'eth0', ttl: 9 });
  });

  test('may name no VNI: they come live', async () => {
    const daemon = await startVtepd(one, ['--config', file('dev: eth0\nvnis: []\n')]);
    expect(await numbers(daemon)).toEqual([]);
    await daemon.ctl('vni', 'add', '100=239.1.1.1');
    expect(one.joinedGroups()).toEqual(['eth0 239.1.1.1']);
    expect(await daemon.stop()).toMatchObject({ code: 0 });
  });

  test.each([
    ['vnis: [{vni: 100, grup: 239.1.1.1}]', ':1:19: vnis[0].grup: unknown key: did you mean group?'],
    ['vnis: [', ':1:8: not valid YAML: '],
  ])('with a fault is refused at the start and by --check: %j', async (text, message) => {
    const path = file(text);
    for (const check of [[], ['--check']]) {
      const { code, stderr } = await runVtepd(one, ['--config', path, ...check]);
      expect([code, stderr]).toEqual([64, expect.stringContaining(`vtepd: ${path}${message}`)]);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }
    expect(taps()).toEqual([]);
  });

  test('that is not there is refused', async () => {
    const { code, stderr } = await runVtepd(one, ['--config', '/nowhere/vtepd.yaml', '--check']);
    expect([code, stderr]).toEqual([
      64,
      "vtepd: --config /nowhere/vtepd.yaml: it cannot be read: ENOENT: no such file or directory, open '/nowhere/vtepd.yaml': name a YAML file\n",
    ]);
  });

  describe('read again', () => {
    async function start(text = FILE) {
      const path = file(text);
      const daemon = await startVtepd(one, ['--config', path]);
      /** Writes the file and reloads; standard error of a refusal. */
      const reload = async (written: string) => {
        writeFileSync(path, written);
        const { code, stderr } = await daemon.runCtl('reload');
        return { code, stderr };
      };
      return { daemon, path, reload };
    }

    test('T31: brings what is new in it, while other VNIs lose nothing', async () => {
      const [{ daemon, reload }] = await Promise.all([
        start(),
        startVtepdVtep(two, { segments: [{ vni: 200, group: '239.1.1.2' }] }),
      ]);
      const [a, b] = [one.packetSocket('vxlan200'), two.packetSocket('vxlan200')];
      const floods = [floodSteadily(a, 'out', '02:00:00:00:01:01'), floodSteadily(b, 'in', '02:00:00:00:02:01')];
      await waitUntil('both run', () => numbersAt(b, 'out').length > 10 && numbersAt(a, 'in').length > 10);
      const changed = FILE.replace('mtu: 1400', 'mtu: 1300')
        .replace('remote: [198.18.0.2, 198.18.0.3]', 'remote: [198.18.0.2, 198.18.0.4]\n    name: far')
        .replace('02:00:00:00:09:01@', '02:00:00:00:09:02@');
      expect(await reload(`${changed}  - vni: 400\n    group: 239.1.1.4\n`)).toEqual({ code: 0, stderr: '' });
      expect(await shown(daemon)).toMatchObject([
        { vni: 100, mtu: 1300 },
        { vni: 200 },
        { vni: 300, name: 'far', remotes: ['198.18.0.2', '198.18.0.4'], macs: 1 },
        { vni: 400, group: '239.1.1.4', joined: true },
      ]);
      expect(await daemon.ctl('fdb', 'show', '--static')).toMatchObject([{ vni: 300, mac: '02:00:00:00:09:02' }]);
      expect(await reload(FILE)).toEqual({ code: 0, stderr: '' });
      expect(taps()).toEqual(['vxlan100', 'vxlan200', 'vxlan300']);
      const [out = 0, into = 0] = await Promise.all(floods.map((flood) => flood.stop()));
      expect(await floodAt(b, 'out', out)).toEqual(all(out));
      expect(await floodAt(a, 'in', into)).toEqual(all(into));
    });

    test('is refused whole, and what was in force is so still', async () => {
      const { daemon, path, reload } = await start();
      const before = await shown(daemon);
      const faults: [text: string, message: string][] = [
        ['ttl: [', `vtepctl: ${path}:1:7: `],
        [FILE.replace('dev: eth0', 'dev: eth0\nport: 4790'), 'vtepctl: reload: port: cannot change while vtepd runs'],
        [`${FILE}  - {vni: 400}\n  - {vni: 500, bridge: br7}\n`, 'br7'],
        [
          `${FILE.replace('mtu: 1400', 'mtu: 1300')}  - {vni: 500, mtu: 9000}\n`,
          '--vni 500,mtu=9000: eth0 has MTU 1500',
        ],
      ];
      for (const [text, message] of faults) {
        const { code, stderr } = await reload(text);
        expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
        expect(await shown(daemon)).toEqual(before);
        expect(taps()).toEqual(['vxlan100', 'vxlan200', 'vxlan300']);
      }
      expect(one.joinedGroups()).toEqual(['eth0 239.1.1.1', 'eth0 239.1.1.2']);
    });

    test('leaves what was changed live, and SIGHUP reads it too', async () => {
      const { daemon, path } = await start();
      await daemon.ctl('vni', 'add', '900=239.1.1.9');
      await daemon.ctl('remote', 'add', '198.18.0.7', '--vni', '300');
      await daemon.ctl('fdb', 'add', '02:00:00:00:09:07', '--vni', '200', '--vtep', 'local');
      writeFileSync(path, FILE.replace('198.18.0.3]', '198.18.0.4]'));
      for (let count = 0; count < 100; count++) daemon.kill('SIGHUP');
      await waitUntil('the file is in force', async () =>
        (await shown(daemon)).some(({ remotes }) => remotes.includes('198.18.0.4')),
      );
      expect(await shown(daemon)).toMatchObject([
        ...[{ vni: 100 }, { vni: 200, macs: 1 }],
        { vni: 300, remotes: ['198.18.0.2', '198.18.0.7', '198.18.0.4'] },
        { vni: 900 },
      ]);
      writeFileSync(path, 'vnis: 5');
      daemon.kill('SIGHUP');
      await waitUntil('the log says why not', () => daemon.stdout.includes('vnis: not a list'));
      expect(await numbers(daemon)).toEqual([100, 200, 300, 900]);
      expect(daemon.running).toBe(true);
    });

    test('leaves a VNI that is made anew, or was to be, what was added to it live', async () => {
      const { daemon, reload } = await start();
      await daemon.ctl('remote', 'add', '198.18.0.7', '--vni', '300');
      await daemon.ctl('fdb', 'add', '02:00:00:00:09:07', '--vni', '300', '--vtep', '198.18.0.7');
      const live = async () => {
        const { mtu, remotes } = (await shown(daemon)).find(({ vni }) => vni === 300) ?? {};
        const table = await daemon.ctl<FdbEntry[]>('fdb', 'show', '--vni', '300', '--static');
        return { mtu, remotes, statics: table.map(({ mac, vtep }) => `${mac} ${vtep}`) };
      };
      const remotes = ['198.18.0.2', '198.18.0.3', '198.18.0.7'];
      const statics = ['02:00:00:00:09:01 198.18.0.2', '02:00:00:00:09:07 198.18.0.7'];
      const made = FILE.replace('remote: [', 'mtu: 1300\n    remote: [');
      // It is gone when the host says so.
      const refused = await reload(FILE.replace('remote: [', 'mtu: 9000\n    remote: ['));
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('eth0 has MTU 1500') });
      expect(await live()).toEqual({ mtu: 1450, remotes, statics });
      expect(await reload(made)).toEqual({ code: 0, stderr: '' });
      expect(await live()).toEqual({ mtu: 1300, remotes, statics });
    });

    test('is shown as a file that says the same, live changes included', async () => {
      const { daemon } = await start(`${FILE}log-level: warn\n`);
      await daemon.ctl('vni', 'add', '900=239.1.1.9,name=on');
      await daemon.ctl('vni', 'add', '50=239.1.1.5');
      await daemon.ctl('fdb', 'add', '02:00:00:00:09:07', '--vni', '200', '--vtep', 'local');
      await daemon.ctl('remote', 'del', '198.18.0.3', '--vni', '300');
      await daemon.ctl('log-level', 'debug');
      const [vnis, { stdout }] = [await shown(daemon), await daemon.runCtl('config', 'show')];
      await daemon.stop();
      const again = await startVtepd(one, ['--config', file(stdout)], { socket: daemon.socket });
      expect(await shown(again)).toEqual(vnis);
      expect((await again.runCtl('config', 'show')).stdout).toBe(stdout);
      const { vnis: sorted, ...rest } = await again.ctl<{ vnis: { vni: number }[] }>('config', 'show');
      expect(rest).toMatchObject({ 'log-level': 'debug' });
      expect(sorted.map(({ vni }) => vni)).toEqual([50, 100, 200, 300, 900]);
    });

    test('that has gone is refused; without --config there is none', async () => {
      const { daemon, path } = await start();
      chmodSync(path, 0o644);
      writeFileSync(path, '');
      expect(await daemon.runCtl('reload')).toMatchObject({ code: 1, stderr: expect.stringContaining('reload: dev') });
      await daemon.stop();
      const flags = await startVtepd(one, ['--dev', 'eth0', '--vni', '100=239.1.1.1']);
      const message =
        'vtepctl: reload: vtepd was started without --config: start it with one, or use `vtepctl vni add` and similar commands\n';
      expect(await flags.runCtl('reload')).toMatchObject({ code: 1, stderr: message });
      flags.kill('SIGHUP');
      expect(await numbers(flags)).toEqual([100]);
    });
  });
});
