/**
 * Open vSwitch's own VXLAN tunnels as peers, in its user-space datapath: one port for each VTEP and VNI, by unicast alone.
 *
 *     VM 5 ─ br-vms ─ vxlan200 ─ host 1: vtepd ─┬─ eth0 ─ br-underlay 198.18.0.2   host 2: Open vSwitch
 *        192.0.2.1 ── vxlan100   198.18.0.1     │         br0   ─ tunnels of VNI 100 to hosts 1 and 3; 192.0.2.2, VM 6
 *                                               │         br200 ─ tunnel of VNI 200 to host 1; VM 7
 *        192.0.2.3 ── vxlan100 ─ host 3: vtepd ─┘
 */
import { beforeAll, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../support/daemon/vtep-host.ts';
import { describeSystem, type Namespace, useLab, useScope } from '../support/lab/lab.ts';
import { OpenVswitch } from '../support/lab/open-vswitch.ts';
import { transfer } from '../support/lab/transfer.ts';
import { addBridge, addVirtualMachine } from '../support/lab/virtual-machine.ts';
import { BROADCAST } from '../support/traffic/frames.ts';
import { arrivesAt, isProbe, sendProbe } from '../support/traffic/probes.ts';
import { waitUntil } from '../support/wait.ts';

const BYTES = 20_000_000;

describeSystem('tunnels of Open vSwitch', () => {
  // Open vSwitch drops datagrams with unfinished checksums: none may be on the wire.
  const lab = useLab({ hosts: 3, wire: 'mtu-true' });
  useScope(lab);
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  const machines = new Map<string, Namespace>([
    ['host 1', one],
    ['host 2', two],
    ['host 3', three],
  ]);
  let vtep: VtepdVtep;
  let ovs: OpenVswitch;

  const machine = (name: string) => machines.get(name) as Namespace;

  beforeAll(async () => {
    addBridge(one, 'br-vms');
    machines.set('VM 5', addVirtualMachine(one, { bridge: 'br-vms', number: 5 }).namespace);
    const remotes = lab.hosts.map(({ address }) => address);
    vtep = await startVtepdVtep(one, {
      segments: [
        { vni: 100, remotes },
        { vni: 200, remotes: [two.address], bridge: 'br-vms' },
      ],
    });
    await startVtepdVtep(three, { segments: [{ vni: 100, remotes }] });
    ovs = await OpenVswitch.start(two);
    ovs.takeUnderlay();
    ovs.addTunnel('vni100-1', { vni: 100, remote: one.address });
    ovs.addTunnel('vni100-3', { vni: 100, remote: three.address });
    ovs.addBridge('br200');
    ovs.addTunnel('vni200-1', { bridge: 'br200', vni: 200, remote: one.address });
    machines.set('VM 6', ovs.addMachine(6));
    machines.set('VM 7', ovs.addMachine(7, { bridge: 'br200' }));
    for (const [host, device] of [
      [one, 'vxlan100'],
      [two, 'br0'],
      [three, 'vxlan100'],
    ] as const) {
      host.ip('addr', 'add', `192.0.2.${host.number}/24`, 'dev', device);
    }
    two.ip('link', 'set', 'br0', 'mtu', '1450', 'up');
    for (const [from, address] of [
      ['VM 6', '192.0.2.1'],
      ['VM 6', '192.0.2.3'],
      ['VM 7', '192.0.2.5'],
    ] as const) {
      await waitUntil('the switch forwards', () => machine(from).ping(address, { count: 1 }) === 1, {
        timeoutMs: 30_000,
      });
    }
  }, 90_000);

  test.each([
    ['host 2', 1],
    ['host 1', 2],
    ['VM 6', 1],
    ['VM 6', 3],
    ['VM 7', 5],
    ['VM 5', 7],
  ])('%s reaches 192.0.2.%i, with full-sized packets too', (from, to) => {
    expect(machine(from).ping(`192.0.2.${to}`, { size: 1422, count: 1 })).toBe(1);
  });

  test('VNIs stay apart', () => {
    for (const [from, to] of [
      ['VM 6', 5],
      ['VM 7', 1],
    ] as const) {
      expect(machine(from).ping(`192.0.2.${to}`, { count: 1 }), `${from} to ${to}`).toBe(0);
    }
  });

  test.each([
    ['VM 5', 'VM 7', 7],
    ['VM 7', 'VM 5', 5],
    ['host 1', 'VM 6', 6],
    ['host 2', 'host 1', 1],
  ])(
    'TCP: %s to %s',
    async (source, target, number) => {
      const ends = { from: machine(source), to: machine(target), address: `192.0.2.${number}` };
      const { sent, received } = await transfer({ ...ends, bytes: BYTES });
      expect(received).toMatchObject({ bytes: BYTES, sha256: sent.sha256 });
    },
    90_000,
  );

  test('both sides learn where machines are', async () => {
    const table = await vtep.fdb();
    const place = (vni: number, mac: string) => table.find((row) => row.vni === vni && row.mac === mac)?.vtep;
    expect([place(100, '02:00:00:00:00:06'), place(200, '02:00:00:00:00:07')]).toEqual([two.address, two.address]);
    expect(place(200, '02:00:00:00:00:05')).toBe('local');
    expect(ovs.learned('br0')).toEqual(
      expect.arrayContaining([one, three].map((host) => host.link('vxlan100')?.address)),
    );
    expect(ovs.learned('br200')).toContain('02:00:00:00:00:05');
  });

  test('a flood comes once to each, from either kind', async () => {
    const [a, c] = [one.packetSocket('vxlan100'), three.packetSocket('vxlan100')];
    const b = machine('VM 6').packetSocket('eth0');
    sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:01:01', text: 'of vtepd' });
    await arrivesAt('of vtepd', b, c);
    sendProbe(b, { dst: BROADCAST, src: '02:00:00:00:00:06', text: 'of the switch' });
    await arrivesAt('of the switch', a, c);
    const counts = ['of vtepd', 'of the switch'].map((text) =>
      [a, b, c].map((tap) => tap.select(isProbe(text)).length),
    );
    expect(counts).toEqual([
      [0, 1, 1],
      [1, 0, 1],
    ]);
  });
});
