/**
 * UDP super-frames: runs of datagrams that an application hands to the kernel as one (UDP_SEGMENT), over a TAP or over the
 * kernel's vxlan device. On the offloading wire the kernel's device sends one as a single datagram; vtepd never does. However
 * they travel, each datagram arrives by itself.
 *
 *     192.0.2.1  vxlan100, vxlan200 ── host 1: vtepd  ───┐
 *     192.0.2.2  vxlan100, vxlan200 ── host 2: vtepd  ───┼── VNI 100 = 239.1.1.1, VNI 200 = 239.1.1.2
 *     192.0.2.3  vxlan100           ── host 3: kernel ───┘
 *     fd00:2::1 …
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { startKernelVtep, startVtep, type Vtep } from '../support/daemon/vtep-host.ts';
import { describeSystem, type Host, useLab } from '../support/lab/lab.ts';
import { ethernet, vxlan } from '../support/traffic/frames.ts';
import { cutsSuperFrames, OFFLOAD_MODES, offloadFlags } from '../support/traffic/offload-modes.ts';
import { range } from '../support/traffic/trains.ts';
import type { UdpSocket } from '../support/traffic/udp-socket.ts';

const LABS = OFFLOAD_MODES.flatMap((offload) => [
  { offload, wire: 'offloading' } as const,
  { offload, wire: 'mtu-true' } as const,
]);

const MTU = 1450;
const MAX_RUN_BYTES = 65_000;

const PAIRS = [
  { name: 'vtepd to vtepd', from: 1, to: 2 },
  { name: 'vtepd to kernel', from: 1, to: 3 },
  { name: 'kernel to vtepd', from: 3, to: 1 },
] as const;

const VERSIONS = [
  { version: 4, overhead: 28, address: (host: Host) => `192.0.2.${host.number}` },
  { version: 6, overhead: 48, address: (host: Host) => `fd00:2::${host.number}` },
] as const;

/** Payload of each datagram but the last, which has `last`, where not the same; 0: as much as the MTU leaves. */
const RUNS = [
  { size: 1, count: 60 },
  { size: 1, count: 2 },
  { size: 17, count: 60, last: 3 },
  { size: 17, count: 5, last: 16 },
  { size: 50, count: 3 },
  { size: 511, count: 64, last: 1 },
  { size: 511, count: 2, last: 100 },
  { size: 1000, count: 40 },
  { size: 1000, count: 40, last: 999 },
  { size: 0, count: 40 },
  { size: 0, count: 44, last: 1 },
] as const;

