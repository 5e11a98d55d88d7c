/**
 * `--persist`: what survives a restart, a crash and a change of mind, and what does not.
 *
 *      VM 11  02:…:0b
 *         │ veth
 *      br-vms ─ vxlan100, vxlan200, trunk0 ── host 1: vtepd --persist  198.18.0.1 ── host 2: crafted datagrams  198.18.0.2
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { FdbEntry } from '../../support/daemon/vtep-host.ts';
import { runVtepd, startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { ipJson } from '../../support/host/namespaces.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { addBridge, addVirtualMachine } from '../../support/lab/virtual-machine.ts';
import { probe, vxlan } from '../../support/traffic/frames.ts';
import { packetsWithProbe, sendProbe } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const GROUP = '239.1.1.1';
/** Behind host 2. */
const FAR = '02:00:00:00:00:0c';

interface ShownLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly ifalias?: string;
  readonly address: string;
  readonly master?: string;
  readonly operstate: string;
}

describeSystem('--persist', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let stateDir = '';
  let runs = 0;

  afterEach(() => {
    for (const { ifname } of taps()) one.ip('link', 'del', ifname);
  });

  function taps(): ShownLink[] {
    return ipJson<ShownLink[]>('-n', one.namespace, 'link', 'show', 'type', 'tun');
  }

  const names = () => taps().map(({ ifname }) => ifname);

  /** What of the TAPs has to survive. */
  const lasting = () =>
    taps().map(({ ifindex, ifname, ifalias, address, master }) => {
      return { ifindex, ifname, ifalias, address, master, addresses: one.addresses(ifname) };
    });

  const newStateDir = () => {
    runs++;
    stateDir = join(lab.folder, `state${runs}`);
    return stateDir;
  };

  function flags(vnis: readonly string[], ...more: string[]): string[] {
    const segments = vnis.flatMap((vni) => ['--vni', vni]);
    return ['--dev', 'eth0', '--log-format', 'json', '--state-dir', stateDir, ...segments, ...more];
  }

  const start = (vnis: readonly string[], ...more: string[]) => startVtepd(one, flags(vnis, '--persist', ...more));

  async function stop(daemon: VtepdProcess): Promise<void> {
    const { code, ms } = await daemon.stop();
    expect({ code, inTime: ms < 2_000 }).toEqual({ code: 0, inTime: true });
  }

  function events({ stdout, stderr }: VtepdProcess, event: string): Record<string, unknown>[] {
    const lines = `${stdout}${stderr}`.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line)).filter((line) => line.event === event);
  }

  test('TAPs, bridge, addresses and learned MACs survive a restart and a crash: the first frame goes by unicast', async () => {
    newStateDir();
    addBridge(one, 'br-vms');
    const { namespace: machine, mac } = addVirtualMachine(one, { bridge: 'br-vms', number: 11 });
    const wire = machine.packetSocket('eth0');
    const [host, cable] = [two.udpSocket({ address: two.address }), one.cable()];
    const vnis = [`100=${GROUP},bridge=br-vms`, `200=${GROUP}`, `310=${GROUP},vlan=10`];
    const more = ['--trunk', 'trunk0'];
    let daemon = await start(vnis, ...more);
    one.ip('addr', 'add', '192.0.2.201/24', 'dev', 'vxlan200');
    one.ip('link', 'set', 'trunk0', 'master', 'br-vms');
    host.send(vxlan({ vni: 100, inner: probe({ dst: mac, src: FAR, text: 'hello' }) }), { to: one.address });
    sendProbe(wire, { dst: FAR, src: mac, text: 'hello back' });
    const learned = async () => {
      const table = await daemon.get<FdbEntry[]>('/v1/fdb');
      return table
        .filter((row) => row.vni === 100 && [mac, FAR].includes(row.mac))
        .map((row) => `${row.mac} ${row.vtep}`);
    };
    const both = [`${mac} local`, `${FAR} 198.18.0.2`];
    await waitFor('both to be learned', learned, (now) => now.join() === both.join());
    const before = lasting();
    expect(before.map(({ ifname, master }) => `${ifname} ${master}`)).toEqual([
      'vxlan100 br-vms',
      'vxlan200 undefined',
      'trunk0 br-vms',
    ]);

    for (const end of ['SIGTERM', 'SIGKILL'] as const) {
      await daemon.stop(end);
      expect(lasting()).toEqual(before);
      expect(taps().map(({ operstate }) => operstate)).toEqual(['DOWN', 'DOWN', 'DOWN']);
      daemon = await start(vnis, ...more);
      expect(lasting()).toEqual(before);
      expect(await learned()).toEqual(both);
      const text = `first after ${end}`;
      sendProbe(wire, { dst: FAR, src: mac, text });
      const sent = await waitFor(
        'the first frame',
        () => packetsWithProbe(cable.drain(), text),
        (found) => found.length > 0,
      );
      expect(sent.map(({ ip }) => ip.dst)).toEqual([two.address]);
    }
    await daemon.stop();
    one.ip('link', 'del', 'br-vms');
  }, 60_000);

  describe('with --workers 2', () => {
    test('what vtepd made is deleted with its VNI, also by a later run, and what it did not make is not', async () => {
      newStateDir();
      one.ip('tuntap', 'add', 'vxlan400', 'mode', 'tap', 'multi_queue');
      const vnis = [100, 200, 300, 400].map((vni) => `${vni}=${GROUP}`);
      await stop(await start(vnis, '--workers', '2'));
      expect(names()).toEqual(['vxlan400', 'vxlan100', 'vxlan200', 'vxlan300']);
      // 300 is configured no more.
      const later = await start(
        vnis.filter((vni) => !vni.startsWith('300')),
        '--workers',
        '2',
      );
      expect(names()).toEqual(['vxlan400', 'vxlan100', 'vxlan200']);
      expect(events(later, 'tap-deleted')).toMatchObject([{ tap: 'vxlan300' }]);
      for (const vni of ['200', '400']) await later.ctl('vni', 'del', vni);
      await later.ctl('vni', 'add', `500=${GROUP}`);
      await stop(later);
      expect(names()).toEqual(['vxlan400', 'vxlan100', 'vxlan500']);
      // One of the same name that somebody else made is not vtepd's.
      one.ip('link', 'del', 'vxlan100');
      one.ip('tuntap', 'add', 'vxlan100', 'mode', 'tap', 'multi_queue');
      const last = await start([`100=${GROUP}`], '--workers', '2');
      expect(names()).toEqual(['vxlan400', 'vxlan100']);
      await last.ctl('vni', 'del', '100');
      expect(names()).toEqual(['vxlan400', 'vxlan100']);
      await stop(last);
    }, 60_000);
  });

  test('without it, the TAPs of a run that had it go with the process', async () => {
    newStateDir();
    await stop(await start([`100=${GROUP}`, `200=${GROUP}`]));
    await stop(await startVtepd(one, flags([`100=${GROUP}`])));
    expect(names()).toEqual(['vxlan200']);
  });

  test('a start that fails makes nothing that lasts, and takes nothing that was there', async () => {
    newStateDir();
    await stop(await start([`100=${GROUP}`]));
    const before = lasting();
    const vnis = [`100=${GROUP}`, `200=${GROUP}`, `300=${GROUP},mtu=9000`];
    for (const persist of [['--persist'], []]) {
      expect(await runVtepd(one, flags(vnis, ...persist))).toMatchObject({ code: 1 });
      expect(lasting()).toEqual(before);
    }
  });

  test('a second vtepd with the same state directory is refused, and one that cannot be written', async () => {
    newStateDir();
    const daemon = await start([`100=${GROUP}`]);
    const other = await runVtepd(one, flags([`200=${GROUP}`], '--persist', '--port', '4790'));
    expect(other).toMatchObject({ code: 1, stderr: expect.stringContaining(`--state-dir ${stateDir}: another vtepd`) });
    await stop(daemon);
    const wrapper = ['unshare', '-m', 'sh', '-c', `mount -t tmpfs -o ro none ${stateDir} && exec "$@"`, 'sh'];
    const readOnly = await runVtepd(one, flags([`100=${GROUP}`], '--persist'), { wrapper });
    expect(readOnly).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/cannot be made or written \(EROFS\): let/),
    });
  });

  test('a file that is no snapshot costs one line, and is replaced at the end', async () => {
    mkdirSync(newStateDir());
    const file = join(stateDir, 'fdb.snapshot');
    writeFileSync(file, 'not what it seems');
    const daemon = await start([`100=${GROUP}`]);
    expect(events(daemon, 'snapshot-refused')).toMatchObject([{ level: 40, file }]);
    await stop(daemon);
    expect(readFileSync(file, 'latin1')).toMatch(/^vtepdfdb/);
  });

  test('on a full disk it forwards, stops in time, and says what it could not write', async () => {
    mkdirSync(newStateDir());
    const fill = `mount -t tmpfs -o size=16k none ${stateDir} && head -c 16384 /dev/zero > ${stateDir}/fill`;
    const wrapper = ['unshare', '-m', 'sh', '-c', `${fill} && exec "$@"`, 'sh'];
    const daemon = await startVtepd(one, flags([`100=${GROUP}`], '--persist'), { wrapper });
    expect(await daemon.ctl('status')).toMatchObject({ vnis: 1 });
    await stop(daemon);
    expect(events(daemon, 'snapshot-failed')).toMatchObject([{ level: 40, reason: expect.stringContaining('ENOSPC') }]);
    expect(existsSync(join(stateDir, 'fdb.snapshot'))).toBe(false);
  });
});
