/**
 * A path that is narrower than either end: the underlay tells by ICMP, vtepd tells the machine, and nothing disappears for ever.
 *
 *      VM 11, MTU 1450                                                     VM 12, MTU 1450
 *      br-vms ─ vxlan100 ── host 1 ── router A ── MTU 1400 ── router B ── host 2 ── vxlan100 ─ br-vms
 *                         198.18.0.1                                    198.18.1.2
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { FAR_ADDRESS, putBehindRouters, removeRouters } from '../../support/lab/routers.ts';
import { transfer } from '../../support/lab/transfer.ts';
import { addBridge, addVirtualMachine, type VirtualMachine } from '../../support/lab/virtual-machine.ts';
import {
  ETHERTYPE,
  ethernet,
  IP_PROTOCOL,
  ipv4,
  readIpv4,
  readIpv4Frame,
  udpInIpv4,
} from '../../support/traffic/frames.ts';
import type { CapturedFrame, PacketSocket } from '../../support/traffic/packet-socket.ts';
import { sleep, waitFor } from '../../support/wait.ts';

const NARROW_MTU = 1_400;
/** Less the outer headers and the inner Ethernet header. */
const INNER_MTU = NARROW_MTU - 50;

/** The MTU that an ICMP "fragmentation needed" in a frame tells. */
function toldMtu({ bytes }: CapturedFrame): number | undefined {
  const packet = readIpv4Frame(bytes);
  if (packet?.protocol !== IP_PROTOCOL.icmp || packet.payload.readUInt16BE(0) !== 0x0304) return undefined;
  return packet.payload.readUInt16BE(6);
}

describeSystem('a narrow path', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let [here, there]: VirtualMachine[] = [];
  let vtep: VtepdVtep;
  let cable: PacketSocket;

  beforeEach(() => {
    putBehindRouters(lab, { narrowMtu: NARROW_MTU });
    for (const host of lab.hosts) addBridge(host, 'br-vms');
    here = addVirtualMachine(one, { bridge: 'br-vms', number: 11 });
    there = addVirtualMachine(two, { bridge: 'br-vms', number: 12 });
    cable = one.cable();
    lab.scope.defer(() => {
      for (const host of lab.hosts) host.ip('link', 'del', 'br-vms');
      removeRouters(lab);
    });
  }, 30_000);

  const segment = (remote: string) => ({ vni: 100, remotes: [remote], bridge: 'br-vms', keys: ['mtu=1450'] });

  function machines(): [VirtualMachine, VirtualMachine] {
    if (!here || !there) throw new Error('not started');
    return [here, there];
  }

  async function startBoth(flags: readonly string[] = []): Promise<void> {
    [vtep] = await Promise.all([
      startVtepdVtep(one, { segments: [segment(FAR_ADDRESS)], flags }),
      startVtepdVtep(two, { segments: [segment('198.18.0.1')], flags }),
    ]);
  }

  const outerFragments = () =>
    cable.select(({ bytes }) => {
      const packet = readIpv4Frame(bytes);
      return packet !== undefined && (packet.moreFragments || packet.fragmentOffset > 0);
    });

  function expectPathMtu(machine: VirtualMachine, address: string): void {
    expect(machine.namespace.ip('route', 'get', address)).toContain(`mtu ${INNER_MTU}`);
  }

  describe.each([['auto'], ['off']])('with --offload %s', (mode) => {
    test('T26: a machine’s TCP transfer gets through both ways, since the machine is told; nothing is fragmented', async () => {
      await startBoth(['--offload', mode]);
      const [a, b] = machines();
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        const { sent, received } = await transfer({
          from: from.namespace,
          to: to.namespace,
          address: to.address,
          bytes: 5_000_000,
        });
        expect(received).toMatchObject({ bytes: 5_000_000, sha256: sent.sha256 });
        expectPathMtu(from, to.address);
        // Who knows the path asks the other end for short segments; that one is to find out by itself.
        from.namespace.ip('route', 'flush', 'cache');
      }
      expect(outerFragments()).toEqual([]);
      expect((await vtep.drops()).tx.oversize).toBeGreaterThan(0);
      const findings = await vtep.daemon.get<{ check: string; object: string; remedy: string | null }[]>('/v1/doctor');
      expect(findings.filter(({ check, object }) => check === 'mtu' && object === 'vxlan100')).toMatchObject([
        { status: 'warning', remedy: `ip link set vxlan100 mtu ${INNER_MTU}` },
      ]);
    }, 90_000);
  });

  test('a packet too large is refused by the host itself, once the path has been told, and IPv6 machines are told too', async () => {
    await startBoth();
    const [a, b] = machines();
    for (const { namespace, mac } of [a, b]) {
      namespace.run('sh', '-c', 'echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6');
      namespace.ip('addr', 'add', `fd00:2::${Number.parseInt(mac.slice(-2), 16)}/64`, 'dev', 'eth0', 'nodad');
    }
    expect(a.namespace.ping('fd00:2::12', { count: 1 })).toBe(1);
    const [fits, tooLarge] = [INNER_MTU - 48, INNER_MTU - 47];
    await waitFor(
      'the machine to know the path',
      () => {
        a.namespace.ping('fd00:2::12', { count: 1, size: tooLarge });
        return a.namespace.ip('-6', 'route', 'get', 'fd00:2::12');
      },
      (route) => route.includes(`mtu ${INNER_MTU}`),
      { timeoutMs: 30_000 },
    );
    await waitFor(
      'a packet that just fits to be answered',
      () => a.namespace.ping('fd00:2::12', { count: 1, size: fits }),
      (answers) => answers === 1,
    );
    // From now on no frame of that size leaves the host.
    cable.clear();
    a.namespace.ping('fd00:2::12', { count: 2, size: tooLarge });
    expect(cable.select(({ outgoing, bytes }) => !outgoing && bytes.length > NARROW_MTU + 14)).toEqual([]);
  }, 60_000);

  test('of many packets too large few are answered, all are counted, and those of other machines go on', async () => {
    await startBoth();
    const [a, b] = machines();
    expect(a.namespace.ping(b.address, { count: 1 })).toBe(1);
    const socket = a.namespace.packetSocket('eth0');
    const large = (identification: number) => {
      const parts = {
        src: a.address,
        dst: b.address,
        sourcePort: 7,
        destinationPort: 9,
        dontFragment: true,
        identification,
      };
      const payload = udpInIpv4({ ...parts, payload: Buffer.alloc(1_400) });
      return ethernet({ dst: b.mac, src: a.mac, type: ETHERTYPE.ipv4, payload });
    };
    const counted = async () => (await vtep.drops()).tx.oversize ?? 0;
    // Until the path is known: the first ones are lost on the way, then the kernel refuses one.
    await waitFor(
      'an answer',
      () => {
        socket.send(large(0));
        return socket.select((frame) => toldMtu(frame) !== undefined).length;
      },
      (count) => count > 0,
      { everyMs: 50 },
    );
    // The bucket is full again.
    await sleep(1_500);
    socket.clear();
    const before = await counted();
    const begin = performance.now();
    for (let i = 0; i < 500; i++) socket.send(large(i));
    await waitFor('all to be counted', counted, (count) => count >= before + 500);
    const answers = socket.select((frame) => toldMtu(frame) !== undefined);
    const seconds = (performance.now() - begin) / 1_000;
    expect(answers.length).toBeGreaterThanOrEqual(10);
    expect(answers.length).toBeLessThanOrEqual(10 + Math.ceil(10 * seconds) + 1);
    for (const answer of answers) {
      expect(toldMtu(answer)).toBe(INNER_MTU);
      expect(readIpv4Frame(answer.bytes)).toMatchObject({ src: b.address, dst: a.address });
      const quoted = readIpv4(readIpv4Frame(answer.bytes)?.payload.subarray(8) ?? Buffer.alloc(0));
      expect(quoted).toMatchObject({ src: a.address, dst: b.address, protocol: IP_PROTOCOL.udp });
    }
    expect(a.namespace.ping(b.address, { size: INNER_MTU - 28 })).toBe(3);
  }, 60_000);

  test('T26: with a kernel peer a machine’s TCP transfer gets through as well', async () => {
    const words = ['type', 'vxlan', 'id', '100', 'dev', 'eth0', 'local', FAR_ADDRESS, 'remote', '198.18.0.1'];
    two.ip('link', 'add', 'vxlan100', ...words, 'dstport', '4789', 'udpcsum');
    lab.scope.defer(() => {
      two.ip('link', 'del', 'vxlan100');
    });
    two.ip('link', 'set', 'vxlan100', 'master', 'br-vms', 'up');
    vtep = await startVtepdVtep(one, { segments: [segment(FAR_ADDRESS)] });
    const [a, b] = machines();
    const { sent, received } = await transfer({
      from: a.namespace,
      to: b.namespace,
      address: b.address,
      bytes: 5_000_000,
    });
    expect(received).toMatchObject({ bytes: 5_000_000, sha256: sent.sha256 });
    expectPathMtu(a, b.address);
    expect(outerFragments()).toEqual([]);
  }, 90_000);
});