describeSystem.each(LABS)('UDP super-frames: offload $offload, $wire wire', ({ offload, wire }) => {
  const lab = useLab({ hosts: 3, wire });
  let vteps: Vtep[] = [];

  beforeAll(async () => {
    const segments = [
      { vni: 100, group: '239.1.1.1' },
      { vni: 200, group: '239.1.1.2' },
    ];
    const flags = offloadFlags(offload);
    vteps = await Promise.all([
      startVtep(lab.host(1), { segments, flags }),
      startVtep(lab.host(2), { segments, flags }),
      startKernelVtep(lab.host(3), { segments: segments.slice(0, 1) }),
    ]);
    for (const host of lab.hosts) {
      for (const { version, address } of VERSIONS) {
        if (version === 4) host.ip('addr', 'add', `${address(host)}/24`, 'dev', 'vxlan100');
        else host.addIpv6('vxlan100', `${address(host)}/64`);
      }
    }
    // Neighbours and MACs are known before; on a busy machine an answer may be too late to be counted.
    for (const { from, to } of PAIRS) {
      for (const { address } of VERSIONS) {
        expect(lab.host(from).ping(address(lab.host(to))), `answers to ${from} from ${to}`).toBeGreaterThan(0);
      }
    }
  }, 60_000);

  function sockets(from: Host, to: Host, address: (host: Host) => string) {
    const receiver = to.udpSocket({ address: address(to), port: 7000 });
    const sender = from.udpSocket({ address: address(from) });
    return { sender, receiver, target: { to: address(to), port: 7000 } };
  }

  async function expectCount(receiver: UdpSocket, count: number): Promise<void> {
    await receiver.waitForDatagrams('datagrams', count, 20_000).catch(() => {
      const sizes = receiver.drain().map(({ bytes }) => bytes.length);
      throw new Error(`${sizes.length} of ${count} datagrams came, of ${sizes} octets`);
    });
  }

  /** Waits for as many datagrams as were sent; sizes are compared first, since they are easier to read. */
  async function expectAll(receiver: UdpSocket, sent: readonly Buffer[]): Promise<void> {
    await expectCount(receiver, sent.length);
    const received = receiver.drain().map(({ bytes }) => bytes);
    expect(received.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
    const text = (bytes: Buffer) => bytes.toString('latin1');
    expect(received.map(text)).toEqual(sent.map(text));
  }

  describe.each(PAIRS)('$name', ({ from, to }) => {
    const [source, sink] = [lab.host(from), lab.host(to)];

    describe.each(VERSIONS)('IPv$version', ({ overhead, address }) => {
      test.each(RUNS)('$count of $size octets', async ({ size, count, ...rest }) => {
        const { sender, receiver, target } = sockets(source, sink, address);
        const bytes = size || MTU - overhead;
        const last = 'last' in rest ? rest.last : bytes;
        const run = range(count).map((i) => Buffer.alloc(i === count - 1 ? last : bytes, `${i} of ${count}`));
        const tap = source.packetSocket('vxlan100', { outgoing: true, vnetHeader: true });
        sender.sendTrain(run, target);
        await expectAll(receiver, run);
        if (from === 3 || !cutsSuperFrames(offload)) return;
        // The test is about super-frames only where there are any.
        const supers = tap.select(({ outgoing, segmentBytes }) => outgoing && segmentBytes === bytes);
        expect(supers.length, 'super-frames at the TAP').toBe(1);
      });

      test('many runs one after another', async () => {
        const { sender, receiver, target } = sockets(source, sink, address);
        const runs = range(30).map((run) => {
          const size = [100, 300, 700, MTU - overhead][run % 4] as number;
          const count = Math.min(60, Math.floor(MAX_RUN_BYTES / size));
          return range(count).map((i) => Buffer.alloc(i === count - 1 ? 1 + run : size, `${i} of run ${run}`));
        });
        for (const [i, run] of runs.entries()) {
          sender.sendTrain(run, target);
          // One at a time: a full queue is not what is tested.
          await expectCount(receiver, runs.slice(0, i + 1).flat().length);
        }
        await expectAll(receiver, runs.flat());
      });
    });
  });

  describe('a super-frame of a tenant behind the kernel', () => {
    /** A VXLAN header of VNI 200 and a frame, where the second datagram would begin if the run came as a train. */
    function smuggled(size: number, text: string): Buffer {
      const inner = ethernet({
        dst: 'ff:ff:ff:ff:ff:ff',
        src: '02:00:00:00:ba:d0',
        type: 0x88b5,
        payload: Buffer.alloc(size, text),
      });
      const payload = Buffer.alloc(10 * size, 'plain ');
      const headers = 8 + 14 + 28;
      for (let at = size - headers; at + size <= payload.length; at += size)
        vxlan({ vni: 200, inner }).copy(payload, at);
      return payload;
    }

    test.each([200, 700, MTU - 28])('smuggles nothing into another VNI, in datagrams of %i octets', async (size) => {
      const [tenant, victim] = [lab.host(3), lab.host(1)];
      const other = victim.packetSocket('vxlan200');
      const { sender, receiver, target } = sockets(tenant, victim, VERSIONS[0].address);
      const payload = smuggled(size, 'smuggled ');
      const run = range(10).map((i) => payload.subarray(i * size, (i + 1) * size));
      for (const _ of range(20)) sender.sendTrain(run, target);
      sender.send(Buffer.from('end'), target);
      await expect
        .poll(() => receiver.drain().some(({ bytes }) => bytes.equals(Buffer.from('end'))), { timeout: 20_000 })
        .toBe(true);
      expect(other.drain(), 'frames in VNI 200').toEqual([]);
      for (const { bytes } of receiver.drain().slice(0, -1)) expect(bytes.length, 'octets of a datagram').toBe(size);
    });
  });

  test('nothing was dropped for want of an offload', async () => {
    for (const vtep of vteps) {
      if (vtep.kind === 'kernel') continue;
      const { rx, tx } = await vtep.drops();
      expect({ rx: rx.oversize, tx: tx.oversize, error: tx['send-error'] }).toEqual({ rx: 0, tx: 0, error: 0 });
    }
  });
});
