/**
 * The lab itself, proved with the kernel's own vxlan devices in the place of vtepd: when a test elsewhere fails, the
 * fault is not in the tools.
 *
 *     host 1 ───┐
 *     host 2 ───┼── underlay      VNI 100 = 239.1.1.1, kernel devices
 *     host 3 ───┘
 */
import { existsSync, readlinkSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { startKernelVtep, type Vtep } from '../daemon/vtep-host.ts';
import { inNamespace } from '../host/namespaces.ts';
import { BROADCAST, probe, readIgmp, readProbe, readVxlanPacket, vxlan } from '../traffic/frames.ts';
import { waitFor } from '../wait.ts';
import { describeSystem, Lab, useLab } from './lab.ts';
import { transfer } from './transfer.ts';

const GROUP = '239.1.1.1';
const [MAC_A, MAC_B] = ['02:00:00:00:0a:01', '02:00:00:00:0b:01'];

describeSystem('the lab', () => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];

  const vteps: Vtep[] = [];

  beforeAll(async () => {
    const segments = [{ vni: 100, group: GROUP }];
    for (const host of lab.hosts) vteps.push(await startKernelVtep(host, { segments }));
  }, 30_000);

  test('a thread comes back from a namespace, also after an error', () => {
    const home = readlinkSync('/proc/thread-self/ns/net');
    const away = inNamespace(one.namespace, () => readlinkSync('/proc/thread-self/ns/net'));
    expect(away).not.toBe(home);
    const failing = () => {
      throw new Error('inside');
    };
    expect(() => inNamespace(one.namespace, failing)).toThrow('inside');
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(home);
  });

  test('sees memberships, sockets and addresses of a namespace', () => {
    expect(one.joinedGroups()).toEqual([`eth0 ${GROUP}`]);
    expect(one.udpSockets()).toContain('0.0.0.0:4789');
    expect(one.addresses('eth0')).toEqual(['198.18.0.1/24']);
    expect(one.link('vxlan100')?.mtu).toBe(1450);
  });

  test('a broadcast floods once to every other host, and its answer goes to one', async () => {
    const [a, b, c] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100'), three.packetSocket('vxlan100')];
    const cable = two.cable();
    a.send(probe({ dst: BROADCAST, src: MAC_A, text: 'flood' }));
    await b.waitForFrame('the flood', ({ bytes }) => readProbe(bytes)?.text === 'flood');
    await c.waitForFrame('the flood', ({ bytes }) => readProbe(bytes)?.text === 'flood');
    b.send(probe({ dst: MAC_A, src: MAC_B, text: 'answer' }));
    await a.waitForFrame('the answer', ({ bytes }) => readProbe(bytes)?.text === 'answer');
    expect(c.select(({ bytes }) => readProbe(bytes)?.text === 'answer')).toHaveLength(0);
    const sent = cable.select(({ outgoing }) => !outgoing).map(({ bytes }) => readVxlanPacket(bytes)?.ip.dst);
    expect(sent).toContain('198.18.0.1');
  });

  test('crafted datagrams arrive with their source address, tags survive the capture', async () => {
    three.addAddress('198.18.0.77');
    const [tap, sender] = [one.packetSocket('vxlan100'), three.udpSocket({ address: '198.18.0.77' })];
    const inner = probe({ dst: BROADCAST, src: '02:00:00:00:0c:77', vlan: 7, text: 'crafted' });
    sender.send(vxlan({ vni: 100, inner }), { to: one.address });
    const frame = await tap.waitForFrame('the probe', ({ bytes }) => readProbe(bytes)?.text === 'crafted');
    expect(frame.bytes).toEqual(inner);
    const expected = { mac: '02:00:00:00:0c:77', vtep: '198.18.0.77' };
    expect(await vteps[0]?.fdb()).toContainEqual(expect.objectContaining(expected));
  });

  test('joins and leaves are read off the cable', async () => {
    const cable = three.cable();
    const segments = [{ vni: 300, group: '239.1.1.3' }];
    const vtep = await startKernelVtep(three, { segments });
    const events = () => cable.drain().flatMap(({ bytes }) => readIgmp(bytes));
    await waitFor('the join', events, (all) => all.some((e) => e.event === 'join' && e.group === '239.1.1.3'));
    await vtep.stop();
    await waitFor('the leave', events, (all) => all.some((e) => e.event === 'leave' && e.group === '239.1.1.3'));
  });

  test('moves bulk data and compares it', async () => {
    for (const host of [one, two]) host.ip('addr', 'add', `192.0.2.${host.number}/24`, 'dev', 'vxlan100');
    expect(one.ping('192.0.2.2', { size: 1400 })).toBe(3);
    const { sent, received } = await transfer({ from: one, to: two, address: '192.0.2.2', bytes: 10_000_000 });
    expect(received.bytes).toBe(10_000_000);
    expect(received.sha256).toBe(sent.sha256);
  }, 30_000);

  test.each([
    ['offloading', true],
    ['mtu-true', false],
  ] as const)('super-frames on the %s wire: %s', async (wire, expected) => {
    const other = new Lab({ hosts: 2, wire });
    lab.scope.defer(() => other.dispose());
    other.build();
    const [from, to] = [other.host(1), other.host(2)];
    const cable = from.cable();
    await transfer({ from, to, address: to.address, bytes: 5_000_000 });
    const longest = Math.max(...cable.drain().map(({ bytes }) => bytes.length));
    expect(longest > 1514).toBe(expected);
    expect(longest).toBeGreaterThanOrEqual(1514);
  });

  test('leaves nothing behind', async () => {
    const other = new Lab({ hosts: 1 });
    other.build();
    const { folder } = other;
    const path = `/run/netns/${other.host(1).namespace}`;
    expect([existsSync(path), existsSync(folder)]).toEqual([true, true]);
    await other.dispose();
    expect([existsSync(path), existsSync(folder)]).toEqual([false, false]);
  });
});