describeSystem('a machine whose MTU is larger than what VXLAN leaves', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  test('is told at the first super-frame, and its TCP transfer gets through', async () => {
    for (const host of lab.hosts) addBridge(host, 'br-vms');
    const a = addVirtualMachine(one, { bridge: 'br-vms', number: 11, mtu: 1_500 });
    const b = addVirtualMachine(two, { bridge: 'br-vms', number: 12, mtu: 1_500 });
    const segments = [{ vni: 100, group: '239.1.1.1', bridge: 'br-vms' }];
    await Promise.all(lab.hosts.map((host) => startVtepdVtep(host, { segments })));
    const { sent, received } = await transfer({
      from: a.namespace,
      to: b.namespace,
      address: b.address,
      bytes: 5_000_000,
    });
    expect(received).toMatchObject({ bytes: 5_000_000, sha256: sent.sha256 });
  }, 90_000);

  test('the frame of a later fragment has no answer', async () => {
    const vtep = await startVtepdVtep(one, { segments: [{ vni: 100, group: '239.1.1.1', keys: ['mtu=1400'] }] });
    one.ip('link', 'set', 'vxlan100', 'mtu', '1500');
    const tap = one.packetSocket('vxlan100');
    const packet = ipv4({
      src: '192.0.2.1',
      dst: '192.0.2.2',
      protocol: 17,
      payload: Buffer.alloc(1_470),
      dontFragment: true,
    });
    const send = (octets: Buffer) =>
      tap.send(ethernet({ dst: '02:00:00:00:00:02', src: '02:00:00:00:00:01', type: ETHERTYPE.ipv4, payload: octets }));
    send(packet);
    expect(toldMtu(await tap.waitForFrame('the answer', (frame) => toldMtu(frame) !== undefined))).toBe(1_450);
    packet.writeUInt16BE(0x4001, 6);
    send(packet);
    await waitFor(
      'two drops',
      async () => (await vtep.drops()).tx.oversize,
      (count) => count === 2,
    );
    expect(tap.select((frame) => toldMtu(frame) !== undefined)).toHaveLength(1);
  }, 60_000);
});
