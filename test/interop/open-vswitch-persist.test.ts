/**
 * A VNI's own TAP as a port of Open vSwitch's user-space datapath, `--persist`: the switch knows its ports by name, and keeps one only while the
 * device is there.
 *
 *     VM 1 ── br0 (OVS) ── vxlan100 ─ host 1: vtepd --persist ──── host 2: kernel, vxlan100: 192.0.2.2
 */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startKernelVtep } from '../support/daemon/vtep-host.ts';
import { startVtepd, type VtepdProcess } from '../support/daemon/vtepd-process.ts';
import { describeSystem, type Namespace, useLab, useScope } from '../support/lab/lab.ts';
import { OpenVswitch } from '../support/lab/open-vswitch.ts';
import { waitUntil } from '../support/wait.ts';

const GROUP = '239.1.1.1';

describeSystem('a persistent TAP in Open vSwitch', () => {
  // Open vSwitch takes no super-frames and finishes no checksums: nothing unfinished may be on the wire.
  const lab = useLab({ hosts: 2, wire: 'mtu-true' });
  useScope(lab);
  const [one, two] = [lab.host(1), lab.host(2)];
  let ovs: OpenVswitch;
  let machine: Namespace;
  let daemon: VtepdProcess;

  const start = () => {
    const state = ['--persist', '--state-dir', join(lab.folder, 'state')];
    return startVtepd(one, ['--dev', 'eth0', '--vni', `100=${GROUP}`, '--offload', 'off', ...state]);
  };
  const forwards = () => waitUntil('the switch forwards', () => machine.ping('192.0.2.2', { count: 1 }) === 1);
  const portNumber = () => Number(ovs.control('get', 'interface', 'vxlan100', 'ofport'));

  beforeAll(async () => {
    await startKernelVtep(two, { segments: [{ vni: 100, group: GROUP }] });
    two.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vxlan100');
    daemon = await start();
    ovs = await OpenVswitch.start(one);
    ovs.addPort('vxlan100');
    machine = ovs.addMachine(1);
    await forwards();
  }, 60_000);

  afterAll(() => {
    if (one.link('vxlan100')) one.ip('link', 'del', 'vxlan100');
  });

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'stays its port after %s',
    async (end) => {
      const port = portNumber();
      await daemon.stop(end);
      expect(machine.ping('192.0.2.2', { count: 1 })).toBe(0);
      daemon = await start();
      await forwards();
      expect(portNumber()).toBe(port);
      expect(ovs.control('get', 'interface', 'vxlan100', 'error').trim()).toBe('[]');
    },
    60_000,
  );

  test('a TAP that comes after its port, as when the host boots, is taken up without the switch being told', async () => {
    ovs.control('del-port', 'vxlan100');
    await daemon.stop();
    one.ip('link', 'del', 'vxlan100');
    ovs.addPort('vxlan100');
    expect(ovs.control('get', 'interface', 'vxlan100', 'error')).toContain('could not open network device');
    daemon = await start();
    await forwards();
  }, 60_000);
});
