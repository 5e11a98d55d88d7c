/**
 * Virtual machines on a bridge with the TAP, their cables with offloads and without: super-frames from a machine pass the
 * TAP whole; those for a machine are cut by the kernel where its cable cannot take them.
 *
 *      VM 11                   VM 12                   VM 13
 *      192.0.2.11              192.0.2.12              192.0.2.13
 *         │ veth                  │ veth                  │ veth
 *      br-vms ─ vxlan100       br-vms ─ vxlan100       br-vms ─ vxlan100
 *        host 1: vtepd           host 2: vtepd           host 3: kernel
 *         198.18.0.1 ─ underlay ─ 198.18.0.2 ─ underlay ─ 198.18.0.3
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { startKernelVtep, startVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, switchOffloadsOff, useLab } from '../../support/lab/lab.ts';
import { transfer } from '../../support/lab/transfer.ts';
import { addBridge, addVirtualMachine, type VirtualMachine } from '../../support/lab/virtual-machine.ts';
import { OFFLOAD_MODES, offloadFlags, sizedFor } from '../../support/traffic/offload-modes.ts';
import { range } from '../../support/traffic/trains.ts';

const MTU = 1450;

const CABLES = [
  { cables: 'with offloads', plain: [] },
  { cables: 'without offloads', plain: [11, 12, 13] },
  { cables: 'without offloads at one end', plain: [12, 13] },
] as const;

const LABS = OFFLOAD_MODES.flatMap((offload) => [
  ...CABLES.map((cable) => ({ ...cable, offload, wire: 'offloading' as const })),
  ...CABLES.map((cable) => ({ ...cable, offload, wire: 'mtu-true' as const })),
]).filter(({ offload, cables }) => offload === 'auto' || cables !== CABLES[2].cables);

const PAIRS = [
  [11, 12],
  [12, 11],
  [11, 13],
  [13, 11],
] as const;

describeSystem.each(LABS)('machines on cables $cables: offload $offload, $wire wire', ({ plain, offload, wire }) => {
  const lab = useLab({ hosts: 3, wire });
  const machines = new Map<number, VirtualMachine>();

  beforeAll(async () => {
    for (const host of lab.hosts) {
      addBridge(host, 'br-vms');
      const number = 10 + host.number;
      const added = addVirtualMachine(host, { bridge: 'br-vms', number });
      machines.set(number, added);
      if (!plain.some((each) => each === number)) continue;
      switchOffloadsOff(added.namespace, 'eth0');
      switchOffloadsOff(host, `vm${number}`);
    }
    const segments = [{ vni: 100, group: '239.1.1.1', bridge: 'br-vms' }];
    const flags = offloadFlags(offload);
    await Promise.all([
      startVtep(lab.host(1), { segments, flags }),
      startVtep(lab.host(2), { segments, flags }),
      startKernelVtep(lab.host(3), { segments }),
    ]);
  }, 60_000);

  function machine(number: number): VirtualMachine {
    const found = machines.get(number);
    if (!found) throw new Error(`no machine ${number}`);
    return found;
  }

  test.each(PAIRS)(
    'TCP from %i to %i',
    async (from, to) => {
      const [{ namespace: source }, { namespace: sink, address }] = [machine(from), machine(to)];
      const bytes = sizedFor(offload, 100_000_000);
      const { sent, received } = await transfer({ from: source, to: sink, address, bytes, timeoutMs: 150_000 });
      expect(received).toMatchObject({ bytes, sha256: sent.sha256 });
    },
    180_000,
  );

  describe('UDP super-frames', () => {
    test.each(PAIRS)('from %i to %i: each datagram by itself', async (from, to) => {
      const [{ namespace: source, address }, { namespace: sink, address: target }] = [machine(from), machine(to)];
      // So that neighbours and MACs are known; on a busy machine an answer may be too late to be counted.
      expect(source.ping(target), 'answers').toBeGreaterThan(0);
      const receiver = sink.udpSocket({ address: target, port: 7000 });
      const sender = source.udpSocket({ address });
      const runs = [1, 17, 511, 1000, MTU - 28].map((size) =>
        range(30).map((i) => Buffer.alloc(i === 29 ? Math.ceil(size / 2) : size, `${i} of ${size}`)),
      );
      for (const [i, run] of runs.entries()) {
        sender.sendTrain(run, { to: target, port: 7000 });
        await receiver.waitForDatagrams('datagrams', 30 * (i + 1), 20_000);
      }
      const text = ({ bytes }: { bytes: Buffer }) => bytes.toString('latin1');
      expect(receiver.drain().map(text)).toEqual(runs.flat().map((bytes) => text({ bytes })));
    });
  });
});
